"""One attempt at a run: its queue, its Batch spec, the worker beside main, and what main waits for."""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from rios_batch.aws.jobs import WorkerJobs
from rios_batch.aws.queue import WorkQueue
from rios_batch.awsbatch.blobstore import S3BlobStore
from rios_batch.awsbatch.configuration import WorkerConfig
from rios_batch.awsbatch.localworker import LocalWorker
from rios_batch.awsbatch.messages import ComputeTile
from rios_batch.awsbatch.results import error_of, fetch
from rios_batch.awsbatch.stagedinputs import copy_local_inputs
from rios_batch.awsbatch.supervisor import AWS_PATIENCE_SECONDS, MAX_FAILURES
from rios_batch.errors import AWSUnavailableError, JobMgrError, RiosBatchError, S3UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from concurrent.futures import Future

    from rios_batch.aws.cloud import Cloud
    from rios_batch.aws.objects import ObjectInfo
    from rios_batch.awsbatch.records import Failure
    from rios_batch.awsbatch.runstore import RunStore
    from rios_batch.model.spec import RunOptions, RunSpec
    from rios_batch.model.tileresult import TileResult

log = logging.getLogger("rios_batch")

LEASE_SECONDS = 60
POLL_SECONDS = 1.0
EXPLAIN_SECONDS = 60.0  # between questions to Batch how the workers are
# Without news before main looks whether work has been lost; SQS's counts need up to a minute to be right.
STALL_SECONDS = 90.0
_FETCHES = 4  # at a time
_AHEAD_TILES, _AHEAD_BYTES = 8, 256 * 2**20  # finished tiles that main holds before their turn
# So many failures of different tiles, and more than tiles that were finished, mean that nothing will come of it.
_HOPELESS_FAILURES = 10


