"""The statistics of a finished band as the texts that files keep: GDAL's and RIOS's ``STATISTICS_*`` items."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from rios_batch.model.statistics import has_statistics

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from rios_batch.model.histogram import Histogram
    from rios_batch.model.spec import Layout, OutputSpec, StatisticsSpec
    from rios_batch.model.statistics import PartialStatistics

LINEAR_BINS = 256
# A thematic band has a bin for each value, so that a value's count can be looked up, as long as these are no more than
# a 16-bit type has.
MOST_DIRECT_BINS = 65_536
_LONGEST_FLOAT = "-1.2345678901234567e-308"


@dataclass(frozen=True)
class BandStatistics:
    """What is known of a band when all its pixels are.

    Attributes
    ----------
    items : metadata of the band, empty if it has no valid pixel.
    highest : the largest value; None if that is not known for sure.
    """

    items: Mapping[str, str]
    highest: float | None = None


@dataclass(frozen=True)
class _Bins:
    """A histogram as it is written: ``counts`` of equal bins from ``lowest`` to ``highest``.

    ``direct`` says that every bin is one whole number, and these two are the first and the last.
    """

    lowest: float
    highest: float
    direct: bool
    counts: NDArray[np.int64] = field(repr=False)


def finished(
    output: OutputSpec, layout: Layout, bands: Sequence[PartialStatistics]
) -> tuple[BandStatistics, ...]:
    """Return what is written of an output's bands; nothing for those that have none."""
    if output.statistics is None:
        return ()
    return tuple(_finished(output, layout, output.statistics, band) for band in bands)


def _finished(
    output: OutputSpec, layout: Layout, wanted: StatisticsSpec, band: PartialStatistics
) -> BandStatistics:
    if band.count == 0:
        return BandStatistics({})
    items = _extent_items(output, wanted)
    if wanted.basic:
        values = (band.lowest, band.highest, band.mean, band.stddev)
        items |= zip(_BASIC, map(_text, values), strict=True)
    if band.histogram is not None:
        items |= _histogram_items(
            _in_the_middle(band, band.histogram),
            _most_frequent(band, band.histogram),
            _bins(band, band.histogram, layout.dtype, thematic=output.thematic),
        )
    return BandStatistics(items, band.highest if wanted.step == 1 else None)


_BASIC = ("STATISTICS_MINIMUM", "STATISTICS_MAXIMUM", "STATISTICS_MEAN", "STATISTICS_STDDEV")


def _extent_items(output: OutputSpec, wanted: StatisticsSpec) -> dict[str, str]:
    """Return the items that say which pixels the statistics are of."""
    items = {"STATISTICS_SKIPFACTORX": str(wanted.step), "STATISTICS_SKIPFACTORY": str(wanted.step)}
    if wanted.step > 1:
        items["STATISTICS_APPROXIMATE"] = "YES"
    if output.nodata is not None:
        items["STATISTICS_EXCLUDEDVALUES"] = _text(output.nodata)
    return items


def _histogram_items(median: str, mode: str, bins: _Bins) -> dict[str, str]:
    return {
        "STATISTICS_MEDIAN": median,
        "STATISTICS_MODE": mode,
        "STATISTICS_HISTOMIN": _text(bins.lowest),
        "STATISTICS_HISTOMAX": _text(bins.highest),
        "STATISTICS_HISTONUMBINS": str(len(bins.counts)),
        "STATISTICS_HISTOBINFUNCTION": "direct" if bins.direct else "linear",
        "STATISTICS_HISTOBINVALUES": "".join(f"{count}|" for count in bins.counts.tolist()),
    }


def _text(value: float) -> str:
    """Return the shortest text that is read as the same number."""
    return str(int(value)) if isinstance(value, int | np.integer) else repr(float(value))


