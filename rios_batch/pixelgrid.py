# ruff: noqa: N802, N803 - RIOS's names
"""RIOS's module name for pixel grids: ``from rios_batch import pixelgrid``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Self

from rios_batch.errors import ResampleNeededError
from rios_batch.gdalapi import gdal_exceptions, same_projection
from rios_batch.model import grid
from rios_batch.model.grid import BOUNDS_FROM_REFERENCE, INTERSECTION, UNION
from rios_batch.model.settings import also_named
from rios_batch.read.extents import common_region, greatest_shift, reprojected, surrounds
from rios_batch.read.facts import describe

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "BOUNDS_FROM_REFERENCE",
    "INTERSECTION",
    "UNION",
    "PixelGridDefn",
    "findCommonRegion",
    "pixelGridFromFile",
    "removeSurrounding",
    "roundAway",
]


class PixelGridDefn(grid.PixelGridDefn):
    __doc__ = grid.PixelGridDefn.__doc__

    @classmethod
    def of(cls, other: grid.PixelGridDefn) -> Self:
        """Return the same grid as an object of this class."""
        return cls(other.makeGeoTransform(), other.nrows, other.ncols, other.projection)

    def equalPixSize(self, other: grid.PixelGridDefn) -> bool:
        """Say whether pixel sizes are the same. The difference may add up to 0.001 pixel over the larger grid."""
        return grid.same_pixel_size(self, other)

    def equalProjection(self, other: grid.PixelGridDefn) -> bool:
        """Say whether both grids are in one projection. The WKT texts may be written in different ways."""
        with gdal_exceptions():
            return same_projection(self.projection, other.projection)

    @also_named(other="otherspatialref")
    def equivalentProjection(self, otherspatialref: Any, pixtolerance: float = 0) -> bool:
        """Say whether points of this grid have the same coordinates in another projection.

        Parameters
        ----------
        otherspatialref : the other projection, an `osr.SpatialReference`, or a grid that has it.
        pixtolerance : how far coordinates may differ, in pixels of this grid; default 0, which asks for the same
            projection.
        """
        is_grid = isinstance(otherspatialref, grid.PixelGridDefn)
        projection = otherspatialref.projection if is_grid else otherspatialref.ExportToWkt()
        with gdal_exceptions():
            if same_projection(self.projection, projection):
                return True
            if not pixtolerance:
                return False
            shift = greatest_shift(self.extent, projection)
        return shift <= pixtolerance * min(self.xRes, self.yRes)

    def isComparable(self, other: grid.PixelGridDefn) -> bool:
        """Say whether the projections are the same and the pixel sizes are the same."""
        return self.equalPixSize(other) and self.equalProjection(other)

    def alignedWith(self, other: grid.PixelGridDefn) -> bool:
        """Say whether the grids are comparable and their pixel corners coincide."""
        try:
            grid.offset_on(self, other)
        except ResampleNeededError:
            return False
        return self.equalProjection(other)

    def surrounds(self, other: grid.PixelGridDefn) -> bool:
        """Say whether ``other``, seen in this grid's projection, lies inside this grid."""
        with gdal_exceptions():
            return surrounds(self.extent, other.extent)

    def intersection(self, other: grid.PixelGridDefn) -> Self:
        """Return the grid of the pixels that both grids have.

        Raises
        ------
        IntersectionError : no pixel is common to both grids.
        ResampleNeededError : projection, pixel size or pixel corners of the grids differ.
        """
        return self._combined(other, INTERSECTION)

    def union(self, other: grid.PixelGridDefn) -> Self:
        """Return the smallest grid that has the pixels of both grids.

        Raises
        ------
        ResampleNeededError : projection, pixel size or pixel corners of the grids differ.
        """
        return self._combined(other, UNION)

    def _combined(self, other: grid.PixelGridDefn, footprint: int) -> Self:
        if not self.equalProjection(other):
            raise ResampleNeededError("the grids are in different projections; use reproject() first")
        return grid.common_grid(self, [self, other], footprint)

    def reproject(self, targetGrid: grid.PixelGridDefn, snap: bool = True) -> PixelGridDefn:
        """Return the grid with the pixels of ``targetGrid`` that is nearest to this grid's bounds in that projection.

        The bounds are found along the edges of this grid. An edge is a curve in another projection.

        Parameters
        ----------
        snap : True (default) puts pixel corners on those of ``targetGrid``. False keeps the bounds.

        Raises
        ------
        GridError : this grid has no image in that projection.
        """
        with gdal_exceptions():
            bounds = reprojected(self.extent, targetGrid.projection)
        if snap:
            return PixelGridDefn.of(targetGrid.snapped(bounds))
        return PixelGridDefn(
            xMin=bounds.x_min,
            xMax=bounds.x_max,
            yMin=bounds.y_min,
            yMax=bounds.y_max,
            xRes=targetGrid.xRes,
            yRes=targetGrid.yRes,
            projection=targetGrid.projection,
        )

    @staticmethod
    def roundAway(x: float) -> float:
        """Return the nearest whole number, as a float. Halves go away from zero."""
        return float(grid.round_half_away(x))

    @staticmethod
    def getNumPix(gridMax: float, gridMin: float, gridRes: float) -> int:
        """Return how many pixels of the size ``gridRes`` lie between two bounds, to the nearest whole number."""
        return grid.round_half_away((gridMax - gridMin) / gridRes)

    @staticmethod
    def snapToGrid(val: float, valOnGrid: float, res: float) -> float:
        """Return the value nearest to ``val`` that is a whole number of ``res`` away from ``valOnGrid``."""
        return valOnGrid + grid.round_half_away((val - valOnGrid) / res) * res


roundAway = PixelGridDefn.roundAway  # noqa: N816 - RIOS's name


def removeSurrounding(gridList: Sequence[grid.PixelGridDefn]) -> list[grid.PixelGridDefn]:
    """Return the grids without those that surround all others, such as a map of the world.

    All stay if no grid would be left.
    """

    def surrounds_all(item: grid.PixelGridDefn) -> bool:
        return all(surrounds(item.extent, other.extent) for other in gridList if other is not item)

    with gdal_exceptions():
        return [item for item in gridList if not surrounds_all(item)] or list(gridList)


def findCommonRegion(
    gridList: Sequence[grid.PixelGridDefn], refGrid: grid.PixelGridDefn, combine: int = INTERSECTION
) -> PixelGridDefn:
    """Combine grids of any projections into one grid with the pixels of ``refGrid``.

    Parameters
    ----------
    combine : INTERSECTION (default) or UNION of the grids in the list, or BOUNDS_FROM_REFERENCE.

    Raises
    ------
    IntersectionError : no pixel is common to all grids.
    GridError : a grid has no image in the projection of ``refGrid``.
    """
    with gdal_exceptions():
        return PixelGridDefn.of(common_region(refGrid, [item.extent for item in gridList], combine))


def pixelGridFromFile(filename: str | os.PathLike[str]) -> PixelGridDefn:
    """Return the pixel grid of a raster file.

    Raises
    ------
    FileOpenError : the file does not exist or is not a raster.
    GridError : the raster is rotated or south-up.
    """
    with gdal_exceptions():
        return PixelGridDefn.of(describe(os.fspath(filename)).grid)
