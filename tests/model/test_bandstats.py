"""Statistics of parts, merged, against numpy's of the whole."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rios_batch.model.grid import PixelWindow
from rios_batch.model.histogram import FLOAT_SPAN, MOST_INTEGER_BINS, float_key
from rios_batch.model.spec import Layout, StatisticsSpec
from rios_batch.model.statistics import PartialStatistics, merged
from rios_batch.model.tilestatistics import TileStatistics

Array = NDArray[Any]

ALL = StatisticsSpec(basic=True, histogram=True, step=1)


def statistics_of(
    pixels: Array,
    *,
    window: int = 256,
    nodata: float | None = None,
    spec: StatisticsSpec = ALL,
    tiles: int = 1,
) -> PartialStatistics:
    """Compute the statistics of one band of shape (rows, cols), whose blocks go to so many tiles at random."""
    order = random.Random(tiles)
    collectors = [TileStatistics(spec, Layout(pixels.dtype.name, 1), nodata) for _ in range(tiles)]
    for row in range(0, pixels.shape[0], window):
        for col in range(0, pixels.shape[1], window):
            block = pixels[None, row : row + window, col : col + window]
            order.choice(collectors).add(block, PixelWindow(col, row, block.shape[2], block.shape[1]))
    parts = [collector.finish()[0] for collector in collectors]
    order.shuffle(parts)
    while len(parts) > 1:  # now and then several at once
        some = order.randint(2, len(parts))
        parts = [merged(parts[:some]), *parts[some:]]
    return parts[0]


def same(one: PartialStatistics, other: PartialStatistics) -> bool:
    """Compare every bit."""
    plain = [(p.count, p.lowest, p.highest, p.total, p.squares) for p in (one, other)]
    if one.histogram is None or other.histogram is None:
        return plain[0] == plain[1] and one.histogram is other.histogram
    return (
        plain[0] == plain[1]
        and one.histogram.exponent == other.histogram.exponent
        and np.array_equal(one.histogram.keys, other.histogram.keys)
        and np.array_equal(one.histogram.counts, other.histogram.counts)
    )


def whole_range(rng: np.random.Generator, dtype: str, shape: tuple[int, int]) -> Array:
    return np.frombuffer(rng.bytes(math.prod(shape) * np.dtype(dtype).itemsize), dtype).reshape(shape)


def small(rng: np.random.Generator, dtype: str, shape: tuple[int, int]) -> Array:
    return rng.integers(0, 100, shape).astype(dtype)


def with_holes(rng: np.random.Generator, dtype: str, shape: tuple[int, int]) -> Array:
    pixels = rng.normal(0, 5, shape).astype(dtype)
    pixels[rng.random(shape) < 0.3] = 0
    if np.dtype(dtype).kind == "f":
        pixels[rng.random(shape) < 0.1] = np.nan
        pixels[rng.random(shape) < 0.01] = np.inf
        pixels[rng.random(shape) < 0.01] = -np.inf
    return pixels


def with_outliers(rng: np.random.Generator, dtype: str, shape: tuple[int, int]) -> Array:
    pixels: Array = np.exp(rng.normal(0, 6, shape)).clip(0, 2e9)
    return pixels.astype(dtype)


def far_from_0(rng: np.random.Generator, dtype: str, shape: tuple[int, int]) -> Array:
    return (1e9 + rng.normal(0, 200, shape)).astype(dtype)


Maker = Callable[[np.random.Generator, str, tuple[int, int]], Array]
INTEGERS = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"]
FLOATS = ["float32", "float64"]
WIDE = ["int32", "uint64", "float32", "float64"]
DATA: list[tuple[Maker, str]] = [
    *((whole_range, dtype) for dtype in INTEGERS),
    *((small, dtype) for dtype in [*INTEGERS, *FLOATS]),
    *((with_holes, dtype) for dtype in ["int8", "int16", "int32", "int64", *FLOATS]),
    *((with_outliers, dtype) for dtype in WIDE),
    *((far_from_0, dtype) for dtype in WIDE),
]


@settings(max_examples=60, deadline=None)
@given(
    data=st.sampled_from(DATA),
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 150),
    cols=st.integers(1, 150),
    window=st.integers(10, 200),
    tiles=st.integers(2, 9),
    nodata=st.sampled_from([None, 0, 7, math.nan]),
    step=st.sampled_from([1, 4]),
)
def test_parts_in_any_order_give_the_same_bits_and_numpys_values(
    data: tuple[Maker, str],
    seed: int,
    rows: int,
    cols: int,
    window: int,
    tiles: int,
    nodata: float | None,
    step: int,
) -> None:
    maker, dtype = data
    pixels = maker(np.random.default_rng(seed), dtype, (rows, cols))
    is_float = pixels.dtype.kind == "f"
    if nodata is not None and math.isnan(nodata) and not is_float:
        nodata = None
    spec = StatisticsSpec(basic=True, histogram=True, step=step)

    whole = statistics_of(pixels, window=window, nodata=nodata, spec=spec)
    parts = statistics_of(pixels, window=window, nodata=nodata, spec=spec, tiles=tiles)

    assert same(whole, parts)
    values = pixels[::step, ::step]
    values = values[np.isfinite(values) & (values != nodata if nodata is not None else True)]
    assert whole.count == len(values)
    if len(values) == 0:
        return
    assert (whole.lowest, whole.highest) == (values.min(), values.max())
    exact = [int(v) if not is_float else float(v) for v in values.tolist()]
    scale = max(abs(float(whole.lowest)), abs(float(whole.highest)))
    assert whole.mean == pytest.approx(math.fsum(exact) / len(exact), rel=1e-9, abs=1e-12 * scale)
    centred = np.array([v - type(v)(whole.mean) for v in exact], np.float64)
    assert whole.stddev == pytest.approx(centred.std(), rel=1e-9, abs=1e-300)
    assert_bins_are_numpys(whole, values)


def assert_bins_are_numpys(statistics: PartialStatistics, values: Array) -> None:
    histogram = statistics.histogram
    assert histogram is not None
    if values.dtype.kind == "f":
        exponent = histogram.exponent
        keys, counts = np.unique([float_key(v, exponent) for v in values.tolist()], return_counts=True)
        assert keys[-1] - keys[0] < FLOAT_SPAN
    else:
        keys, counts = np.unique(values >> values.dtype.type(histogram.exponent), return_counts=True)
        assert len(keys) <= MOST_INTEGER_BINS
    assert histogram.keys.tolist() == keys.tolist()
    assert histogram.counts.tolist() == counts.tolist()


def test_integers_are_exact_up_to_65536_values_and_coarser_beyond() -> None:
    values = np.arange(65_536, dtype=np.int32).reshape(256, 256) * 1000
    more = np.array([[-(2**31)]], np.int32)

    exact = statistics_of(values)
    coarse = merged([exact, statistics_of(more)])

    assert exact.histogram is not None
    assert coarse.histogram is not None
    assert (exact.histogram.exponent, len(exact.histogram.keys)) == (0, 65_536)
    assert coarse.histogram.exponent == 1 + 9  # 1000 apart: the first bins that hold two are 1024 wide
    assert len(coarse.histogram.keys) <= MOST_INTEGER_BINS
    assert int(coarse.histogram.counts.sum()) == 65_537


def test_large_integers_keep_every_digit() -> None:
    values = np.array([[2**63 - 1, 2**63 - 3], [-(2**63), -(2**63)]], np.int64)
    unsigned = np.array([[2**64 - 1, 2**53 + 1]], np.uint64)

    assert (statistics_of(values).lowest, statistics_of(values).highest) == (-(2**63), 2**63 - 1)
    assert (statistics_of(unsigned).lowest, statistics_of(unsigned).highest) == (2**53 + 1, 2**64 - 1)


@pytest.mark.parametrize(
    ("values", "mean", "stddev"),
    [
        ([1.7e308, 1.7e308, -1.7e308, -1.7e308], 0.0, 1.7e308),
        ([1.7e308, 1.5e308], 1.6e308, 1e307),
        ([5e-324, 1.5e-323], 1e-323, 5e-324),
        ([1e308, -1e-300], 5e307, 5e307),
        ([-1e308, 5e-324], -5e307, 5e307),
        ([0.1, 0.1, 0.1], 0.1, 0.0),
        ([-0.0, 0.0], 0.0, 0.0),
        ([1e9, 1e9 + 2e-7], 1e9 + 1e-7, (1e9 + 2e-7 - 1e9) / 2),
    ],
)
def test_the_ends_of_float64_are_no_trouble(values: list[float], mean: float, stddev: float) -> None:
    with np.errstate(all="raise"):  # as a user function may leave it
        statistics = statistics_of(np.array([values]))

    assert statistics.mean == pytest.approx(mean, rel=1e-15)
    assert statistics.stddev == pytest.approx(stddev, rel=1e-14)
    assert_bins_are_numpys(statistics, np.array(values))


def test_equal_values_have_exactly_their_value_as_mean_and_no_deviation() -> None:
    statistics = statistics_of(np.full((300, 300), np.float32(0.1)))

    assert (statistics.mean, statistics.stddev) == (float(np.float32(0.1)), 0.0)


def test_nodata_is_compared_in_the_type_of_the_band() -> None:
    pixels = np.array([[0.1, 1, 2]], np.float32)  # float32's 0.1 is another number than float64's

    assert statistics_of(pixels, nodata=0.1).count == 2
    assert statistics_of(pixels, nodata=1e300).count == 3


def test_a_band_without_valid_pixels_counts_none() -> None:
    for pixels in (np.zeros((9, 9), np.uint8), np.zeros((9, 9), np.int32), np.full((9, 9), np.nan)):
        assert statistics_of(pixels, nodata=0).count == 0
    assert merged([]).count == 0


def test_complex_bands_have_no_statistics() -> None:
    collector = TileStatistics(ALL, Layout("complex64", 2), None)
    collector.add(np.ones((2, 4, 4), np.complex64), PixelWindow(0, 0, 4, 4))

    assert collector.finish() == ()


def test_a_sample_takes_every_fourth_row_and_column_of_the_grid_and_at_least_one_pixel() -> None:
    pixels = np.arange(91 * 67).reshape(91, 67).astype(np.int32)
    sampled = StatisticsSpec(basic=True, histogram=True, step=4)

    found = statistics_of(pixels, window=10, spec=sampled, tiles=3)

    assert found.histogram is not None
    assert found.histogram.keys.tolist() == pixels[::4, ::4].ravel().tolist()
    assert statistics_of(pixels[:1, :1], spec=sampled).count == 1


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32"])
def test_without_a_histogram_the_rest_is_the_same(dtype: str) -> None:
    pixels = np.random.default_rng(3).integers(0, 200, (70, 70)).astype(dtype)
    bare = statistics_of(pixels, spec=StatisticsSpec(basic=True, histogram=False, step=1), tiles=3, window=9)
    full = statistics_of(pixels, tiles=3, window=9)

    assert bare.histogram is None
    assert (bare.total, bare.squares, bare.lowest, bare.highest) == (
        full.total,
        full.squares,
        full.lowest,
        full.highest,
    )


def test_each_band_is_by_itself() -> None:
    collector = TileStatistics(ALL, Layout("uint8", 2), None)
    collector.add(
        np.stack([np.full((4, 4), 3, np.uint8), np.full((4, 4), 9, np.uint8)]), PixelWindow(0, 0, 4, 4)
    )

    assert [band.mean for band in collector.finish()] == [3, 9]
