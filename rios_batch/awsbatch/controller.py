"""Main's part of a run on AWS Batch, from the queue to the last result."""

from __future__ import annotations

import functools
import os
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rios_batch.aws.jobs import WorkerJobs
from rios_batch.awsbatch.blobstore import S3BlobStore
from rios_batch.awsbatch.explaining import Explainer, News
from rios_batch.awsbatch.failures import Failures
from rios_batch.awsbatch.finished import FinishedTiles, in_order
from rios_batch.awsbatch.localworker import LocalWorker
from rios_batch.awsbatch.lostmessages import LostMessages
from rios_batch.awsbatch.messages import ComputeTile, encode_message
from rios_batch.awsbatch.metering import Meter
from rios_batch.awsbatch.narrating import ProgressLines, say_begun, say_submitted
from rios_batch.awsbatch.polling import Poll
from rios_batch.awsbatch.renewing import QueueRenewal
from rios_batch.awsbatch.results import TileFetcher
from rios_batch.awsbatch.starting import (
    Sending,
    copy_inputs,
    end_last_main,
    job_name,
    make_queue,
    useful_workers,
    worker_config,
)
from rios_batch.awsbatch.stopping import UndoStack, end_jobs
from rios_batch.jobmanagers.watchdog import Watchdog
from rios_batch.model.costs import Prices

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from rios_batch.aws.cloud import Cloud
    from rios_batch.aws.queue import WorkQueue
    from rios_batch.awsbatch.configuration import WorkerConfig
    from rios_batch.awsbatch.runstore import RunStore
    from rios_batch.awsbatch.workerpool import RunInPool
    from rios_batch.model.spec import RunOptions, RunSpec
    from rios_batch.model.tileresult import TileResult


_JOB = "its Batch job"
_TURN = "its turn"


@dataclass(frozen=True)
class _Parts:
    """What main looks at while a run goes on."""

    tiles: FinishedTiles
    queue: WorkQueue
    jobs: WorkerJobs
    blob_store: S3BlobStore
    poll: Poll


