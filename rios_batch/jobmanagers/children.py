"""A worker process as the starting side sees it, for every manager that has processes."""

from __future__ import annotations

import contextlib
import math
import pickle
import signal
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import cloudpickle

from rios_batch.compute.otherargs import pickle_or_none
from rios_batch.compute.tile import process_name
from rios_batch.errors import RiosBatchError, UserFunctionError, text_of
from rios_batch.jobmanagers import shared_memory_pipe
from rios_batch.jobmanagers.processstate import ProcessState
from rios_batch.jobmanagers.shared_memory_pipe import Parcel
from rios_batch.jobmanagers.watchdog import activity
from rios_batch.jobmanagers.workerstart import start_worker

if TYPE_CHECKING:
    from collections.abc import Mapping
    from multiprocessing.connection import Connection

    from rios_batch.jobmanagers.workerstart import WorkerProcess
    from rios_batch.model.tileresult import TileResult
    from rios_batch.model.tiles import Tile

_SMALLEST_FILE_BYTES = 2**20  # an order below this goes through the pipe; above, all workers share one copy
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
    packages : what spec and other_args refer to by name, with main's versions; None where workers have main's own.
    environment : variables that are set before anything is loaded; None takes one away.
    gpus : GPUs that the worker processes share, each process one of them; 0 for none.
    """

    spec: bytes
    other_args: bytes
    num_workers: int
    place: str = ""
    input_paths: Mapping[str, str] = field(default_factory=dict)
    cloud_options: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    packages: Mapping[str, str] | None = None
    environment: Mapping[str, str | None] = field(default_factory=dict)
    gpus: int = 0

    def __getstate__(self) -> dict[str, Any]:
        # Out of the pickle, so that workers can read them where they lie in memory.
        return vars(self) | {
            name: pickle.PickleBuffer(getattr(self, name)) for name in ("spec", "other_args")
        }

    def parcel(self) -> Parcel:
        """Return what a worker process is sent: the state of this process, and the order.

        Raises
        ------
        OSError : there is no memory for the parcel.
        """
        return Parcel((cloudpickle.dumps(ProcessState.of_this_process()), self), _SMALLEST_FILE_BYTES)

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


@dataclass(frozen=True)
class Death:
    """How a worker process ended, by its exit code; negative for a signal, None if nobody can tell."""

    exit_code: int | None

    def explained(self, if_memory_ran_out: str) -> str:
        """Say what ended the process, and what can be done.

        Parameters
        ----------
        if_memory_ran_out : what can be done where memory may have run out: then the kernel kills by a signal.
        """
        code = self.exit_code
        if code is None:
            return f"an unknown cause (the process that starts workers has ended, too); {if_memory_ran_out}"
        if code >= 0:
            return (
                f"exit code {code}; the function, or a library that it uses, has ended the process (os._exit); "
                "have it raise an exception"
            )
        name = _signal_name(-code)
        return f"{name}; " + (_CRASHED if name in _CRASHES else if_memory_ran_out)


_CRASHES = ("SIGSEGV", "SIGILL", "SIGFPE")
_CRASHED = (
    "a library that the function uses has crashed; run the function on that block in-process to find it"
)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # real-time signals have none
        return f"signal {number}"


class Child:
    """The starting side's end of one worker process."""

    def __init__(self, process: WorkerProcess, connection: Connection) -> None:
        self._process, self.connection = process, connection

    @classmethod
    def start(cls, parcel: Parcel, environment: Mapping[str, str] | None = None) -> Child:
        """Start a process.

        Parameters
        ----------
        parcel : a `WorkOrder`'s.
        environment : variables of this process alone, such as the GPU that it may use.

        Raises
        ------
        OSError : the process cannot be started.
        """
        process, connection = start_worker()
        with contextlib.suppress(OSError):  # it is dead already; receive() will say so
            parcel.send(connection)
            connection.send(dict(environment or {}))
        return cls(process, connection)

    def __str__(self) -> str:
        return f"process {self._process.pid}{activity(self._process.pid)}"

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, tile: Tile) -> None:
        """Have it compute a tile; it must have replied to the last one."""
        with contextlib.suppress(OSError):  # it is dead already; receive() will say so
            self.connection.send(tile)

    def receive(self) -> TileResult | TileFailure | None:
        """Return the worker's reply, or None if it died."""
        try:
            reply: TileResult | TileFailure = shared_memory_pipe.receive(self.connection)
        except (EOFError, OSError):
            self._end()  # a function may have closed the pipe, and its process go on
            return None
        return reply

    @property
    def death(self) -> Death:
        """How the process ended."""
        return Death(self._process.exit_code)

    def terminate(self) -> None:
        """Ask it to end; ``receive`` in another thread then returns None."""
        self._process.send_signal(signal.SIGTERM)

    def join(self) -> None:
        """Wait for its end, or bring it about."""
        self.connection.close()
        self._end()
        self._process.close()

    def _end(self) -> None:
        """Wait for the process's end, or bring it about."""
        if not self._ends_within(_STOP_SECONDS):
            self._process.send_signal(signal.SIGKILL)
            self._ends_within(math.inf)

    def _ends_within(self, seconds: float) -> bool:
        until = time.monotonic() + seconds
        self._process.wait(min(seconds, _STOP_SECONDS))
        while not self._process.has_ended():
            if time.monotonic() > until:
                return False
            time.sleep(_LOOK_SECONDS)
        return True
