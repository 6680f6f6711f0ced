"""One worker process and the two ends of the pipe to it, for every manager that has processes."""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import signal
import sys
import time
from dataclasses import dataclass, field, replace
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

import cloudpickle

from rios_batch.compute.otherargs import ChangeDetector, pickle_or_none
from rios_batch.compute.tile import TileRunner, process_name
from rios_batch.errors import OutputError, RiosBatchError, UnloadableJobError, UserFunctionError, text_of
from rios_batch.gdalapi import ensure_exceptions, limit_gdal_resources
from rios_batch.jobmanagers import shared_memory_pipe
from rios_batch.jobmanagers.environment import set_environment
from rios_batch.jobmanagers.modules import why_unloadable
from rios_batch.jobmanagers.watchdog import activity
from rios_batch.read.network import apply_cloud_options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.context import BaseContext
    from multiprocessing.process import BaseProcess

    from rios_batch.model.spec import RunSpec
    from rios_batch.model.tileresult import TileResult
    from rios_batch.model.tiles import Tile

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc
_UNKNOWN_STATUS = 255
_LOOK_SECONDS = 0.005
_STOP_SECONDS = 5.0  # a worker that is inside a system call gets this long before it is killed


@dataclass(frozen=True)
class WorkOrder:
    """What a worker process is started with.

    Attributes
    ----------
    spec, other_args : pickled.
    num_workers : how many share the machine.
    place : where they run, for records and messages; empty on the person's own machine.
    input_paths : where inputs lie for workers there, by the path that the spec says.
    cloud_options : GDAL's settings for the buckets of inputs (:func:`rios_batch.read.network.cloud_options`).
    packages : what spec and other_args refer to by name, with main's versions.
    environment : variables that are set before anything is loaded; None takes one away.
    """

    spec: bytes
    other_args: bytes
    num_workers: int
    place: str = ""
    input_paths: Mapping[str, str] = field(default_factory=dict)
    cloud_options: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    packages: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def worker_name(self) -> str:
        """Return the name of the process that asks."""
        return f"{self.place}, {process_name()}" if self.place else process_name()


@dataclass(frozen=True)
class TileFailure:
    """An exception on its way from a worker, with its cause if that can travel."""

    error: bytes | None
    cause: bytes | None
    text: str

    @classmethod
    def of(cls, error: BaseException) -> TileFailure:
        return cls(
            _travelling(error), _travelling(error.__cause__), f"{type(error).__name__}: {text_of(error)}"
        )

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


class Child:
    """The starting side's end of one worker process."""

    def __init__(self, process: BaseProcess, connection: Connection) -> None:
        self._process, self.connection = process, connection

    @classmethod
    def start(cls, context: BaseContext, order: WorkOrder, inherited: Sequence[Connection] = ()) -> Child:
        """Start a process.

        Parameters
        ----------
        inherited : connections of other children, which a forked process has copies of; left open they
            would hide the end of whoever starts them.
        """
        mine, its = context.Pipe()
        inherited = [*inherited, mine] if context.get_start_method() == "fork" else []
        process = context.Process(  # type: ignore[attr-defined]  # every context has it
            target=_serve, args=(its, inherited, order), name="rios_batch worker", daemon=True
        )
        process.start()
        its.close()  # so that the pipe ends with the child
        return cls(process, mine)

    def __str__(self) -> str:
        pid = self._process.pid or 0
        return f"process {pid}{activity(pid)}"

    def send(self, tile: Tile) -> None:
        """Have it compute a tile; it must have replied to the last one."""
        try:
            self.connection.send(tile)
        except OSError:  # it is dead already; receive() will say so
            return

    def receive(self) -> TileResult | TileFailure | None:
        """Return the worker's reply, or None if it died."""
        try:
            reply: TileResult | TileFailure = shared_memory_pipe.receive(self.connection)
        except (EOFError, OSError):
            self._end()  # a function may have closed the pipe, and its process go on
            return None
        return reply

    def cause_of_death(self) -> str:
        code = self._process.exitcode
        if code is None:
            return "an unknown cause (the script ignores SIGCHLD, or waits for all child processes)"
        return _signal_name(-code) if code < 0 else f"exit code {code}"

    def terminate(self) -> None:
        """Ask it to end; ``receive`` in another thread then returns None."""
        self._process.terminate()

    def join(self) -> None:
        """Wait for its end, or bring it about."""
        self.connection.close()
        self._end()
        if self._process.exitcode is None:
            # The script has taken the exit status. multiprocessing would never close the process, and signal its
            # number at main's end, which may be another process's by then.
            self._process._popen.returncode = _UNKNOWN_STATUS  # type: ignore[attr-defined] # noqa: SLF001
        self._process.close()  # its descriptors, too

    def _end(self) -> None:
        """Wait for the process's end, or bring it about."""
        if not self._ends_within(_STOP_SECONDS):
            self._process.kill()
            self._ends_within(math.inf)

    def _ends_within(self, seconds: float) -> bool:
        until = time.monotonic() + seconds
        wait(
            [self._process.sentinel], min(seconds, _STOP_SECONDS)
        )  # a function may have closed the sentinel, too
        while not self._has_ended():
            if time.monotonic() > until:
                return False
            time.sleep(_LOOK_SECONDS)
        return True

    def _has_ended(self) -> bool:
        if self._process.exitcode is not None:
            return True
        try:
            os.kill(self._process.pid or 0, 0)
        except ProcessLookupError:  # the script has taken the exit status
            return True
        return False


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # real-time signals have none
        return f"signal {number}"


