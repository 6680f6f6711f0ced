# ruff: noqa: N802 - RIOS's names
"""The ``info`` object that the user function gets: where its block is, and what the run looks like."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rios_batch.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TextIO

    from numpy.typing import NDArray

    from rios_batch.model.grid import PixelGridDefn
    from rios_batch.model.spec import Array, InputFile
    from rios_batch.model.tiles import BlockGrid


@dataclass(frozen=True)
class Coord:
    """A point in the working grid's projection."""

    x: float
    y: float


class ReaderInfo:
    """Everything about the block in hand. All sizes are in pixels, none includes the overlap margin.

    Attributes
    ----------
    xblock, yblock : position of the block, counted from 0.
    xtotalblocks, ytotalblocks : number of blocks in each direction.
    blockwidth, blockheight : size of this block; smaller at the right and bottom edge.
    blocktl, blockbr : top left and bottom right corner, as ``Coord`` with ``x`` and ``y``.
    xsize, ysize : size of the working grid.
    windowxsize, windowysize, overlap : as set in the controls.
    workingGrid : the working grid, a ``PixelGridDefn``.
    loggingstream : the stream for messages; standard output.
    """

    def __init__(
        self,
        *,
        grid: PixelGridDefn,
        blocks: BlockGrid,
        overlap_px: int,
        xblock: int,
        yblock: int,
        arrays: Mapping[int, InputFile],
        open_file: Callable[[InputFile], Any],
    ) -> None:
        window = blocks.window(xblock, yblock)
        self.workingGrid = grid
        self.xsize, self.ysize = grid.ncols, grid.nrows
        self.windowxsize, self.windowysize = blocks.window_xsize, blocks.window_ysize
        self.overlap = overlap_px
        self.xblock, self.yblock = xblock, yblock
        self.xtotalblocks, self.ytotalblocks = blocks.nblocks_x, blocks.nblocks_y
        self.blockwidth, self.blockheight = window.width, window.height
        self.blocktl = Coord(grid.xMin + window.col * grid.xRes, grid.yMax - window.row * grid.yRes)
        self.blockbr = Coord(grid.xMin + window.end_col * grid.xRes, grid.yMax - window.end_row * grid.yRes)
        self._window = window
        self._arrays = arrays
        self._open_file = open_file
        self._opened: dict[int, Any] = {}

    @property
    def loggingstream(self) -> TextIO:
        return sys.stdout

    def getTotalSize(self) -> tuple[int, int]:
        """Return ``(xsize, ysize)`` of the working grid."""
        return (self.xsize, self.ysize)

    def getWindowSize(self) -> tuple[int, int]:
        """Return ``(windowxsize, windowysize)`` as set in the controls."""
        return (self.windowxsize, self.windowysize)

    def getOverlapSize(self) -> int:
        """Return the margin on every side of a block, in pixels."""
        return self.overlap

    def getTotalBlocks(self) -> tuple[int, int]:
        """Return the number of blocks in x and y."""
        return (self.xtotalblocks, self.ytotalblocks)

    def getBlockCount(self) -> tuple[int, int]:
        """Return ``(xblock, yblock)``, counted from 0."""
        return (self.xblock, self.yblock)

    def getBlockSize(self) -> tuple[int, int]:
        """Return ``(ncols, nrows)`` of this block, without the margin."""
        return (self.blockwidth, self.blockheight)

    def getTransform(self) -> tuple[float, float, float, float, float, float]:
        """Return the GDAL geotransform of the working grid."""
        return self.workingGrid.makeGeoTransform()

    def getProjection(self) -> str:
        """Return the projection of the working grid as WKT; empty if it has none."""
        return self.workingGrid.projection

    def getPixelSize(self) -> tuple[float, float]:
        """Return ``(xRes, yRes)``, both positive."""
        return (self.workingGrid.xRes, self.workingGrid.yRes)

    def isFirstBlock(self) -> bool:
        """Say whether this is the top left block (the first one, when blocks run in order)."""
        return self.xblock == 0 and self.yblock == 0

    def isLastBlock(self) -> bool:
        """Say whether this is the bottom right block."""
        return self.xblock == self.xtotalblocks - 1 and self.yblock == self.ytotalblocks - 1

    def getPercent(self) -> int:
        """Return how much of the raster lies before this block, in whole per cent, rounded down."""
        done = self.yblock * self.xtotalblocks + self.xblock
        return 100 * done // (self.xtotalblocks * self.ytotalblocks)

    def getBlockCoordArrays(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the x and y of every pixel centre.

        Returns
        -------
        Two arrays of shape (rows, cols), the overlap margin included.
        """
        grid, window = self.workingGrid, self._window.grown(self.overlap)
        x = grid.xMin + (np.arange(window.col, window.end_col) + 0.5) * grid.xRes
        y = grid.yMax - (np.arange(window.row, window.end_row) + 0.5) * grid.yRes
        return np.meshgrid(x, y)  # type: ignore[return-value]  # numpy's stub says list, numpy 2 gives a tuple

    def getPixRowColBlock(self, x: float, y: float) -> tuple[int, int] | tuple[None, None]:
        """Return ``(row, col)`` of a point within this block's arrays, margin included.

        ``(None, None)`` if the point is outside the arrays. (RIOS compares with the full window, so that
        it answers with positions past the array's end in the cut blocks of the right and bottom edge.)
        """
        grid, window = self.workingGrid, self._window.grown(self.overlap)
        col = int(np.floor((x - grid.xMin) / grid.xRes)) - window.col
        row = int(np.floor((grid.yMax - y) / grid.yRes)) - window.row
        inside = 0 <= col < window.width and 0 <= row < window.height
        return (row, col) if inside else (None, None)

    def getPixColRow(self, x: int, y: int) -> tuple[int, int]:
        """Return the working grid's ``(column, row)`` of a position in this block's arrays.

        ``x`` and ``y`` count columns and rows of the array, margin included.
        """
        window = self._window.grown(self.overlap)
        return (window.col + x, window.row + y)

    def getFilenameFor(self, block: Array) -> str:
        """Return the name of the file that an input array came from.

        Raises
        ------
        KeyError : ``block`` is not one of the arrays that the user function was given.
        """
        return self._file_of(block).name

    def getGDALDatasetFor(self, block: Array) -> Any:
        """Return the file that an input array came from, open for reading, as a `gdal.Dataset` with its own pixels.

        On a worker elsewhere it is the worker's way to the file. It stays open until the function returns.

        Raises
        ------
        KeyError : ``block`` is not one of the arrays that the user function was given.
        ParameterError : it is a vector file.
        """
        file = self._file_of(block)
        if file.burn is not None:
            raise ParameterError(f"{file.name!r} is a vector file; getGDALDatasetFor is for rasters")
        if id(block) not in self._opened:
            self._opened[id(block)] = self._open_file(file)
        return self._opened[id(block)]

    def getGDALBandFor(self, block: Array, band: int) -> Any:
        """Return a band of that file, a `gdal.Band`.

        Parameters
        ----------
        band : counted from 1 within the layers that the user function sees.

        Raises
        ------
        KeyError : ``block`` is not one of the arrays that the user function was given.
        ParameterError : there is no such band, or it is a vector file.
        """
        dataset, layers = self.getGDALDatasetFor(block), self._file_of(block).layers
        return dataset.GetRasterBand(layers[_place(band, len(layers))])

    def getNoDataValueFor(self, block: Array, band: int = 1) -> Any:
        """Return the nodata value of an input array's band, in the array's type; None if it has none.

        Parameters
        ----------
        band : counted from 1 within the layers that the user function sees.

        Raises
        ------
        KeyError : ``block`` is not one of the arrays that the user function was given.
        ParameterError : there is no such band.
        """
        values = self._file_of(block).nodata
        nodata = values[_place(band, len(values))]
        return None if nodata is None else np.array(nodata).astype(block.dtype)

    def _file_of(self, block: Array) -> InputFile:
        try:
            return self._arrays[id(block)]
        except KeyError:
            raise KeyError(
                "this array is not one of the inputs' arrays; pass the very object from inputs, not a part or copy"
            ) from None


def _place(band: int, nbands: int) -> int:
    """Return the place of a band that is counted from 1."""
    if not 1 <= band <= nbands:
        raise ParameterError(f"band {band} was asked for, but this input has bands 1 to {nbands}")
    return band - 1
