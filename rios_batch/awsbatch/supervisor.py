"""What a worker does: lease work from the run's queue, have worker processes do it, and leave the results in S3.

The supervisor computes nothing itself. So the supervisor renews leases and answers signals whatever the user function
does, and notices a worker process that is killed. There are two slots (threads) for each worker process: while one
slot's tile is computed, the other slot has the next lease ready, or uploads the last result.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from enum import Enum, auto
from typing import TYPE_CHECKING

import cloudpickle

from rios_batch.aws.faults import QueueGoneError
from rios_batch.aws.queue import LONGEST_WAIT_SECONDS
from rios_batch.awsbatch.compressions import ChosenCompressions
from rios_batch.awsbatch.decoding import RecordError
from rios_batch.awsbatch.failurerecord import failure_of
from rios_batch.awsbatch.leases import Leases
from rios_batch.awsbatch.messages import ComputeTile, MergeBlobs, decode_message
from rios_batch.awsbatch.processpool import ChildDiedError, NoProcessError, PoolDismissedError, ProcessPool
from rios_batch.awsbatch.tileformat import encode_tile
from rios_batch.errors import (
    AWSUnavailableError,
    DamagedObjectError,
    DeniedError,
    FileOpenError,
    MissingFileError,
    OutputError,
    S3DeniedError,
    S3Error,
    WorkerLostError,
)
from rios_batch.jobmanagers.children import TileFailure

if TYPE_CHECKING:
    from collections.abc import Callable

    from rios_batch.aws.queue import Lease, WorkQueue
    from rios_batch.awsbatch.messages import Message
    from rios_batch.awsbatch.runstore import RunStore
    from rios_batch.jobmanagers.children import WorkOrder
    from rios_batch.model.tileresult import TileRecord, TileResult
    from rios_batch.model.tiles import TilePlan

log = logging.getLogger("rios_batch")

_SLOTS_PER_PROCESS = 2
MAX_FAILURES = 3
# Spot returns and prefetched leases count too, so this is far above what bad luck explains.
MAX_RECEIVED = 20
_RETRY_SECONDS = 2
# Trying again may help; anything else a user function or its result would do again.
_WORTH_ANOTHER_TRY = (FileOpenError, OutputError, S3Error, WorkerLostError)
# How long boto3's own tries may fail one after the other before a worker, or main, gives up.
AWS_PATIENCE_SECONDS = 900.0
_LOOK_AGAIN_SECONDS = 5.0


class Terminated(BaseException):
    """The worker was asked to end."""


class Patience(Enum):
    """When a worker that finds nothing to do leaves. Idle machines cost money, but leased work may come back."""

    BRIEF = auto()
    """After a minute. Most workers."""
    LAST = auto()
    """When nothing is leased any more. One worker of the job, so that others' lost work is done without main."""
    ENDLESS = auto()
    """When the queue is gone. The worker beside main."""


# Empty looks at the queue, of LONGEST_WAIT_SECONDS each; two because SQS counts only about right.
_EMPTY_LOOKS = {Patience.BRIEF: 3, Patience.LAST: 2}


