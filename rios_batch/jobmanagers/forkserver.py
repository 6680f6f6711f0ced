"""The program that worker processes are forked from: a process in which nothing of the script lives.

Main starts the program once. It loads what all workers need, and then only forks: it has no threads, no open file but
its own, and nothing of the script's memory. One byte and the worker's files ask for a worker. The worker's status pipe
tells main the worker's process id, and in the end how the worker ended. See docs/decisions/0016-a-clean-fork-server.md.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import importlib
import os
import select
import signal
import socket
import struct
import sys
import traceback
import warnings
from typing import Any, NoReturn

_WORKER = "rios_batch.jobmanagers.workerprogram"
STATUS = struct.Struct("q")
STANDARD_STREAMS = (0, 1, 2)
WORKER_FILES = 5  # connection, status pipe, standard output, standard error, working directory
_LOOK_SECONDS = 1.0  # where the kernel does not tell of main's end


def main(control_fd: int, main_pid: int, *, preload: bool) -> NoReturn:
    """Fork workers as main asks for them, until main is gone.

    Parameters
    ----------
    control_fd : the socket that main asks through.
    main_pid : who starts this process.
    preload : forked workers run here; without it each is a new interpreter, for systems whose libraries do not survive
        a fork.
    """
    open_standard_streams()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; main stops the workers
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    if preload:
        importlib.import_module(_WORKER)
        gc.collect()
        gc.freeze()  # or a worker's collections would copy all that it has in common with the others
    # Python counts the threads of numpy's BLAS, which has them ended before a fork.
    warnings.simplefilter("ignore")
    _ForkServer(socket.socket(fileno=control_fd), main_pid, preload=preload).run()
    os._exit(0)


def open_standard_streams() -> None:
    """Open what main was started without: a worker puts its own in these places, and another file may not be there."""
    for fd in STANDARD_STREAMS:
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this


class _ForkServer:
    """Forks workers, and passes on how each has ended."""

    def __init__(self, control: socket.socket, main_pid: int, *, preload: bool) -> None:
        self._control, self._main_pid, self._preload = control, main_pid, preload
        self._status_pipes: dict[int, int] = {}
        self._woken, self._waker = os.pipe()
        for fd in (self._woken, self._waker):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # wakes the loop
        self._main = _watched(main_pid)

    def run(self) -> None:
        """Serve until main is gone, and end what is left of the workers."""
        watched: list[Any] = [self._control, self._woken, *self._main]
        patience = None if self._main else _LOOK_SECONDS
        while os.getppid() == self._main_pid:
            ready, _, _ = select.select(watched, [], [], patience)
            if self._woken in ready:
                self._reap()
            if self._control in ready and not self._start_worker():
                break
        for pid in self._status_pipes:  # not reaped yet, so the numbers are still theirs
            os.kill(pid, signal.SIGKILL)
        for pid in self._status_pipes:
            os.waitpid(pid, 0)

    def _start_worker(self) -> bool:
        """Fork the worker that main asks for; return False if main will ask no more."""
        asked, files, _, _ = socket.recv_fds(self._control, 1, WORKER_FILES)
        if not asked:
            return False
        if len(files) < WORKER_FILES:  # the rest found no room in the table of open files
            _report(files[1], -errno.EMFILE) if len(files) > 1 else None
        else:
            self._fork(files)
        for fd in files:
            if fd not in self._status_pipes.values():
                os.close(fd)
        return True

    def _fork(self, files: list[int]) -> None:
        status_fd = files[1]
        try:
            pid = os.fork()
        except OSError as error:
            _report(status_fd, -(error.errno or errno.EAGAIN))
            return
        if pid == 0:
            self._become_worker(files)
        self._status_pipes[pid] = status_fd
        _report(status_fd, pid)

    def _become_worker(self, files: list[int]) -> NoReturn:
        connection_fd, status_fd, stdout_fd, stderr_fd, folder_fd = files
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.dup2(stdout_fd, 1)
            os.dup2(stderr_fd, 2)
            os.fchdir(folder_fd)
            own = [self._woken, self._waker, *self._main, *self._status_pipes.values()]
            for fd in (status_fd, stdout_fd, stderr_fd, folder_fd, *own):
                os.close(fd)
            self._control.close()
            status = self._work(connection_fd)
        except BaseException:  # noqa: BLE001 - nothing of the server may go on here
            traceback.print_exc()
        finally:
            os._exit(status)

    def _work(self, connection_fd: int) -> int:
        if not self._preload:
            os.set_inheritable(connection_fd, True)
            code = f"import sys; sys.path[:] = {sys.path!r}; import {_WORKER} as w; w.serve({connection_fd})"
            os.execv(sys.executable, [sys.executable, "-P", "-c", code])  # noqa: S606 - our own program
        importlib.import_module(_WORKER).serve(connection_fd)
        return 0

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._woken, 4096)
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = ended
                status_fd = self._status_pipes.pop(pid)
                _report(status_fd, os.waitstatus_to_exitcode(status))
                os.close(status_fd)


def _watched(pid: int) -> list[int]:
    """Return a descriptor that becomes readable when a process ends, if the kernel has such."""
    if not hasattr(os, "pidfd_open"):
        return []
    try:
        return [os.pidfd_open(pid)]
    except OSError:  # forbidden in a sandbox, or the process has ended already, which its parent's id shows
        return []


def _report(status_fd: int, value: int) -> None:
    with contextlib.suppress(BrokenPipeError):  # main wants to know no more
        os.write(status_fd, STATUS.pack(value))
