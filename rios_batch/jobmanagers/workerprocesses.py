# ruff: noqa: N815 - RIOS's names
"""A pool of processes, for user functions that hold the interpreter lock.

Each worker has a connection of its own, and main knows which tile it has: a worker that is killed costs that tile's
work and nothing else, where the standard library's executors give up the whole pool. See
docs/decisions/0003-process-pool.md, and for how workers start docs/decisions/0016-a-clean-fork-server.md.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
from collections import Counter
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

from rios_batch.errors import JobMgrError, WorkerLostError
from rios_batch.jobmanagers.base import JobManager, QueueRun
from rios_batch.jobmanagers.children import Child, TileFailure, WorkOrder
from rios_batch.jobmanagers.pickling import dump_other_args, dump_spec
from rios_batch.jobmanagers.tilequeue import TileQueue
from rios_batch.jobmanagers.watchdog import Watchdog
from rios_batch.jobmanagers.workerstart import warm_up
from rios_batch.read.network import check_no_memory_files, path_options

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from multiprocessing.connection import Connection

    from rios_batch.jobmanagers.children import Death
    from rios_batch.model.spec import RunOptions, RunSpec
    from rios_batch.model.tileresult import TileResult
    from rios_batch.model.tiles import Tile

MAX_LOSSES_PER_TILE = 3


class Processes(JobManager):
    """Worker processes; a killed worker is replaced at once and its tile is done again."""

    jobMgrType = "multiprocessing"

    def __init__(self, numThreads: int, options: RunOptions | None = None) -> None:  # noqa: N803 - RIOS's name
        super().__init__(numThreads, options)
        if not multiprocessing.current_process().daemon:
            warm_up()  # while main looks at the inputs

    def start(self, spec: RunSpec, other_args: Any) -> QueueRun:
        """Return the run.

        Raises
        ------
        JobMgrError : this is a worker process itself, which cannot have any.
        ParameterError : an input lies in this process's memory.
        """
        if multiprocessing.current_process().daemon:
            raise JobMgrError(
                "'multiprocessing' cannot start workers inside a worker process (of this or another pool); "
                "use setJobManagerType('threads') there, or one thread"
            )
        check_no_memory_files(spec)
        queue = TileQueue(spec.plan, self.numThreads, self.finished)
        return QueueRun(spec, queue, self._results(spec, other_args, queue))

    def _results(self, spec: RunSpec, other_args: Any, queue: TileQueue) -> Generator[TileResult, None, None]:
        order = WorkOrder(
            dump_spec(spec, same_machine=True),
            dump_other_args(other_args),
            self.numThreads,
            cloud_options=path_options(spec),
        )
        pool = _Pool(order)
        losses: Counter[int] = Counter()
        watchdog = Watchdog(self.options.wait_limit_s)
        try:
            for _ in range(min(self.numThreads, len(spec.plan))):
                pool.start_worker()
            while not queue.all_finished:
                pool.hand_out(queue)
                for worker, tile, reply in pool.replies(watchdog):
                    if reply is None:
                        losses[tile.index] += 1
                        if losses[tile.index] == MAX_LOSSES_PER_TILE:
                            raise lost(tile, worker.death)
                        pool.replace(worker)
                        queue.give_back(tile)
                        continue
                    result = reply.unwrap() if isinstance(reply, TileFailure) else reply
                    queue.finish(tile.index, result.record.bytes_out)
                    # Before main writes the result, so that the worker does not wait for it.
                    pool.hand_out(queue)
                    yield result
        finally:
            pool.stop()


def lost(tile: Tile, death: Death) -> WorkerLostError:
    """Return the error for a tile that has ended its worker process too often.

    Parameters
    ----------
    death : the last one.
    """
    return WorkerLostError(
        f"tile {tile.index} ({tile.window}) ended its worker process {MAX_LOSSES_PER_TILE} times, "
        f"the last time by {death.explained('if memory ran out, use fewer threads or a smaller window')}"
    )


class _Pool:
    """The living workers of one run."""

    def __init__(self, order: WorkOrder) -> None:
        with _starting(1):
            self._parcel = order.parcel()
        self._workers: list[Child] = []
        self._tiles: dict[Child, Tile] = {}  # of those that are at work

    def start_worker(self) -> None:
        with _starting(len(self._workers) + 1):
            self._workers.append(Child.start(self._parcel))

    def replace(self, dead: Child) -> None:
        dead.join()
        self._workers.remove(dead)
        self.start_worker()

    def hand_out(self, queue: TileQueue) -> None:
        for worker in self._workers:
            if worker not in self._tiles and (tile := queue.take()):
                self._tiles[worker] = tile
                worker.send(tile)

    def replies(self, watchdog: Watchdog) -> Iterator[tuple[Child, Tile, TileResult | TileFailure | None]]:
        """Wait until workers have replied or died; yield those, their tiles, and their replies (None: it died).

        Raises
        ------
        WaitLimitError : main has waited for too long.
        """
        by_connection = {worker.connection: worker for worker in self._tiles}
        ready: list[Connection] = watchdog.until(
            functools.partial(wait, list(by_connection)),  # type: ignore[arg-type]  # only connections
            lambda: "; ".join(f"tile {tile.index} in {worker}" for worker, tile in self._tiles.items()),
        )
        for worker in (by_connection[connection] for connection in ready):
            reply, tile = worker.receive(), self._tiles.pop(worker)
            watchdog.heard("a worker process ended" if reply is None else f"tile {tile.index} is finished")
            yield worker, tile, reply

    def stop(self) -> None:
        for worker in self._workers:
            worker.terminate()
        for worker in self._workers:
            worker.join()
        self._parcel.close()


@contextlib.contextmanager
def _starting(number: int) -> Iterator[None]:
    """Explain why a worker process cannot be started.

    Raises
    ------
    JobMgrError : whenever the body raises OSError.
    """
    try:
        yield
    except OSError as error:
        raise JobMgrError(
            f"worker process {number} cannot be started: {error.strerror}; use fewer threads, or "
            "raise the limits of the process (`ulimit -n`, `ulimit -u`, `ulimit -v`)"
        ) from error
