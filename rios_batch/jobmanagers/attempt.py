"""One attempt at a run: its queue, its Batch job, the worker beside main, and what main waits for."""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from rios_batch.aws.jobs import WorkerJobs
from rios_batch.aws.queue import LONGEST_WAIT_SECONDS, WorkQueue
from rios_batch.errors import JobMgrError
from rios_batch.jobmanagers.leases import LeaseKeeper
from rios_batch.jobmanagers.ownworker import OwnWorker
from rios_batch.jobmanagers.results import error_of, fetch, stays_in_s3
from rios_batch.jobmanagers.shelf import Shelf
from rios_batch.jobmanagers.supervisor import MAX_FAILURES
from rios_batch.raster.localinputs import copy_local_inputs
from rios_batch.work import ComputeTile, Stay
from rios_batch.workerconfig import WorkerConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from concurrent.futures import Future

    from rios_batch.aws.cloud import Cloud
    from rios_batch.aws.objects import ObjectInfo
    from rios_batch.aws.runs import Run
    from rios_batch.jobspec import RunOptions, TileJob, TileResult
    from rios_batch.records import Failure

log = logging.getLogger("rios_batch")

LEASE_SECONDS = 60
POLL_SECONDS = 1.0
EXPLAIN_SECONDS = 60.0  # between questions to Batch how the workers are
STALL_SECONDS = 30.0  # without work in the queue before what is missing is put in again
_HELD = 1  # messages that main itself has leased
_FETCHES = 4  # at a time
_AHEAD_TILES, _AHEAD_BYTES = 8, 256 * 2**20  # finished tiles that main holds before their turn


