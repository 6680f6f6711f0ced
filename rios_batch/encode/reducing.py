"""Reducing arrays of pixels to those of an overview.

GDAL's own overview code does the arithmetic, always with a whole factor. Made from a file, GDAL's factor at an odd size
is not whole (2501 / 1251), which would make pixels depend on how the raster is cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from osgeo import gdal

from rios_batch.gdalapi import gdal_type, nodata_or_none, set_nodata
from rios_batch.model.pyramid import METHODS_WITHIN_TILES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rios_batch.model.spec import Array

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
    if method == "MODE" and not _is_exact_in_float32(array):
        return _mode_by_ranks(array, factor, nodata)
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


def _is_exact_in_float32(array: Array) -> bool:
    """Say whether float32 holds all values: GDAL finds the mode in that, and would give values that exist nowhere."""
    if array.dtype.kind in "iu":
        largest = 2**24
        return array.dtype.itemsize < 4 or (array.min() >= -largest and array.max() <= largest)  # noqa: PLR2004
    with np.errstate(over="ignore"):
        return np.array_equal(array, array.astype(np.float32), equal_nan=True)


def _mode_by_ranks(array: Array, factor: int, nodata: float | None) -> Array:
    """Find the mode of values that float32 does not hold, by their places among all values of a part."""
    nbands, nrows, ncols = array.shape
    reduced = np.empty((nbands, *reduced_shape(nrows, ncols, factor)), array.dtype)
    for band, made in zip(array, reduced, strict=True):
        for rows, cols in parts((1, *band.shape), factor):
            part = _mode_of_part(band[rows, cols], factor, nodata)
            row, col = rows.start // factor, cols.start // factor
            made[row : row + part.shape[0], col : col + part.shape[1]] = part
    return reduced


def _mode_of_part(part: Array, factor: int, nodata: float | None) -> Array:
    values, places = np.unique(part, return_inverse=True)
    ranks = places.reshape(part.shape).astype(np.float32)
    is_nan = np.isnan(part)
    ranks[is_nan] = np.nan  # no two are the same value
    is_nodata = _is_nodata(values, nodata_or_none(nodata, part.dtype.name))
    rank = float(np.flatnonzero(is_nodata)[0]) if is_nodata.any() else None
    if rank is not None and np.isnan(values[int(rank)]):
        rank = np.nan
    modes = decimate(ranks[None], factor, "MODE", rank)[0]
    found: Array = values[np.nan_to_num(modes).astype(np.intp)]
    found[np.isnan(modes)] = np.nan if part.dtype.kind == "f" else 0
    return found


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


def parts(shape: tuple[int, ...], multiple: int) -> Iterator[tuple[slice, slice]]:
    """Cut (bands, rows, cols) into parts of so many pixels that begin at multiples of some rows and columns."""
    nbands, nrows, ncols = shape
    width = max(_PART_PX // (nbands * multiple) // multiple, 1) * multiple
    height = max(_PART_PX // (nbands * min(width, ncols)) // multiple, 1) * multiple
    for row in range(0, nrows, height):
        for col in range(0, ncols, width):
            yield slice(row, min(row + height, nrows)), slice(col, min(col + width, ncols))
