"""GDAL's global state and types, in one place."""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING

import numpy as np
from osgeo import gdal, osr

from rios_batch.errors import TypeConversionError

if TYPE_CHECKING:
    from collections.abc import Iterator

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


def numpy_name(band: gdal.Band) -> str:
    """Return the numpy type of a band's pixels."""
    name: str = _NUMPY_NAMES[band.DataType]
    # Before GDAL 3.7 signed bytes are marked by metadata; numpy must not see 255 for -1.
    if name == "uint8" and band.GetMetadataItem("PIXELTYPE", "IMAGE_STRUCTURE") == "SIGNEDBYTE":
        return "int8"
    return name


@contextlib.contextmanager
def gdal_exceptions() -> Iterator[None]:
    """Have GDAL raise RuntimeError instead of returning None; put the caller's choice back afterwards."""
    was_on = gdal.GetUseExceptions()
    gdal.UseExceptions()
    try:
        yield
    finally:
        if not was_on:
            # Before GDAL 3.7 this fails if the user function switched on another module's exceptions in the
            # meantime (they are a stack); then they stay on, which is what that function asked for.
            with contextlib.suppress(RuntimeError):
                gdal.DontUseExceptions()


def use_one_thread() -> None:
    """Keep GDAL from using its pool of threads in this process, for reading and for encoding.

    A forked process inherits the pool of its parent, if there is one, without the threads: whoever hands it
    work waits for ever. Also, workers are already as many as they should be.
    """
    gdal.SetConfigOption("GDAL_NUM_THREADS", "1")


@contextlib.contextmanager
def memory_folder() -> Iterator[str]:
    """Give a folder of GDAL's in-memory file system, and empty it afterwards."""
    folder = f"/vsimem/rios_batch-{uuid.uuid4().hex}"
    try:
        yield folder
    finally:
        for name in gdal.ReadDirRecursive(folder) or []:
            gdal.Unlink(f"{folder}/{name}")


def memory_file(path: str) -> memoryview:
    """Return the content of a file in GDAL's in-memory file system, without copying it.

    The view is valid until the file is removed; whoever keeps a part of it makes a copy.
    """
    view: memoryview = gdal.VSIGetMemFileBuffer_unsafe(path)
    return view


def reason(error: RuntimeError) -> str:
    """Return GDAL's message without line breaks."""
    return " ".join(str(error).split()) or "GDAL gives no reason"


def same_projection(wkt: str, other_wkt: str) -> bool:
    """Say whether two WKT texts mean one projection; none at all is the same only as none."""
    if wkt == other_wkt:
        return True
    if not wkt or not other_wkt:
        return False
    return bool(osr.SpatialReference(wkt).IsSame(osr.SpatialReference(other_wkt)))


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
    """Wrap the dropping of a dataset's last reference, and raise what GDAL only prints there.

    GDAL writes the last blocks and the directory when a dataset is closed, which in Python is the
    destructor, and a destructor cannot raise. ``Dataset.Close`` reports errors, but came with GDAL 3.8.

    Raises
    ------
    RuntimeError : GDAL could not write the rest.
    """
    gdal.ErrorReset()
    gdal.PushErrorHandler("CPLQuietErrorHandler")
    try:
        yield
    finally:
        gdal.PopErrorHandler()
    if gdal.GetLastErrorType() >= gdal.CE_Failure:
        raise RuntimeError(gdal.GetLastErrorMsg())