class RunController:
    """See the module. Wherever main waits it calls `_look`, so that a failure is seen everywhere.

    Parameters
    ----------
    num_workers : the worker beside main included.
    """

    def __init__(
        self, cloud: Cloud, run: RunStore, spec: RunSpec, num_workers: int, options: RunOptions
    ) -> None:
        self._cloud, self._run, self._spec, self._num_workers = cloud, run, spec, num_workers
        self._options = options
        self._suffix = secrets.token_hex(2)
        self._jobs = WorkerJobs(cloud.batch, cloud.exports, f"rios-batch-{run.run_id}-{self._suffix}")
        self._count = 0
        self._undo: list[tuple[str, Callable[[], None]]] = []
        self._stopping = threading.Event()
        self._local_worker: LocalWorker | None = None
        self._found: dict[int, ObjectInfo] = {}  # finished, and not handed over yet
        self._done: set[int] = set()
        self._first_missing = 0
        self._seen_failures: set[str] = set()
        self._failures: Counter[int] = Counter()
        self._queue: WorkQueue
        self._blob_store: S3BlobStore
        now = time.monotonic()
        self._look_at, self._answered_at = 0.0, now
        self._explain_at, self._look_for_lost_at = now + EXPLAIN_SECONDS, now + STALL_SECONDS
        self._was_empty = self._dismissed = self._said_that_workers_ended = False
        self._said = ""

    @property
    def finished_tiles(self) -> int:
        return len(self._done)

    @property
    def all_tiles(self) -> int:
        return len(self._spec.plan)

    @property
    def _all_finished(self) -> bool:
        return self.finished_tiles == self.all_tiles

    def start(self, job_sha256: str) -> None:
        """Make the queue, start the worker beside main, copy local inputs to S3, submit all other workers."""
        self._end_last_attempt()
        self._note_finished()
        missing = [ComputeTile(index) for index in range(self.all_tiles) if index not in self._done]
        exports = self._cloud.exports
        name = f"{exports.run_queue_prefix}{self._run.run_id}-{self._suffix}"
        self._queue = WorkQueue.create(self._cloud.sqs, name, LEASE_SECONDS)
        self._undo.append(("its queue", self._queue.delete))
        self._queue.sizes()  # seen now whether it is allowed; it is needed only when something is wrong
        self._run.put_attempt(self._queue.url, self._jobs.name)
        self._blob_store = S3BlobStore(self._run, self._queue, self._wait)
        config = WorkerConfig(
            bucket=exports.bucket,
            region=self._cloud.region,
            processes=min(exports.worker_vcpus, os.cpu_count() or 1),
            run_id=self._run.run_id,
            job_sha256=job_sha256,
            queue_url=self._queue.url,
            lease_seconds=LEASE_SECONDS,
        )
        own_share = 0 if self._options.coordinate_only else config.processes
        useful = -(-max(len(missing) - own_share, 0) // exports.worker_vcpus)
        self._count = min(self._num_workers - 1, useful)
        # Somebody must merge blobs, also where all tiles were finished before.
        if not self._options.coordinate_only or not self._count:
            self._local_worker = LocalWorker(config)
            self._undo.append(("main's own worker", self._local_worker.stop))
        self._queue.send(missing)
        if self._count:
            self._copy_inputs()
        if self._count and not self._dismissed:  # main's own worker may have been quicker than the copying
            self._undo.append(("its Batch job", self._end_jobs))
            self._jobs.submit(self._count, config.run_env())

    def _end_last_attempt(self) -> None:
        """End what a main that was killed has left: workers that do the same tiles, and their queue."""
        last = self._run.last_attempt()
        if last is not None:
            url, job_name = last
            WorkerJobs(self._cloud.batch, self._cloud.exports, job_name).terminate("its run is resumed")
            WorkQueue(self._cloud.sqs, url, LEASE_SECONDS).delete()

    def _copy_inputs(self) -> None:
        """Copy local inputs to S3 while main's own worker computes; what goes wrong there ends this."""
        with ThreadPoolExecutor(1, "rios_batch copy") as executor:
            copying = executor.submit(
                copy_local_inputs,
                self._spec,
                self._run.bucket,
                self._run.inputs_prefix,
                self._stopping.is_set,
            )
            try:
                while not copying.done():
                    self._wait()
            except BaseException:
                self._stopping.set()
                raise
        if not self._dismissed:
            self._run.put_staged_inputs(copying.result())

    def results(self) -> Generator[TileResult, None, None]:
        """Yield all tiles in order, a few fetched ahead."""
        executor = ThreadPoolExecutor(_FETCHES, "rios_batch fetch")
        try:
            coming: dict[int, Future[TileResult]] = {}
            for index in range(self.all_tiles):
                while index not in self._found:
                    self._wait()
                self._look()
                self._fetch_ahead(index, coming, executor)
                result = coming.pop(index).result()
                del self._found[index]
                yield result
        finally:
            # Whatever is on its way is of no use any more, and must not keep workers running.
            executor.shutdown(wait=False, cancel_futures=True)

    def _fetch_ahead(
        self, first: int, coming: dict[int, Future[TileResult]], executor: ThreadPoolExecutor
    ) -> None:
        ahead_bytes = 0
        for index in range(first, first + _AHEAD_TILES):
            found = self._found.get(index)
            if found is None or ahead_bytes > _AHEAD_BYTES:
                return
            ahead_bytes += found.size
            if index not in coming:
                coming[index] = executor.submit(fetch, self._run.bucket, found, self._spec, self._blob_store)

    # -- waiting

    def _wait(self) -> None:
        time.sleep(max(0.01, min(POLL_SECONDS, self._look_at - time.monotonic())))
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
        try:
            self._take_in(now)
        except (AWSUnavailableError, S3UnavailableError) as error:
            # Workers go on meanwhile; a laptop's network may be gone for a while.
            if now > self._answered_at + AWS_PATIENCE_SECONDS:
                raise
            log.warning("main goes on trying: %s", error)
        else:
            self._answered_at = time.monotonic()

    def _take_in(self, now: float) -> None:
        progress = self._note_finished()
        progress = self._blob_store.look() or progress
        self._note_failures()
        if self._local_worker is not None:
            self._local_worker.check()
        self._explain(now)
        self._send_lost_work(now, progress=progress)
        self._dismiss_workers()

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
            failure = self._run.failure(key)
            self._seen_failures.add(key)
            if failure.stops_run:
                raise error_of(failure)
            if failure.tile is not None and failure.tile not in self._done:
                self._count_failure(failure, failure.tile)

    def _count_failure(self, failure: Failure, index: int) -> None:
        self._failures[index] += 1
        tile = f"tile {index} ({self._spec.plan.tile(index).window})"
        if self._failures[index] >= MAX_FAILURES:
            said = f"{tile} failed {MAX_FAILURES} times, the last time on {failure.worker}: {failure.message}"
        elif len(self._failures) > max(_HOPELESS_FAILURES, self.finished_tiles):
            said = f"{len(self._failures)} tiles failed, the last one, {tile}, on {failure.worker}: {failure.message}"
        else:
            log.warning("%s is done again, it failed on %s: %s", tile, failure.worker, failure.message)
            return
        raise error_of(replace(failure, message="; ".join(filter(None, [said, self._deaths()]))))

    def _deaths(self) -> str:
        """Ask Batch how workers ended; that it cannot be asked must not hide what is explained by it."""
        try:
            return self._jobs.deaths()
        except RiosBatchError as error:
            return f"(AWS Batch could not be asked how workers ended: {error})"

    def _explain(self, now: float) -> None:
        """Say why workers are not there yet, and whether they have ended too early."""
        if (
            not self._jobs.submitted
            or self._said_that_workers_ended
            or self._all_finished
            or now < self._explain_at
        ):
            return
        self._explain_at = now + EXPLAIN_SECONDS
        report = self._jobs.report()
        if not report.all_ended:
            said = "" if report.running == self._count else f"workers on AWS Batch: {report}"
            if said != self._said:  # news only
                log.warning("%s", said or "all workers on AWS Batch are running")
                self._said = said
            return
        self._said_that_workers_ended = True
        message = f"all workers on AWS Batch have ended before the run: {self._deaths() or report}"
        if self._local_worker is None:
            raise JobMgrError(f"{message}; nobody is left to go on")
        log.warning("%s; main's own worker goes on alone", message)

    def _send_lost_work(self, now: float, *, progress: bool) -> None:
        """Put work in again that is missing while nobody has it: SQS may lose a message, and a worker be wrong."""
        if progress:
            self._was_empty = False
            self._look_for_lost_at = now + STALL_SECONDS
        if now < self._look_for_lost_at:
            return
        self._look_for_lost_at = now + STALL_SECONDS
        empty = self._queue.sizes() == (0, 0)
        if empty and self._was_empty:
            missing = (index for index in range(self.all_tiles) if index not in self._done)
            self._queue.send(
                [*(ComputeTile(index, again=True) for index in missing), *self._blob_store.pending]
            )
        self._was_empty = empty

    def _dismiss_workers(self) -> None:
        """Let everybody go as soon as nothing more can come: main may still be writing for long."""
        if self._all_finished and not any(output.stays_in_s3 for output in self._spec.outputs):
            self._dismissed = True
            self.stop()

    # -- the end

    def stop(self) -> None:
        """End everything that was started; the run's data stays. Harmless when called again.

        What costs money ends first, and an impatient second Ctrl-C does not keep the rest from being ended.
        """
        self._stopping.set()
        interrupted: BaseException | None = None
        while self._undo:
            what, end = self._undo.pop()
            try:
                end()
            except Exception as error:  # noqa: BLE001 - whatever ends the run must not be hidden by this
                log.warning("%s of run %s could not be ended: %s", what, self._run.run_id, error)
            except BaseException as error:  # noqa: BLE001 - raised when all is done
                interrupted = error
        if interrupted is not None:
            raise interrupted

    def _end_jobs(self) -> None:
        # Workers that run find the queue gone and leave by themselves, unless they do a tile a second time; those that
        # wait for a machine would still get one, only to leave.
        if self._all_finished and self._workers_leave():
            return
        self._jobs.terminate("the run is over" if self._all_finished else "the run failed or was stopped")

    def _workers_leave(self) -> bool:
        report = self._jobs.report()
        return report.all_ended or (report.all_running and self._queue.sizes() == (0, 0))