def _serve(connection: Connection, inherited: Sequence[Connection], order: WorkOrder) -> None:
    """Run tiles as they come, until the other side closes the pipe or dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; main stops the workers
    for other in inherited:
        other.close()
    keep_freed_memory()
    set_environment(order.environment)
    main = os.getppid()
    gone = (EOFError, ConnectionError)  # main has closed the pipe, or died
    ensure_exceptions()
    with contextlib.suppress(*gone):
        loading = "the function"
        try:
            spec: RunSpec = cloudpickle.loads(order.spec)
            loading = "otherArgs"
            detector = ChangeDetector(order.other_args)
            detector.load()
        except Exception as error:  # noqa: BLE001 - a module is missing, say; main raises it for the first tile
            _refuse_tiles(connection, why_unloadable(loading, error, order.packages))
            return
        spec = spec.with_inputs_at(order.input_paths)
        apply_cloud_options(order.cloud_options)
        limit_gdal_resources(order.num_workers, spec.input_cache_bytes)
        runner = TileRunner(spec, order.worker_name, stopped=lambda: os.getppid() != main)
        while True:
            reply = _run(runner, detector, connection.recv())
            _send(connection, _flushed() or reply)


def _send(connection: Connection, reply: TileResult | TileFailure) -> None:
    try:
        shared_memory_pipe.send(connection, reply)
    except ConnectionError:
        raise
    except OSError as error:
        what = f"a tile's result cannot be handed to main: {error.strerror}"
        cure = "use smaller tiles (setTileSize), or raise the process's limits (`ulimit -f`, `ulimit -v`, `ulimit -n`)"
        shared_memory_pipe.send(connection, TileFailure.of(OutputError(f"{what}; {cure}")))


def _flushed() -> TileFailure | None:
    """Show what the function printed: the worker ends by a signal, which would lose it."""
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and not stream.closed:  # daemons have none
                stream.flush()
    except OSError as error:
        return TileFailure.of(OutputError(f"what the function printed cannot be written: {error}"))
    return None


def _refuse_tiles(connection: Connection, why: str) -> None:
    reply = TileFailure.of(UnloadableJobError(why))
    while True:
        connection.recv()
        shared_memory_pipe.send(connection, reply)


def keep_freed_memory() -> None:
    """Have glibc keep the memory that a block's arrays free, for those of the next block.

    By default it goes back to the kernel after each block and is cleared page by page when it comes again:
    measured at a tenth of all processor time of a light function. Nothing happens with another C library.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 32 * 2**20)  # the largest that glibc takes; arrays above it are mapped
        mallopt(_M_TRIM_THRESHOLD, 256 * 2**20)


def _run(runner: TileRunner, detector: ChangeDetector, tile: Tile) -> TileResult | TileFailure:
    try:
        other_args = detector.fresh_copy()
        result = runner.run(tile, other_args)
        return replace(result, other_args=detector.changes(other_args))
    except BaseException as error:  # noqa: BLE001 - whatever it is, SystemExit included, main raises it again
        return TileFailure.of(error)
