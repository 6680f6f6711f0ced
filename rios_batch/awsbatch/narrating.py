"""What a run on AWS Batch says by itself: how the run begins, how far it is, and how it ended."""

from __future__ import annotations

import datetime as dt
import logging
import re
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rios_batch.aws.jobs import WorkerJobs
    from rios_batch.aws.stackoutputs import StackOutputs
    from rios_batch.awsbatch.finished import FinishedTiles
    from rios_batch.model.tileresult import TileRecord

log = logging.getLogger("rios_batch")

LINE_SECONDS = 30.0  # between lines that say how far a run is
_ON_BATCH = re.compile(r"worker \d+ ")


def say_begun(run_id: str, missing: int, workers: int, *, main_has_worker: bool) -> None:
    """Say what a run is going to do.

    Parameters
    ----------
    missing : tiles to compute.
    workers : workers that are submitted to Batch.
    main_has_worker : there is a worker beside main.
    """
    whose = ["main's own worker"] * main_has_worker
    if workers:
        whose.append(f"{_counted(workers, 'worker')} on AWS Batch")
    log.info("run %s: %s for %s", run_id, _counted(missing, "tile"), " and ".join(whose))


def say_submitted(run_id: str, jobs: WorkerJobs, stack: StackOutputs) -> None:
    """Say where the workers are, and how to watch the run and go on with it."""
    log.info(
        "run %s: job %s of %s in queue %s, log group %s; `rios-batch status %s` shows how it is, "
        "`rios-batch resume %s` goes on after an end",
        *(
            run_id,
            jobs.job_id,
            _counted(jobs.count, "worker"),
            stack.worker_queue,
            stack.log_group,
            run_id,
            run_id,
        ),
    )


class ProgressLines:
    """Says now and then how far a run is, where standard error is no terminal; a terminal has its progress bar."""

    def __init__(self, run_id: str, tiles: FinishedTiles) -> None:
        self._run_id, self._tiles = run_id, tiles
        self._began, self._done_before = time.monotonic(), len(tiles)
        self._next_at = self._began + LINE_SECONDS

    def look(self) -> None:
        """Say how far the run is, if LINE_SECONDS have passed."""
        now = time.monotonic()
        if now < self._next_at or self._tiles.complete or sys.stderr.isatty():
            return
        self._next_at = now + LINE_SECONDS
        done = len(self._tiles) - self._done_before
        left_s = (self._tiles.total - len(self._tiles)) * (now - self._began) / done if done else None
        left = "" if left_s is None else f", about {duration(left_s)} left"
        log.info(
            "run %s: %d of %d tiles are finished%s", self._run_id, len(self._tiles), self._tiles.total, left
        )


def say_finished(run_id: str, records: Sequence[TileRecord], failures: int, seconds: float) -> None:
    """Say how a run went.

    Parameters
    ----------
    records : those of all tiles.
    failures : tiles that failed and were done again.
    seconds : from the beginning to the outputs in their places.
    """
    on_batch = [record for record in records if _ON_BATCH.match(record.worker)]
    workers = len({record.worker.partition(",")[0] for record in on_batch})
    whose = f", {len(on_batch)} of them by {_counted(workers, 'worker')} on AWS Batch" if on_batch else ""
    again = f"; {_counted(failures, 'failure')} made good" if failures else ""
    log.info(
        "run %s is finished: %s in %s%s%s",
        *(run_id, _counted(len(records), "tile"), duration(seconds), whose, again),
    )


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def duration(seconds: float) -> str:
    """Return a time such as ``0:03:20``."""
    return str(dt.timedelta(seconds=round(seconds)))
