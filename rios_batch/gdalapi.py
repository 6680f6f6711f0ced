"""GDAL's global state and types, in one place."""

from __future__ import annotations

import contextlib
import re
import threading
import uuid
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from osgeo import gdal, osr

from rios_batch.errors import ParameterError, TypeConversionError

SMALLEST_CACHE_BYTES = 16 * 2**20

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rios_batch.model.spec import Array

# int8 came with GDAL 3.7, 64-bit integers with 3.5.
_GDAL_NAMES = {
    "uint8": "GDT_Byte",
    "int8": "GDT_Int8",
    "uint16": "GDT_UInt16",
    "int16": "GDT_Int16",
    "uint32": "GDT_UInt32",
    "int32": "GDT_Int32",
    "uint64": "GDT_UInt64",
    "int64": "GDT_Int64",
    "float32": "GDT_Float32",
    "float64": "GDT_Float64",
    "complex64": "GDT_CFloat32",
    "complex128": "GDT_CFloat64",
}
GDAL_TYPES: dict[str, int] = {
    name: getattr(gdal, constant) for name, constant in _GDAL_NAMES.items() if hasattr(gdal, constant)
}
_NUMPY_NAMES = {code: name for name, code in GDAL_TYPES.items()} | {
    gdal.GDT_CInt16: "complex64",  # numpy has no complex integers; GDAL itself reads them as complex64
    gdal.GDT_CInt32: "complex64",
}


def gdal_version() -> str:
    """Return GDAL's version, such as ``3.6.2``."""
    return str(gdal.VersionInfo("RELEASE_NAME"))


def dataset_stamps(path: str) -> list[tuple[str, int, int]]:
    """Return name, size in bytes and time of change of every file that a dataset consists of, wherever it lies."""
    dataset = gdal.OpenEx(path)
    # Of an array in a Zarr GDAL names no files; of a whole one it names the folder.
    names = {path, *re.findall(r'"([^"]+)"', path), *(dataset.GetFileList() or [])}
    for name in [name for name in names if not name.startswith("/vsi")]:
        if (stat := gdal.VSIStatL(name)) and stat.IsDirectory():
            names |= set(map(str, Path(name).rglob("*")))
    found = ((name, gdal.VSIStatL(name)) for name in sorted(names))
    return [(name, stat.size, stat.mtime) for name, stat in found if stat is not None]


def gdal_type(dtype_name: str) -> int:
    """Return GDAL's code for a numpy type.

    Raises
    ------
    TypeConversionError : this GDAL cannot write the type; names those it can.
    """
    try:
        return GDAL_TYPES[dtype_name]
    except KeyError:
        raise TypeConversionError(
            f"GDAL {gdal.VersionInfo('RELEASE_NAME')} cannot write {dtype_name}; "
            f"use .astype() with one of {', '.join(GDAL_TYPES)}"
        ) from None


def buffer_type(dtype_name: str) -> int:
    """Return GDAL's code for reading into an array that is then viewed as a numpy type."""
    return int(
        GDAL_TYPES.get(dtype_name, gdal.GDT_Byte)
    )  # int8 before GDAL 3.7: bytes, with the sign in metadata


def numpy_name(band: gdal.Band) -> str:
    """Return the numpy type of a band's pixels."""
    name: str = _NUMPY_NAMES[band.DataType]
    # Before GDAL 3.7 signed bytes are marked by metadata; numpy must not see 255 for -1.
    if name == "uint8" and band.GetMetadataItem("PIXELTYPE", "IMAGE_STRUCTURE") == "SIGNEDBYTE":
        return "int8"
    return name


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


def limit_gdal_resources(num_workers: int, cache_bytes: int) -> None:
    """Have GDAL leave room for the other workers on this machine.

    One thread: a forked process inherits the thread pool of its parent, if there is one, without the
    threads, and whoever hands it work waits for ever.

    And no more block cache than is of use. By default each process takes a twentieth of the machine's
    memory, which 64 workers do not have; and blocks that are seen once push out of the processor's cache what
    is needed again (5 % of a light run's time).

    Parameters
    ----------
    cache_bytes : what the work can use; never more than a share of the default is taken.
    """
    gdal.SetConfigOption("GDAL_NUM_THREADS", "1")
    gdal.SetCacheMax(min(gdal.GetCacheMax() // num_workers, max(cache_bytes, SMALLEST_CACHE_BYTES)))


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
def thread_option(name: str, value: str) -> Iterator[None]:
    """Set a configuration option of GDAL for this thread, and put back what was there."""
    before = gdal.GetThreadLocalConfigOption(name)
    gdal.SetThreadLocalConfigOption(name, value)
    try:
        yield
    finally:
        gdal.SetThreadLocalConfigOption(name, before)


class MemoryFolder:
    """A folder of GDAL's in-memory file system; as a context manager it is emptied at the end."""

    def __init__(self) -> None:
        self.path = f"/vsimem/rios_batch-{uuid.uuid4().hex}"

    def __enter__(self) -> str:
        return self.path

    def __exit__(self, *_: object) -> None:
        self.remove()

    def remove(self) -> None:
        """Remove every file; harmless when they are gone."""
        for name in gdal.ReadDirRecursive(self.path) or []:
            gdal.Unlink(f"{self.path}/{name}")

    def remove_after(self, array: Array) -> None:
        """Remove the files when ``array``, which looks into one of them, is no longer used."""
        weakref.finalize(array, self.remove)


def memory_file(path: str) -> memoryview:
    """Return the content of a file in GDAL's in-memory file system, without copying it.

    The view is valid until the file is removed; whoever keeps a part of it makes a copy.
    """
    view: memoryview = gdal.VSIGetMemFileBuffer_unsafe(path)
    return view


def reason(error: Exception) -> str:
    """Return GDAL's message without line breaks, and without the names of files in memory."""
    text = re.sub(r"/vsimem/rios_batch-\w+/[\w.]+(: )?", "", str(error))
    return " ".join(text.split()) or "GDAL gives no reason"


def same_projection(wkt: str, other_wkt: str) -> bool:
    """Say whether two WKT texts mean one projection; none at all is the same only as none."""
    if wkt == other_wkt:
        return True
    if not wkt or not other_wkt:
        return False
    return bool(osr.SpatialReference(wkt).IsSame(osr.SpatialReference(other_wkt)))


def set_nodata(dataset: gdal.Dataset, value: float, dtype_name: str) -> None:
    """Set the nodata value of all bands.

    Raises
    ------
    ParameterError : it is a 64-bit integer type that cannot hold the value. GDAL keeps the values of all
        other types as float64 and takes any.
    """
    is_64_bit = dtype_name in ("int64", "uint64")
    if is_64_bit and nodata_or_none(value, dtype_name) is None:
        raise ParameterError(
            f"nodata value {value!r} is not one of {dtype_name}; set another with setStatsIgnore"
        )
    for number in range(1, dataset.RasterCount + 1):
        dataset.GetRasterBand(number).SetNoDataValue(int(value) if is_64_bit else float(value))


def nodata_or_none(value: float | None, dtype_name: str) -> float | None:
    """Return a nodata value if the type can hold it; GDAL's files may name one that it cannot."""
    if value is None:
        return None
    dtype = np.dtype(dtype_name)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return (
            value
            if np.isfinite(value) and value == int(value) and limits.min <= value <= limits.max
            else None
        )
    return value


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
