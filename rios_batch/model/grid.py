# ruff: noqa: N802, N803 - PixelGridDefn has RIOS's names
"""Pixel grids: where a raster's pixels lie on the ground. Arithmetic only.

Grids are north-up: columns run east, rows run south. Two grids are *on the same lattice* when their
pixel corners coincide; such grids differ only by whole columns and rows, so everything after
:func:`offset_on` is integer arithmetic and no rounding can accumulate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, TypeVar

from rios_batch.errors import GridError, IntersectionError, ParameterError, ResampleNeededError
from rios_batch.model.geotransforms import check_finite, check_north_up

if TYPE_CHECKING:
    from collections.abc import Sequence

INTERSECTION = 0
UNION = 1
BOUNDS_FROM_REFERENCE = 2
FOOTPRINT_NAMES = {
    INTERSECTION: "INTERSECTION",
    UNION: "UNION",
    BOUNDS_FROM_REFERENCE: "BOUNDS_FROM_REFERENCE",
}

# Two lattices count as one when no pixel corner is off by more than this part of a pixel. RIOS asks for
# exactly equal pixel sizes, which refuses files whose writers rounded 231.65635826 m differently.
LATTICE_TOLERANCE_PX = 0.001


@dataclass(frozen=True)
class PixelWindow:
    """A rectangle of whole pixels: first column and row, width and height, all in pixels."""

    col: int
    row: int
    width: int
    height: int

    @property
    def end_col(self) -> int:
        """First column to the right of the window."""
        return self.col + self.width

    @property
    def end_row(self) -> int:
        """First row below the window."""
        return self.row + self.height

    @property
    def size_px(self) -> int:
        return self.width * self.height

    def grown(self, margin_px: int) -> PixelWindow:
        """Return this window with a margin on every side; it may reach outside the grid."""
        return PixelWindow(
            self.col - margin_px,
            self.row - margin_px,
            self.width + 2 * margin_px,
            self.height + 2 * margin_px,
        )

    def shifted(self, cols: int, rows: int) -> PixelWindow:
        return PixelWindow(self.col + cols, self.row + rows, self.width, self.height)

    def clipped(self, ncols: int, nrows: int) -> PixelWindow:
        """Return the part inside ``ncols`` x ``nrows`` pixels; width or height is 0 where there is none."""
        col, row = max(self.col, 0), max(self.row, 0)
        return PixelWindow(
            col, row, max(0, min(self.end_col, ncols) - col), max(0, min(self.end_row, nrows) - row)
        )

    def meets(self, other: PixelWindow) -> bool:
        """Say whether two windows have a pixel in common."""
        return (
            self.col < other.end_col
            and other.col < self.end_col
            and self.row < other.end_row
            and other.row < self.end_row
        )

    def contains(self, other: PixelWindow) -> bool:
        """Say whether all of another window is in this one."""
        return (
            self.col <= other.col
            and self.row <= other.row
            and other.end_col <= self.end_col
            and other.end_row <= self.end_row
        )

    def __str__(self) -> str:
        return f"columns {self.col}-{self.end_col - 1}, rows {self.row}-{self.end_row - 1}"


@dataclass(frozen=True)
class Extent:
    """A rectangle on the ground, in the units of ``projection`` (WKT; empty for none)."""

    x_min: float
    y_min: float
    x_max: float
    y_max: float
    projection: str

    @property
    def size(self) -> float:
        """Return the area, in square units of the projection."""
        return (self.x_max - self.x_min) * (self.y_max - self.y_min)

    def contains(self, other: Extent) -> bool:
        """Say whether ``other``, of the same projection, lies inside; edges may touch."""
        return (
            self.x_min <= other.x_min
            and self.y_min <= other.y_min
            and other.x_max <= self.x_max
            and other.y_max <= self.y_max
        )

    def __str__(self) -> str:
        return f"x {self.x_min:.10g} to {self.x_max:.10g}, y {self.y_min:.10g} to {self.y_max:.10g}"


class PixelGridDefn:
    """A pixel grid, with RIOS's constructor and attributes.

    What needs GDAL is added by :class:`rios_batch.pixelgrid.PixelGridDefn`, the one that scripts see.

    Give either a GDAL ``geotransform`` with ``nrows`` and ``ncols``, or the bounds ``xMin``, ``xMax``,
    ``yMin``, ``yMax`` with the pixel sizes ``xRes`` and ``yRes``; both in the units of ``projection``
    (WKT, or None for a raster without one).

    Bounds and pixel sizes are plain attributes that a script may change. The numbers of rows and columns follow.

    Raises
    ------
    ParameterError : the arguments are neither of the two sets.
    GridError : the geotransform is rotated or south-up, the grid has no pixels, or its numbers are not finite, or too
        large for such small pixels.
    """

    def __init__(
        self,
        geotransform: Sequence[float] | None = None,
        nrows: int | None = None,
        ncols: int | None = None,
        projection: str | None = None,
        xMin: float | None = None,
        xMax: float | None = None,
        yMin: float | None = None,
        yMax: float | None = None,
        xRes: float | None = None,
        yRes: float | None = None,
    ) -> None:
        self.projection = projection or ""
        if geotransform is not None and nrows is not None and ncols is not None:
            check_north_up(geotransform, "the geotransform")
            self.xMin, self.xRes = float(geotransform[0]), float(geotransform[1])
            self.yMax, self.yRes = float(geotransform[3]), -float(geotransform[5])
            self.xMax, self.yMin = self.xMin + int(ncols) * self.xRes, self.yMax - int(nrows) * self.yRes
            self._check_distinct(int(nrows), int(ncols))
        elif (
            (xMin is not None and xMax is not None)
            and (yMin is not None and yMax is not None)
            and (xRes is not None and yRes is not None)
        ):
            self.xMin, self.xMax, self.xRes = float(xMin), float(xMax), float(xRes)
            self.yMin, self.yMax, self.yRes = float(yMin), float(yMax), float(yRes)
        else:
            raise ParameterError(
                "a PixelGridDefn needs geotransform, nrows and ncols, or xMin, xMax, yMin, yMax, xRes and yRes"
            )
        self.getDimensions()

    @property
    def nrows(self) -> int:
        return self.getDimensions()[0]

    @property
    def ncols(self) -> int:
        return self.getDimensions()[1]

    @property
    def extent(self) -> Extent:
        """Return the rectangle of the whole pixels. Bounds that a script has set may lie half a pixel off."""
        nrows, ncols = self.getDimensions()
        x_max, y_min = self.xMin + ncols * self.xRes, self.yMax - nrows * self.yRes
        return Extent(self.xMin, y_min, x_max, self.yMax, self.projection)

    def getDimensions(self) -> tuple[int, int]:
        """Return ``(nrows, ncols)``, the bounds' distances in pixels, rounded to the nearest whole number.

        Raises
        ------
        GridError : a pixel size is not positive, the grid has no pixels, or a number is not finite.
        """
        check_finite((self.xMin, self.xMax, self.yMin, self.yMax, self.xRes, self.yRes), "a pixel grid")
        if not (self.xRes > 0 and self.yRes > 0):
            raise GridError(f"pixel sizes must be positive, not xRes={self.xRes}, yRes={self.yRes}")
        ncols = round_half_away((self.xMax - self.xMin) / self.xRes)
        nrows = round_half_away((self.yMax - self.yMin) / self.yRes)
        if ncols < 1 or nrows < 1:
            raise GridError(f"a grid needs at least one pixel, not {ncols} columns x {nrows} rows")
        return nrows, ncols

    def _check_distinct(self, nrows: int, ncols: int) -> None:
        """See that the bounds are as many pixels apart as there are: far from zero, numbers have no small digits."""
        if (nrows, ncols) != self.getDimensions():
            raise GridError(
                f"pixels of {self.xRes:.10g} x {self.yRes:.10g} cannot be told apart at x {self.xMin:.10g}, "
                f"y {self.yMax:.10g}, where 64-bit numbers lie {math.ulp(self.xMin):.3g} and "
                f"{math.ulp(self.yMax):.3g} apart; give the raster an origin nearer to zero (gdal_translate -a_ullr)"
            )

    def makeGeoTransform(self) -> tuple[float, float, float, float, float, float]:
        """Return GDAL's six-number geotransform of this grid."""
        return (self.xMin, self.xRes, 0.0, self.yMax, 0.0, -self.yRes)

    def window(self, col: int, row: int, ncols: int, nrows: int) -> Self:
        """Return the grid of a rectangle of this grid's lattice; it may reach outside this grid."""
        origin = (self.xMin + col * self.xRes, self.xRes, 0.0, self.yMax - row * self.yRes, 0.0, -self.yRes)
        return type(self)(origin, nrows, ncols, self.projection)

    def snapped(self, extent: Extent) -> Self:
        """Return the grid on this grid's lattice whose edges are nearest to those of ``extent``.

        The nearest edge may cut half a pixel off (RIOS's rule); at least one pixel is kept.
        """
        col = round_half_away((extent.x_min - self.xMin) / self.xRes)
        row = round_half_away((self.yMax - extent.y_max) / self.yRes)
        end_col = round_half_away((extent.x_max - self.xMin) / self.xRes)
        end_row = round_half_away((self.yMax - extent.y_min) / self.yRes)
        return self.window(col, row, max(1, end_col - col), max(1, end_row - row))

    def _key(self) -> tuple[object, ...]:
        return (self.xMin, self.yMax, self.xRes, self.yRes, *self.getDimensions(), self.projection)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PixelGridDefn) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return (
            f"PixelGridDefn({self.ncols} columns x {self.nrows} rows of {self.xRes:.10g} x {self.yRes:.10g}, "
            f"{self.extent})"
        )


