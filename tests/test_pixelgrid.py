from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from osgeo import osr

from rios_batch.errors import GridError, IntersectionError, ResampleNeededError
from rios_batch.model.grid import Extent
from rios_batch.model.grid import PixelGridDefn as PlainGrid
from rios_batch.pixelgrid import (
    BOUNDS_FROM_REFERENCE,
    INTERSECTION,
    UNION,
    PixelGridDefn,
    findCommonRegion,
    pixelGridFromFile,
    removeSurrounding,
    roundAway,
)
from rios_batch.read.extents import reprojected
from tests.support import make_raster, ramp, utm_wkt

if TYPE_CHECKING:
    from pathlib import Path

LONGLAT = osr.SRS_WKT_WGS84_LAT_LONG
ZONE_13 = PixelGridDefn((499_980.0, 30.0, 0.0, 4_400_010.0, 0.0, -30.0), 900, 900, utm_wkt())
ZONE_12 = PixelGridDefn((0.0, 30.0, 0.0, 0.0, 0.0, -30.0), 1, 1, utm_wkt(32612))
WORLD = PixelGridDefn((-180.0, 0.25, 0.0, 90.0, 0.0, -0.25), 720, 1440, LONGLAT)


def pixel_corners(grid: PixelGridDefn) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return x and y of all pixel corners on the outline of a grid."""
    x = grid.xMin + np.arange(grid.ncols + 1) * grid.xRes
    y = grid.yMax - np.arange(grid.nrows + 1) * grid.yRes
    top, bottom = np.full_like(x, grid.yMax), np.full_like(x, grid.yMin)
    left, right = np.full_like(y, grid.xMin), np.full_like(y, grid.xMax)
    return np.column_stack([np.concatenate([x, x, left, right]), np.concatenate([top, bottom, y, y])])


# Conic meridians and parallels: the middle of the southern edge lies farther south than its corners.
def test_bounds_are_found_along_curved_edges() -> None:
    source, target = osr.SpatialReference(), osr.SpatialReference()
    source.ImportFromWkt(LONGLAT)
    target.ImportFromEPSG(5070)
    for reference in (source, target):
        reference.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    states = PixelGridDefn((-125.0, 0.01, 0.0, 49.0, 0.0, -0.01), 2400, 5800, LONGLAT)
    there = osr.CoordinateTransformation(source, target)
    points = np.array(there.TransformPoints(pixel_corners(states)))
    corners = np.array(there.TransformPoints([(-125, 49), (-67, 49), (-125, 25), (-67, 25)]))

    bounds = reprojected(states.extent, target.ExportToWkt())

    assert bounds.y_max == pytest.approx(points[:, 1].max(), abs=10)  # of 1 km pixels
    assert bounds.y_min == pytest.approx(points[:, 1].min(), abs=10)
    assert bounds.y_min < corners[:, 1].min() - 100_000


def test_reprojecting_snaps_to_the_lattice_of_the_target() -> None:
    there = ZONE_13.reproject(ZONE_12)

    assert (there.xRes, there.yRes, there.projection) == (30, 30, ZONE_12.projection)
    assert (there.xMin % 30, there.yMax % 30) == (0, 0)
    bounds = reprojected(ZONE_13.extent, ZONE_12.projection)
    assert abs(there.xMin - bounds.x_min) <= 15
    assert abs(there.yMin - bounds.y_min) <= 15


def test_reprojecting_onto_ones_own_lattice_changes_nothing() -> None:
    assert ZONE_13.reproject(ZONE_13) == ZONE_13


def test_an_extent_around_the_pole_reaches_it() -> None:
    south = osr.SpatialReference()
    south.ImportFromEPSG(3031)
    pole = Extent(-3e6, -3e6, 3e6, 3e6, south.ExportToWkt())

    bounds = reprojected(pole, LONGLAT)

    assert (bounds.x_min, bounds.x_max, bounds.y_min) == (-180, 180, -90)


def test_a_grid_without_a_projection_has_no_image_in_one() -> None:
    with pytest.raises(GridError, match="one has a projection and the other has none"):
        PixelGridDefn((0, 1, 0, 0, 0, -1), 5, 5).reproject(ZONE_13)


def test_grids_are_compared_as_in_rios() -> None:
    shifted = ZONE_13.window(3, -4, 10, 10)
    half = PixelGridDefn((499_995.0, 30.0, 0.0, 4_400_010.0, 0.0, -30.0), 9, 9, utm_wkt())
    coarse = PixelGridDefn((499_980.0, 60.0, 0.0, 4_400_010.0, 0.0, -60.0), 9, 9, utm_wkt())
    elsewhere = PixelGridDefn(ZONE_13.makeGeoTransform(), 9, 9, utm_wkt(32612))

    assert [ZONE_13.alignedWith(g) for g in (shifted, half, coarse, elsewhere)] == [True, False, False, False]
    assert [ZONE_13.isComparable(g) for g in (shifted, half, coarse, elsewhere)] == [True, True, False, False]
    assert [ZONE_13.equalPixSize(g) for g in (shifted, coarse, elsewhere)] == [True, False, True]
    assert [ZONE_13.equalProjection(g) for g in (coarse, elsewhere)] == [True, False]
    assert ZONE_13.equivalentProjection(coarse)
    assert ZONE_13.surrounds(ZONE_13.window(1, 1, 5, 5))
    assert WORLD.surrounds(ZONE_13)
    assert not ZONE_13.surrounds(WORLD)


def test_two_grids_are_combined_on_their_lattice() -> None:
    other = ZONE_13.window(800, -10, 200, 100)

    assert ZONE_13.intersection(other) == ZONE_13.window(800, 0, 100, 90)
    assert ZONE_13.union(other) == ZONE_13.window(0, -10, 1000, 910)
    assert type(ZONE_13.union(other)) is PixelGridDefn
    with pytest.raises(IntersectionError):
        ZONE_13.intersection(ZONE_13.window(900, 0, 5, 5))
    with pytest.raises(ResampleNeededError, match="different projections"):
        ZONE_13.union(ZONE_12)


def test_what_surrounds_all_others_does_not_limit_an_intersection() -> None:
    assert findCommonRegion([WORLD, ZONE_13], ZONE_13) == ZONE_13
    # Neither input is in the reference's projection: the smaller one counts.
    assert findCommonRegion([WORLD, ZONE_13], ZONE_12, INTERSECTION) == ZONE_13.reproject(ZONE_12)


def test_a_region_of_several_projections_is_on_the_lattice_of_the_reference() -> None:
    part = PixelGridDefn((0.0, 20.0, 0.0, 0.0, 0.0, -20.0), 1, 1, utm_wkt(32612))
    part = ZONE_13.window(200, 300, 50, 60).reproject(part)

    common = findCommonRegion([ZONE_13, part], ZONE_13)

    assert common == part.reproject(ZONE_13)
    assert findCommonRegion([ZONE_13, part], ZONE_13, UNION) == ZONE_13
    assert findCommonRegion([part], ZONE_13, BOUNDS_FROM_REFERENCE) == ZONE_13


def test_a_grid_may_have_no_projection_at_all() -> None:
    bare = PixelGridDefn((0, 1, 0, 0, 0, -1), 10, 10)

    assert findCommonRegion([bare, bare.window(2, 3, 20, 20)], bare) == bare.window(2, 3, 8, 7)


def test_the_grid_of_a_file_has_rioss_methods(tmp_path: Path) -> None:
    grid = pixelGridFromFile(make_raster(tmp_path / "a.tif", ramp(1, 4, 6)))

    assert type(grid) is PixelGridDefn
    assert grid == PlainGrid((500_000.0, 10.0, 0.0, 4_400_000.0, 0.0, -10.0), 4, 6, grid.projection)
    assert grid.alignedWith(grid.window(1, 1, 2, 2))


# -- RIOS's smaller helpers


def test_helpers_of_rios_count_and_snap_with_halves_away_from_zero() -> None:
    assert [PixelGridDefn.roundAway(x) for x in (0.5, 1.5, -0.5, -2.5, 0.49)] == [1, 2, -1, -3, 0]
    assert [roundAway(x) for x in (2.5, -2.5)] == [3, -3]
    assert type(roundAway(2.5)) is float
    assert PixelGridDefn.getNumPix(125.0, 0.0, 10.0) == 13
    assert PixelGridDefn.snapToGrid(104.0, 3.0, 10.0) == 103.0
    assert PixelGridDefn.snapToGrid(-108.0, 3.0, 10.0) == -107.0


def test_reprojecting_without_snapping_keeps_the_bounds() -> None:
    there = ZONE_13.reproject(ZONE_12, snap=False)
    bounds = reprojected(ZONE_13.extent, ZONE_12.projection)

    assert (there.xMin, there.yMin, there.xMax, there.yMax) == (
        *(bounds.x_min, bounds.y_min),
        *(bounds.x_max, bounds.y_max),
    )
    assert (there.xRes, there.yRes, there.projection) == (30, 30, ZONE_12.projection)


def test_projections_are_equivalent_if_coordinates_differ_by_less_than_so_many_pixels() -> None:
    wgs84 = PixelGridDefn((500_000.0, 30.0, 0.0, 4_400_000.0, 0.0, -30.0), 100, 100, utm_wkt(32613))
    nad27 = PixelGridDefn(wgs84.makeGeoTransform(), 100, 100, utm_wkt(26713))  # about 200 m to the north
    nad83 = PixelGridDefn(wgs84.makeGeoTransform(), 100, 100, utm_wkt(26913))

    assert not wgs84.equivalentProjection(nad83)
    assert wgs84.equivalentProjection(
        otherspatialref=osr.SpatialReference(nad83.projection), pixtolerance=0.1
    )
    assert not wgs84.equivalentProjection(osr.SpatialReference(nad27.projection), 0.1)
    assert wgs84.equivalentProjection(osr.SpatialReference(wgs84.projection))
    assert wgs84.equivalentProjection(nad83, 0.1)
    assert not wgs84.equivalentProjection(nad27, 0.1)
    assert wgs84.equivalentProjection(nad27, pixtolerance=20)
    assert not wgs84.equivalentProjection(ZONE_12, 20)
    assert not wgs84.equivalentProjection(PixelGridDefn((0, 1, 0, 0, 0, -1), 5, 5), 20)


def test_grids_that_surround_all_others_are_removed() -> None:
    part, aside = ZONE_13.window(1, 1, 5, 5), ZONE_13.window(890, 890, 50, 50)

    assert removeSurrounding([WORLD, ZONE_13, aside]) == [ZONE_13, aside]
    assert removeSurrounding([ZONE_13, part]) == [part]
    assert removeSurrounding([part, aside]) == [part, aside]
    assert removeSurrounding([part, ZONE_13.window(1, 1, 5, 5)]) == [part, part]
    assert removeSurrounding([part]) == [part]
