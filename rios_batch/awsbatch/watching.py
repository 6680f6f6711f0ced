"""A run as a picture in the terminal, drawn anew every few seconds."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rios_batch.aws.jobs import WorkerJobs
from rios_batch.aws.waiting import likely_cause
from rios_batch.awsbatch.narrating import duration
from rios_batch.awsbatch.receipt import usage_of_workers
from rios_batch.awsbatch.runinfo import describe_run
from rios_batch.awsbatch.runstore import RunStore, run_ids
from rios_batch.awsbatch.starting import last_main
from rios_batch.errors import MissingObjectError
from rios_batch.model.costs import Prices, cost_usd

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from rios_batch.aws.cloud import Cloud
    from rios_batch.awsbatch.runinfo import RunStatus

LOOK_SECONDS = 5.0
_RECENT_SECONDS = 300.0  # the tiles of these say how fast the run is


@dataclass(frozen=True)
class View:
    """What is drawn.

    Attributes
    ----------
    status : all that is known of the run.
    tiles_per_minute : finished of late; 0 if none was.
    usd : what the workers have cost so far, about; None if there are none.
    """

    status: RunStatus
    tiles_per_minute: float
    usd: float | None

    @property
    def left(self) -> str:
        """Say how long the run still takes, such as ``0:12:30``; a question mark if no tile was finished of late."""
        if not self.tiles_per_minute:
            return "?"
        info = self.status.info
        return duration(60 * (info.tiles - info.tiles_done) / self.tiles_per_minute)


def views(cloud: Cloud, run_id: str) -> Iterator[View]:
    """Yield a run every LOOK_SECONDS, until it has finished or nobody works on it.

    Raises
    ------
    JobMgrError : there is no such run.
    AWSError, S3Error : AWS refuses.
    """
    view = _look(cloud, run_id)
    yield view
    while view.status.info.state != "stopped":
        time.sleep(LOOK_SECONDS)
        if run_id not in run_ids(cloud.bucket):
            return
        try:
            view = _look(cloud, run_id)
        except MissingObjectError:  # it finishes at this moment
            return
        yield view


def watch(cloud: Cloud, run_id: str) -> None:
    """Draw a run until it has finished or nobody works on it.

    Raises
    ------
    JobMgrError : there is no such run.
    AWSError, S3Error : AWS refuses.
    """
    last, console = None, Console()
    with Live(console=console, auto_refresh=False) as live:
        for last in views(cloud, run_id):
            live.update(picture(last), refresh=True)
    assert last is not None
    if last.status.info.state == "stopped":
        console.print(f"Nobody works on run {run_id} any more; `rios-batch resume {run_id}` goes on.")
    else:
        console.print(f"Run {run_id} has ended, and left nothing.")


def picture(view: View) -> RenderableType:
    """Return what is drawn of a run."""
    status, info = view.status, view.status.info
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column()
    table.add_row("run", Text(f"{info.run_id}, {info.state}"))
    table.add_row("tiles", ProgressBar(total=max(info.tiles, 1), completed=info.tiles_done, width=40))
    in_work = "" if status.in_work is None else f", {status.in_work} in work"
    table.add_row(
        "", Text(f"{info.tiles_done} of {info.tiles} finished{in_work}, {len(status.failures)} failures")
    )
    table.add_row("speed", Text(f"{view.tiles_per_minute:.1f} tiles a minute, {view.left} left"))
    table.add_row("workers", Text(str(status.workers or "none on AWS Batch")))
    if status.workers is not None and "RUNNABLE" in status.workers.counts and not status.workers.running:
        table.add_row("", Text(f"no machine yet; likely: {likely_cause(status.workers.reason)}"))
    if view.usd is not None:
        table.add_row("cost", Text(f"about {view.usd:.2f} USD so far"))
    failed = [Text(f"failed: {failure.message}", style="red") for failure in status.failures[-1:]]
    return Group(table, *failed)


def _look(cloud: Cloud, run_id: str) -> View:
    status, store = describe_run(cloud, run_id), RunStore(cloud.bucket, run_id)
    now = time.time()
    times = [found.modified_s for _, found in store.tiles()]
    recent = [when for when in times if when > now - _RECENT_SECONDS]
    seconds = max(now - min(recent), LOOK_SECONDS) if recent else 1.0
    return View(status, 60 * len(recent) / seconds, _usd(cloud, store))


def _usd(cloud: Cloud, store: RunStore) -> float | None:
    last = last_main(cloud, store)
    jobs = WorkerJobs.find(cloud.batch, cloud.stack_outputs, last[1]) if last else None
    if jobs is None:
        return None
    return cost_usd(usage_of_workers(jobs, cloud.stack_outputs.worker_vcpus), Prices.read(os.environ))
