"""Statistics of a band as JSON, with the histogram as arrays beside the text."""

from __future__ import annotations

import zlib
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from rios_batch.awsbatch.decoding import finite, inflated, whole
from rios_batch.model.histogram import MOST_INTEGER_BINS, SMALLEST_EXPONENT, Histogram
from rios_batch.model.statistics import PartialStatistics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rios_batch.awsbatch.jsonvalues import ArrayPile
    from rios_batch.model.spec import Array

_LARGEST_EXPONENT = 1024  # of float64
_FRACTION_BITS = 2**13  # sums of squares of float64 have half as many
_KEY_TYPES = ("int64", "uint64")
_MOST_COUNT_BYTES = 8


def encode_statistics(band: PartialStatistics, arrays: ArrayPile) -> dict[str, Any]:
    """Return statistics in a form that ``json.dumps`` takes; the histogram goes beside the text."""
    # JSON has whole numbers of any size, and Python reads back the float64 that it wrote: none is NaN or infinite.
    return {
        "count": band.count,
        "lowest": band.lowest,
        "highest": band.highest,
        "total": band.total.as_integer_ratio(),
        "squares": band.squares.as_integer_ratio(),
        "histogram": None if band.histogram is None else _encoded_histogram(band.histogram, arrays),
    }


def _encoded_histogram(histogram: Histogram, arrays: ArrayPile) -> dict[str, Any]:
    """Store the steps from key to key. Where every bin has a value, all steps are 1 and take no room."""
    steps = np.diff(histogram.keys.view(np.uint64))  # modulo 2**64, for steps that int64 does not hold
    return {
        "exponent": histogram.exponent,
        "keys": str(histogram.keys.dtype),
        "first": int(histogram.keys[0]),
        "steps": _compressed(steps, arrays),
        "counts": _compressed(histogram.counts, arrays),
    }


def _compressed(numbers: Array, arrays: ArrayPile) -> dict[str, Any]:
    """Store numbers of at least 0 in the smallest type that holds them, byte by byte: first all lowest bytes."""
    dtype = np.min_scalar_type(numbers.max(initial=0)).newbyteorder("<")
    planes = numbers.astype(dtype).view(np.uint8).reshape(-1, dtype.itemsize).T
    packed = np.frombuffer(zlib.compress(planes.tobytes(), level=6), np.uint8)
    return {"dtype": dtype.str, "array": arrays.put(packed)}


def decode_statistics(content: dict[str, Any], arrays: Sequence[Array]) -> PartialStatistics:
    """Return the statistics that `encode_statistics` was given.

    Raises
    ------
    LookupError, OverflowError, TypeError, ValueError, zlib.error : the content is nothing that `encode_statistics`
        makes.
    """
    histogram = content["histogram"]
    lowest, highest = finite(content["lowest"]), finite(content["highest"])
    if lowest > highest or type(lowest) is not type(highest):
        raise ValueError("a lowest value above the highest, or of another type")
    return PartialStatistics(
        whole(content["count"]),
        lowest,
        highest,
        _fraction(*content["total"]),
        _fraction(*content["squares"]),
        None if histogram is None else _decoded_histogram(histogram, arrays),
    )


def _fraction(numerator: Any, denominator: Any) -> Fraction:
    most = 1 << _FRACTION_BITS
    return Fraction(whole(numerator, -most, most), whole(denominator, 1, most))


def _decoded_histogram(content: dict[str, Any], arrays: Sequence[Array]) -> Histogram:
    steps, counts = (_decompressed(content[part], arrays) for part in ("steps", "counts"))
    if content["keys"] not in _KEY_TYPES or len(counts) != len(steps) + 1:
        raise ValueError("a histogram with other keys than counts")
    keys = np.empty(len(counts), content["keys"])
    keys[0] = whole(content["first"], int(np.iinfo(keys.dtype).min), int(np.iinfo(keys.dtype).max))
    keys[1:] = steps.astype(keys.dtype)
    return Histogram(
        whole(content["exponent"], SMALLEST_EXPONENT, _LARGEST_EXPONENT),
        np.cumsum(keys, dtype=keys.dtype),
        counts.astype(np.int64),
    )


def _decompressed(content: dict[str, Any], arrays: Sequence[Array]) -> Array:
    dtype = np.dtype(content["dtype"])
    if dtype.kind != "u" or dtype.itemsize > _MOST_COUNT_BYTES:
        raise ValueError(f"counts of type {dtype}")
    planes = np.frombuffer(inflated(arrays[content["array"]], MOST_INTEGER_BINS * dtype.itemsize), np.uint8)
    return planes.reshape(dtype.itemsize, -1).T.copy().view(dtype).ravel()
