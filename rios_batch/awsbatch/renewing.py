"""A run whose queue is gone in the middle goes on with another queue, unless somebody has ended the run on purpose."""

from __future__ import annotations

import logging
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

from rios_batch.aws.faults import QueueGoneError
from rios_batch.awsbatch.messages import ComputeTile, encode_message
from rios_batch.awsbatch.starting import make_queue
from rios_batch.errors import RunTakenOverError, WorkerLostError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rios_batch.aws.cloud import Cloud
    from rios_batch.aws.jobs import WorkerJobs
    from rios_batch.aws.queue import WorkQueue
    from rios_batch.awsbatch.blobstore import S3BlobStore
    from rios_batch.awsbatch.configuration import WorkerConfig
    from rios_batch.awsbatch.finished import FinishedTiles
    from rios_batch.awsbatch.localworker import LocalWorker
    from rios_batch.awsbatch.messages import Message
    from rios_batch.awsbatch.runstore import RunStore

log = logging.getLogger("rios_batch")

_MOST_QUEUES = 3  # of a run, before main takes it that somebody does not want the run


class QueueRenewal:
    """Makes a new queue where somebody has deleted the run's, and has workers use the new one.

    Parameters
    ----------
    cloud : the stack that the run uses.
    store : the run's objects.
    queue : the run's queue, which leads to another queue afterwards.
    jobs : the workers on Batch. They leave when their queue is gone, and others are submitted.
    tiles, blob_store : what is still to be done.
    look_for_failures : raises why the run was ended, if a worker or a person has said so.

    Attributes
    ----------
    config : what workers are told.
    local_worker : the worker beside main, if there is one.
    counts_costs : costs of workers are counted, and those of earlier workers would not be.
    """

    def __init__(
        self,
        cloud: Cloud,
        store: RunStore,
        queue: WorkQueue,
        jobs: WorkerJobs,
        tiles: FinishedTiles,
        blob_store: S3BlobStore,
        look_for_failures: Callable[[], None],
    ) -> None:
        self._cloud, self._store, self._queue, self._jobs = cloud, store, queue, jobs
        self._tiles, self._blob_store, self._look_for_failures = tiles, blob_store, look_for_failures
        self._queues = 1
        self.config: WorkerConfig | None = None
        self.local_worker: LocalWorker | None = None
        self.counts_costs = False

    def check_local_worker(self) -> None:
        """See that the worker beside main is at work.

        Raises
        ------
        QueueGoneError : the worker has left because the queue is gone.
        RunTakenOverError : the run is gone.
        WorkerLostError : the worker has ended several times.
        """
        if self.local_worker is None:
            return
        try:
            self.local_worker.check()
        except WorkerLostError:
            self._check_run()
            raise

    def go_on(self) -> None:
        """Make a new queue, have workers use it, and put what is missing into it.

        Raises
        ------
        RiosBatchError : the run was ended by somebody, or AWS refuses.
        """
        self._look_for_failures()
        self._check_run()
        gone = self._queue.url.rpartition("/")[2]
        self._queues += 1
        if self._queues > _MOST_QUEUES or self.counts_costs:
            raise QueueGoneError(
                f"queue {gone} of run {self._store.run_id} is gone, so somebody has deleted it while the run went on; "
                "finished tiles are kept, and the run can be resumed"
            )
        log.warning(
            "queue %s is gone, so somebody has deleted it; run %s goes on with another one, and with other workers",
            gone,
            self._store.run_id,
        )
        queue = make_queue(self._cloud, f"{self._store.run_id}-{secrets.token_hex(2)}")
        self._queue.lead_to(queue)  # first, so that whoever ends the run deletes it
        queue.wait_until_usable()
        self._store.put_main(queue.url, self._jobs.name)
        self._have_workers_use_it()
        missing: list[Message] = [ComputeTile(index, again=True) for index in self._tiles.missing()]
        self._queue.send([encode_message(message) for message in (*missing, *self._blob_store.pending)])

    def _check_run(self) -> None:
        """See that the run is still this main's.

        Raises
        ------
        RunTakenOverError : another main has the run, or nobody.
        """
        if self._store.is_ended(self._queue.url):
            raise RunTakenOverError(
                f"run {self._store.run_id} is no longer this main's: another main has resumed it, or somebody has "
                "cancelled it"
            )
        if not self._store.exists():
            raise RunTakenOverError(
                f"run {self._store.run_id} is gone: another main has finished it, or somebody has removed it"
            )

    def _have_workers_use_it(self) -> None:
        assert self.config is not None
        self.config = replace(self.config, queue_url=self._queue.url)
        if self.local_worker is not None:
            self.local_worker.start_again(self.config)
        if self._jobs.submitted:
            self._jobs.submit(self._jobs.count, self.config.run_env())
