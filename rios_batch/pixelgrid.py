# ruff: noqa: N802 - RIOS's names
"""RIOS's module name for pixel grids: ``from rios_batch import pixelgrid``."""

from __future__ import annotations

import os

from rios_batch.grid import BOUNDS_FROM_REFERENCE, INTERSECTION, UNION, PixelGridDefn
from rios_batch.raster.gdalapi import gdal_exceptions
from rios_batch.raster.sources import describe

__all__ = ["BOUNDS_FROM_REFERENCE", "INTERSECTION", "UNION", "PixelGridDefn", "pixelGridFromFile"]


def pixelGridFromFile(filename: str | os.PathLike[str]) -> PixelGridDefn:
    """Return the pixel grid of a raster file.

    Raises
    ------
    FileOpenError : the file does not exist or is not a raster.
    GridError : it is rotated or south-up.
    """
    with gdal_exceptions():
        return describe(os.fspath(filename)).grid
