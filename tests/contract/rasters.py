"""Tiny rasters for the contract tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from osgeo import gdal, osr

from rios_batch.raster.gdalapi import gdal_type

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from rios_batch.jobspec import Array


def write_raster(
    path: str | os.PathLike[str],
    pixels: Array,
    *,
    origin: tuple[float, float] = (500_000.0, 6_000_000.0),
    pixel_size: float = 10.0,
    nodata: Sequence[float] = (),
    epsg: int = 32755,
) -> None:
    """Write an array of shape (bands, rows, cols) as a GeoTIFF."""
    nbands, rows, cols = pixels.shape
    dataset = gdal.GetDriverByName("GTiff").Create(
        str(path), cols, rows, nbands, gdal_type(pixels.dtype.name), ["TILED=YES"]
    )
    dataset.SetGeoTransform((origin[0], pixel_size, 0, origin[1], 0, -pixel_size))
    projection = osr.SpatialReference()
    projection.ImportFromEPSG(epsg)
    dataset.SetProjection(projection.ExportToWkt())
    for number, value in enumerate(nodata, start=1):
        dataset.GetRasterBand(number).SetNoDataValue(value)
    dataset.WriteArray(pixels)


def pixels_of(path: str | os.PathLike[str]) -> Array:
    """Return all pixels, always of shape (bands, rows, cols)."""
    dataset = gdal.Open(str(path))
    array: Any = dataset.ReadAsArray()
    shaped: Array = array.reshape(dataset.RasterCount, dataset.RasterYSize, dataset.RasterXSize)
    return shaped
