"""Main's side of the fork server: starting the server, and worker processes by the server."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import io
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
from multiprocessing.connection import Connection, wait
from multiprocessing.spawn import get_executable
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import rios_batch
from rios_batch.jobmanagers.forkserver import STATUS
from rios_batch.jobmanagers.servercopy import start_copy

if TYPE_CHECKING:
    from collections.abc import Iterator

# macOS's system libraries do not survive a fork: there each worker is a new interpreter.
PRELOAD = sys.platform == "linux"

_PROGRAM = f"{__package__}.forkserver"
_FIRST_FREE_FD = 3
_STARTS = 2  # the server may have been killed since its last worker


class WorkerProcess:
    """A process that the fork server has forked for this one.

    Attributes
    ----------
    exit_code : of the ended process, negative for a signal; None as long as it runs, or if nobody can tell.
    """

    def __init__(self, pid: int, status_fd: int) -> None:
        self.pid, self._status_fd = pid, status_fd
        self.exit_code: int | None = None

    def wait(self, seconds: float) -> None:
        """Wait for the end, or until somebody has to look for it (`has_ended`)."""
        wait([self._status_fd], seconds)

    def has_ended(self) -> bool:
        """Say whether the process has ended."""
        if self.exit_code is not None:
            return True
        try:
            reported = os.read(self._status_fd, STATUS.size)
        except BlockingIOError:
            return False
        if reported:
            (self.exit_code,) = STATUS.unpack(reported)
            return True
        return not self._exists()  # the server has ended, and the process goes on without

    def _exists(self) -> bool:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, unless the process has ended: another one may have its number by now."""
        if not self.has_ended():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def close(self) -> None:
        """Close the status pipe; the process has ended."""
        os.close(self._status_fd)


class _Server:
    """The running fork server of this process."""

    def __init__(self) -> None:
        ours, its = socket.socketpair()
        self.control = socket.socket(
            socket.AF_UNIX, socket.SOCK_STREAM, fileno=_above_standard(ours.detach())
        )
        fd = _above_standard(its.detach())
        try:
            with _without_interrupts():
                self._process: _Copy | subprocess.Popen[bytes] = _copy(
                    fd, self.control.fileno()
                ) or _new_interpreter(fd)
        except BaseException:
            self.control.close()
            raise
        finally:
            os.close(fd)

    def stop(self) -> None:
        """End the server, and what it has forked."""
        self.control.close()
        self._process.wait()

    def forget(self) -> None:
        """Let go of a server that is another process's: this one was forked from that."""
        self.control.close()
        self._process.returncode = 0  # or Popen would complain


class _Copy:
    """A copy of this process; has what is used of Popen."""

    def __init__(self, pid: int) -> None:
        self.pid, self.returncode = pid, 0

    def wait(self) -> None:
        with contextlib.suppress(ChildProcessError):  # the script has children reaped by the system
            os.waitpid(self.pid, 0)


def _copy(fd: int, main_fd: int) -> _Copy | None:
    pid = start_copy(fd, main_fd)
    return None if pid is None else _Copy(pid)


def _new_interpreter(fd: int) -> subprocess.Popen[bytes]:
    code = (
        f"import sys; sys.path[:] = {_import_path()!r}; from {_PROGRAM} import main; "
        f"main({fd}, {os.getpid()}, preload={PRELOAD})"
    )
    flags = [flag for flag in subprocess._args_from_interpreter_flags() if not flag.startswith("-W")]  # type: ignore[attr-defined] # noqa: SLF001
    return subprocess.Popen(  # noqa: S603 - our own program
        # -P: what lies in the working directory is not the standard library's, and may be anybody's.
        [get_executable(), *flags, "-P", "-c", code],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=[fd],
    )


