"""Vector files as inputs: one layer, rasterised on the working grid where it is needed.

What GDAL burns depends a little on the raster it burns into: vertices are rounded against its corner, lines
are clipped at its edges. So geometries are brought into pixels of the whole working grid first, and burned in
chunks of a lattice that starts at the grid's corner and does not know of windows and tiles.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from osgeo import gdal, ogr, osr

from rios_batch.errors import (
    FileOpenError,
    GridError,
    ParameterError,
    VectorAttributeError,
    VectorLayerError,
    VectorProjectionError,
    VectorRasterizationError,
)
from rios_batch.gdalapi import (
    GDAL_TYPES,
    nodata_or_none,
    raising_what_is_reported,
    reason,
    same_projection,
)
from rios_batch.model.grid import PixelWindow
from rios_batch.read.extents import reprojected, transformation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rios_batch.model.grid import PixelGridDefn
    from rios_batch.model.spec import Array, Burn, InputFile

CHUNK_PX = 256

# A straight edge of a geometry is a curve in another projection. Corners at this distance keep what is drawn within
# a few hundredths of a pixel of it.
STRAIGHT_PX = 32

# GDAL 3.11 has one driver for rasters and vectors in memory.
_VECTORS_IN_MEMORY = "MEM" if int(gdal.VersionInfo()) >= 3_110_000 else "Memory"  # noqa: PLR2004
# Burning needs one on both sides, or GDAL warns that it takes them for equal.
_PIXELS = osr.SpatialReference('LOCAL_CS["pixels of the working grid"]')


def check_vectors(file: InputFile, grid: PixelGridDefn) -> None:
    """Refuse, before any work is done, what no worker could rasterise.

    Raises
    ------
    VectorLayerError, VectorAttributeError, VectorProjectionError : the layer or attribute does not exist, or the
        layer cannot be brought onto the grid.
    ParameterError : the filter is not understood, or the type cannot hold a value.
    """
    assert file.burn is not None
    if file.dtype not in GDAL_TYPES or np.dtype(file.dtype).kind == "c":
        raise ParameterError(
            f"vectors cannot be rasterised to {file.dtype}; set another with setVectorDatatype"
        )
    for value, setter in ((file.nodata[0], "setVectorNull"), (file.burn.value, "setBurnValue")):
        if nodata_or_none(value, file.dtype) is None:
            raise ParameterError(
                f"{setter} is {value!r} for {file.name!r}, which {file.dtype} cannot hold; use setVectorDatatype"
            )
    _Layer(file, file.burn, grid)


class _Layer:
    """The features of a vector file that should be burned, in pixels of the working grid."""

    def __init__(self, file: InputFile, burn: Burn, grid: PixelGridDefn) -> None:
        self._name, self._burn, self._grid = file.name, burn, grid
        self._dataset, self.layer = _open_layer(file, burn.layer)
        if burn.attribute is not None and self.layer.FindFieldIndex(burn.attribute, True) < 0:
            definition = self.layer.GetLayerDefn()
            names = [definition.GetFieldDefn(i).GetName() for i in range(definition.GetFieldCount())]
            raise VectorAttributeError(
                f"layer {self.layer.GetName()!r} of {file.name!r} has no attribute {burn.attribute!r}; "
                f"it has {', '.join(map(repr, names)) or 'none'}"
            )
        self._set_filter()
        reference = self.layer.GetSpatialRef()
        self._projection = reference.ExportToWkt() if reference and grid.projection else grid.projection
        if grid.projection and reference is None:
            raise VectorProjectionError(f"layer {self.layer.GetName()!r} of {file.name!r} has no projection")
        self._to_grid, self._straight = None, 0.0
        if not same_projection(self._projection, grid.projection):
            self._to_grid = transformation(self._projection, grid.projection)
            self._straight = self._length_of(STRAIGHT_PX)
        self._to_pixels = _grid_to_pixels(grid)

    def _set_filter(self) -> None:
        if self._burn.where is None:
            return
        try:
            with raising_what_is_reported():
                self.layer.SetAttributeFilter(self._burn.where)
                self.layer.GetNextFeature()  # some drivers look at the condition only now
        except RuntimeError as error:
            raise ParameterError(
                f"setFilterSQL: {self._burn.where!r} is no condition for {self._name!r}: {reason(error)}"
            ) from error

    def _length_of(self, pixels: int) -> float:
        """Return how long so many pixels are in the layer's units; 0 where the grid has no image there."""
        middle = self._grid.window(self._grid.ncols // 2, self._grid.nrows // 2, pixels, pixels)
        try:
            extent = reprojected(middle.extent, self._projection)
        except GridError:
            return 0.0
        return min(extent.x_max - extent.x_min, extent.y_max - extent.y_min)

    def shapes(self, window: PixelWindow) -> list[tuple[int, ogr.Geometry, float]]:
        """Return feature number, geometry and value of all features that may touch a window, by number.

        The order decides which of two overlapping features is seen; a spatial index has another.
        """
        # Two pixels more, since what is drawn is not quite what the filter sees.
        around = window.grown(2)
        extent = self._grid.window(around.col, around.row, around.width, around.height).extent
        try:
            area = reprojected(extent, self._projection)
        except GridError:
            self.layer.SetSpatialFilter(None)
        else:
            self.layer.SetSpatialFilterRect(area.x_min, area.y_min, area.x_max, area.y_max)
        try:
            with raising_what_is_reported():
                found = list(self.layer)
        except RuntimeError as error:
            raise FileOpenError(
                f"input {self._name!r} cannot be read; it may be damaged: {reason(error)}"
            ) from error
        return list(self._shapes(sorted(found, key=lambda feature: int(feature.GetFID()))))

    def _shapes(self, features: list[ogr.Feature]) -> Iterator[tuple[int, ogr.Geometry, float]]:
        for feature in features:
            value = self._value(feature)
            geometry = feature.GetGeometryRef()
            if value is not None and geometry is not None and not geometry.IsEmpty():
                yield feature.GetFID(), self._in_pixels(geometry, feature.GetFID()), value

    def _value(self, feature: ogr.Feature) -> float | None:
        name = self._burn.attribute
        if name is None:
            return self._burn.value
        field = self.layer.FindFieldIndex(name, True)
        if not feature.IsFieldSetAndNotNull(field):
            return None
        try:
            return float(feature.GetField(field))
        except (TypeError, ValueError):
            raise VectorAttributeError(
                f"attribute {name!r} of feature {feature.GetFID()} of {self._name!r} is "
                f"{feature.GetField(field)!r}, which is not a number"
            ) from None

    def _in_pixels(self, geometry: ogr.Geometry, number: int) -> ogr.Geometry:
        shape = geometry.GetLinearGeometry()  # a copy; GDAL burns no curves
        if self._to_grid is not None:
            if self._straight:
                shape.Segmentize(self._straight)
            try:
                with raising_what_is_reported():
                    shape.Transform(self._to_grid)
            except RuntimeError as error:
                raise VectorProjectionError(
                    f"feature {number} of {self._name!r} cannot be brought into the projection of the working "
                    f"grid: {reason(error)}"
                ) from error
        shape.Transform(self._to_pixels)
        return shape


def _open_layer(file: InputFile, layer: str | int) -> tuple[gdal.Dataset, ogr.Layer]:
    try:
        dataset = gdal.OpenEx(file.path, gdal.OF_VECTOR)
    except RuntimeError as error:
        raise FileOpenError(f"input {file.name!r} cannot be opened as vectors: {reason(error)}") from error
    names = [dataset.GetLayer(i).GetName() for i in range(dataset.GetLayerCount())]
    number = names.index(layer) if layer in names else layer
    if not isinstance(number, int) or not 0 <= number < len(names):
        raise VectorLayerError(
            f"vector file {file.name!r} has no layer {layer!r}; it has {', '.join(map(repr, names))}, numbered from 0"
        )
    return dataset, dataset.GetLayer(number)


def _grid_to_pixels(grid: PixelGridDefn) -> osr.CoordinateTransformation:
    """Return the way from the grid's coordinates to columns and, counted upwards, rows."""
    options = osr.CoordinateTransformationOptions()
    options.SetOperation(
        f"+proj=affine +xoff={-grid.xMin / grid.xRes!r} +s11={1 / grid.xRes!r} "
        f"+yoff={-grid.yMax / grid.yRes!r} +s22={1 / grid.yRes!r}"
    )
    return osr.CoordinateTransformation(osr.SpatialReference(), osr.SpatialReference(), options)


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
    """

    def __init__(self, file: InputFile, grid: PixelGridDefn, width_px: int) -> None:
        assert file.burn is not None
        self._file, self._burn = file, file.burn
        self._layer = _Layer(file, file.burn, grid)
        self._chunks: OrderedDict[_Chunk, Array] = OrderedDict()
        self._most_chunks = 2 * (width_px // CHUNK_PX + 2)

    @property
    def features_read(self) -> int:
        """Number of features that were read from the file so far."""
        return int(self._layer.layer.GetFeaturesRead())

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
        raster.SetSpatialRef(_PIXELS)
        raster.WriteArray(pixels)
        vectors = gdal.GetDriverByName(_VECTORS_IN_MEMORY).Create("", 0, 0, 0, gdal.GDT_Unknown)
        layer = vectors.CreateLayer("shapes", _PIXELS)
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
