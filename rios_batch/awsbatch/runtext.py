"""Runs as text for a terminal."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rios_batch.awsbatch.runinfo import RunInfo, RunStatus

_MOST_FAILURES = 5


def run_table(runs: Sequence[RunInfo]) -> list[str]:
    """Return a table, a line for each run."""
    rows = [("RUN", "STATE", "TILES", "OUTPUTS")]
    rows += [
        (run.run_id, run.state, f"{run.tiles_done} of {run.tiles}", ", ".join(run.outputs)) for run in runs
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return [
        "  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[3]]).rstrip()
        for row in rows
    ]


def status_lines(status: RunStatus) -> Iterator[str]:
    """Yield what is known of a run, a fact a line."""
    info = status.info
    yield f"run       {info.run_id}"
    yield f"state     {_state(info)}"
    yield f"tiles     {info.tiles_done} of {info.tiles} finished"
    yield f"workers   {status.workers or 'none on AWS Batch'}"
    if status.waiting is not None:
        yield f"queue     {status.waiting} waiting, {status.in_work} in work"
    for output in info.outputs:
        yield f"output    {output}"
    if status.command:
        yield f"begun     {shlex.join(status.command)} (in {status.folder} on {status.host})"
    for failure in status.failures[:_MOST_FAILURES]:
        what = failure.worker if failure.tile is None else f"tile {failure.tile} on {failure.worker}"
        yield f"failed    {what}: {failure.message}"
    if len(status.failures) > _MOST_FAILURES:
        yield f"          and {len(status.failures) - _MOST_FAILURES} more failures"
    if info.state != "running":
        yield f"go on     rios-batch resume {info.run_id}"


def _state(info: RunInfo) -> str:
    match info.state:
        case "running":
            return f"running, main was seen {info.silent_s:.0f} s ago"
        case "workers only":
            return "main is gone, workers finish what is queued"
        case _:
            return "stopped, nobody works on it"