class _Servers:
    """The one server of this process, started when it is first needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: _Server | None = None

    def get(self, *, instead_of: _Server | None = None) -> _Server:
        """Return the server.

        Parameters
        ----------
        instead_of : a server that has ended.

        Raises
        ------
        OSError : the server cannot be started.
        """
        with self._lock:
            if self._running is None or self._running is instead_of:
                if instead_of is not None:
                    instead_of.stop()
                self._running = _Server()
            return self._running

    def stop(self) -> None:
        """End the server at the end of this process."""
        if self._running is not None:
            self._running.stop()

    def after_fork(self) -> None:
        """Begin anew in a process that the script has forked."""
        if self._running is not None:
            self._running.forget()
        self.__init__()  # type: ignore[misc] # the lock may be held by a thread that is not here


_servers = _Servers()
atexit.register(_servers.stop)
os.register_at_fork(after_in_child=_servers.after_fork)


def warm_up() -> None:
    """Have the server get ready while this process goes on; what keeps it from that is raised by `start_worker`."""
    with contextlib.suppress(OSError):
        _servers.get()


def start_worker() -> tuple[WorkerProcess, Connection]:
    """Start a worker process, and return it with this side's end of the connection to it.

    It has this process's standard output, standard error and working directory.

    Raises
    ------
    OSError : the server or the worker cannot be started.
    """
    server: _Server | None = None
    for _ in range(_STARTS):
        server = _servers.get(instead_of=server)
        started = _ask(server)
        if started is not None:
            return started
    raise OSError(0, "the process that starts workers has ended; its messages are above")


def _ask(server: _Server) -> tuple[WorkerProcess, Connection] | None:
    """Ask the server for a worker; return None if the server has ended."""
    with _Files() as kept, _Files() as passed:
        sockets = socket.socketpair()
        connection_fd, its_connection_fd = kept.add(sockets[0].detach()), passed.add(sockets[1].detach())
        ends = os.pipe()
        status_fd, its_status_fd = kept.add(ends[0]), passed.add(ends[1])
        outputs = (passed.add(_output(stream, n)) for n, stream in ((1, sys.stdout), (2, sys.stderr)))
        files = [its_connection_fd, its_status_fd, *outputs, passed.add(_working_folder())]
        try:
            socket.send_fds(server.control, [b"w"], files)
        except ConnectionError:
            return None
        passed.close()
        pid = os.read(status_fd, STATUS.size)
        if not pid:
            return None
        (number,) = STATUS.unpack(pid)
        if number < 0:
            raise OSError(-number, os.strerror(-number))
        os.set_blocking(status_fd, False)
        kept.pop_all()
    return WorkerProcess(number, status_fd), Connection(connection_fd)


class _Files(contextlib.ExitStack):
    """Open files that are closed together."""

    def add(self, fd: int) -> int:
        """Take a file, and return the number that it has from now on."""
        fd = _above_standard(fd)
        self.callback(os.close, fd)
        return fd


def _above_standard(fd: int) -> int:
    """Return a file under a number that is no standard stream's: a script may have been started without these."""
    if fd >= _FIRST_FREE_FD:
        return fd
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE_FD)
    finally:
        os.close(fd)


def _output(stream: TextIO | None, number: int) -> int:
    """Return a file where a worker writes what it prints.

    Parameters
    ----------
    stream : the script's own. What is no file (a notebook's) leaves the process's.
    number : of the process's stream.
    """
    with contextlib.suppress(OSError, ValueError):  # closed
        if stream is not None:
            return os.dup(stream.fileno() if isinstance(stream, io.TextIOWrapper) else number)
    return os.open(os.devnull, os.O_WRONLY)


def _working_folder() -> int:
    return os.open(".", getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY)


def _import_path() -> list[str]:
    """Return where the server finds what it loads: Python's own modules first, then where this process looks."""
    package_folder = str(Path(rios_batch.__file__).parents[1])
    own = {sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib")}
    own |= {f"{folder}/lib-dynload" for folder in own}
    own_zip = f"python{sys.version_info.major}{sys.version_info.minor}.zip"
    path = [entry or package_folder for entry in sys.path]
    return sorted(path, key=lambda entry: entry not in own and not entry.endswith(own_zip))


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Have a process that is started here not be interrupted before it can say that it does not want to be."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