def _in_the_middle(band: PartialStatistics, histogram: Histogram) -> str:
    """Return the median, of an even number of values the lower of the two in the middle."""
    up_to = np.cumsum(histogram.counts)
    return _value(band, histogram, int(np.searchsorted(up_to, (band.count + 1) // 2)))


def _most_frequent(band: PartialStatistics, histogram: Histogram) -> str:
    """Return the mode, of several the lowest."""
    return _value(band, histogram, int(np.argmax(histogram.counts)))


def _value(band: PartialStatistics, histogram: Histogram, place: int) -> str:
    """Return a bin's lower edge: what is in it is less than a bin's width above."""
    key = int(histogram.keys[place])
    if place == 0:
        return _text(band.lowest)  # the first bin may begin below it, even below what a float64 can be
    if isinstance(band.lowest, int):
        return _text(key << histogram.exponent)
    return _text(math.ldexp(key, histogram.exponent))


def _bins(band: PartialStatistics, histogram: Histogram, dtype: str, *, thematic: bool) -> _Bins:
    """Return the histogram to be written: a bin for each value where that makes sense, else `LINEAR_BINS`."""
    if np.dtype(dtype).kind in "iu":
        by_value = thematic or dtype == "uint8"  # these begin at 0, so that a bin's number is its value
        for first, most in (
            (min(0, int(band.lowest)), MOST_DIRECT_BINS * by_value),
            (int(band.lowest), LINEAR_BINS),
        ):
            nbins = int(band.highest) - first + 1
            if nbins <= most:
                counts = np.zeros(nbins, np.int64)
                above = (histogram.keys - histogram.keys[0]).astype(np.intp)
                counts[int(band.lowest) - first + above] = histogram.counts
                return _Bins(first, band.highest, direct=True, counts=counts)
    return _linear_bins(band, histogram)


def _linear_bins(band: PartialStatistics, histogram: Histogram) -> _Bins:
    """Return `LINEAR_BINS` equal bins from the lowest to the highest value, which is in the last one.

    All values of a fine bin are taken for its lower edge, so that a border between two bins may be misplaced by a fine
    bin's width. Integers in an exact histogram have no such error.
    """
    if band.lowest == band.highest:
        return _Bins(band.lowest, band.highest, direct=False, counts=histogram.counts)
    # In units of fine bins, since the difference of two float64 may not be one.
    unit = Fraction(2) ** histogram.exponent
    lowest, highest = float(Fraction(band.lowest) / unit), float(Fraction(band.highest) / unit)
    values = np.maximum(histogram.keys.astype(np.float64), lowest)
    edges = np.linspace(lowest, highest, LINEAR_BINS + 1)
    places = np.minimum(np.searchsorted(edges, values, side="right") - 1, LINEAR_BINS - 1)
    counts = np.bincount(places, histogram.counts, LINEAR_BINS).astype(np.int64)
    return _Bins(band.lowest, band.highest, direct=False, counts=counts)


def longest(output: OutputSpec, layout: Layout, npixels: int) -> tuple[BandStatistics, ...]:
    """Return made-up statistics whose texts are at least as long as those of any output of so many pixels."""
    dtype = np.dtype(layout.dtype)
    wanted = output.statistics
    if wanted is None or not has_statistics(dtype):
        return ()
    number, nbins = _LONGEST_FLOAT, LINEAR_BINS
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        number = max(str(limits.min), str(limits.max), key=len)
        if output.thematic:
            nbins = max(nbins, min(limits.max - limits.min + 1, MOST_DIRECT_BINS))
    items = _extent_items(output, wanted)
    if wanted.basic:
        items |= zip(_BASIC, (number, number, _LONGEST_FLOAT, _LONGEST_FLOAT), strict=True)
    if wanted.histogram:
        items |= _histogram_items(
            number, number, _Bins(0, 0, direct=True, counts=_most_digits(npixels, nbins))
        )
        items |= dict.fromkeys(("STATISTICS_HISTOMIN", "STATISTICS_HISTOMAX"), number)
    return (BandStatistics(items),) * layout.nbands


def _most_digits(total: int, nbins: int) -> NDArray[np.int64]:
    """Return the counts of bins that have the most digits for their sum.

    Another digit costs more the more digits there are, so all bins get one before any gets the next.
    """
    counts = np.zeros(nbins, np.int64)
    smallest = 10
    while total > 0:
        cost = smallest - int(counts[0])
        counts[: total // cost] = smallest
        total -= cost * min(nbins, total // cost)
        if counts[-1] != smallest:
            break
        smallest *= 10
    return counts
