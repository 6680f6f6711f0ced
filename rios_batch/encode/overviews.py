"""Making overviews: reduced pixels of blocks in workers, and of the whole raster in main."""

from __future__ import annotations

import math
import os
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rios_batch.encode.reducing import decimate, methods_within_tiles, parts, reduced_shape
from rios_batch.errors import OutputError, ParameterError
from rios_batch.model.pyramid import OVERVIEW_BLOCK_PX

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rios_batch.model.grid import PixelWindow
    from rios_batch.model.spec import Array, Layout, OutputSpec


class TileOverviews:
    """The reduced pixels of one tile.

    Parameters
    ----------
    factors : the overviews whose pixels are wanted; what is reduced by the last of them is for main.

    Raises
    ------
    ParameterError : pixels of this type cannot be reduced so.
    """

    def __init__(
        self, output: OutputSpec, factors: tuple[int, ...], layout: Layout, window: PixelWindow
    ) -> None:
        assert output.pyramid is not None
        self._method, self._factors, self._nodata = output.pyramid.method, factors, output.nodata
        if self._method not in methods_within_tiles(layout.dtype):
            raise ParameterError(
                f"{output.label} has {layout}, whose overviews cannot be made by {self._method}; use "
                "setOverviewAggregationType('NEAREST') or setOmitPyramids(True)"
            )
        shape = (layout.nbands, *reduced_shape(window.height, window.width, factors[0]))
        self._first: Array = np.empty(shape, layout.dtype)

    def add(self, block: Array, col: int, row: int) -> None:
        """Take a block of shape (bands, rows, cols) at a column and row of the tile that are multiples of 16."""
        factor = self._factors[0]
        part = decimate(block, factor, self._method, self._nodata)
        row, col = row // factor, col // factor
        self._first[:, row : row + part.shape[1], col : col + part.shape[2]] = part

    def finish(self) -> list[Array]:
        """Return the tile's part of each overview, finest first."""
        arrays = [self._first]
        for finer, factor in zip(self._factors, self._factors[1:], strict=False):
            arrays.append(decimate(arrays[-1], factor // finer, self._method, self._nodata))
        return arrays


@dataclass(frozen=True)
class OverviewPart:
    """Pixels of an overview, of shape (bands, rows, cols), from the beginning of a TIFF block on."""

    factor: int
    col: int
    row: int
    pixels: Array


class CoarseOverviews:
    """Puts together what tiles hand over of their reduced pixels, and makes the coarser overviews of it.

    It lies in files without a name: 1/256 of all pixels if tiles are large enough to have overviews of their own, 1/16
    or even more of a small raster.

    Parameters
    ----------
    factor : how many times smaller the pixels are that are handed over.
    factors : the overviews to be made; ``factor`` may be the first of them.
    folder : where the files are; None for the system's folder for temporary files.

    Raises
    ------
    OSError, OutputError : there is no room for it in ``folder``, or in that for temporary files.
    """

    def __init__(
        self,
        output: OutputSpec,
        factor: int,
        factors: tuple[int, ...],
        shape: tuple[int, int, int],
        dtype: str,
        folder: Path | None,
    ) -> None:
        self._output, self._factor, self._factors = output, factor, factors
        self._shape, self._dtype, self._folder = shape, np.dtype(dtype), folder
        self._pixels = self._scratch(factor)

    def add(self, window: PixelWindow, pixels: Array) -> None:
        """Take the pixels of a window that begins at multiples of ``factor``, reduced by that."""
        row, col = window.row // self._factor, window.col // self._factor
        self._pixels[:, row : row + pixels.shape[1], col : col + pixels.shape[2]] = pixels

    def overviews(self) -> Iterator[OverviewPart]:
        """Yield all parts of the overviews, the coarsest first."""
        made, finer, pixels = {}, self._factor, self._pixels
        for factor in self._factors:
            step, finer = factor // finer, factor
            if step > 1:
                pixels = self._decimated(pixels, step, factor)
            made[factor] = pixels
        for factor in reversed(self._factors):
            for rows, cols in parts(made[factor].shape, OVERVIEW_BLOCK_PX):
                yield OverviewPart(factor, cols.start, rows.start, made[factor][:, rows, cols])

    def _decimated(self, pixels: Array, step: int, factor: int) -> Array:
        assert self._output.pyramid is not None
        reduced = self._scratch(factor)
        for rows, cols in parts(pixels.shape, step):
            part = decimate(pixels[:, rows, cols], step, self._output.pyramid.method, self._output.nodata)
            row, col = rows.start // step, cols.start // step
            reduced[:, row : row + part.shape[1], col : col + part.shape[2]] = part
        return reduced

    def _scratch(self, factor: int) -> Array:
        nbands, nrows, ncols = self._shape
        shape = (nbands, *reduced_shape(nrows, ncols, factor))
        nbytes = math.prod(shape) * self._dtype.itemsize
        try:
            with tempfile.TemporaryFile(prefix="rios_batch-", dir=self._folder) as file:
                _set_aside(file.fileno(), nbytes)
                return np.memmap(file, self._dtype, "r+", shape=shape)
        except OSError as error:
            if self._folder is not None:
                raise  # it is the output's own disk
            room = f"{nbytes:,} bytes in {tempfile.gettempdir()!r}"
            raise OutputError(
                f"the overviews of output {self._output.path!r} need {room}: {error.strerror}; set TMPDIR to a folder "
                "with more room, or use setOmitPyramids(True)"
            ) from error


def _set_aside(descriptor: int, nbytes: int) -> None:
    """Make a file so long, with room on the disk: without, a full disk would end the process by a signal later."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, nbytes)
    else:  # macOS
        os.truncate(descriptor, nbytes)
