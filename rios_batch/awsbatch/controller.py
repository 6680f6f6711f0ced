"""Main's part of a run on AWS Batch, from the queue to the last result."""

from __future__ import annotations

import functools
import secrets
from typing import TYPE_CHECKING

from rios_batch.aws.jobs import WorkerJobs
from rios_batch.awsbatch.blobstore import S3BlobStore
from rios_batch.awsbatch.explaining import Explainer
from rios_batch.awsbatch.failures import Failures
from rios_batch.awsbatch.finished import FinishedTiles, in_order
from rios_batch.awsbatch.localworker import LocalWorker
from rios_batch.awsbatch.lostmessages import LostMessages
from rios_batch.awsbatch.messages import ComputeTile, encode_message
from rios_batch.awsbatch.polling import Poll
from rios_batch.awsbatch.results import fetch
from rios_batch.awsbatch.starting import (
    copy_inputs,
    end_last_main,
    make_queue,
    useful_workers,
    worker_config,
)
from rios_batch.awsbatch.stopping import UndoStack, end_jobs

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from rios_batch.aws.cloud import Cloud
    from rios_batch.awsbatch.runstore import RunStore
    from rios_batch.model.spec import RunOptions, RunSpec
    from rios_batch.model.tileresult import TileResult


class RunController:
    """Starts everything that a run needs, hands its results over, and ends everything again.

    Parameters
    ----------
    cloud : the stack that the run uses.
    store : the run's objects.
    spec : what the run computes.
    num_workers : workers of the run, the one beside main included.
    options : whether main only coordinates.
    """

    def __init__(
        self, cloud: Cloud, store: RunStore, spec: RunSpec, num_workers: int, options: RunOptions
    ) -> None:
        self._cloud, self._store, self._spec = cloud, store, spec
        self._num_workers, self._options = num_workers, options
        self._undo = UndoStack(store.run_id)
        self._results: Iterator[TileResult] = iter(())

    def start(self, job_sha256: str) -> None:
        """Make the queue, start the worker beside main, copy local inputs to S3, submit all other workers.

        Parameters
        ----------
        job_sha256 : SHA-256 of the pickled job, as lower-case hexadecimal digits.

        Raises
        ------
        RiosBatchError : AWS refuses, an input cannot be copied, or a worker has failed meanwhile.
        """
        end_last_main(self._cloud, self._store)
        tiles = FinishedTiles(self._store, len(self._spec.plan))
        tiles.look()
        missing = tiles.missing()

        name = f"{self._store.run_id}-{secrets.token_hex(2)}"
        jobs = WorkerJobs(self._cloud.batch, self._cloud.stack_outputs, f"rios-batch-{name}")
        queue = make_queue(self._cloud, name)
        self._undo.add("its queue", queue.delete)
        queue.wait_until_usable()
        self._store.put_main(queue.url, jobs.name)

        config = worker_config(self._cloud, self._store.run_id, job_sha256, queue)
        own_share = 0 if self._options.coordinate_only else config.processes
        useful = useful_workers(len(missing), own_share, self._cloud.stack_outputs.worker_vcpus)
        on_batch = min(self._num_workers - 1, useful)
        # Somebody must merge blobs, also where all tiles were finished before.
        main_has_worker = not self._options.coordinate_only or not on_batch

        poll = Poll()
        blob_store = S3BlobStore(self._store, queue, poll.wait)
        poll.add(tiles.look, blob_store.look, Failures(self._store, self._spec.plan, tiles, jobs).look)
        if main_has_worker:
            worker = LocalWorker(config)
            self._undo.add("main's own worker", worker.stop)
            poll.add(worker.check)
        poll.add(
            Explainer(jobs, tiles, main_has_worker=main_has_worker).look,
            LostMessages(queue, tiles, blob_store).look,
            functools.partial(self._dismiss_workers, tiles, poll),
        )
        fetch_one = functools.partial(fetch, self._store.bucket, spec=self._spec, blob_store=blob_store)
        self._results = in_order(tiles, fetch_one, poll.wait, poll.look)

        queue.send([encode_message(ComputeTile(index)) for index in missing])
        if on_batch:
            copy_inputs(self._spec, self._store, poll)
        if on_batch and not poll.over:  # main's own worker may have been quicker than the copying
            self._undo.add("its Batch job", lambda: end_jobs(jobs, queue, all_finished=tiles.complete))
            jobs.submit(on_batch, config.run_env())

    def results(self) -> Generator[TileResult, None, None]:
        """Yield the results of all tiles in order; none before `start`.

        Raises
        ------
        RiosBatchError : what ends the run.
        """
        yield from self._results

    def stop(self) -> None:
        """End everything that was started; the run's data stays. Harmless when called again.

        What costs money ends first.
        """
        self._undo.run()

    def _dismiss_workers(self, tiles: FinishedTiles, poll: Poll) -> None:
        """Let everybody go as soon as nothing more can come: main may still be writing for long."""
        if tiles.complete and not any(output.stays_in_s3 for output in self._spec.outputs):
            poll.over = True
            self.stop()
