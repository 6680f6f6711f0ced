"""Statistics of some of a band's pixels, merged without rounding.

Counts, extremes, and the sums of values and of squares as fractions are kept of a part. All of these merge without
rounding: the result is the same to the last bit whatever the tiles, workers and order of arrival. The variance of the
whole is a small difference of large sums, so the variance is computed from the fractions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from rios_batch.model.histogram import (
    Histogram,
    float_exponent,
    merged_at,
    merged_integers,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np


@dataclass(frozen=True, eq=False)
class PartialStatistics:
    """Statistics of some of a band's pixels, without nodata, NaN and infinite values.

    Attributes
    ----------
    count : number of pixels. Where the count is 0 the rest means nothing.
    lowest, highest : extremes; ints for integer types.
    total, squares : sums of values, and of the squares of values.
    histogram : None if no histogram is wanted.
    """

    count: int
    lowest: float
    highest: float
    total: Fraction
    squares: Fraction
    histogram: Histogram | None = field(repr=False)

    @property
    def nbytes(self) -> int:
        """Return about how many bytes the statistics take."""
        return 0 if self.histogram is None else self.histogram.keys.nbytes + self.histogram.counts.nbytes

    @property
    def mean(self) -> float:
        """Return the mean: the exact one, rounded once."""
        # Sums of float64 are rounded; the mean of equal values must be that value.
        return float(min(max(self.total / self.count, Fraction(self.lowest)), Fraction(self.highest)))

    @property
    def stddev(self) -> float:
        """Return the standard deviation of all pixels, that is, with N in the denominator."""
        variance = (self.squares - self.total**2 / self.count) / self.count
        return _root(variance) if variance > 0 else 0.0


def has_statistics(dtype: np.dtype[Any]) -> bool:
    """Say whether bands of a type have statistics: all but complex ones, which have no order."""
    return dtype.kind in "iuf"


NOTHING = PartialStatistics(0, 0, 0, Fraction(), Fraction(), None)


def merged(parts: Sequence[PartialStatistics]) -> PartialStatistics:
    """Return the statistics of all pixels of parts of one band, which do not share any."""
    found = [part for part in parts if part.count]
    if len(found) <= 1:
        return found[0] if found else NOTHING
    lowest, highest = min(part.lowest for part in found), max(part.highest for part in found)
    histograms = [part.histogram for part in found if part.histogram is not None]
    histogram = None
    if histograms:
        histogram = (
            merged_integers(histograms)
            if isinstance(lowest, int)
            else merged_at(float_exponent(lowest, highest), histograms)
        )
    return PartialStatistics(
        count=sum(part.count for part in found),
        lowest=lowest,
        highest=highest,
        total=sum((part.total for part in found), Fraction()),
        squares=sum((part.squares for part in found), Fraction()),
        histogram=histogram,
    )


def _root(square: Fraction) -> float:
    """Return the square root of a positive fraction, which itself may be too large or too small for float64."""
    bits = square.numerator.bit_length() - square.denominator.bit_length()
    shift = (bits - 2 * 64) // 2  # so that the root has 64 bits or so before it is rounded to 53
    whole = square / Fraction(4) ** shift
    return math.ldexp(math.isqrt(whole.numerator // whole.denominator), shift)
