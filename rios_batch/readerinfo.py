# ruff: noqa: N802 - RIOS's names
"""The ``info`` object that the user function gets: where the block is, and what the run looks like."""

from __future__ import annotations

import copy
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rios_batch.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

    from numpy.typing import NDArray

    from rios_batch.model.grid import PixelGridDefn
    from rios_batch.model.spec import Array, InputFile
    from rios_batch.model.tiles import BlockGrid


@dataclass(frozen=True)
class Coord:
    """A point, in the units of the working grid's projection."""

    x: float
    y: float


class ReaderInfo:
    """Everything about the block that the user function works on.

    All sizes are in pixels. No size includes the margin of ``setOverlap``. An input array of the block has shape
    (bands, blockheight + 2 * overlap, blockwidth + 2 * overlap).

    Attributes
    ----------
    xblock, yblock : position of the block in columns and rows of blocks, counted from 0.
    xtotalblocks, ytotalblocks : number of blocks in each direction.
    blockwidth, blockheight : size of this block in pixels; smaller at the right and bottom edge.
    blocktl, blockbr : top left and bottom right corner of the block without margin, as ``Coord``, in the units of the
        working grid's projection.
    xsize, ysize : size of the working grid in pixels.
    windowxsize, windowysize, overlap : block size and margin in pixels, as set in the controls.
    workingGrid : the working grid, a ``PixelGridDefn``.
    loggingstream : the stream for messages, which is standard output.
    """

    def __init__(
        self,
        *,
        grid: PixelGridDefn,
        blocks: BlockGrid,
        overlap_px: int,
        xblock: int,
        yblock: int,
        arrays: dict[int, InputFile],
        open_file: Callable[[InputFile], Any],
    ) -> None:
        window = blocks.window(xblock, yblock)
        self.workingGrid = copy.copy(grid)  # a function may change its own, not the run's
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
        """Return the stream for messages, which is standard output."""
        return sys.stdout

    def getTotalSize(self) -> tuple[int, int]:
        """Return the size of the working grid, ``(xsize, ysize)``, in pixels."""
        return (self.xsize, self.ysize)

    def getWindowSize(self) -> tuple[int, int]:
        """Return the size of a block as set in the controls, ``(windowxsize, windowysize)``, in pixels."""
        return (self.windowxsize, self.windowysize)

    def getOverlapSize(self) -> int:
        """Return the margin on every side of the block, in pixels."""
        return self.overlap

    def getTotalBlocks(self) -> tuple[int, int]:
        """Return the number of blocks in x and in y, ``(xtotalblocks, ytotalblocks)``."""
        return (self.xtotalblocks, self.ytotalblocks)

    def getBlockCount(self) -> tuple[int, int]:
        """Return the position of this block, ``(xblock, yblock)``, counted from 0."""
        return (self.xblock, self.yblock)

    def getBlockSize(self) -> tuple[int, int]:
        """Return the size of this block without the margin, ``(ncols, nrows)``, in pixels."""
        return (self.blockwidth, self.blockheight)

    def getTransform(self) -> tuple[float, float, float, float, float, float]:
        """Return the geotransform of the working grid: GDAL's six numbers, in the units of the projection."""
        return self.workingGrid.makeGeoTransform()

    def getProjection(self) -> str:
        """Return the projection of the working grid as WKT. The text is empty if the grid has no projection."""
        return self.workingGrid.projection

    def getPixelSize(self) -> tuple[float, float]:
        """Return the size of a pixel, ``(xRes, yRes)``, in the units of the projection. Both are positive."""
        return (self.workingGrid.xRes, self.workingGrid.yRes)

    def isFirstBlock(self) -> bool:
        """Say whether this is the top left block. One worker computes the top left block first."""
        return self.xblock == 0 and self.yblock == 0

    def isLastBlock(self) -> bool:
        """Say whether this is the bottom right block. One worker computes the bottom right block last."""
        return self.xblock == self.xtotalblocks - 1 and self.yblock == self.ytotalblocks - 1

    def getPercent(self) -> int:
        """Return how many of all blocks stand before this block, in whole per cent, rounded down."""
        done = self.yblock * self.xtotalblocks + self.xblock
        return 100 * done // (self.xtotalblocks * self.ytotalblocks)

    def getBlockCoordArrays(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the x and the y of every pixel centre, in the units of the working grid's projection.

        Returns
        -------
        Two float64 arrays of shape (rows, cols). Rows and columns include the margin.
        """
        grid, window = self.workingGrid, self._window.grown(self.overlap)
        x = grid.xMin + (np.arange(window.col, window.end_col) + 0.5) * grid.xRes
        y = grid.yMax - (np.arange(window.row, window.end_row) + 0.5) * grid.yRes
        return np.meshgrid(x, y)  # type: ignore[return-value]  # numpy's stub says list, numpy 2 gives a tuple

    def getPixRowColBlock(self, x: float, y: float) -> tuple[int, int] | tuple[None, None]:
        """Return the place ``(row, col)`` of a point in this block's arrays, counted from 0, the margin included.

        The result is ``(None, None)`` if the point is outside the arrays. (RIOS compares with the full window. So RIOS
        returns places past the array's end in the smaller blocks of the right and bottom edge.)

        Parameters
        ----------
        x, y : the point, in the units of the working grid's projection.
        """
        grid, window = self.workingGrid, self._window.grown(self.overlap)
        col = int(np.floor((x - grid.xMin) / grid.xRes)) - window.col
        row = int(np.floor((grid.yMax - y) / grid.yRes)) - window.row
        inside = 0 <= col < window.width and 0 <= row < window.height
        return (row, col) if inside else (None, None)

    def getPixColRow(self, x: int, y: int) -> tuple[int, int]:
        """Return the column and the row of the working grid for a place in this block's arrays.

        (With an overlap the result differs from RIOS's, which takes no account of the margin.)

        Parameters
        ----------
        x, y : column and row of the array, counted from 0, the margin included.

        Returns
        -------
        ``(column, row)`` of the working grid, counted from 0. In the margin they may lie outside the grid.
        """
        window = self._window.grown(self.overlap)
        return (window.col + x, window.row + y)

    def getFilenameFor(self, block: Array) -> str:
        """Return the name of the file that an input array came from.

        Raises
        ------
        KeyError : ``block`` is not one of the arrays that the user function was given, but a part or a copy.
        """
        return self._file_of(block).name

    def getGDALDatasetFor(self, block: Array) -> Any:
        """Return the file that an input array came from, as a `gdal.Dataset` that is open for reading.

        The dataset has the file's own pixels, also where the array was resampled. On AWS Batch the dataset may be a
        copy of the file. The dataset stays open until the user function returns.

        Raises
        ------
        KeyError : ``block`` is not one of the arrays that the user function was given, but a part or a copy.
        ParameterError : the file is a vector file.
        """
        file = self._file_of(block)
        if file.burn is not None:
            raise ParameterError(f"{file.name!r} is a vector file; getGDALDatasetFor is for rasters")
        if id(block) not in self._opened:
            self._opened[id(block)] = self._open_file(file)
        return self._opened[id(block)]

    def getGDALBandFor(self, block: Array, band: int) -> Any:
        """Return a band of the file that an input array came from, as a `gdal.Band`.

        Parameters
        ----------
        block : an array of ``inputs``, the very object, of shape (bands, rows, cols).
        band : place of the band in the array, counted from 1.

        Raises
        ------
        KeyError : ``block`` is not one of the arrays that the user function was given, but a part or a copy.
        ParameterError : there is no such band, or the file is a vector file.
        """
        dataset, layers = self.getGDALDatasetFor(block), self._file_of(block).layers
        return dataset.GetRasterBand(layers[_place(band, len(layers))])

    def getLayerNamesFor(self, block: Array) -> list[str]:
        """Return the names (GDAL's descriptions) of an input array's bands, in order; empty texts where there are none.

        Parameters
        ----------
        block : an array of ``inputs``, the very object, of shape (bands, rows, cols).

        Raises
        ------
        KeyError : ``block`` is not one of the arrays that the user function was given, but a part or a copy.
        """
        return list(self._file_of(block).layer_names)

    def getNoDataValueFor(self, block: Array, band: int = 1) -> Any:
        """Return the nodata value of a band of an input array, in the array's type; None if the band has none.

        Parameters
        ----------
        block : an array of ``inputs``, the very object, of shape (bands, rows, cols).
        band : place of the band in the array, counted from 1.

        Raises
        ------
        KeyError : ``block`` is not one of the arrays that the user function was given, but a part or a copy.
        ParameterError : there is no such band.
        """
        values = self._file_of(block).nodata
        nodata = values[_place(band, len(values))]
        return None if nodata is None else np.array(nodata).astype(block.dtype)

    def _takes_for(self, made: Any, block: Array) -> None:
        """Have an object that was made of an input's array taken for that array."""
        self._arrays[id(made)] = self._file_of(block)

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
