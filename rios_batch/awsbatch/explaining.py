"""What main waits for, why workers on AWS Batch are not there yet, and how they have ended."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from rios_batch.aws.waiting import Wait
from rios_batch.errors import JobMgrError, RiosBatchError

if TYPE_CHECKING:
    from rios_batch.aws.jobs import JobReport, WorkerJobs
    from rios_batch.awsbatch.blobstore import S3BlobStore
    from rios_batch.awsbatch.finished import FinishedTiles
    from rios_batch.jobmanagers.watchdog import Watchdog

log = logging.getLogger("rios_batch")

EXPLAIN_SECONDS = 60.0  # between questions to Batch how the workers are


class Explainer:
    """Asks Batch now and then how the workers are, and warns where they wait or have ended too early.

    Parameters
    ----------
    jobs : the workers on Batch.
    tiles : what is finished; once all is, nobody asks any more.
    main_has_worker : there is a worker beside main, which can go on alone.
    """

    def __init__(self, jobs: WorkerJobs, tiles: FinishedTiles, *, main_has_worker: bool) -> None:
        self._jobs, self._tiles, self._main_has_worker = jobs, tiles, main_has_worker
        self._next_at = time.monotonic() + EXPLAIN_SECONDS
        self._said, self._wait = "", Wait()
        self._said_that_workers_ended = False

    def look(self) -> None:
        """Ask how the workers are, if EXPLAIN_SECONDS have passed, and say what is new.

        Raises
        ------
        JobMgrError : all workers have ended, and nobody is left to go on.
        AWSError : Batch refuses to say.
        """
        nothing_to_ask = not self._jobs.submitted or self._said_that_workers_ended or self._tiles.complete
        if nothing_to_ask or time.monotonic() < self._next_at:
            return
        self._next_at = time.monotonic() + EXPLAIN_SECONDS
        report = self._jobs.report()
        if report.all_ended:
            self._say_that_workers_ended(report)
        else:
            self._say_why_workers_wait(report)

    def _say_why_workers_wait(self, report: JobReport) -> None:
        said = "" if report.running == self._jobs.count else f"workers on AWS Batch: {report}"
        if said != self._said:  # news only
            log.warning("%s", said or "all workers on AWS Batch are running")
            self._said = said
        # When some are running the others wait for their turn.
        if cause := self._wait.look(waits=not report.running, reason=report.reason):
            log.warning("workers on AWS Batch: %s", cause)

    def _say_that_workers_ended(self, report: JobReport) -> None:
        self._said_that_workers_ended = True
        message = (
            f"all workers on AWS Batch have ended before the run: {how_workers_ended(self._jobs) or report}"
        )
        if not self._main_has_worker:
            raise JobMgrError(f"{message}; nobody is left to go on")
        log.warning("%s; main's own worker goes on alone", message)


class News:
    """Tells the watchdog of main's waiting what has been finished."""

    def __init__(self, tiles: FinishedTiles, blob_store: S3BlobStore, watchdog: Watchdog) -> None:
        self._tiles, self._blob_store, self._watchdog = tiles, blob_store, watchdog
        self._done = -1

    def look(self) -> None:
        done = len(self._tiles) + self._blob_store.merges_done
        if done != self._done:
            self._done = done
            self._watchdog.heard(f"{len(self._tiles)} of {self._tiles.total} tiles are finished")

    def awaited(self) -> str:
        """Say what main waits for."""
        if missing := self._tiles.missing():
            more = f" and {len(missing) - 1} more" if missing[1:] else ""
            return f"tile {missing[0]}{more} from workers"
        if pending := self._blob_store.pending:
            return f"{len(pending)} merges of small blobs by workers"
        return "S3 to hand over finished tiles"


def how_workers_ended(jobs: WorkerJobs) -> str:
    """Say in Batch's words how a worker that failed has ended. The text is empty if no worker failed.

    A Batch that cannot be asked must not hide what the answer would explain. So the text says that, and nothing is
    raised.
    """
    try:
        return jobs.deaths()
    except RiosBatchError as error:
        return f"(AWS Batch could not be asked how workers ended: {error})"
