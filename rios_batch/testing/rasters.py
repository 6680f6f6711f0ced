"""Tiny rasters: made, and read back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from osgeo import gdal, osr

from rios_batch.gdalapi import GDAL_TYPES, gdal_exceptions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rios_batch.model.spec import Array

ORIGIN = (500_000.0, 4_400_000.0)
PIXEL_M = 10.0


def utm_wkt(epsg: int = 32613) -> str:
    """Return the WKT of a projection; default UTM zone 13 north."""
    reference = osr.SpatialReference()
    reference.ImportFromEPSG(epsg)
    wkt: str = reference.ExportToWkt()
    return wkt


def make_raster(
    path: str | Path,
    pixels: Array,
    *,
    origin: tuple[float, float] | None = ORIGIN,
    pixel_size: float = PIXEL_M,
    geotransform: Sequence[float] | None = None,
    epsg: int | None = 32613,
    nodata: float | Sequence[float | None] | None = None,
    driver: str = "GTiff",
    options: Sequence[str] = (),
) -> str:
    """Write pixels of shape (bands, rows, cols), or (rows, cols), to a raster file; return its path.

    Parameters
    ----------
    origin : x and y of the top left corner in metres; None leaves the georeference out.
    pixel_size : side of a pixel in metres.
    geotransform : GDAL's six numbers, in place of ``origin`` and ``pixel_size``.
    epsg : code of the projection; None leaves it out.
    nodata : one value for all bands, or one for each.
    """
    pixels = pixels if pixels.ndim == 3 else pixels[None]
    nbands, nrows, ncols = pixels.shape
    values = [nodata] * nbands if nodata is None or isinstance(nodata, int | float) else list(nodata)
    with gdal_exceptions():
        dataset = gdal.GetDriverByName(driver).Create(
            str(path), ncols, nrows, nbands, GDAL_TYPES[pixels.dtype.name], list(options)
        )
        if geotransform is None and origin is not None:
            geotransform = (origin[0], pixel_size, 0.0, origin[1], 0.0, -pixel_size)
        if geotransform is not None:
            dataset.SetGeoTransform(list(geotransform))
        if epsg is not None:
            dataset.SetProjection(utm_wkt(epsg))
        for number, value in enumerate(values, start=1):
            if value is not None:
                dataset.GetRasterBand(number).SetNoDataValue(value)
        dataset.WriteArray(pixels)
        dataset.FlushCache()
        del dataset
    return str(path)


def read_raster(path: str | Path) -> Array:
    """Return a raster's pixels, of shape (bands, rows, cols)."""
    with gdal_exceptions():
        dataset = gdal.Open(str(path))
        pixels: Array = np.stack(
            [dataset.GetRasterBand(i + 1).ReadAsArray() for i in range(dataset.RasterCount)]
        )
    return pixels


def read_metadata(path: str | Path) -> list[dict[str, str]]:
    """Return the metadata items of each band."""
    with gdal_exceptions():
        dataset = gdal.Open(str(path))
        return [dataset.GetRasterBand(i + 1).GetMetadata() for i in range(dataset.RasterCount)]
