"""The fork server as a copy of this process: that takes milliseconds, and a new interpreter must load numpy and GDAL.

A copy has everything that the script has. So there is one only where the script has nothing that workers could meet:
no module of its own, no thread, no open file, no file in GDAL's memory. What is left is taken back to what a new
interpreter has. See docs/decisions/0019-the-server-may-be-a-copy.md.
"""

from __future__ import annotations

import contextlib
import gc
import locale
import logging
import os
import signal
import stat
import sys
import sysconfig
import threading
import traceback
import types
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from rios_batch.gdalapi import forget_settings, has_memory_files
from rios_batch.jobmanagers import forkserver
from rios_batch.jobmanagers.forkserver import STANDARD_STREAMS

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST_MEMORY_BYTES = 256 * 2**20  # what the script frees later, a copy would keep
# What the server loads itself, and what has no state: Cython's and SWIG's modules, and what .pth files bring.
_KNOWN_PACKAGES = {"__main__", "__mp_main__", "cloudpickle", "isal", "numpy", "osgeo", "rios_batch"}
_KNOWN_PACKAGES |= {"_distutils_hack", "certifi", "cython_runtime"}
_KNOWN_BEGINNINGS = ("_cython_", "swig_runtime_data", "__editable__")
_PYTHONS_OWN = tuple(f"{sysconfig.get_path(name)}/" for name in ("stdlib", "platstdlib"))
_INSTALLED = tuple(f"{own}{name}/" for own in _PYTHONS_OWN for name in ("site-packages", "dist-packages"))

_kept: list[Any] = []  # what must not be finalised in a copy: files would be flushed, or closed, twice


def start_copy(control_fd: int, main_fd: int) -> int | None:
    """Return the process id of a server that is a copy of this process, or None if there may be none.

    Parameters
    ----------
    control_fd, main_fd : the server's and main's end of the socket that main asks through.

    Raises
    ------
    OSError : the system has no room for another process.
    """
    if not has_nothing_of_the_script({control_fd, main_fd}):
        return None
    main_pid, collecting = os.getpid(), gc.isenabled()
    gc.disable()  # a collection in the copy would finalise what is the script's
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", DeprecationWarning
            )  # from Python 3.12 on: the threads are looked for below
            pid = os.fork()
        if pid == 0:
            _become_the_server(control_fd, main_pid)
    finally:
        if collecting:
            gc.enable()
    # OpenBLAS ends its threads before a fork, and starts them anew. What is here now are threads of others.
    if len(list(Path("/proc/self/task").iterdir())) > 1:
        os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):  # the script has children reaped by the system
            os.waitpid(pid, 0)
        return None
    return pid


def has_nothing_of_the_script(own_fds: set[int]) -> bool:
    """Say whether this process has nothing that workers could meet and should not.

    Parameters
    ----------
    own_fds : open files that are not the script's.
    """
    return (
        sys.platform == "linux"
        and threading.active_count() == 1
        and sys.gettrace() is sys.getprofile() is None
        and _resident_bytes() <= _MOST_MEMORY_BYTES
        and not any(_is_file_or_socket(fd) for fd in _open_files() if fd not in own_fds)
        and not has_memory_files()
        and all(map(_is_known, tuple(sys.modules.items())))
    )


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


def _open_files() -> Iterator[int]:
    """Yield the open files' numbers, without PROJ's database: PROJ opens that anew after a fork, and then closes it."""
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # that of the listing itself
            if int(entry.name) not in STANDARD_STREAMS and entry.readlink().name != "proj.db":
                yield int(entry.name)


def _is_file_or_socket(fd: int) -> bool:
    mode = os.fstat(fd).st_mode
    return stat.S_ISREG(mode) or stat.S_ISSOCK(mode)


def _is_known(item: tuple[str, types.ModuleType | None]) -> bool:
    """Say whether a module is one that the server would load itself, or Python's own."""
    name, module = item
    package = name.partition(".")[0]
    if package in _KNOWN_PACKAGES or package.startswith(_KNOWN_BEGINNINGS):
        return True
    file = getattr(module, "__file__", None)
    if file is None:
        return package in sys.stdlib_module_names
    # The script's folder may have a file with the name of one of Python's modules.
    return file.startswith(_PYTHONS_OWN) and not file.startswith(_INSTALLED)


def _become_the_server(control_fd: int, main_pid: int) -> NoReturn:
    try:
        gc.freeze()
        gc.enable()
        _have_the_files_of_a_server(control_fd)
        _forget_the_script()
        forkserver.main(control_fd, main_pid, preload=True)
    except BaseException:  # noqa: BLE001 - nothing of the script may go on here
        traceback.print_exc()
    finally:
        os._exit(1)


def _have_the_files_of_a_server(control_fd: int) -> None:
    forkserver.open_standard_streams()
    null_fd = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1):
        os.dup2(null_fd, fd)
    _kept.extend((sys.stdin, sys.stdout, sys.stderr, sys.__stdin__, sys.__stdout__, sys.__stderr__))
    for fd in tuple(_open_files()):
        if fd != control_fd:
            os.close(fd)
    sys.stdin = sys.__stdin__ = open(0, closefd=False)  # type: ignore[misc] # noqa: SIM115
    sys.stdout = sys.__stdout__ = open(1, "w", closefd=False)  # type: ignore[misc] # noqa: SIM115
    sys.stderr = sys.__stderr__ = open(2, "w", buffering=1, closefd=False)  # type: ignore[misc] # noqa: SIM115


def _forget_the_script() -> None:
    """Take back what the script may have set in Python and GDAL; what travels comes with each run (`processstate`)."""
    _kept.append(sys.modules["__main__"])
    sys.modules["__main__"] = types.ModuleType("__main__")
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    for logger in loggers:
        if isinstance(logger, logging.Logger):
            _kept.extend(logger.handlers)
            logger.handlers[:], logger.filters[:] = [], []
            logger.disabled, logger.propagate = False, True
            logger.setLevel(logging.WARNING if logger is logging.root else logging.NOTSET)
    logging.disable(logging.NOTSET)
    locale.setlocale(locale.LC_ALL, "C")
    with contextlib.suppress(locale.Error):
        locale.setlocale(locale.LC_CTYPE, "")
    forget_settings()
