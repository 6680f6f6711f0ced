# ruff: noqa: N815 - RIOS's names
"""The managers that need no other process: in order on the caller's thread, and a pool of threads."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import Future
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from rios_batch.compute.otherargs import ChangeDetector
from rios_batch.compute.tile import TileRunner
from rios_batch.errors import WaitLimitError
from rios_batch.jobmanagers.base import JobManager, QueueRun
from rios_batch.jobmanagers.pickling import dump_other_args
from rios_batch.jobmanagers.tilequeue import TileQueue
from rios_batch.jobmanagers.watchdog import Watchdog
from rios_batch.model.forecast import Workforce

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from rios_batch.model.spec import RunSpec
    from rios_batch.model.tileresult import TileResult
    from rios_batch.model.tiles import Tile


class InProcess(JobManager):
    """One tile after the other on the caller's thread, every block with the caller's own otherArgs."""

    jobMgrType = "in-process"
    shares_other_args = True

    def workforce(self) -> Workforce:
        return Workforce(self.numThreads, in_main=True)

    def start(self, spec: RunSpec, other_args: Any) -> QueueRun:
        queue = TileQueue(spec.plan, num_workers=1, finished=self.finished)
        return QueueRun(spec, queue, self._results(spec, other_args, queue))

    def _results(self, spec: RunSpec, other_args: Any, queue: TileQueue) -> Generator[TileResult, None, None]:
        with contextlib.closing(TileRunner(spec, "the main process")) as runner:
            while (tile := queue.take()) is not None:
                result = runner.run(tile, other_args)
                queue.finish(tile.index, result.record.bytes_out)
                yield result


class Threads(JobManager):
    """Threads of this process. They compute at the same time where GDAL and numpy release the interpreter lock."""

    jobMgrType = "threads"

    def workforce(self) -> Workforce:
        return Workforce(self.numThreads, in_main=True)

    def start(self, spec: RunSpec, other_args: Any) -> QueueRun:
        queue = TileQueue(spec.plan, self.numThreads, self.finished)
        return QueueRun(spec, queue, self._results(spec, other_args, queue))

    def _results(self, spec: RunSpec, other_args: Any, queue: TileQueue) -> Generator[TileResult, None, None]:
        # GDAL has one switch for all threads: off, it would hide what goes wrong in the others.
        spec = replace(spec, gdal_exceptions=True)
        watchdog = Watchdog(self.options.wait_limit_s)
        pool = _ThreadPool(spec, dump_other_args(other_args), min(self.numThreads, len(spec.plan)))
        one_hangs = False
        try:
            pool.start()
            while not queue.all_finished:
                while pool.has_room and (tile := queue.take()):
                    pool.submit(tile)
                result = watchdog.until(pool.finished, lambda: pool.tiles).result()
                queue.finish(result.record.tile, result.record.bytes_out)
                watchdog.heard(f"tile {result.record.tile} is finished")
                yield result
        except WaitLimitError:
            one_hangs = True
            raise
        finally:
            pool.stop(wait=not one_hangs)


class _ThreadPool:
    """Threads that the end of a script does not wait for, as it would for those of the standard library's executors.

    Parameters
    ----------
    num_threads : how many of them; up to twice as many tiles are in their hands, so that none waits for main.
    """

    def __init__(self, spec: RunSpec, other_args: bytes, num_threads: int) -> None:
        self._spec, self._other_args = spec, other_args
        self._stopped = threading.Event()
        self._orders: SimpleQueue[Tile | None] = SimpleQueue()
        self._finished: SimpleQueue[tuple[int, Future[TileResult]]] = SimpleQueue()
        self._tiles: set[int] = set()
        self._num_threads = num_threads
        self._threads: list[threading.Thread] = []
        self._idle: set[threading.Thread] = set()

    def start(self) -> None:
        """Start the threads.

        Raises
        ------
        RuntimeError : the system has no more threads.
        """
        for number in range(self._num_threads):
            thread = threading.Thread(target=self._work, name=f"rios_batch_{number}", daemon=True)
            thread.start()
            self._threads.append(thread)

    @property
    def has_room(self) -> bool:
        return len(self._tiles) < 2 * self._num_threads

    @property
    def tiles(self) -> str:
        """Return the tiles that are in the threads' hands, for a sentence."""
        return f"{', '.join(f'tile {index}' for index in sorted(self._tiles))} in threads"

    def submit(self, tile: Tile) -> None:
        self._tiles.add(tile.index)
        self._orders.put(tile)

    def finished(self, seconds: float) -> Future[TileResult] | None:
        """Return what came of a tile; None if nothing comes within so many seconds."""
        try:
            index, future = self._finished.get(timeout=seconds)
        except Empty:
            return None
        self._tiles.remove(index)
        return future

    def stop(self, *, wait: bool) -> None:
        """Have the threads end after their block, and wait for that; where one hangs, only for those that have no tile.

        These are waited for since a thread that closes files while the interpreter ends takes the process with it:
        Python before 3.14 unwinds the thread through GDAL's C++, which calls that ``terminate``.
        """
        self._stopped.set()
        for _ in self._threads:
            self._orders.put(None)
        for thread in self._threads if wait else tuple(self._idle):
            thread.join()

    def _work(self) -> None:
        worker = _ThreadWorker(self._spec, self._other_args, self._stopped.is_set)
        while (tile := self._next_tile()) is not None:
            future: Future[TileResult] = Future()
            try:
                future.set_result(worker.run(tile))
            except BaseException as error:  # noqa: BLE001 - whatever it is, main raises it
                future.set_exception(error)
            self._finished.put((tile.index, future))
        worker.close()

    def _next_tile(self) -> Tile | None:
        thread = threading.current_thread()
        self._idle.add(thread)
        if tile := self._orders.get():
            self._idle.remove(thread)
        return tile


class _ThreadWorker:
    """What a thread has of its own."""

    def __init__(self, spec: RunSpec, other_args: bytes, stopped: Callable[[], bool]) -> None:
        self._runner = TileRunner(spec, threading.current_thread().name, stopped)
        self._detector = ChangeDetector(other_args, spec.scratch)
        self.close = self._runner.close

    def run(self, tile: Tile) -> TileResult:
        other_args = self._detector.fresh_copy()
        result = self._runner.run(tile, other_args)
        return replace(result, other_args=self._detector.changes(other_args))