class Attempt:
    """See the module. Wherever main waits it calls `_look`, so that a failure is seen everywhere.

    Parameters
    ----------
    num_workers : the worker beside main included.
    """

    def __init__(self, cloud: Cloud, run: Run, job: TileJob, num_workers: int, options: RunOptions) -> None:
        self._cloud, self._run, self._job, self._num_workers = cloud, run, job, num_workers
        self._options = options
        self._jobs = WorkerJobs(cloud.batch, cloud.exports)
        self._count = 0
        self._undo: list[tuple[str, Callable[[], None]]] = []
        self._own_worker: OwnWorker | None = None
        self._found: dict[int, ObjectInfo] = {}  # finished, and not handed over yet
        self._done: set[int] = set()
        self._first_missing = 0
        self._seen_failures: set[str] = set()
        self._failures: Counter[int] = Counter()
        self._queue: WorkQueue
        self._shelf: Shelf
        self._look_at = self._explain_at = self._look_for_lost_at = 0.0
        self._dismissed = self._said_that_workers_ended = False

    @property
    def finished_tiles(self) -> int:
        return len(self._done)

    @property
    def all_tiles(self) -> int:
        return len(self._job.plan)

    def start(self, job_sha256: str) -> None:
        """Make the queue, start the worker beside main, stage local inputs, submit all other workers."""
        self._note_finished()
        missing = [ComputeTile(index) for index in range(self.all_tiles) if index not in self._done]
        exports = self._cloud.exports
        name = f"{exports.run_queue_prefix}{self._run.run_id}-{secrets.token_hex(2)}"
        self._queue = WorkQueue.create(self._cloud.sqs, name, LEASE_SECONDS)
        self._undo.append(("its queue", self._queue.delete))
        self._shelf = Shelf(self._run, self._queue, self._wait)
        self._hold_workers()
        config = WorkerConfig(
            bucket=exports.bucket,
            region=self._cloud.region,
            processes=min(exports.worker_vcpus, os.cpu_count() or 1),
            run_id=self._run.run_id,
            job_sha256=job_sha256,
            queue_url=self._queue.url,
            lease_seconds=LEASE_SECONDS,
        )
        if not self._options.coordinate_only:
            self._own_worker = OwnWorker(config)
            self._undo.append(("main's own worker", self._own_worker.stop))
        self._queue.send(missing)
        own_share = 0 if self._own_worker is None else config.processes
        useful = -(-max(len(missing) - own_share, 0) // exports.worker_vcpus)
        self._count = min(self._num_workers - 1, useful)
        if self._count:
            self._run.put_staged_inputs(
                copy_local_inputs(self._job, self._run.bucket, self._run.inputs_prefix)
            )
            self._jobs.submit(f"rios-batch-{self._run.run_id}", self._count, config.run_env())
        now = time.monotonic()
        self._explain_at, self._look_for_lost_at = now + EXPLAIN_SECONDS, now + STALL_SECONDS

    def _hold_workers(self) -> None:
        """Keep workers from leaving while more work may come: they stay while a message is leased."""
        keeper = LeaseKeeper(self._queue, LEASE_SECONDS)
        self._queue.send([Stay()])
        leases = self._queue.receive(1, LONGEST_WAIT_SECONDS)
        while not leases:
            leases = self._queue.receive(1, LONGEST_WAIT_SECONDS)
        keeper.hold(leases[0])
        keeper.start()
        self._undo.append(("its lease", keeper.stop))

    def results(self) -> Generator[TileResult, None, None]:
        """Yield all tiles in order, a few fetched ahead."""
        with ThreadPoolExecutor(_FETCHES, "rios_batch fetch") as executor:
            coming: dict[int, Future[TileResult]] = {}
            for index in range(self.all_tiles):
                while index not in self._found:
                    self._wait()
                self._look()
                self._fetch_ahead(index, coming, executor)
                result = coming.pop(index).result()
                del self._found[index]
                yield result

    def _fetch_ahead(
        self, first: int, coming: dict[int, Future[TileResult]], executor: ThreadPoolExecutor
    ) -> None:
        ahead_bytes = 0
        for index in range(first, first + _AHEAD_TILES):
            found = self._found.get(index)
            if found is None or (ahead_bytes > _AHEAD_BYTES):
                return
            ahead_bytes += found.size
            if index not in coming:
                coming[index] = executor.submit(fetch, self._run.bucket, found, self._job, self._shelf)

    # -- waiting

    def _wait(self) -> None:
        time.sleep(max(0.0, self._look_at - time.monotonic()))
        self._look()

    def _look(self) -> None:
        """Take in what has happened, at most once in POLL_SECONDS.

        Raises
        ------
        RiosBatchError : what ends the run.
        """
        now = time.monotonic()
        if now < self._look_at or self._dismissed:
            return
        self._look_at = now + POLL_SECONDS
        progress = self._note_finished()
        progress = self._shelf.look() or progress
        self._note_failures()
        if self._own_worker is not None:
            self._own_worker.check()
        self._explain(now)
        self._refill(now, progress=progress)
        self._dismiss_idle_workers()

    def _note_finished(self) -> bool:
        before = len(self._done)
        for index, found in self._run.tiles(self._first_missing):
            if index not in self._done:
                self._done.add(index)
                self._found[index] = found
        while self._first_missing in self._done:
            self._first_missing += 1
        return len(self._done) > before

    def _note_failures(self) -> None:
        for key in self._run.failures():
            if key in self._seen_failures:
                continue
            self._seen_failures.add(key)
            failure = self._run.failure(key)
            if failure.stops_run:
                raise error_of(failure)
            if failure.tile is not None and failure.tile not in self._done:
                self._count_failure(failure, failure.tile)

    def _count_failure(self, failure: Failure, index: int) -> None:
        self._failures[index] += 1
        tile = f"tile {index} ({self._job.plan.tile(index).window})"
        if self._failures[index] < MAX_FAILURES:
            log.warning("%s is done again, it failed on %s: %s", tile, failure.worker, failure.message)
            return
        message = f"{tile} failed {MAX_FAILURES} times, the last time on {failure.worker}: {failure.message}"
        deaths = self._jobs.deaths()
        raise error_of(replace(failure, message=f"{message}\n{deaths}" if deaths else message))

    def _explain(self, now: float) -> None:
        """Say why workers are not there yet, and whether they have ended too early."""
        if not self._count or self._said_that_workers_ended or now < self._explain_at:
            return
        self._explain_at = now + EXPLAIN_SECONDS
        report = self._jobs.report()
        if not report.all_ended:
            if report.running < self._count:
                log.info("workers on AWS Batch: %s", report)
            return
        self._said_that_workers_ended = True
        message = f"all workers on AWS Batch have ended before the run: {self._jobs.deaths() or report}"
        if self._own_worker is None:
            raise JobMgrError(f"{message}; nobody is left to go on")
        log.warning("%s; main's own worker goes on alone", message)

    def _refill(self, now: float, *, progress: bool) -> None:
        """Put work in again that is missing while nobody has it: SQS may lose a message, and a worker be wrong."""
        if progress:
            self._look_for_lost_at = now + STALL_SECONDS
        if now < self._look_for_lost_at:
            return
        self._look_for_lost_at = now + STALL_SECONDS
        if self._queue.sizes() == (0, _HELD):
            missing = [ComputeTile(index) for index in range(self.all_tiles) if index not in self._done]
            self._queue.send([*missing, *self._shelf.pending])

    def _dismiss_idle_workers(self) -> None:
        """Let workers go as soon as nothing more can come: main may still be writing for long."""
        if self.finished_tiles == self.all_tiles and not any(map(stays_in_s3, self._job.outputs)):
            self._dismissed = True
            self.stop("no tile is left")

    # -- the end

    def stop(self, reason: str) -> None:
        """End everything that was started; the run's data stays. Harmless when called again."""
        undo = [
            ("connections", self._cloud.close),
            *self._undo,
            ("its Batch job", lambda: self._end_jobs(reason)),
        ]
        self._undo.clear()
        for what, end in reversed(undo):
            try:
                end()
            except Exception as error:  # noqa: BLE001 - whatever ends the run must not be hidden by this
                log.warning("%s of run %s could not be ended: %s", what, self._run.run_id, error)

    def _end_jobs(self, reason: str) -> None:
        if not self._jobs.job_id:
            return
        # Workers that run find the queue gone and leave by themselves, unless they do a tile a second time; those that
        # wait for a machine would still get one, only to leave.
        report = self._jobs.report()
        idle = self._dismissed and self._queue.sizes() == (0, _HELD)
        if not (report.all_ended or (idle and report.all_running)):
            self._jobs.terminate(reason)
        self._jobs.job_id = ""
