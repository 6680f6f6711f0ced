"""Making overviews: reduced pixels of blocks in workers, and of the whole raster in main.

GDAL's own overview code does the arithmetic, always with a whole factor. Made from a file, GDAL's factor at an odd size
is not whole (2501 / 1251), which would make pixels depend on how the raster is cut.
"""

from __future__ import annotations

import math
import os
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from osgeo import gdal

from rios_batch.errors import OutputError, ParameterError
from rios_batch.gdalapi import gdal_type, nodata_or_none, set_nodata
from rios_batch.model.pyramid import METHODS_WITHIN_TILES, OVERVIEW_BLOCK_PX

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rios_batch.model.grid import PixelWindow
    from rios_batch.model.spec import Array, Layout, OutputSpec

# Pixels of all bands that are reduced or encoded at a time, if that is a whole TIFF block.
_PART_PX = 4 * 1024 * 1024


def methods_within_tiles(dtype: str) -> tuple[str, ...]:
    """Return the methods by which pixels of a type can be reduced; GDAL leaves nothing out of complex ones."""
    return ("NEAREST",) if np.dtype(dtype).kind == "c" else METHODS_WITHIN_TILES


def decimate(array: Array, factor: int, method: str, nodata: float | None) -> Array:
    """Reduce an array of shape (bands, rows, cols) to (bands, ceil(rows / factor), ceil(cols / factor)).

    What is left over at the right and bottom edge becomes a pixel too.

    Parameters
    ----------
    method : GDAL's name of an overview resampling method that looks at no neighbours.
    nodata : pixels of this value are left out, if the method looks at values.
    """
    if factor == 1:
        return array
    if method == "NEAREST":
        return array[:, ::factor, ::factor]
    nbands, rows, cols = array.shape
    reduced = np.empty((nbands, *reduced_shape(rows, cols, factor)), array.dtype)
    for row_slice in _whole_and_rest(rows, factor):
        for col_slice in _whole_and_rest(cols, factor):
            part = array[:, row_slice, col_slice]
            is_whole = part.shape[1] % factor == 0 and part.shape[2] % factor == 0
            made = (_reduced if is_whole else _reduced_rest)(part, factor, method, nodata)
            row, col = row_slice.start // factor, col_slice.start // factor
            reduced[:, row : row + made.shape[1], col : col + made.shape[2]] = made
    return reduced


def _whole_and_rest(length: int, factor: int) -> list[slice]:
    """Return the part that the factor divides, and the rest, without empty ones."""
    whole = length // factor * factor
    return [part for part in (slice(0, whole), slice(whole, length)) if part.start < part.stop]


def _reduced(array: Array, factor: int, method: str, nodata: float | None) -> Array:
    dataset = _in_memory(array)
    if nodata is not None:
        set_nodata(dataset, nodata, array.dtype.name)
    return _overview(dataset, factor, method)


def _reduced_rest(array: Array, factor: int, method: str, nodata: float | None) -> Array:
    """Reduce what is left over at an edge, filled up to whole cells with pixels that a mask leaves out.

    Without them GDAL would make nothing at all of a rest that becomes a single pixel.
    """
    nbands, rows, cols = array.shape
    nodata = nodata_or_none(nodata, array.dtype.name)
    # The mode of bytes is taken with what is masked.
    dtype = np.dtype(np.uint16) if array.dtype == np.uint8 else array.dtype
    nrows, ncols = reduced_shape(rows, cols, factor)
    filled = np.zeros((nrows * factor, ncols * factor), dtype)
    valid = np.zeros(filled.shape, np.bool_)
    reduced = np.empty((nbands, nrows, ncols), array.dtype)
    for number in range(nbands):
        filled[:rows, :cols] = array[number]
        valid[:rows, :cols] = ~_is_nodata(array[number], nodata)
        dataset = _in_memory(filled[None])
        dataset.CreateMaskBand(gdal.GMF_PER_DATASET)
        dataset.GetRasterBand(1).GetMaskBand().WriteArray(valid.view(np.uint8) * 255)
        reduced[number] = _overview(dataset, factor, method)[0]
        if nodata is not None:
            is_empty = ~valid.reshape(nrows, factor, ncols, factor).any(axis=(1, 3))
            reduced[number][is_empty] = nodata
    return reduced


def _is_nodata(array: Array, nodata: float | None) -> Array:
    if nodata is None:
        return np.zeros(array.shape, np.bool_)
    return np.isnan(array) if nodata != nodata else array == array.dtype.type(nodata)  # noqa: PLR0124 - NaN


def _in_memory(array: Array) -> gdal.Dataset:
    nbands, rows, cols = array.shape
    dataset = gdal.GetDriverByName("MEM").Create("", cols, rows, nbands, gdal_type(array.dtype.name))
    dataset.WriteArray(array)
    return dataset


def _overview(dataset: gdal.Dataset, factor: int, method: str) -> Array:
    dataset.BuildOverviews(method, [factor])
    bands = (dataset.GetRasterBand(number) for number in range(1, dataset.RasterCount + 1))
    return np.stack([band.GetOverview(0).ReadAsArray() for band in bands])


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


def reduced_shape(rows: int, cols: int, factor: int) -> tuple[int, int]:
    """Return the rows and columns of an overview."""
    return -(-rows // factor), -(-cols // factor)


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


def parts(shape: tuple[int, ...], multiple: int) -> Iterator[tuple[slice, slice]]:
    """Cut (bands, rows, cols) into parts of so many pixels that begin at multiples of some rows and columns."""
    nbands, nrows, ncols = shape
    width = max(_PART_PX // (nbands * multiple) // multiple, 1) * multiple
    height = max(_PART_PX // (nbands * min(width, ncols)) // multiple, 1) * multiple
    for row in range(0, nrows, height):
        for col in range(0, ncols, width):
            yield slice(row, min(row + height, nrows)), slice(col, min(col + width, ncols))
