"""Vector files as inputs: one layer, rasterised on the working grid where it is needed.

What GDAL burns depends a little on the raster it burns into: vertices are rounded against its corner, lines
are clipped at its edges. So geometries are brought into pixels of the whole working grid first, and burned in
chunks of a lattice that starts at the grid's corner and does not know of windows and tiles.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from osgeo import gdal, ogr, osr

from rios_batch.errors import (
    FileOpenError,
    ParameterError,
    VectorRasterizationError,
)
from rios_batch.gdalapi import (
    GDAL_TYPES,
    nodata_or_none,
    reason,
)
from rios_batch.model.grid import PixelWindow
from rios_batch.read.layers import VectorLayer

if TYPE_CHECKING:
    from rios_batch.model.grid import PixelGridDefn
    from rios_batch.model.spec import Array, Burn, InputFile

CHUNK_PX = 256

# GDAL 3.11 has one driver for rasters and vectors in memory.
_VECTORS_IN_MEMORY = "MEM" if int(gdal.VersionInfo()) >= 3_110_000 else "Memory"  # noqa: PLR2004


@functools.cache
def _pixels() -> osr.SpatialReference:
    """Return a projection for both sides of burning, or GDAL would warn that it takes them for equal."""
    return osr.SpatialReference('LOCAL_CS["pixels of the working grid"]')


def check_vectors(file: InputFile, burn: Burn, dataset: gdal.Dataset, grid: PixelGridDefn) -> None:
    """Refuse, before any work is done, what no worker could rasterise.

    Parameters
    ----------
    dataset : the file, opened as vectors.

    Raises
    ------
    VectorLayerError, VectorAttributeError, VectorProjectionError : the layer or attribute does not exist, or the
        layer cannot be brought onto the grid.
    ParameterError : the filter is not understood, or the type cannot hold a value.
    """
    if file.dtype not in GDAL_TYPES or np.dtype(file.dtype).kind == "c":
        raise ParameterError(
            f"vectors cannot be rasterised to {file.dtype}; set another with setVectorDatatype"
        )
    for value, setter in ((file.nodata[0], "setVectorNull"), (burn.value, "setBurnValue")):
        if nodata_or_none(value, file.dtype) is None:
            raise ParameterError(
                f"{setter} is {value!r} for {file.name!r}, which {file.dtype} cannot hold; use setVectorDatatype"
            )
    VectorLayer(dataset, file.name, burn, grid)


@dataclass(frozen=True)
class _Chunk:
    """A square of the lattice, by its number from the working grid's corner."""

    x: int
    y: int

    @property
    def window(self) -> PixelWindow:
        return PixelWindow(self.x * CHUNK_PX, self.y * CHUNK_PX, CHUNK_PX, CHUNK_PX)


class Rasterizer:
    """Reads windows of a vector input. Not for use by two threads at once.

    Parameters
    ----------
    width_px : how wide the tiles are that windows come from, row by row; so many chunks are kept.

    Raises
    ------
    FileOpenError : GDAL cannot open the file as vectors.
    VectorLayerError, VectorAttributeError, VectorProjectionError : the file has changed since the run was planned.
    """

    def __init__(self, file: InputFile, burn: Burn, grid: PixelGridDefn, width_px: int) -> None:
        self._file, self._burn = file, burn
        self._layer = VectorLayer(_opened(file), file.name, burn, grid)
        self._chunks: OrderedDict[_Chunk, Array] = OrderedDict()
        self._most_chunks = 2 * (width_px // CHUNK_PX + 2)

    def read(self, window: PixelWindow) -> Array:
        """Return a window of the working grid, which may reach outside it, of shape (1, rows, cols)."""
        block = np.empty((1, window.height, window.width), self._file.dtype)
        columns = range(window.col // CHUNK_PX, (window.end_col - 1) // CHUNK_PX + 1)
        rows = range(window.row // CHUNK_PX, (window.end_row - 1) // CHUNK_PX + 1)
        for y, x in product(rows, columns):
            chunk = _Chunk(x, y)
            source, target = _overlap(chunk.window, window)
            block[0][target] = self._pixels(chunk)[source]
        return block

    def _pixels(self, chunk: _Chunk) -> Array:
        if chunk not in self._chunks:
            self._chunks[chunk] = self._burned(chunk)
            if len(self._chunks) > self._most_chunks:
                self._chunks.popitem(last=False)
        self._chunks.move_to_end(chunk)
        return self._chunks[chunk]

    def _burned(self, chunk: _Chunk) -> Array:
        window = chunk.window
        pixels = np.full((window.height, window.width), self._file.nodata[0], self._file.dtype)
        shapes = self._layer.shapes(window)
        if not shapes:
            return pixels
        raster = gdal.GetDriverByName("MEM").Create(
            "", window.width, window.height, 1, GDAL_TYPES[self._file.dtype]
        )
        raster.SetGeoTransform((window.col, 1, 0, -window.row, 0, -1))
        raster.SetSpatialRef(_pixels())
        raster.WriteArray(pixels)
        vectors = gdal.GetDriverByName(_VECTORS_IN_MEMORY).Create("", 0, 0, 0, gdal.GDT_Unknown)
        layer = vectors.CreateLayer("shapes", _pixels())
        layer.CreateField(ogr.FieldDefn("value", ogr.OFTReal))
        for number, geometry, value in shapes:
            self._check(number, value)
            feature = ogr.Feature(layer.GetLayerDefn())
            feature.SetField(0, value)
            feature.SetGeometryDirectly(geometry)
            layer.CreateFeature(feature)
        options = ["ATTRIBUTE=value", f"ALL_TOUCHED={self._burn.all_touched}".upper()]
        gdal.RasterizeLayer(raster, [1], layer, options=options)
        burned: Array = raster.ReadAsArray()
        return burned

    def _check(self, number: int, value: float) -> None:
        if nodata_or_none(value, self._file.dtype) is None:
            raise VectorRasterizationError(
                f"attribute {self._burn.attribute!r} of feature {number} of {self._file.name!r} is {value:.17g}, "
                f"which {self._file.dtype} cannot hold; use setVectorDatatype"
            )


def _opened(file: InputFile) -> gdal.Dataset:
    try:
        return gdal.OpenEx(file.path, gdal.OF_VECTOR)
    except RuntimeError as error:
        raise FileOpenError(f"input {file.name!r} cannot be opened as vectors: {reason(error)}") from error


def _overlap(one: PixelWindow, other: PixelWindow) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return what two windows have in common, as rows and columns of each."""
    col, end_col = max(one.col, other.col), min(one.end_col, other.end_col)
    row, end_row = max(one.row, other.row), min(one.end_row, other.end_row)

    def within(window: PixelWindow) -> tuple[slice, slice]:
        return (
            slice(row - window.row, end_row - window.row),
            slice(col - window.col, end_col - window.col),
        )

    return within(one), within(other)
