"""Statistics of a tile's bands, collected from the blocks while the blocks are in memory.

A block's own sums are float64 sums of differences from about the block's mean, so a large offset costs no digits.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from rios_batch.model.histogram import (
    DENSE_SPAN,
    Histogram,
    counted,
    float_exponent,
    float_histogram,
    in_bins,
    integer_histogram,
    merged_integers,
    wide_type,
)
from rios_batch.model.statistics import NOTHING, PartialStatistics, has_statistics, merged

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rios_batch.model.grid import PixelWindow
    from rios_batch.model.spec import Array, Layout, StatisticsSpec

_CHUNK_PX = 2**16
_MOST_PENDING_KEYS = 2**17
_CENTRE_STEP = 61  # the mean of so few values is near enough; a prime number follows no stripes


class TileStatistics:
    """Collects the statistics of one output of a tile, block by block.

    Parameters
    ----------
    nodata : left out; a value of the output's type, or None.
    """

    def __init__(self, wanted: StatisticsSpec, layout: Layout, nodata: float | None) -> None:
        self._step = wanted.step
        dtype = np.dtype(layout.dtype)
        kind = _CountedBand if dtype.kind in "iu" and dtype.itemsize <= 2 else _ChunkedBand  # noqa: PLR2004
        nbands = layout.nbands if has_statistics(dtype) else 0
        self._bands: list[_Band] = [
            kind(dtype, nodata, with_histogram=wanted.histogram) for _ in range(nbands)
        ]

    def add(self, block: Array, window: PixelWindow) -> None:
        """Take a block of shape (bands, rows, cols) that has its place at ``window`` of the working grid."""
        first_row, first_col = -window.row % self._step, -window.col % self._step
        rows_per_chunk = max(1, _CHUNK_PX // max(1, window.width // self._step))
        with np.errstate(all="ignore"):  # which the user function may have switched on
            for band, pixels in zip(self._bands, block, strict=False):
                sample = pixels[first_row :: self._step, first_col :: self._step]
                for start in range(0, len(sample), rows_per_chunk):
                    values = sample[start : start + rows_per_chunk].ravel()
                    if values.size:
                        band.add(values)

    def finish(self) -> tuple[PartialStatistics, ...]:
        """Return the statistics of each band; of complex bands there are none."""
        return tuple(band.result() for band in self._bands)


class _Band(Protocol):
    def add(self, values: NDArray[Any]) -> None:
        """Take values of shape (n,), n > 0."""

    def result(self) -> PartialStatistics: ...


class _CountedBand:
    """Integers of 8 or 16 bits: there is a counter for each value, and everything follows from these."""

    def __init__(self, dtype: np.dtype[Any], nodata: float | None, *, with_histogram: bool) -> None:
        self._dtype, self._nodata, self._with_histogram = dtype, nodata, with_histogram
        self._lowest = int(np.iinfo(dtype).min)
        self._counts = np.zeros(2 ** (8 * dtype.itemsize), np.int64)

    def add(self, values: NDArray[Any]) -> None:
        first = int(values.min())
        counts = np.bincount(np.subtract(values, first, dtype=np.intp))
        place = first - self._lowest
        self._counts[place : place + len(counts)] += counts

    def result(self) -> PartialStatistics:
        if self._nodata is not None:
            self._counts[int(self._nodata) - self._lowest] = 0
        statistics = _of_counted(counted(self._counts, self._lowest, self._dtype))
        return statistics if self._with_histogram else replace(statistics, histogram=None)


def _of_counted(histogram: Histogram) -> PartialStatistics:
    """Return statistics from an exact histogram."""
    if len(histogram.keys) == 0:
        return NOTHING
    lowest, highest = int(histogram.keys[0]), int(histogram.keys[-1])
    counts = histogram.counts
    # Offsets from the lowest are below DENSE_SPAN: no sum here exceeds 2**36 times the number of pixels.
    offsets = (histogram.keys - histogram.keys[0]).astype(np.int64)
    count, total, squares = int(counts.sum()), int((offsets * counts).sum()), int((offsets**2 * counts).sum())
    return PartialStatistics(
        count, lowest, highest, *_shifted(count, Fraction(total), Fraction(squares), lowest), histogram
    )


class _ChunkedBand:
    """All other types: each chunk has statistics of its own, which are merged when there are many."""

    def __init__(self, dtype: np.dtype[Any], nodata: float | None, *, with_histogram: bool) -> None:
        self._with_histogram = with_histogram
        self._is_float = dtype.kind == "f"
        with np.errstate(over="ignore"):  # GDAL compares in the band's type too
            nothing = nodata is None or (self._is_float and not np.isfinite(nodata))
            self._nodata = None if nothing else np.array(nodata).astype(dtype)[()]
        self._parts: list[PartialStatistics] = []
        self._keys = 0
        self._exponent = 0

    def add(self, values: NDArray[Any]) -> None:
        values = self._valid(values)
        if values.size == 0:
            return
        part = self._of_floats(values) if self._is_float else self._of_integers(values)
        self._parts.append(part)
        if part.histogram is not None:
            self._keys += len(part.histogram.keys)
            if self._keys > _MOST_PENDING_KEYS:
                self._merge()

    def result(self) -> PartialStatistics:
        return merged(self._parts)

    def _valid(self, values: NDArray[Any]) -> NDArray[Any]:
        if self._is_float:
            values = _where(np.isfinite(values), values)
        return values if self._nodata is None else _where(values != self._nodata, values)

    def _merge(self) -> None:
        whole = merged(self._parts)
        self._parts = [whole]
        if whole.histogram is not None:
            # Integers of later chunks need not be counted in finer bins than these.
            self._keys, self._exponent = len(whole.histogram.keys), whole.histogram.exponent

    def _of_floats(self, values: NDArray[Any]) -> PartialStatistics:
        lowest, highest = float(values.min()), float(values.max())
        exponent = float_exponent(lowest, highest)
        scaled = in_bins(values, exponent)
        histogram = float_histogram(scaled, exponent, lowest) if self._with_histogram else None
        unit = Fraction(2) ** exponent
        if lowest == highest:  # whose mean in float64 may be another number
            total, squares = _shifted(values.size, Fraction(), Fraction(), Fraction(lowest) / unit)
        else:  # in units of bins, in which no sum of squares is too large or too small for float64
            total, squares = _sums(scaled)
        return PartialStatistics(values.size, lowest, highest, total * unit, squares * unit**2, histogram)

    def _of_integers(self, values: NDArray[Any]) -> PartialStatistics:
        lowest, highest = int(values.min()), int(values.max())
        wide = wide_type(values.dtype)
        if highest - lowest < DENSE_SPAN and self._exponent == 0:
            offsets = np.subtract(values, wide.type(lowest), dtype=wide)
            part = _of_counted(counted(np.bincount(offsets.astype(np.intp)), lowest, values.dtype))
            return part if self._with_histogram else replace(part, histogram=None)
        # Differences of 64-bit integers may need 64 bits without a sign, which they have modulo 2**64.
        offsets = values.astype(wide).view(np.uint64) - np.uint64(lowest % 2**64)
        total, squares = _shifted(values.size, *_sums(offsets.astype(np.float64)), lowest)
        histogram = None
        if self._with_histogram:
            histogram = merged_integers([integer_histogram(values, self._exponent)])
        return PartialStatistics(values.size, lowest, highest, total, squares, histogram)


def _where(valid: NDArray[np.bool_], values: NDArray[Any]) -> NDArray[Any]:
    # numpy.compress is four times as fast as an index of booleans.
    return values if valid.all() else np.compress(valid, values)


def _sums(values: NDArray[np.floating[Any]]) -> tuple[Fraction, Fraction]:
    """Return the sums of values and of squares: rounded where values differ from about their mean, not at 0."""
    centre = float(values[::_CENTRE_STEP].mean(dtype=np.float64))
    # numpy.sum adds in the same order on every machine; numpy.dot does not.
    deviations = np.subtract(values, centre, dtype=np.float64)
    total = Fraction(float(deviations.sum()))
    squares = Fraction(float(np.square(deviations, out=deviations).sum()))
    return _shifted(values.size, total, squares, centre)


def _shifted(
    count: int, total: Fraction, squares: Fraction, shift: float | Fraction
) -> tuple[Fraction, Fraction]:
    """Return the two sums for values that are all larger by ``shift``."""
    by = Fraction(shift)
    return total + count * by, squares + 2 * by * total + count * by * by
