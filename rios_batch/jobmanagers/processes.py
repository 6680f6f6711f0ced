# ruff: noqa: N815 - RIOS's names
"""A pool of processes, for user functions that hold the interpreter lock.

Workers are forked on Linux, so that scripts without an ``if __name__ == "__main__"`` guard run as they do
in RIOS, and a pool is there in milliseconds. Each worker has a pipe of its own, and main knows which tile
it has: a worker that is killed costs that tile's work and nothing else, where the standard library's
executors give up the whole pool. See docs/decisions/0003-process-pool.md.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections import Counter
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

import cloudpickle

from rios_batch.errors import JobMgrError, RiosBatchError, UserFunctionError, WorkerLostError
from rios_batch.jobmanagers import parcel
from rios_batch.jobmanagers.base import JobManager, TileQueue
from rios_batch.jobmanagers.pickling import dump_job, dump_other_args
from rios_batch.otherargs import ChangeDetector, pickle_or_none
from rios_batch.raster.gdalapi import be_one_of, ensure_exceptions
from rios_batch.tile import TileRunner, process_name

if TYPE_CHECKING:
    from collections.abc import Generator
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

    from rios_batch.jobspec import TileJob, TileResult
    from rios_batch.plan import Tile

# macOS's system libraries do not survive a fork; there scripts need the usual guard.
_CONTEXT = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
MAX_LOSSES_PER_TILE = 3
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc
_STOP_SECONDS = 5.0  # a worker that is inside a system call gets this long before it is killed


class Processes(JobManager):
    """Worker processes; a killed worker is replaced at once and its tile is done again."""

    jobMgrType = "multiprocessing"

    def run_tiles(self, job: TileJob, other_args: Any) -> Generator[TileResult, None, None]:
        if multiprocessing.current_process().daemon:
            raise JobMgrError(
                "'multiprocessing' cannot start workers inside a worker process (of this or another pool); "
                "use setJobManagerType('threads') there, or one thread"
            )
        queue = TileQueue(job.plan, self.numThreads)
        pool = _Pool(self.numThreads, dump_job(job, same_machine=True), dump_other_args(other_args))
        losses: Counter[int] = Counter()
        try:
            for _ in range(min(self.numThreads, len(job.plan))):
                pool.start_worker()
            while not queue.all_finished:
                pool.hand_out(queue)
                for worker in pool.wait():
                    tile = worker.tile
                    reply = worker.receive()
                    if reply is None:
                        losses[tile.index] += 1
                        if losses[tile.index] == MAX_LOSSES_PER_TILE:
                            raise _lost(tile, worker)
                        pool.replace(worker)
                        queue.give_back(tile)
                        continue
                    result = reply.unwrap() if isinstance(reply, _Failure) else reply
                    queue.finish(tile.index, result.record.bytes_out)
                    pool.hand_out(
                        queue
                    )  # before main writes the result, so that the worker does not wait for it
                    yield result
        finally:
            pool.stop()


def _lost(tile: Tile, worker: _Worker) -> WorkerLostError:
    return WorkerLostError(
        f"tile {tile.index} ({tile.window}) ended its worker process {MAX_LOSSES_PER_TILE} times, "
        f"the last time by {worker.cause_of_death()}; if memory ran out, use fewer threads or a smaller window"
    )


@dataclass(frozen=True)
class _Failure:
    """An exception on its way from a worker, with its cause if that can travel."""

    error: bytes | None
    cause: bytes | None
    text: str

    @classmethod
    def of(cls, error: BaseException) -> _Failure:
        return cls(_travelling(error), _travelling(error.__cause__), f"{type(error).__name__}: {error}")

    def unwrap(self) -> TileResult:
        """Raise the exception again."""
        error = RiosBatchError(self.text) if self.error is None else cloudpickle.loads(self.error)
        if isinstance(error, UserFunctionError):  # the cause has left its traceback in the worker
            error.add_note(f"The traceback in the worker was:\n{error.traceback_text}")
        try:
            raise error from (None if self.cause is None else cloudpickle.loads(self.cause))
        finally:
            del (
                error
            )  # or the traceback would hold itself, and the tiles that were waiting, until they are collected


def _travelling(error: BaseException | None) -> bytes | None:
    """Pickle an exception, if it also comes out again: a class with its own __init__ may not."""
    pickled = None if error is None else pickle_or_none(error)
    try:
        return pickled if pickled is None or cloudpickle.loads(pickled) is not None else None
    except Exception:  # noqa: BLE001 - the user's class may raise anything; the text travels in its place
        return None


class _Worker:
    """Main's side of one worker process."""

    def __init__(self, process: BaseProcess, connection: Connection) -> None:
        self._process, self.connection = process, connection
        self._tile: Tile | None = None

    @property
    def idle(self) -> bool:
        return self._tile is None

    @property
    def tile(self) -> Tile:
        assert self._tile is not None
        return self._tile

    def send(self, tile: Tile) -> None:
        self._tile = tile
        try:
            self.connection.send(tile)
        except OSError:  # it is dead already; receive() will say so
            return

    def receive(self) -> TileResult | _Failure | None:
        """Return the worker's reply, or None if it died."""
        try:
            reply: TileResult | _Failure = parcel.receive(self.connection)
        except (EOFError, OSError):
            self._process.join()
            return None
        self._tile = None
        return reply

    def cause_of_death(self) -> str:
        code = self._process.exitcode or 0
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"

    def terminate(self) -> None:
        self.connection.close()
        self._process.terminate()

    def join(self) -> None:
        self._process.join(_STOP_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()  # its descriptors, too


# A worker that is forked while another pool (of another thread) holds both ends of a pipe would keep that pipe open
# after its own worker has died.
_forking = threading.Lock()


class _Pool:
    """The living workers of one run."""

    def __init__(self, num_workers: int, job: bytes, other_args: bytes) -> None:
        self._num_workers, self._job, self._other_args = num_workers, job, other_args
        self._workers: list[_Worker] = []

    def start_worker(self) -> None:
        with _forking:
            self._start_worker()

    def _start_worker(self) -> None:
        mine, its = _CONTEXT.Pipe()
        # A forked child holds copies of main's pipe ends; left open they would hide main's death from others.
        forked = _CONTEXT.get_start_method() == "fork"
        inherited = [worker.connection for worker in self._workers] + [mine] if forked else []
        process = _CONTEXT.Process(  # type: ignore[attr-defined]  # both contexts have it
            target=_serve,
            args=(its, inherited, self._num_workers, self._job, self._other_args),
            name="rios_batch worker",
            daemon=True,
        )
        process.start()
        its.close()  # so that the pipe ends with the child
        self._workers.append(_Worker(process, mine))

    def replace(self, dead: _Worker) -> None:
        dead.connection.close()
        dead.join()
        self._workers.remove(dead)
        self.start_worker()

    def hand_out(self, queue: TileQueue) -> None:
        for worker in self._workers:
            if worker.idle and (tile := queue.take()):
                worker.send(tile)

    def wait(self) -> list[_Worker]:
        """Wait until workers have replied or died, and return those."""
        by_connection = {worker.connection: worker for worker in self._workers if not worker.idle}
        return [by_connection[ready] for ready in wait(list(by_connection))]  # type: ignore[index]

    def stop(self) -> None:
        for worker in self._workers:
            worker.terminate()
        for worker in self._workers:
            worker.join()


def _serve(
    connection: Connection,
    inherited: list[Connection],
    num_workers: int,
    job: bytes,
    other_args: bytes,
) -> None:
    """Run tiles as they come, until main closes the pipe or dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; main stops the workers
    for other in inherited:
        other.close()
    keep_freed_memory()
    main = os.getppid()
    gone = (EOFError, ConnectionError)  # main has closed the pipe, or died
    ensure_exceptions()
    with contextlib.suppress(*gone):
        tile_job: TileJob = cloudpickle.loads(job)
        be_one_of(num_workers, tile_job.input_cache_bytes)
        runner = TileRunner(tile_job, process_name(), stopped=lambda: os.getppid() != main)
        detector = ChangeDetector(other_args)
        while True:
            reply = _run(runner, detector, connection.recv())
            for stream in (sys.stdout, sys.stderr):
                stream.flush()  # the worker ends by a signal, which would lose what the function printed
            parcel.send(connection, reply)


def keep_freed_memory() -> None:
    """Have glibc keep the memory that a block's arrays free, for those of the next block.

    By default it goes back to the kernel after each block and is cleared page by page when it comes again:
    measured at a tenth of all processor time of a light function. Nothing happens with another C library.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 32 * 2**20)  # the largest that glibc takes; arrays above it are mapped
        mallopt(_M_TRIM_THRESHOLD, 256 * 2**20)


def _run(runner: TileRunner, detector: ChangeDetector, tile: Tile) -> TileResult | _Failure:
    try:
        other_args = detector.fresh_copy()
        result = runner.run(tile, other_args)
        return replace(result, other_args=detector.changes(other_args))
    except BaseException as error:  # noqa: BLE001 - whatever it is, SystemExit included, main raises it again
        return _Failure.of(error)
