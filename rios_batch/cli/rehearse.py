"""``rios-batch rehearse``: a script on AWS Batch and in one process, compared."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from rios_batch.cli.output import as_json_option, say, show
from rios_batch.cli.report import open_page
from rios_batch.cli.runs import watching


@click.command(
    context_settings={"allow_interspersed_args": False},
    short_help="Try a script on an emulated AWS, without an account.",
)
@click.option(
    "--workers", type=click.IntRange(min=1), default=2, show_default=True, metavar="N",
    help="Workers on AWS Batch; main computes nothing.",
)  # fmt: skip
@click.option(
    "--docker", "image", metavar="IMAGE", help="Have workers be containers of a local image instead of processes.",
)  # fmt: skip
@click.option("--watch", is_flag=True, help="Draw each run in the terminal while it goes on.")
@click.option(
    "--report", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Write how each run went as a page for a browser; the second run's is FILE-2, and so on.",
)  # fmt: skip
@click.option("--open", "opened", is_flag=True, help="Open the report in a browser.")
@click.option(
    "--real",
    is_flag=True,
    help="Use the stack of your account: one tile of each apply, as one job; costs cents.",
)
@as_json_option
@click.argument("script", type=click.Path(path_type=Path))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def rehearse(
    *,
    workers: int,
    image: str | None,
    watch: bool,
    report: Path | None,
    opened: bool,
    real: bool,
    as_json: bool,
    script: Path,
    arguments: tuple[str, ...],
) -> int:
    """Run a script on an emulated AWS and in one process, and compare what the two write, bit for bit.

    The stack is deployed into an AWS that is made for it on this machine, and workers are processes or containers.
    Whatever the script says of job managers, workers on AWS Batch compute all tiles, and then one process here. Files
    that the script writes are put back as they were. ARGUMENTS are the script's own. The exit status is 1 if an output
    differs.
    """
    from rios_batch.assemble.reporting import check_place  # noqa: PLC0415
    from rios_batch.testing.rehearsal import Rehearsal  # noqa: PLC0415

    if watch and real:
        raise click.UsageError("--watch draws runs on the emulated AWS; leave out --watch or --real")
    if image is not None and real:
        raise click.UsageError("--docker is for workers on the emulated AWS; leave out --docker or --real")
    if watch and as_json:
        raise click.UsageError("--watch draws where --json prints; leave out one of them")
    if opened and report is None:
        raise click.UsageError("--open opens the report; say where it goes with --report FILE")
    if report is not None:
        check_place(str(report))
    drawn = watching().watch if watch else None
    rehearsal = Rehearsal(script, arguments, 1 if real else workers, say, report, image, drawn)
    compared = rehearsal.on_real_aws() if real else rehearsal.on_emulated_aws()
    same = not any(output.difference for output in compared)
    lines = [*map(str, compared), *([] if compared else ["the script has no outputs to compare"])]
    if opened and report is not None:
        open_page(str(report))
    show({"same": same, "outputs": [asdict(output) for output in compared]}, lines, as_json=as_json)
    return int(not same)
