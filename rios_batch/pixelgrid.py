# ruff: noqa: N802, N803 - RIOS's names
"""RIOS's module name for pixel grids: ``from rios_batch import pixelgrid``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Self

from rios_batch.errors import ResampleNeededError
from rios_batch.gdalapi import gdal_exceptions, same_projection
from rios_batch.model import grid
from rios_batch.model.grid import BOUNDS_FROM_REFERENCE, INTERSECTION, UNION
from rios_batch.read.extents import common_region, reprojected, surrounds
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

    def equivalentProjection(self, other: grid.PixelGridDefn) -> bool:
        """Do the same as :meth:`equalProjection`. RIOS has both names."""
        return self.equalProjection(other)

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

    def reproject(self, targetGrid: grid.PixelGridDefn) -> PixelGridDefn:
        """Return the grid with the pixels of ``targetGrid`` that is nearest to this grid's bounds in that projection.

        The bounds are found along the edges of this grid. An edge is a curve in another projection.

        Raises
        ------
        GridError : this grid has no image in that projection.
        """
        with gdal_exceptions():
            return PixelGridDefn.of(targetGrid.snapped(reprojected(self.extent, targetGrid.projection)))


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
