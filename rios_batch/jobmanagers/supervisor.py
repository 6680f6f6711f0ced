"""One worker: leases work from the run's queue, has child processes do it, and leaves the results in S3.

The supervisor computes nothing itself, so it renews leases and answers signals whatever the user function does, and
sees it when a child is killed. There are two lanes (threads) for each child: while one lane's tile is computed, the
other has the next lease ready, or uploads the last result.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from typing import TYPE_CHECKING

import cloudpickle

from rios_batch.aws.queue import LONGEST_WAIT_SECONDS, QueueGoneError
from rios_batch.errors import (
    FileOpenError,
    OutputError,
    S3Error,
    UserFunctionError,
    WorkerLostError,
)
from rios_batch.jobmanagers.children import Child, TileFailure
from rios_batch.jobmanagers.leases import LeaseKeeper
from rios_batch.records import Failure, encode_tile
from rios_batch.work import ComputeTile, MergeBlobs, Stay

if TYPE_CHECKING:
    from collections.abc import Callable

    from rios_batch.aws.queue import Lease, WorkQueue
    from rios_batch.aws.runs import Run
    from rios_batch.jobmanagers.children import WorkOrder
    from rios_batch.jobspec import TileRecord
    from rios_batch.plan import Tile, TilePlan

log = logging.getLogger("rios_batch")

# A process of its own forks the children: this one has threads, whose locks a fork would copy as they are.
_CONTEXT = get_context("forkserver")
_LANES_PER_CHILD = 2
_LOOKS_AT_EMPTY_QUEUE = 2  # SQS counts only about right
MAX_FAILURES = 3
# Spot returns and prefetched leases count too, so this is far above what bad luck explains.
MAX_RECEIVED = 20
_RETRY_SECONDS = 2
# Trying again may help; anything else a user function or its result would do again.
_WORTH_ANOTHER_TRY = (FileOpenError, OutputError, S3Error, WorkerLostError)


class Terminated(BaseException):
    """The worker was asked to end."""


class Supervisor:
    """See the module.

    Parameters
    ----------
    name : for messages and records, such as ``worker 3``.
    on_tile : told of every tile that this worker was the first to finish, with the seconds from lease to record.
    """

    def __init__(
        self,
        run: Run,
        work_queue: WorkQueue,
        plan: TilePlan,
        order: WorkOrder,
        *,
        name: str,
        lease_seconds: int,
        on_tile: Callable[[TileRecord, float], None],
    ) -> None:
        self._run, self._queue, self._plan, self._order = run, work_queue, plan, order
        self._name, self._on_tile = name, on_tile
        self._keeper = LeaseKeeper(work_queue, lease_seconds)
        self._lanes = _LANES_PER_CHILD * order.num_workers
        self._children: list[Child] = []
        self._idle: queue.SimpleQueue[Child | None] = queue.SimpleQueue()
        self._free = threading.Semaphore(self._lanes)
        self._stopping = False

    def work(self) -> None:
        """Work until nothing is left; on any exception (Terminated) give the leases back first."""
        for _ in range(self._order.num_workers):
            self._add_child()
        with self._keeper, ThreadPoolExecutor(self._lanes, "rios_batch lane") as executor:
            try:
                self._take_leases(executor)
            finally:
                self._stop()
        for child in self._children:
            child.join()

    def _take_leases(self, executor: ThreadPoolExecutor) -> None:
        looks_at_empty_queue = 0
        while looks_at_empty_queue < _LOOKS_AT_EMPTY_QUEUE:
            self._free.acquire()
            lanes = 1
            while self._free.acquire(blocking=False):
                lanes += 1
            try:
                leases = self._queue.receive(lanes, LONGEST_WAIT_SECONDS)
                for lease in leases:
                    self._keeper.hold(lease)
                    executor.submit(self._do, lease)
                for _ in range(lanes - len(leases)):
                    self._free.release()
                # What others have leased may come back, so a worker stays until that is done, too.
                nothing_left = not leases and self._queue.sizes() == (0, 0)
            except QueueGoneError:
                return
            looks_at_empty_queue = looks_at_empty_queue + 1 if nothing_left else 0

    def _stop(self) -> None:
        self._stopping = True
        for child in self._children:
            child.terminate()
        for _ in range(self._lanes):
            self._idle.put(None)  # for lanes that wait for a child

    def _add_child(self) -> None:
        child = Child.start(_CONTEXT, self._order)
        self._children.append(child)
        self._idle.put(child)

    # -- one lane

    def _do(self, lease: Lease) -> None:
        try:
            match lease.work:
                case ComputeTile(tile):
                    self._compute(lease, tile)
                case MergeBlobs():
                    merge_blobs(self._run, self._queue, lease, lease.work, self._name)
                case Stay():  # main has died, or it would hold this one
                    self._queue.finish(lease)
        except Exception:
            # AWS is out of reach even for a failure's record. The lease lapses, and the work is done again.
            log.exception("%s could not finish %s", self._name, lease.work)
        finally:
            self._keeper.release(lease)
            self._free.release()

    def _compute(self, lease: Lease, index: int) -> None:
        if lease.received > MAX_RECEIVED:
            self._give_up(lease, index)
            return
        started = time.monotonic()
        child = self._idle.get()
        if child is None:
            self._queue.give_back(lease)
            return
        tile = self._plan.tile(index)
        child.send(tile)
        reply = child.receive()
        if reply is None:
            self._child_died(lease, tile, child)
            return
        self._idle.put(child)
        try:
            result = reply.unwrap() if isinstance(reply, TileFailure) else reply
            values = {
                name: None if pickled is None else cloudpickle.loads(pickled)
                for name, pickled in result.other_args.items()
            }
            won = self._run.commit_tile(index, encode_tile(result.record, result.outputs, values))
        except BaseException as error:  # noqa: BLE001 - main raises it, SystemExit included
            self._tile_failed(lease, index, error)
            return
        if won:
            self._on_tile(result.record, time.monotonic() - started)
        self._queue.finish(lease)

    def _child_died(self, lease: Lease, tile: Tile, child: Child) -> None:
        if self._stopping:
            self._queue.give_back(lease)
            return
        cause = child.cause_of_death()
        child.join()
        self._children.remove(child)
        self._add_child()
        advice = "most likely memory ran out: use a smaller window or tile (setTileSize), or deploy with more memory"
        self._tile_failed(lease, tile.index, WorkerLostError(f"its process ended by {cause}; {advice}"))

    def _tile_failed(self, lease: Lease, index: int, error: BaseException) -> None:
        stops_run = not isinstance(error, _WORTH_ANOTHER_TRY)
        self._run.put_failure(failure_of(error, index, self._name, stops_run=stops_run))
        if stops_run or len(self._run.failures(index)) >= MAX_FAILURES:
            self._queue.finish(lease)  # so that workers leave when main is no longer there to stop them
        else:
            self._queue.give_back(lease, _RETRY_SECONDS)

    def _give_up(self, lease: Lease, index: int) -> None:
        error = WorkerLostError(
            f"tile {index} ({self._plan.tile(index).window}) was handed out {lease.received} times and nobody "
            "finished it; whoever works on it seems to die, most likely because memory runs out"
        )
        self._run.put_failure(failure_of(error, index, self._name, stops_run=True))
        self._queue.finish(lease)


def merge_blobs(run: Run, work_queue: WorkQueue, lease: Lease, work: MergeBlobs, worker: str) -> None:
    """Do a merge, or leave a record of why it cannot be done."""
    try:
        run.merge(work.number, work.blobs)
    except S3Error as error:
        last_try = lease.received >= MAX_FAILURES
        run.put_failure(failure_of(error, None, worker, stops_run=last_try))
        if not last_try:
            work_queue.give_back(lease, _RETRY_SECONDS)
            return
    work_queue.finish(lease)


def failure_of(error: BaseException, tile: int | None, worker: str, *, stops_run: bool) -> Failure:
    """Return the record of an exception."""
    user_error = error if isinstance(error, UserFunctionError) else None
    return Failure(
        tile=tile,
        kind=f"{type(error).__module__}.{type(error).__qualname__}",
        message=str(error),
        worker=worker,
        stops_run=stops_run,
        exception_type=user_error.exception_type if user_error else "",
        traceback_text=user_error.traceback_text if user_error else "",
    )
