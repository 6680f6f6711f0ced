"""Histograms of bins that are powers of two wide, which merge without loss.

Bin ``key`` of a histogram with exponent k is [key * 2**k, (key + 1) * 2**k). Two bins of one width make one bin of the
next, so a histogram can always be made coarser; how fine it is depends on the set of values alone:

- Floats: k is the smallest for which the lowest and the highest value are less than `FLOAT_SPAN` bins apart, and no key
  needs more than 53 bits.
- Integers: k is 0, which is exact, as long as there are at most `MOST_INTEGER_BINS` different values; else the
  smallest for which so many bins do.

By neither rule do more values have finer bins. So the merged histograms of parts are the histogram of the whole,
bin for bin, whatever the parts and their order.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

FLOAT_SPAN = 8192
MOST_INTEGER_BINS = 65_536
# Keys that are less than this apart are counted in an array with a place for each; others are sorted, which takes
# ten times as long.
DENSE_SPAN = 2**18
_FLOAT_BITS = 53
# Down to here no value of 53 bits of bins, and no power of two to multiply with, is too large for float32.
_LEAST_FLOAT32_EXPONENT = -64
SMALLEST_EXPONENT = -1074  # every float64 is a multiple of 2**-1074


@dataclass(frozen=True, eq=False)
class Histogram:
    """How many values are in each bin that has any: ``keys`` ascend, ``counts`` are above 0.

    Keys are int64, or uint64 for values of that type.
    """

    exponent: int
    keys: NDArray[Any] = field(repr=False)
    counts: NDArray[np.int64] = field(repr=False)

    def coarsened(self, exponent: int) -> Histogram:
        """Return it with bins of another exponent, which is not smaller; keys may then be there more than once."""
        return Histogram(exponent, self.keys >> min(exponent - self.exponent, 63), self.counts)


def float_exponent(lowest: float, highest: float) -> int:
    """Return the exponent for finite floats from ``lowest`` to ``highest``."""
    largest = max(-lowest, highest)
    exponent = max(math.frexp(largest)[1] - _FLOAT_BITS if largest else SMALLEST_EXPONENT, SMALLEST_EXPONENT)
    if highest > lowest:
        span = highest - lowest
        # Before it was rounded it was above 2**(bits - 2); infinite is what is above the largest float64.
        bits = math.frexp(span)[1] if math.isfinite(span) else sys.float_info.max_exp
        exponent = max(exponent, bits - FLOAT_SPAN.bit_length() - 2)
    while float_key(highest, exponent) - float_key(lowest, exponent) >= FLOAT_SPAN:
        exponent += 1
    return exponent


def float_key(value: float, exponent: int) -> int:
    """Return the bin that a value is in."""
    numerator, denominator = value.as_integer_ratio()
    if exponent < 0:
        return (numerator << -exponent) // denominator
    return numerator // (denominator << exponent)


def in_bins(values: NDArray[Any], exponent: int) -> NDArray[np.floating[Any]]:
    """Return floats in units of bins: the floor of each is its key.

    They are float64, or float32 where that holds them all exactly, in half the time.
    """
    if values.dtype == np.float32 and _LEAST_FLOAT32_EXPONENT <= exponent <= 0:
        return values * np.float32(2.0**-exponent)
    first = max(exponent, -1022)  # 2.0**1023 is the largest power
    scaled: NDArray[np.float64] = np.multiply(values, 2.0**-first, dtype=np.float64)
    if first != exponent:
        scaled *= 2.0 ** (first - exponent)
    if exponent > 0 and values.dtype == np.float64:
        # What is closer to 0 than a float64 can be has become 0, but below 0 it is in bin -1.
        scaled[(scaled == 0) & (values < 0)] = -math.ulp(0)
    return scaled


def float_histogram(scaled: NDArray[np.floating[Any]], exponent: int, lowest: float) -> Histogram:
    """Return the histogram of values that `in_bins` scaled; ``lowest`` is the lowest of them, unscaled."""
    first = float_key(lowest, exponent)
    # Both are exact in float32, too: a key there has no more digits than its value, and places are below FLOAT_SPAN.
    places = np.floor(scaled)
    places -= first
    # By way of int32, to which processors convert several floats at a time.
    counts = np.bincount(places.astype(np.int32).astype(np.intp))
    return _sparse(exponent, counts, np.int64(first))


def integer_histogram(values: NDArray[Any], exponent: int) -> Histogram:
    """Return the histogram of integers at an exponent that is not too large for them."""
    keys = values.astype(wide_type(values.dtype), copy=False) >> exponent
    return _grouped(exponent, keys, None)


def counted(counts: NDArray[np.int64], first: int, dtype: np.dtype[Any]) -> Histogram:
    """Return the exact histogram of integers that were counted: ``counts[i]`` of them are ``first + i``."""
    return _sparse(0, counts, wide_type(dtype).type(first))


def wide_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type of keys for values of a type."""
    return np.dtype(np.uint64 if dtype == np.uint64 else np.int64)


def merged_at(exponent: int, parts: Sequence[Histogram]) -> Histogram:
    """Merge histograms into one of an exponent that is not smaller than theirs; of floats it is that of all values."""
    coarse = [part.coarsened(exponent) for part in parts]
    keys = np.concatenate([part.keys for part in coarse])
    return _grouped(exponent, keys, np.concatenate([part.counts for part in coarse]))


def merged_integers(parts: Sequence[Histogram]) -> Histogram:
    """Merge histograms of integers."""
    result = merged_at(max(part.exponent for part in parts), parts)
    while len(result.keys) > MOST_INTEGER_BINS:
        coarser = result.coarsened(result.exponent + 1)
        result = _grouped(coarser.exponent, coarser.keys, coarser.counts)
    return result


def _grouped(exponent: int, keys: NDArray[Any], counts: NDArray[np.int64] | None) -> Histogram:
    """Bring equal keys together; without ``counts`` each counts once."""
    if len(keys) == 0:
        return Histogram(exponent, keys, np.zeros(0, np.int64))
    first = keys.min()
    if int(keys.max()) - int(first) < DENSE_SPAN:
        places = (keys - first).astype(np.intp)
        # Weights are float64, and counts stay exact up to 2**53 pixels.
        dense = np.bincount(places, counts)
        return _sparse(exponent, dense, first)
    if counts is None:
        return Histogram(exponent, *np.unique(keys, return_counts=True))
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    return Histogram(exponent, keys[starts], np.add.reduceat(counts[order], starts))


def _sparse(exponent: int, dense: NDArray[Any], first: np.integer[Any]) -> Histogram:
    places = np.flatnonzero(dense)
    return Histogram(exponent, places.astype(first.dtype) + first, dense[places].astype(np.int64))