class RunController:
    """Starts everything that a run needs, hands its results over, and ends everything again.

    Parameters
    ----------
    cloud : the stack that the run uses.
    store : the run's objects.
    spec : what the run computes.
    num_workers : workers of the run, the one beside main included.
    options : whether main only coordinates, and what the run may cost.

    Attributes
    ----------
    pool : workers that are there already; None for workers of the run's own. Set before `start`.
    jobs : the workers on Batch; None before `start`.
    """

    def __init__(
        self, cloud: Cloud, store: RunStore, spec: RunSpec, num_workers: int, options: RunOptions
    ) -> None:
        self._cloud, self._store, self._spec = cloud, store, spec
        self.pool: RunInPool | None = None
        self._num_workers, self._options = num_workers, options
        self._watchdog = Watchdog(options.wait_limit_s)
        self._undo = UndoStack(store.run_id)
        self._results: Iterator[TileResult] = iter(())
        self._meter: Meter | None = None
        self.jobs: WorkerJobs | None = None

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
        parts = self._make_parts()
        missing = parts.tiles.missing()
        config = worker_config(self._cloud, self._store.run_id, job_sha256, parts.queue.url)
        if self.pool is not None:
            config = replace(config, pool_id=self.pool.pool.pool_id, turn=self.pool.number)
        on_batch = self._workers_on_batch(len(missing), config.processes)
        # Somebody must merge blobs, also where all tiles were finished before.
        main_has_worker = not self._options.coordinate_only or not on_batch
        local_worker = self._start_local_worker(config) if main_has_worker else None
        renewal = self._watch(parts, local_worker)
        renewal.config = config
        self._results = self._results_of(parts, renewal)
        say_begun(self._store.run_id, len(missing), on_batch, main_has_worker=main_has_worker)
        messages = [encode_message(ComputeTile(index)) for index in missing]
        if self.pool is not None:
            self._begin_in_pool(self.pool, parts, messages, config)
            return
        # Beside the copying of inputs and the submission: of 100,000 tiles the messages take a minute.
        parts.poll.queue_gone = functools.partial(_go_on, self._send(parts, messages), renewal)
        if on_batch:
            self._start_workers_on_batch(parts, on_batch, renewal)

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

    def _send(self, parts: _Parts, messages: Sequence[str]) -> Sending:
        sending = Sending(parts.queue, messages)
        self._undo.add("its messages", sending.close)
        parts.poll.add_for_main(sending.check)
        return sending

    def _begin_in_pool(
        self, pool: RunInPool, parts: _Parts, messages: Sequence[str], config: WorkerConfig
    ) -> None:
        """Copy inputs before any message is sent: who takes a message begins at once."""
        pool.pool.replace_ended()
        if self._meter is not None:
            self._meter.check_before(pool.pool.count)
        pool.queue.begin(self._store.run_id, config.job_sha256, inputs_sha256="")
        inputs_sha256 = copy_inputs(
            self._spec, self._store, parts.poll, lambda: self._needs_no_workers(parts.tiles)
        )
        if inputs_sha256:  # otherwise all tiles were finished before
            pool.queue.begin(self._store.run_id, config.job_sha256, inputs_sha256)
            self._send(parts, messages)

    def _make_queue(self) -> tuple[WorkQueue, WorkerJobs]:
        """Make the run's queue, and leave word of what this main starts."""
        if self.pool is not None:
            self._undo.add(_TURN, self.pool.queue.delete)
            return self.pool.queue, self.pool.pool.jobs
        name = f"{self._store.run_id}-{secrets.token_hex(2)}"
        jobs = WorkerJobs(self._cloud.batch, self._cloud.stack_outputs, job_name(name))
        queue = make_queue(self._cloud, name)
        self._undo.add("its queue", queue.delete)
        queue.wait_until_usable()
        self._store.put_main(queue.url, jobs.name)
        return queue, jobs

    def _make_parts(self) -> _Parts:
        """See which tiles are finished, and make the queue."""
        tiles = FinishedTiles(self._store, len(self._spec.plan))
        tiles.look_everywhere()
        queue, jobs = self._make_queue()
        poll = Poll(self._watchdog)
        self.jobs = jobs
        if self._options.max_cost_usd is not None:
            vcpus, prices = self._cloud.stack_outputs.worker_vcpus, Prices.read(os.environ)
            alone = self.pool is None
            self._meter = Meter(jobs, vcpus, prices, self._options.max_cost_usd, with_tails=alone)
        blob_store = S3BlobStore(self._store, queue, poll.wait)
        self._undo.add("its requests for merges", blob_store.close)
        self._undo.add("its looking", poll.close)
        return _Parts(tiles, queue, jobs, blob_store, poll)

    def _workers_on_batch(self, missing: int, processes: int) -> int:
        """Return how many workers to submit.

        Parameters
        ----------
        missing : tiles to compute.
        processes : worker processes of a worker beside main.
        """
        if self.pool is not None:
            return self.pool.pool.count
        own_share = 0 if self._options.coordinate_only else processes
        useful = useful_workers(missing, own_share, self._cloud.stack_outputs.worker_processes)
        return min(self._num_workers - 1, useful)

    def _start_local_worker(self, config: WorkerConfig) -> LocalWorker:
        worker = LocalWorker(config)
        self._undo.add("main's own worker", functools.partial(self._end_local_worker, worker))
        return worker

    def _end_local_worker(self, worker: LocalWorker) -> None:
        if self.pool is None:
            worker.stop()
        else:
            self._undo.end(_TURN)  # before, so that the worker leaves
            worker.leave()

    def _watch(self, parts: _Parts, local_worker: LocalWorker | None) -> QueueRenewal:
        """Have main look at everything that may end the run or take the run further."""
        tiles, jobs, poll = parts.tiles, parts.jobs, parts.poll
        news = News(tiles, parts.blob_store, self._watchdog)
        poll.awaited = news.awaited
        poll.add(tiles.look, parts.blob_store.look, news.look)
        failures = Failures(self._store, self._spec.plan, tiles, jobs)
        poll.add(failures.look)
        renewal = QueueRenewal(
            self._cloud, self._store, parts.queue, jobs, tiles, parts.blob_store, failures.look
        )
        renewal.local_worker, renewal.counts_costs = local_worker, self._meter is not None
        poll.add_for_main(renewal.check_local_worker)
        if self.pool is not None:
            poll.add(self.pool.look)
        poll.add(Explainer(jobs, tiles, main_has_worker=local_worker is not None).look)
        if self._meter is not None:
            poll.add(self._meter.look)
        poll.add(ProgressLines(self._store.run_id, tiles).look)
        poll.add(LostMessages(parts.queue, tiles, parts.blob_store).look)
        poll.add_for_main(functools.partial(self._dismiss_workers, tiles))
        return renewal

    def _results_of(self, parts: _Parts, renewal: QueueRenewal) -> Iterator[TileResult]:
        fetch = TileFetcher(self._store, self._spec, parts.blob_store)

        def compute_again(index: int) -> None:
            parts.queue.send([encode_message(ComputeTile(index, again=True))])
            if renewal.local_worker is None:  # workers on Batch may have gone
                assert renewal.config is not None
                renewal.local_worker = self._start_local_worker(renewal.config)

        return in_order(parts.tiles, fetch, parts.poll, compute_again)

    def _start_workers_on_batch(self, parts: _Parts, count: int, renewal: QueueRenewal) -> None:
        inputs_sha256 = copy_inputs(
            self._spec, self._store, parts.poll, lambda: self._needs_no_workers(parts.tiles)
        )
        if not inputs_sha256:  # main's own worker was quicker than the copying
            return
        self._undo.add(_JOB, lambda: end_jobs(parts.jobs, parts.queue, all_finished=parts.tiles.complete))
        if self._meter is not None:
            self._meter.check_before(count)
        assert renewal.config is not None
        renewal.config = replace(renewal.config, inputs_sha256=inputs_sha256)
        parts.jobs.submit(count, renewal.config.run_env())
        say_submitted(self._store.run_id, parts.jobs, self._cloud.stack_outputs)

    def _dismiss_workers(self, tiles: FinishedTiles) -> None:
        """Let the workers that cost money go as soon as there is no more work: main may still be writing for long.

        The worker beside main stays, for tiles that turn out to be damaged when main fetches them.
        """
        if self._needs_no_workers(tiles):
            self._undo.end(_JOB)

    def _needs_no_workers(self, tiles: FinishedTiles) -> bool:
        return tiles.complete and not any(output.stays_in_s3 for output in self._spec.outputs)


def _go_on(sending: Sending, renewal: QueueRenewal) -> None:
    sending.give_up()
    renewal.go_on()
