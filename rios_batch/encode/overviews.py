"""Reducing pixels: arrays by a whole factor, and the blocks of a tile in a worker.

GDAL's own overview code does the arithmetic, always with a whole factor. Made from a file, GDAL's factor at an odd size
is not whole (2501 / 1251), which would make pixels depend on how the raster is cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from osgeo import gdal

from rios_batch.errors import ParameterError
from rios_batch.gdalapi import gdal_type, nodata_or_none, set_nodata
from rios_batch.model.pyramid import METHODS_WITHIN_TILES

if TYPE_CHECKING:
    from rios_batch.model.grid import PixelWindow
    from rios_batch.model.pyramid import Pyramid
    from rios_batch.model.spec import Array, Layout, OutputSpec


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


def reduced_shape(rows: int, cols: int, factor: int) -> tuple[int, int]:
    """Return the rows and columns of an overview."""
    return -(-rows // factor), -(-cols // factor)


class TileOverviews:
    """The reduced pixels of one tile.

    Parameters
    ----------
    pyramid : the overviews of the output; ``output_spec.encoded_overviews`` are those that the worker encodes.
    window : the tile's.

    Raises
    ------
    ParameterError : pixels of this type cannot be reduced so.
    """

    def __init__(
        self, output_spec: OutputSpec, pyramid: Pyramid, layout: Layout, window: PixelWindow
    ) -> None:
        self._pyramid, self._nodata = pyramid, output_spec.nodata
        if pyramid.method not in methods_within_tiles(layout.dtype):
            raise ParameterError(
                f"{output_spec.label} has {layout}, whose overviews cannot be made by {pyramid.method}; use "
                "setOverviewAggregationType('NEAREST') or setOmitPyramids(True)"
            )
        self._encoded = output_spec.encoded_overviews
        self._factors = self._encoded or (pyramid.first_factor,)
        shape = (layout.nbands, *reduced_shape(window.height, window.width, self._factors[0]))
        self._finest: Array = np.empty(shape, layout.dtype)

    def add(self, block: Array, col: int, row: int) -> None:
        """Take a block of shape (bands, rows, cols) at a column and row of the tile that are multiples of 16."""
        factor = self._factors[0]
        part = self._decimated(block, factor)
        row, col = row // factor, col // factor
        self._finest[:, row : row + part.shape[1], col : col + part.shape[2]] = part

    def finish(self) -> tuple[list[Array], Array | None]:
        """Return the tile's part of each overview that the worker encodes, and what main makes coarser ones of.

        The finest overview comes first. What main makes coarser overviews of is None where there are no coarser ones.
        """
        arrays = [self._finest]
        for finer, factor in zip(self._factors, self._factors[1:], strict=False):
            arrays.append(self._decimated(arrays[-1], factor // finer))
        main_makes_more = len(self._encoded) < len(self._pyramid.factors)
        return arrays[: len(self._encoded)], arrays[-1] if main_makes_more else None

    def _decimated(self, pixels: Array, factor: int) -> Array:
        return decimate(pixels, factor, self._pyramid.method, self._nodata)
