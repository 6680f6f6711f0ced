"""What GDAL says of types, nodata values, projections and files, in the project's own terms."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from osgeo import gdal, osr

from rios_batch.errors import ParameterError, TypeConversionError

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def dataset_files(path: str, dataset: gdal.Dataset | None = None) -> tuple[str, ...]:
    """Return the name of every file that a dataset consists of, wherever it lies, as far as GDAL says.

    Parameters
    ----------
    path : what GDAL opens.
    dataset : the same, if it is open.
    """
    dataset = dataset or gdal.OpenEx(path)
    # Of an array in a Zarr GDAL names no files; of a whole one it names the folder.
    names = {path, *re.findall(r'"([^"]+)"', path), *(dataset.GetFileList() or [])}
    for name in [name for name in names if not name.startswith("/vsi")]:
        if (stat := gdal.VSIStatL(name)) and stat.IsDirectory():
            names |= set(map(str, Path(name).rglob("*")))
    return tuple(sorted(os.path.abspath(name) if os.path.exists(name) else name for name in names))  # noqa: PTH100, PTH110 - names of GDAL's own are no paths


def file_stamp(name: str) -> tuple[int, ...] | None:
    """Return what changes when a file does: size in bytes, times in ns and inode; elsewhere size, and time in s.

    None stands for what is no file.
    """
    if name.startswith("/vsi"):
        remote = gdal.VSIStatL(name)
        return None if remote is None else (remote.size, remote.mtime)
    try:
        stat = os.stat(name)  # noqa: PTH116 - names of GDAL's own are no paths
    except (OSError, ValueError):
        return None
    return (stat.st_size, stat.st_mtime_ns, stat.st_ino, stat.st_ctime_ns)


def dataset_stamps(path: str, files: Sequence[str] = ()) -> list[tuple[str, tuple[int, ...]]]:
    """Return the stamp of every file that a dataset consists of, by name.

    Parameters
    ----------
    files : these files, if they are known; else the dataset is opened.
    """
    found = ((name, file_stamp(name)) for name in files or dataset_files(path))
    return [(name, stamp) for name, stamp in found if stamp is not None]


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


def same_projection(wkt: str, other_wkt: str) -> bool:
    """Say whether two WKT texts mean one projection; none at all is the same only as none."""
    if wkt == other_wkt:
        return True
    if not wkt or not other_wkt:
        return False
    return bool(osr.SpatialReference(wkt).IsSame(osr.SpatialReference(other_wkt)))


def is_wkt(text: str) -> bool:
    """Say whether a text is empty, or WKT of a projection."""
    if not text:
        return True
    projection = osr.SpatialReference()
    try:
        return int(projection.ImportFromWkt(text)) == 0
    except RuntimeError:
        return False


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
