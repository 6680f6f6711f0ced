"""GDAL's global state: exceptions, the block cache, threads and options."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from osgeo import gdal

if TYPE_CHECKING:
    from collections.abc import Iterator

_SMALLEST_CACHE_BYTES = 16 * 2**20


@dataclass
class _Users:
    """How many runs want exceptions now, and what the script had before the first of them."""

    depth: int = 0
    were_on: bool = False


_exceptions_lock = threading.Lock()
_exceptions_users = _Users()


@contextlib.contextmanager
def gdal_exceptions() -> Iterator[None]:
    """Have GDAL raise RuntimeError instead of returning None; put the caller's choice back afterwards."""
    with _exceptions_lock:  # runs may overlap, in threads of one script
        if _exceptions_users.depth == 0:
            _exceptions_users.were_on = bool(gdal.GetUseExceptions())
        _exceptions_users.depth += 1
        gdal.UseExceptions()
    try:
        yield
    finally:
        with _exceptions_lock:
            _exceptions_users.depth -= 1
            last = _exceptions_users.depth == 0
        if last and not _exceptions_users.were_on:
            # Before GDAL 3.7 this fails if the user function switched on another module's exceptions in the
            # meantime (they are a stack); then they stay on, which is what that function asked for.
            with contextlib.suppress(RuntimeError):
                gdal.DontUseExceptions()


def script_has_exceptions() -> bool:
    """Say whether the script had GDAL's exceptions on before the run, which is inside :func:`gdal_exceptions`."""
    return _exceptions_users.were_on


@contextlib.contextmanager
def exceptions_switched(on: bool) -> Iterator[None]:
    """Have GDAL's exceptions on or off, and then as they were.

    They stay on while other runs of this process are working: GDAL has one switch for all threads.
    """
    were_on = bool(gdal.GetUseExceptions())
    _switch_exceptions(on or _exceptions_users.depth > 1)
    try:
        yield
    finally:
        _switch_exceptions(were_on)


def _switch_exceptions(on: bool) -> None:
    if on:
        gdal.UseExceptions()
    else:
        with contextlib.suppress(RuntimeError):  # as in gdal_exceptions
            gdal.DontUseExceptions()


def ensure_exceptions() -> None:
    """Switch GDAL's exceptions on again, after code that may have switched them off."""
    gdal.UseExceptions()


@contextlib.contextmanager
def raising_what_is_reported() -> Iterator[None]:
    """Raise what ogr and osr only report inside; before GDAL 3.7 gdal's exceptions are not theirs.

    Raises
    ------
    RuntimeError : with GDAL's message.
    """
    gdal.ErrorReset()
    yield
    if gdal.GetLastErrorType() >= gdal.CE_Failure:
        raise RuntimeError(gdal.GetLastErrorMsg())


@contextlib.contextmanager
def closing() -> Iterator[None]:
    """Wrap the dropping of a dataset's last reference, and raise what GDAL only reports there.

    GDAL writes the rest of a file when its dataset is closed, which in Python is the destructor, and a
    destructor cannot raise: with exceptions on it would print "Exception ignored". They are off meanwhile, for
    all threads, so no worker may be running. ``Dataset.Close`` reports errors, but came with GDAL 3.8.

    Raises
    ------
    RuntimeError : GDAL could not write the rest.
    """
    with contextlib.suppress(RuntimeError):  # as in gdal_exceptions
        gdal.DontUseExceptions()
    gdal.ErrorReset()
    gdal.PushErrorHandler("CPLQuietErrorHandler")
    try:
        yield
    finally:
        gdal.PopErrorHandler()
        gdal.UseExceptions()
    if gdal.GetLastErrorType() >= gdal.CE_Failure:
        raise RuntimeError(gdal.GetLastErrorMsg())


def limit_gdal_resources(num_workers: int, cache_bytes: int) -> None:
    """Have GDAL leave room for the other workers on this machine.

    One thread: the workers together use all cores.

    And no more block cache than is of use. By default each process takes a twentieth of the machine's
    memory, which 64 workers do not have; and blocks that are seen once push out of the processor's cache what
    is needed again (5 % of a light run's time).

    Parameters
    ----------
    cache_bytes : what the work can use; never more than a share of the default is taken.
    """
    gdal.SetConfigOption("GDAL_NUM_THREADS", "1")
    gdal.SetCacheMax(min(gdal.GetCacheMax() // num_workers, max(cache_bytes, _SMALLEST_CACHE_BYTES)))


@contextlib.contextmanager
def thread_option(name: str, value: str) -> Iterator[None]:
    """Set a configuration option of GDAL for this thread, and put back what was there."""
    before = gdal.GetThreadLocalConfigOption(name)
    gdal.SetThreadLocalConfigOption(name, value)
    try:
        yield
    finally:
        gdal.SetThreadLocalConfigOption(name, before)
