"""Making coarse overviews in main, of the reduced pixels that tiles hand over."""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rios_batch.encode.reducing import decimate, parts, reduced_shape
from rios_batch.errors import OutputError
from rios_batch.model.pyramid import OVERVIEW_BLOCK_PX

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rios_batch.model.grid import PixelWindow
    from rios_batch.model.pyramid import Pyramid
    from rios_batch.model.spec import Array, OutputSpec

_MOST_TOUCHED_BYTES = 64 * 2**20


@dataclass(frozen=True)
class OverviewPart:
    """Pixels of an overview, of shape (bands, rows, cols), from the beginning of a TIFF block on."""

    factor: int
    col: int
    row: int
    pixels: Array


class CoarseOverviews:
    """Puts together the reduced pixels that tiles hand over, and makes coarser overviews of these pixels.

    The pixels lie in files without a name: 1/256 of all pixels if tiles are large enough to have overviews of their
    own, 1/16 or even more of a small raster.

    Parameters
    ----------
    pyramid : the overviews of the output.
    factor : how many times smaller the pixels are that are handed over.
    factors : the overviews to be made; ``factor`` may be the first of them.
    shape : bands, rows and columns of the output.
    dtype : numpy's name of the output's type.
    folder : where the files are; None for the system's folder for temporary files.

    Raises
    ------
    OSError : there is no room for the pixels in ``folder``.
    OutputError : there is no room for the pixels in the system's folder for temporary files.
    """

    def __init__(
        self,
        output_spec: OutputSpec,
        pyramid: Pyramid,
        factor: int,
        factors: tuple[int, ...],
        shape: tuple[int, int, int],
        dtype: str,
        folder: Path | None,
    ) -> None:
        self._output_spec, self._method = output_spec, pyramid.method
        self._factor, self._factors = factor, factors
        self._shape, self._dtype, self._folder = shape, np.dtype(dtype), folder
        self._pixels = self._scratch(factor)

    def add(self, window: PixelWindow, pixels: Array) -> None:
        """Take the pixels of a window that begins at multiples of ``factor``, reduced by ``factor``."""
        row, col = window.row // self._factor, window.col // self._factor
        self._pixels.array[:, row : row + pixels.shape[1], col : col + pixels.shape[2]] = pixels
        self._pixels.touched(pixels.nbytes)

    def overviews(self) -> Iterator[OverviewPart]:
        """Yield all parts of the overviews, the coarsest first."""
        made, finer, pixels = {}, self._factor, self._pixels
        for factor in self._factors:
            step, finer = factor // finer, factor
            if step > 1:
                pixels = self._decimated(pixels, step, factor)
            made[factor] = pixels
        for factor in reversed(self._factors):
            pixels = made[factor]
            for rows, cols in parts(pixels.array.shape, OVERVIEW_BLOCK_PX):
                part = pixels.array[:, rows, cols]
                yield OverviewPart(factor, cols.start, rows.start, part)
                pixels.touched(part.nbytes)

    def _decimated(self, pixels: _Scratch, step: int, factor: int) -> _Scratch:
        reduced = self._scratch(factor)
        for rows, cols in parts(pixels.array.shape, step):
            finer = pixels.array[:, rows, cols]
            part = decimate(finer, step, self._method, self._output_spec.nodata)
            row, col = rows.start // step, cols.start // step
            reduced.array[:, row : row + part.shape[1], col : col + part.shape[2]] = part
            pixels.touched(finer.nbytes)
            reduced.touched(part.nbytes)
        return reduced

    def _scratch(self, factor: int) -> _Scratch:
        nbands, nrows, ncols = self._shape
        shape = (nbands, *reduced_shape(nrows, ncols, factor))
        nbytes = math.prod(shape) * self._dtype.itemsize
        try:
            with tempfile.TemporaryFile(prefix="rios_batch-", dir=self._folder) as file:
                _set_aside(file.fileno(), nbytes)
                return _Scratch(file.fileno(), shape, self._dtype)
        except OSError as error:
            if self._folder is not None:
                raise  # it is the output's own disk
            room = f"{nbytes:,} bytes in {tempfile.gettempdir()!r}"
            raise OutputError(
                f"the overviews of output {self._output_spec.path!r} need {room}: {error.strerror}; set TMPDIR to a "
                "folder with more room, or use setOmitPyramids(True)"
            ) from error


class _Scratch:
    """An array in a file, of which no more than some parts are in this process's memory at a time.

    Attributes
    ----------
    array : of shape (bands, rows, cols).
    """

    def __init__(self, descriptor: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._map = mmap.mmap(descriptor, math.prod(shape) * dtype.itemsize)
        self.array: Array = np.ndarray(shape, dtype, self._map)
        self._touched_bytes = 0

    def touched(self, nbytes: int) -> None:
        """Take note of bytes that were read or written, and let go of them when they have become many."""
        self._touched_bytes += nbytes
        if self._touched_bytes > _MOST_TOUCHED_BYTES and hasattr(self._map, "madvise"):
            # The system keeps or writes the pages as it would those of a file that was written.
            self._map.madvise(mmap.MADV_DONTNEED)
            self._touched_bytes = 0


def _set_aside(descriptor: int, nbytes: int) -> None:
    """Make a file so long, with room on the disk: without, a full disk would end the process by a signal later."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, nbytes)
    else:  # macOS
        os.truncate(descriptor, nbytes)
