"""Where rasters lie in each other's projections, and what they have in common."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

from osgeo import osr

from rios_batch.errors import GridError
from rios_batch.gdalapi import raising_what_is_reported, reason, same_projection
from rios_batch.model.grid import BOUNDS_FROM_REFERENCE, INTERSECTION, Extent, common_grid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rios_batch.model.grid import AnyGrid

# Straight edges become curves in another projection. With so many points on each, the bounds are found to
# a hundredth of a pixel for rasters of any usual size.
POINTS_PER_EDGE = 101

LONGITUDE_LATITUDE = osr.SRS_WKT_WGS84_LAT_LONG


def spatial_reference(projection: str) -> osr.SpatialReference:
    """Return GDAL's object for a projection, with x before y whatever the authority says."""
    reference = osr.SpatialReference(projection)
    reference.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    return reference


@functools.cache
def wkt_of(text: str, whose: str) -> str:
    """Return a projection as WKT.

    Parameters
    ----------
    text : a code such as ``EPSG:32633``, WKT, or PROJJSON.
    whose : what has the projection; errors speak of it.

    Raises
    ------
    GridError : PROJ does not know the projection.
    """
    reference = osr.SpatialReference()
    try:
        with raising_what_is_reported():
            reference.SetFromUserInput(text)
        return str(reference.ExportToWkt())
    except RuntimeError as error:
        raise GridError(
            f"the projection of {whose}, {text!r}, is not known to PROJ: {reason(error)}"
        ) from error


def transformation(projection: str, other: str) -> osr.CoordinateTransformation:
    """Return the way from one projection to another.

    Raises
    ------
    GridError : one of them is missing, or PROJ knows no way.
    """
    if not projection or not other:
        raise GridError("one has a projection and the other has none, so they cannot be related")
    try:
        with raising_what_is_reported():
            return osr.CoordinateTransformation(spatial_reference(projection), spatial_reference(other))
    except RuntimeError as error:
        raise GridError(f"PROJ knows no way between the projections: {reason(error)}") from error


def reprojected(extent: Extent, projection: str) -> Extent:
    """Return the bounds of an extent in another projection, found along its curved edges.

    Raises
    ------
    GridError : the extent has no image in that projection, such as the whole globe in a UTM zone.
    """
    if same_projection(extent.projection, projection):
        return Extent(extent.x_min, extent.y_min, extent.x_max, extent.y_max, projection)
    there = transformation(extent.projection, projection)
    try:
        with raising_what_is_reported():
            bounds = there.TransformBounds(
                extent.x_min, extent.y_min, extent.x_max, extent.y_max, POINTS_PER_EDGE
            )
    except RuntimeError as error:
        raise GridError(f"its extent has no image there: {reason(error)}") from error
    if not all(map(math.isfinite, bounds)) or bounds[0] >= bounds[2] or bounds[1] >= bounds[3]:
        raise GridError("its extent has no image there")
    x_min, y_min, x_max, y_max = bounds
    return Extent(x_min, y_min, x_max, y_max, projection)


def greatest_shift(extent: Extent, projection: str) -> float:
    """Return how far coordinates of an extent differ in another projection, in the extent's units.

    The result is infinite if a point has no coordinates there.
    """
    try:
        there = transformation(extent.projection, projection)
    except GridError:
        return math.inf
    steps = [i / (POINTS_PER_EDGE - 1) for i in range(0, POINTS_PER_EDGE, 10)]
    points = [
        (extent.x_min + i * (extent.x_max - extent.x_min), extent.y_min + j * (extent.y_max - extent.y_min))
        for i in steps
        for j in steps
    ]
    shifts = [
        max(abs(x - x_there), abs(y - y_there))
        for (x, y), (x_there, y_there, _) in zip(points, there.TransformPoints(points), strict=True)
    ]
    return max(shifts) if all(map(math.isfinite, shifts)) else math.inf


def surrounds(extent: Extent, inner: Extent) -> bool:
    """Say whether ``inner``, seen in the projection of ``extent``, lies inside it."""
    try:
        return extent.contains(reprojected(inner, extent.projection))
    except GridError:
        return False


def common_region(reference: AnyGrid, extents: Sequence[Extent], footprint: int) -> AnyGrid:
    """Combine extents, of any projections, into a grid on the lattice of ``reference``.

    Parameters
    ----------
    footprint : INTERSECTION or UNION of ``extents``, or BOUNDS_FROM_REFERENCE.

    Raises
    ------
    IntersectionError : INTERSECTION, and no pixel is common to all extents.
    GridError : an extent has no image in the reference's projection.
    """
    if footprint == BOUNDS_FROM_REFERENCE or not extents:
        return reference
    near: list[Extent] = []
    far: list[Extent] = []
    for extent in extents:
        (near if same_projection(extent.projection, reference.projection) else far).append(extent)
    grids = [reference.snapped(extent) for extent in near]
    if not near and footprint == INTERSECTION:
        far.sort(key=_size_on_the_globe)
    if not near:
        grids.append(reference.snapped(reprojected(far.pop(0), reference.projection)))
    region = common_grid(reference, grids, footprint)
    for extent in far:
        # A map of the world limits no intersection, and has no image in most projections.
        if footprint == INTERSECTION and surrounds(extent, region.extent):
            continue
        grids.append(reference.snapped(reprojected(extent, reference.projection)))
        region = common_grid(reference, grids, footprint)
    return region


def _size_on_the_globe(extent: Extent) -> float:
    try:
        return reprojected(extent, LONGITUDE_LATITUDE).size
    except GridError:
        return math.inf