class Supervisor:
    """Leads a worker from the worker's start to its end.

    Parameters
    ----------
    store : the run's objects.
    work_queue : the run's queue.
    plan : the run's tiles.
    order : what each worker process is started with, and how many of them.
    to_choose : outputs whose compression main chooses.
    lease_seconds : how long a lease holds unless renewed.
    patience : when the worker leaves.
    name : for messages and records, such as ``worker 3``.
    is_over : asked before a tile is stored, whether its run is over although the queue is still there.
    on_tile : told of every tile that this worker was the first to finish, with the seconds from lease to record.
    """

    def __init__(
        self,
        store: RunStore,
        work_queue: WorkQueue,
        plan: TilePlan,
        order: WorkOrder,
        *,
        name: str,
        to_choose: int,
        lease_seconds: int,
        patience: Patience,
        on_tile: Callable[[TileRecord, float], None],
        is_over: Callable[[], bool] = lambda: False,
    ) -> None:
        self._store, self._queue, self._plan = store, work_queue, plan
        self._compressions = ChosenCompressions(store, to_choose)
        self._name, self._patience, self._on_tile = name, patience, on_tile
        self._is_over = is_over
        self._pool = ProcessPool(order)
        # A pool's job is not ended with a run, so what its workers compute for the run is.
        self._leases = Leases(work_queue, lease_seconds, self._pool.dismiss)
        self._slots = _SLOTS_PER_PROCESS * order.num_workers
        self._free = threading.Semaphore(self._slots)
        self._denied: Exception | None = None

    def work(self) -> None:
        """Work until nothing is left. On any exception the leases are given back first.

        Raises
        ------
        Terminated : the worker was asked to end.
        DeniedError, S3DeniedError : AWS forbids what a worker does.
        AWSUnavailableError : AWS has been out of reach for AWS_PATIENCE_SECONDS.
        """
        self._pool.start()
        with self._leases, ThreadPoolExecutor(self._slots, "rios_batch slot") as executor:
            try:
                self._take_leases(executor)
            finally:
                self._pool.dismiss()
        self._pool.join()

    def _take_leases(self, executor: ThreadPoolExecutor) -> None:
        empty_looks, answered_at = 0, time.monotonic()
        while empty_looks < _EMPTY_LOOKS.get(self._patience, empty_looks + 1):
            slots = self._wait_for_slots()
            leases: list[Lease] = []
            try:
                leases = self._leases.take(slots, LONGEST_WAIT_SECONDS)
                empty_looks = empty_looks + 1 if not leases and self._is_idle(slots) else 0
                answered_at = time.monotonic()
            except QueueGoneError:
                return
            except AWSUnavailableError as error:
                if time.monotonic() > answered_at + AWS_PATIENCE_SECONDS:
                    raise
                log.warning("%s goes on trying: %s", self._name, error)
                time.sleep(_LOOK_AGAIN_SECONDS)
            for lease in leases:
                executor.submit(self._do, lease)
            for _ in range(slots - len(leases)):
                self._free.release()

    def _wait_for_slots(self) -> int:
        """Wait until a slot is free, take all free slots, and return their number.

        Raises
        ------
        DeniedError, S3DeniedError : AWS has forbidden what a slot did.
        """
        self._free.acquire()
        if self._denied is not None:
            raise self._denied
        slots = 1
        while self._free.acquire(blocking=False):
            slots += 1
        return slots

    def _is_idle(self, free_slots: int) -> bool:
        if self._patience is Patience.LAST:
            return self._queue.sizes() == (0, 0)
        return free_slots == self._slots

    # -- one slot

    def _do(self, lease: Lease) -> None:
        try:
            match self._message_of(lease):
                case ComputeTile() as message:
                    self._compute(lease, message)
                case MergeBlobs() as message:
                    self._merge(lease, message)
                case None:
                    self._leases.finish(lease)
        except (DeniedError, S3DeniedError) as error:
            self._denied = error  # and would be denied again: the worker ends
        except NoProcessError:
            # Slots would wait for ever for a process that is not there, and hold their leases. Batch starts the worker
            # anew, as after a Spot notice.
            log.exception("%s cannot start another process, and ends", self._name)
            os.kill(os.getpid(), signal.SIGTERM)
        except Exception:
            # AWS is out of reach even for a failure's record. The lease lapses, and the work is done again.
            log.exception("%s could not finish %s", self._name, lease.body[:100])
        finally:
            self._leases.let_lapse(lease)
            self._free.release()

    def _message_of(self, lease: Lease) -> Message | None:
        """Return what to do; None for a message of somebody else, which would come again and again."""
        try:
            message = decode_message(lease.body)
        except RecordError as error:
            log.warning("%s takes a message away: %s", self._name, error)
            return None
        if isinstance(message, ComputeTile) and message.tile >= len(self._plan):
            log.warning("%s takes a message away: the run has no tile %d", self._name, message.tile)
            return None
        return message

    def _compute(self, lease: Lease, message: ComputeTile) -> None:
        index = message.tile
        if lease.received > MAX_RECEIVED:
            self._give_up(lease, index)
            return
        if (message.again or lease.received > 1) and self._store.has_tile(index):
            self._leases.finish(lease)
            return
        started = time.monotonic()
        reply: TileResult | TileFailure | WorkerLostError
        try:
            reply = self._pool.compute(self._compressions.on(self._plan.tile(index)))
        except PoolDismissedError:
            self._leases.give_back(lease)
            return
        except RecordError as error:  # of what main chooses: the same for all tiles
            self._tile_failed(lease, index, error)
            return
        except ChildDiedError as error:
            reply = WorkerLostError(f"its process ended by {error.death.explained(_ADVICE)}")
        # A worker that was paused while its run ended and was deleted would leave a tile behind.
        if self._is_over() or (self._leases.may_have_lapsed(lease) and not self._store.exists()):
            log.warning("%s was away while its run ended; tile %d is not wanted any more", self._name, index)
        elif isinstance(reply, WorkerLostError):
            self._tile_failed(lease, index, reply)
        else:
            self._commit(lease, index, reply, started)

    def _commit(self, lease: Lease, index: int, reply: TileResult | TileFailure, started: float) -> None:
        try:
            result = reply.unwrap() if isinstance(reply, TileFailure) else reply
            values = {
                name: None if pickled is None else cloudpickle.loads(pickled)
                for name, pickled in result.other_args.items()
            }
            data = encode_tile(self._store.run_id, result.record, result.outputs, values)
            won = self._store.commit_tile(index, data)
        except S3DeniedError:
            raise
        except BaseException as error:  # noqa: BLE001 - main raises it, SystemExit included
            self._tile_failed(lease, index, error)
            return
        if won:
            self._on_tile(result.record, time.monotonic() - started)
        self._leases.finish(lease)

    def _tile_failed(self, lease: Lease, index: int, error: BaseException) -> None:
        stops_run = not isinstance(error, _WORTH_ANOTHER_TRY) or isinstance(error, MissingFileError)
        self._store.put_failure(failure_of(error, index, self._name, stops_run=stops_run))
        if stops_run or len(self._store.failures(index)) >= MAX_FAILURES:
            self._leases.finish(lease)  # so that workers leave when main is no longer there to stop them
        else:
            self._leases.give_back(lease, _RETRY_SECONDS)

    def _give_up(self, lease: Lease, index: int) -> None:
        error = WorkerLostError(
            f"tile {index} ({self._plan.tile(index).window}) was handed out {lease.received} times and nobody "
            "finished it; whoever works on it seems to die, most likely because memory runs out"
        )
        self._store.put_failure(failure_of(error, index, self._name, stops_run=True))
        self._leases.finish(lease)

    def _merge(self, lease: Lease, message: MergeBlobs) -> None:
        if merge_or_record(self._store, message, self._name, last_try=lease.received >= MAX_FAILURES):
            self._leases.finish(lease)
        else:
            self._leases.give_back(lease, _RETRY_SECONDS)


_ADVICE = "most likely memory ran out: use a smaller window or tile (setTileSize), or deploy with more memory"


def merge_or_record(store: RunStore, message: MergeBlobs, worker: str, *, last_try: bool) -> bool:
    """Do a merge, or leave a record of why the merge cannot be done; return False if the merge is to be tried again.

    Parameters
    ----------
    store : the run's objects.
    message : which merge.
    worker : who leaves the record.
    last_try : a failure stops the run.

    Raises
    ------
    S3DeniedError : S3 forbids what a worker does.
    """
    try:
        store.merge(message.number, message.sha256)
    except S3DeniedError:
        raise
    except DamagedObjectError as error:  # would be damaged the next time, too
        store.put_failure(failure_of(error, store.tile_of_key(error.key), worker, stops_run=True))
        return True
    except Exception as error:  # noqa: BLE001 - whatever it is, main waits for this merge
        store.put_failure(failure_of(error, None, worker, stops_run=last_try))
        return last_try
    return True
