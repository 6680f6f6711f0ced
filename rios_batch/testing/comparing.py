"""Two rasters that should be the same, bit for bit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from osgeo import gdal

from rios_batch.gdalapi import gdal_exceptions, reason, same_projection

if TYPE_CHECKING:
    from rios_batch.model.spec import Array

_ROWS = 256  # read at a time


def difference(there: str, here: str) -> str:
    """Return what differs first between two rasters, in words; an empty text if nothing does.

    Size, bands, types, nodata values, grid and all pixels are compared. Of pixels the bits are compared, so that a NaN
    is the same as itself.

    Parameters
    ----------
    there, here : what AWS Batch and one process have made of the same output.
    """
    with gdal_exceptions():
        try:
            first, second = gdal.Open(there), gdal.Open(here)
        except RuntimeError as error:
            return f"cannot be opened: {reason(error)}"
        for what, values in _facts(first, second).items():
            if values[0] != values[1]:
                return f"{what}: {_told(*values)}"
        if not same_projection(first.GetProjection(), second.GetProjection()):
            return f"projection: {_told(first.GetProjection(), second.GetProjection())}"
        for number in range(1, first.RasterCount + 1):
            if found := _band_difference(first.GetRasterBand(number), second.GetRasterBand(number)):
                return f"band {number}, {found}"
    return ""


def _facts(first: gdal.Dataset, second: gdal.Dataset) -> dict[str, tuple[Any, Any]]:
    datasets = (first, second)
    bands = [[one.GetRasterBand(number + 1) for number in range(one.RasterCount)] for one in datasets]

    def both(values: list[Any]) -> tuple[Any, Any]:
        return values[0], values[1]

    return {
        "columns and rows": both([(one.RasterXSize, one.RasterYSize) for one in datasets]),
        "bands": both([one.RasterCount for one in datasets]),
        "types": both([[gdal.GetDataTypeName(band.DataType) for band in of] for of in bands]),
        "nodata values": both([[repr(band.GetNoDataValue()) for band in of] for of in bands]),
        "geotransform": both([one.GetGeoTransform() for one in datasets]),
    }


def _band_difference(band: gdal.Band, other: gdal.Band) -> str:
    for row in range(0, band.YSize, _ROWS):
        rows = min(_ROWS, band.YSize - row)
        there, here = band.ReadAsArray(0, row, band.XSize, rows), other.ReadAsArray(0, row, band.XSize, rows)
        unlike = _bits(here) != _bits(there)
        if unlike.any():
            y, x = (int(number) for number in np.argwhere(unlike.any(axis=2))[0])
            return f"row {row + y}, column {x}: {_told(there[y, x].item(), here[y, x].item())}"
    return ""


def _told(there: Any, here: Any) -> str:
    return f"{there!r} on AWS Batch, {here!r} in one process"


def _bits(pixels: Array) -> Array:
    """Return the bytes of each pixel, of shape (rows, cols, bytes)."""
    return np.ascontiguousarray(pixels).view(np.uint8).reshape(*pixels.shape, -1)