AnyGrid = TypeVar("AnyGrid", bound=PixelGridDefn)


def round_half_away(value: float) -> int:
    """Round to the nearest integer, halves away from zero (RIOS's rule; Python's goes to even)."""
    return math.floor(value + 0.5) if value >= 0 else -math.floor(-value + 0.5)


def same_pixel_size(reference: PixelGridDefn, grid: PixelGridDefn) -> bool:
    """Say whether pixel sizes are so near each other that no corner of either grid drifts visibly."""
    span_px = max(grid.ncols, grid.nrows, reference.ncols, reference.nrows)
    drift_px = span_px * max(
        abs(grid.xRes - reference.xRes) / reference.xRes, abs(grid.yRes - reference.yRes) / reference.yRes
    )
    return drift_px <= LATTICE_TOLERANCE_PX


def offset_on(reference: PixelGridDefn, grid: PixelGridDefn) -> tuple[int, int]:
    """Return the column and row of ``grid``'s first pixel on ``reference``'s lattice.

    Raises
    ------
    ResampleNeededError : the grids are not on one lattice; says in what they differ.
    """
    if not same_pixel_size(reference, grid):
        raise ResampleNeededError(
            f"its pixels are {grid.xRes:.10g} x {grid.yRes:.10g}, "
            f"the reference's are {reference.xRes:.10g} x {reference.yRes:.10g}"
        )
    cols = (grid.xMin - reference.xMin) / reference.xRes
    rows = (reference.yMax - grid.yMax) / reference.yRes
    col, row = round_half_away(cols), round_half_away(rows)
    if max(abs(cols - col), abs(rows - row)) > LATTICE_TOLERANCE_PX:
        raise ResampleNeededError(
            f"its pixel corners are {abs(cols - col):.4f} columns and {abs(rows - row):.4f} rows "
            "off those of the reference"
        )
    return col, row


def common_grid(reference: AnyGrid, grids: Sequence[PixelGridDefn], footprint: int) -> AnyGrid:
    """Combine grids on the lattice of ``reference`` into the working grid.

    Parameters
    ----------
    grids : the grids of the inputs, already known to be on the lattice of ``reference``.
    footprint : INTERSECTION or UNION of ``grids``, or BOUNDS_FROM_REFERENCE.

    Raises
    ------
    IntersectionError : INTERSECTION, and no pixel is common to all grids.
    """
    if footprint == BOUNDS_FROM_REFERENCE or not grids:
        return reference
    offsets = [offset_on(reference, grid) for grid in grids]
    ends = [(col + g.ncols, row + g.nrows) for (col, row), g in zip(offsets, grids, strict=True)]
    first, last = (max, min) if footprint == INTERSECTION else (min, max)
    col, row = first(c for c, _ in offsets), first(r for _, r in offsets)
    end_col, end_row = last(c for c, _ in ends), last(r for _, r in ends)
    if end_col <= col or end_row <= row:
        raise IntersectionError("no pixel is common to all of them")
    return reference.window(col, row, end_col - col, end_row - row)
