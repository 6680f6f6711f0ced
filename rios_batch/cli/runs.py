"""Commands of ``rios-batch`` about runs on AWS Batch, whoever is their main, and about campaigns.

The commands import what they need: boto3 is not for those who ask for help.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from rios_batch.cli.campaigns import (
    cancel_campaign,
    follow_campaign,
    is_campaign,
    show_campaign,
    show_campaign_log,
)
from rios_batch.cli.output import as_json_option, say, show
from rios_batch.errors import JobMgrError

_run_id = click.argument("run_id", metavar="RUN")


@click.command()
@as_json_option
def runs(*, as_json: bool) -> None:
    """List the runs that have not finished. A run that has finished leaves nothing."""
    from rios_batch.aws.cloud import Cloud  # noqa: PLC0415
    from rios_batch.awsbatch.runinfo import list_runs  # noqa: PLC0415
    from rios_batch.awsbatch.runtext import run_table  # noqa: PLC0415

    found = list(list_runs(Cloud.connect()))
    show([asdict(info) for info in found], run_table(found), as_json=as_json)


@click.command(short_help="Say how a run is.")
@as_json_option
@_run_id
def status(*, run_id: str, as_json: bool) -> None:
    """Say how a run is: tiles, workers, why they wait, what failed, and how to go on."""
    from rios_batch.aws.cloud import Cloud  # noqa: PLC0415
    from rios_batch.awsbatch.runinfo import describe_run  # noqa: PLC0415
    from rios_batch.awsbatch.runtext import status_lines  # noqa: PLC0415

    if is_campaign(run_id):
        show_campaign(Cloud.connect(), run_id, as_json=as_json)
        return
    found = describe_run(Cloud.connect(), run_id)
    show(asdict(found), status_lines(found), as_json=as_json)


@click.command(short_help="Draw how a run goes, until it ends.")
@as_json_option
@_run_id
def watch(*, run_id: str, as_json: bool) -> int:
    """Draw a run in the terminal until it has finished or nobody works on it: tiles, speed, workers, cost.

    Ctrl-C ends the watching, not the run. --json prints a line of JSON for each look instead.
    """
    from rios_batch.aws.cloud import Cloud  # noqa: PLC0415

    if is_campaign(run_id):
        return follow_campaign(Cloud.connect(), run_id, as_json=as_json)
    drawing = watching()
    cloud = Cloud.connect()
    if not as_json:
        drawing.watch(cloud, run_id)
        return 0
    for view in drawing.views(cloud, run_id):
        show(asdict(view), [], as_json=True)
    return 0


def watching() -> Any:
    """Return the module that draws a run in the terminal.

    Raises
    ------
    JobMgrError : the package that draws is not installed.
    """
    try:
        from rios_batch.awsbatch import watching  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "rich":
            raise
        raise JobMgrError(
            "watching a run needs the package rich: pip install 'rios_batch[operations]'"
        ) from error
    return watching


@click.command(short_help="Print what workers have printed, or what is known of a tile.")
@click.option(
    "--tile", type=int, metavar="N", help="What is known of this tile, with its traceback if it failed."
)
@click.option("--worker", type=int, metavar="N", help="Only this worker's log; the first is 1.")
@click.option("--line", type=int, metavar="N", help="Of a campaign: only the log of this line of its list.")
@as_json_option
@_run_id
def logs(*, run_id: str, tile: int | None, worker: int | None, line: int | None, as_json: bool) -> None:
    """Print what the workers of a run on AWS Batch have printed so far."""
    from rios_batch.aws.cloud import Cloud  # noqa: PLC0415
    from rios_batch.awsbatch.runinfo import existing_run  # noqa: PLC0415
    from rios_batch.awsbatch.workerlogs import tile_story, worker_lines  # noqa: PLC0415

    if is_campaign(run_id):
        if tile is not None or worker is not None:
            raise click.UsageError("a campaign has lines, not tiles and workers: use --line")
        show_campaign_log(Cloud.connect(), run_id, line, as_json=as_json)
        return
    if line is not None:
        raise click.UsageError("--line is for campaigns; a run has --tile and --worker")
    if tile is not None and worker is not None:
        raise click.UsageError("--tile and --worker exclude each other")
    cloud = Cloud.connect()
    existing_run(cloud, run_id)
    if tile is not None:
        for text in tile_story(cloud, run_id, tile):
            show({"tile": tile, "line": text}, [text], as_json=as_json)
        return
    for number, text in worker_lines(cloud, run_id, worker):
        show({"worker": number, "line": text}, [f"worker {number} | {text}"], as_json=as_json)


@click.command()
@as_json_option
@_run_id
def cancel(*, run_id: str, as_json: bool) -> None:
    """End a run: its main, wherever main is, and its workers. Finished tiles are kept, and the run can be resumed."""
    from rios_batch.aws.cloud import Cloud  # noqa: PLC0415
    from rios_batch.awsbatch.runinfo import cancel_run  # noqa: PLC0415

    if is_campaign(run_id):
        cancel_campaign(Cloud.connect(), run_id, as_json=as_json)
        return
    before = cancel_run(Cloud.connect(), run_id)
    kept = f"{before.tiles_done} of {before.tiles} tiles are finished and kept: rios-batch resume {run_id}"
    show({"run": run_id, "state": before.state, "tiles_done": before.tiles_done}, [kept], as_json=as_json)


@click.command(
    context_settings={"allow_interspersed_args": False},
    short_help="Run a script again for the tiles that are missing.",
)
@click.option("--yes", is_flag=True, help="Do not ask before the command from the bucket is run.")
@_run_id
@click.argument("script", nargs=-1, type=click.UNPROCESSED)
def resume(*, run_id: str, yes: bool, script: tuple[str, ...]) -> int:
    """Run a script again so that it does only the tiles that are missing.

    SCRIPT is the script with its arguments. Without it, the command that the run was begun with is shown, and run if
    you agree: it comes from the exchange bucket, into which all who use the stack may write.
    """
    from rios_batch.aws.cloud import Cloud  # noqa: PLC0415
    from rios_batch.awsbatch.resuming import command_of, run_again  # noqa: PLC0415

    command, folder = command_of(Cloud.connect(), run_id, script)
    if not script and not yes:
        say(f"in {folder}:\n    {' '.join(map(repr, command))}")
        if not sys.stdin.isatty() or not click.confirm("Run it?", err=True):
            say("Nothing was run. Name the script (rios-batch resume RUN script.py ...), or use --yes.")
            return 1
    return run_again(run_id, command, folder)


@click.command(short_help="Remove what runs have left whose main is gone.")
@click.option(
    "--older-than", "hours", type=click.FloatRange(min=1), default=24, show_default=True, metavar="HOURS",
    help="Leave runs alone in which something happened since.",
)  # fmt: skip
@click.option("--yes", is_flag=True, help="Remove them; without it they are only listed.")
@as_json_option
def clean(*, hours: float, yes: bool, as_json: bool) -> None:
    """Remove queues and objects of runs, and of pools of workers, whose main is gone. Finished tiles are lost."""
    from rios_batch.aws.cloud import Cloud  # noqa: PLC0415
    from rios_batch.awsbatch.runinfo import dead_pools, dead_runs, remove_run  # noqa: PLC0415
    from rios_batch.awsbatch.runtext import run_table  # noqa: PLC0415

    cloud = Cloud.connect()
    found = dead_runs(cloud, hours * 3600)
    pools = dead_pools(cloud, hours * 3600)
    for name in [*(info.run_id for info in found), *pools] if yes else ():
        remove_run(cloud, name)
    data = {"runs": [asdict(info) for info in found], "pools": pools, "removed": yes}
    show(data, [*run_table(found), *(f"{name}  (a pool of workers)" for name in pools)], as_json=as_json)
    if (found or pools) and not yes:
        say("These would be removed; `rios-batch clean --yes` removes them.")


@click.command(short_help="See whether runs on AWS Batch can work from here.")
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Workers on Batch that you want.")
@click.option(
    "--script", type=click.Path(path_type=Path), metavar="FILE",
    help="Look whether the workers' image has what this script imports.",
)  # fmt: skip
@click.option(
    "--input", "inputs", multiple=True, metavar="NAME", help="Look whether it can be read; may be repeated."
)
@click.option(
    "--output", "outputs", multiple=True, metavar="NAME", help="Look at its bucket; may be repeated."
)
@as_json_option
def doctor(
    *,
    workers: int | None,
    script: Path | None,
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    as_json: bool,
) -> int:
    """See whether runs on AWS Batch can work from here, a line for each thing, and how to mend what is bad.

    Nothing is changed. What your rights do not let you see is marked with a question mark. The exit status is 1 if
    something is bad.
    """
    try:
        import rios_batch.model.requirements  # noqa: F401, PLC0415
    except ImportError as error:
        show(
            {"name": "this machine", "state": "BAD", "text": str(error)},
            [f"BAD  this machine: {error}"],
            as_json=as_json,
        )
        return 1
    from rios_batch.awsbatch.doctor import examine  # noqa: PLC0415
    from rios_batch.awsbatch.findings import Question  # noqa: PLC0415

    bad = False
    for found in examine(Question(workers, script, inputs, outputs)):
        show(asdict(found), [f"{found.state:<4} {found.name}: {found.text}"], as_json=as_json)
        bad = bad or found.state == "BAD"
    return int(bad)


RUN_COMMANDS = (doctor, runs, status, watch, logs, cancel, resume, clean)
