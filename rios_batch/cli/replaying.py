"""``rios-batch replay``: a tile of a run on AWS Batch, computed once more here."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rios_batch.cli.output import as_json_option, show

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rios_batch.awsbatch.replaying import Replayed, ReplayJob


@click.command(short_help="Compute a failed tile once more, on this machine.")
@click.option("--pdb", "with_debugger", is_flag=True, help="Open Python's debugger where the function fails.")
@as_json_option
@click.argument("run_id", metavar="RUN")
@click.argument("tile", type=int, required=False)
def replay(*, with_debugger: bool, as_json: bool, run_id: str, tile: int | None) -> int:
    """Compute a tile of a run on this machine, with the function, otherArgs and inputs that the workers had.

    Without TILE it is the first tile that has failed. Nothing of the run is changed, and nothing is written. The
    function runs here with your rights; it is verified as a worker verifies it. --pdb opens the debugger at the line of
    the function that raised the exception. The exit status is 1 if the tile fails here, too.
    """
    from rios_batch.aws.cloud import Cloud  # noqa: PLC0415
    from rios_batch.awsbatch import debugging, replaying  # noqa: PLC0415

    if with_debugger and as_json:
        raise click.UsageError("--pdb and --json exclude each other")
    with tempfile.TemporaryDirectory(prefix="rios_batch-") as folder:
        job = replaying.fetch_replay(Cloud.connect(), run_id, tile, Path(folder))
        traceback = None
        if with_debugger:
            found, traceback = debugging.debug(job)
        else:
            found = replaying.replay(job)
        show(_as_data(job, found), _lines(job, found), as_json=as_json)
        if traceback is not None:
            sys.stdout.flush()
            debugging.post_mortem(traceback)
    return int(found.failed is not None)


def _as_data(job: ReplayJob, found: Replayed) -> dict[str, object]:
    return {
        "run": job.run_id,
        "tile": job.tile.index,
        "window": str(job.tile.window),
        "there": job.failed and asdict(job.failed),
        "here": found.failed and asdict(found.failed),
        "record": found.record and asdict(found.record),
        "peak_mib": found.peak_mib,
        "image_known": job.image_known,
        "differences": job.differences,
    }


def _lines(job: ReplayJob, found: Replayed) -> Iterator[str]:
    from rios_batch.awsbatch.replaying import same_failure  # noqa: PLC0415

    there, here = job.failed, found.failed
    yield f"tile      {job.tile.index} of run {job.run_id} ({job.tile.window})"
    for path in sorted(set(job.order.input_paths.values())):
        yield f"input     {path}, the copy that the workers have"
    yield f"there     {'no failure is known' if there is None else f'failed on {there.worker}: {there.message}'}"
    if here is None:
        yield f"here      it passes{_took(found)}"
    elif there is None:
        yield f"here      it fails: {here.message}"
    else:
        yield f"here      it fails {'the same way' if same_failure(there, here) else 'otherwise'}: {here.message}"
    if found.peak_mib is not None:
        yield f"memory    {found.peak_mib:,} MiB at most"
    if here is not None:
        yield from here.traceback_text.splitlines()
    if there is not None and (here is None or not same_failure(there, here)):
        yield from _what_differs(job)


def _took(found: Replayed) -> str:
    if (record := found.record) is None:
        return ""
    return (
        f": {record.reading_s:.1f} s reading, {record.function_s:.1f} s in the function, {record.encoding_s:.1f} s "
        "encoding"
    )


def _what_differs(job: ReplayJob) -> Iterator[str]:
    if not job.image_known:
        yield "differs   nothing is known of the workers' image: no worker has begun there yet"
        return
    yield from (f"differs   {difference}" for difference in job.differences)
    if not job.differences:
        yield (
            "differs   Python, GDAL and the packages that the function uses have the same versions there; a worker has "
            "another machine, memory and role, and no variables but those of setWorkerEnvironment"
        )
