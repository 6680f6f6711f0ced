"""One layer of a vector file: its features in pixels of the working grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osgeo import gdal, ogr, osr

from rios_batch.errors import (
    FileOpenError,
    GridError,
    ParameterError,
    VectorAttributeError,
    VectorLayerError,
    VectorProjectionError,
)
from rios_batch.gdalapi import raising_what_is_reported, reason, same_projection
from rios_batch.read.extents import reprojected, transformation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rios_batch.model.grid import PixelGridDefn, PixelWindow
    from rios_batch.model.spec import Burn

# A straight edge of a geometry is a curve in another projection. Corners at this distance keep what is drawn within
# a few hundredths of a pixel of it.
STRAIGHT_PX = 32


class VectorLayer:
    """The features of a vector file that should be burned, in pixels of the working grid.

    Parameters
    ----------
    dataset : the file, opened as vectors.
    name : what the script calls the file; errors speak of it.

    Raises
    ------
    VectorLayerError, VectorAttributeError, VectorProjectionError : the layer or attribute does not exist, or the
        layer cannot be brought onto the grid.
    ParameterError : the filter is not understood.
    """

    def __init__(self, dataset: gdal.Dataset, name: str, burn: Burn, grid: PixelGridDefn) -> None:
        self._name, self._burn, self._grid = name, burn, grid
        self._dataset = dataset  # GDAL's layer is gone with its dataset
        self._layer = _find_layer(dataset, name, burn.layer)
        if burn.attribute is not None and self._layer.FindFieldIndex(burn.attribute, True) < 0:
            definition = self._layer.GetLayerDefn()
            names = [definition.GetFieldDefn(i).GetName() for i in range(definition.GetFieldCount())]
            raise VectorAttributeError(
                f"layer {self._layer.GetName()!r} of {name!r} has no attribute {burn.attribute!r}; "
                f"it has {', '.join(map(repr, names)) or 'none'}"
            )
        self._set_filter()
        reference = self._layer.GetSpatialRef()
        self._projection = reference.ExportToWkt() if reference and grid.projection else grid.projection
        if grid.projection and reference is None:
            raise VectorProjectionError(f"layer {self._layer.GetName()!r} of {name!r} has no projection")
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
                self._layer.SetAttributeFilter(self._burn.where)
                self._layer.GetNextFeature()  # some drivers look at the condition only now
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
            self._layer.SetSpatialFilter(None)
        else:
            self._layer.SetSpatialFilterRect(area.x_min, area.y_min, area.x_max, area.y_max)
        try:
            with raising_what_is_reported():
                found = list(self._layer)
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
        field = self._layer.FindFieldIndex(name, True)
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


def open_vectors(path: str) -> gdal.Dataset | None:
    """Open a file as vectors; return None if GDAL cannot, or if it has no layer."""
    try:
        dataset = gdal.OpenEx(path, gdal.OF_VECTOR)
    except RuntimeError:
        return None
    return dataset if dataset.GetLayerCount() else None


def _find_layer(dataset: gdal.Dataset, name: str, layer: str | int) -> ogr.Layer:
    names = [dataset.GetLayer(i).GetName() for i in range(dataset.GetLayerCount())]
    number = names.index(layer) if layer in names else layer
    if not isinstance(number, int) or not 0 <= number < len(names):
        raise VectorLayerError(
            f"vector file {name!r} has no layer {layer!r}; it has {', '.join(map(repr, names))}, numbered from 0"
        )
    return dataset.GetLayer(number)


def _grid_to_pixels(grid: PixelGridDefn) -> osr.CoordinateTransformation:
    """Return the way from the grid's coordinates to columns and, counted upwards, rows."""
    options = osr.CoordinateTransformationOptions()
    options.SetOperation(
        f"+proj=affine +xoff={-grid.xMin / grid.xRes!r} +s11={1 / grid.xRes!r} "
        f"+yoff={-grid.yMax / grid.yRes!r} +s22={1 / grid.yRes!r}"
    )
    return osr.CoordinateTransformation(osr.SpatialReference(), osr.SpatialReference(), options)
