"""What is written of a band's statistics."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rios_batch.model.grid import PixelWindow
from rios_batch.model.spec import Layout, StatisticsSpec
from rios_batch.model.statitems import finished, longest
from rios_batch.model.tilestatistics import TileStatistics
from tests.support import output_spec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Array = NDArray[Any]

ALL = StatisticsSpec(basic=True, histogram=True, step=1)
OUTPUT = output_spec(encoded_by_workers=False, blocks_are_whole=False, statistics=ALL)


def items_of(pixels: Any, dtype: str = "float64", **changes: Any) -> Mapping[str, str]:
    """Return the items of one band, without the part of the names that they share."""
    output = replace(OUTPUT, **changes)
    array = np.atleast_2d(np.asarray(pixels, dtype))
    assert output.statistics is not None
    collector = TileStatistics(output.statistics, Layout(dtype, 1), output.nodata)
    collector.add(array[None], PixelWindow(0, 0, array.shape[1], array.shape[0]))
    (band,) = finished(output, Layout(dtype, 1), collector.finish())
    return {name.removeprefix("STATISTICS_"): text for name, text in band.items.items()}


def bin_counts(items: Mapping[str, str]) -> list[int]:
    assert items["HISTOBINVALUES"].endswith("|")
    counts = [int(text) for text in items["HISTOBINVALUES"][:-1].split("|")]
    assert len(counts) == int(items["HISTONUMBINS"])
    return counts


def test_all_items_of_a_band_of_bytes() -> None:
    assert items_of([0, 1, 1, 3, 5], "uint8", nodata=0) == {
        "SKIPFACTORX": "1",
        "SKIPFACTORY": "1",
        "EXCLUDEDVALUES": "0",
        "MINIMUM": "1",
        "MAXIMUM": "5",
        "MEAN": "2.5",
        "STDDEV": repr(math.sqrt(2.75)),
        "MEDIAN": "1",
        "MODE": "1",
        "HISTOMIN": "0",
        "HISTOMAX": "5",
        "HISTONUMBINS": "6",
        "HISTOBINFUNCTION": "direct",
        "HISTOBINVALUES": "0|2|0|1|0|1|",
    }


def test_a_sample_says_that_it_is_one() -> None:
    items = items_of(np.arange(64).reshape(8, 8), "uint8", statistics=replace(ALL, step=4))

    assert (items["SKIPFACTORX"], items["SKIPFACTORY"], items["APPROXIMATE"]) == ("4", "4", "YES")
    assert [place for place, count in enumerate(bin_counts(items)) if count] == [0, 4, 32, 36]


@pytest.mark.parametrize(("basic", "histogram", "nitems"), [(True, False, 6), (False, True, 9)])
def test_either_half_can_be_left_out(basic: bool, histogram: bool, nitems: int) -> None:
    items = items_of([1, 2], "uint8", statistics=StatisticsSpec(basic, histogram, 1))

    assert len(items) == nitems
    assert ("MEAN" in items, "MEDIAN" in items) == (basic, histogram)


def test_a_band_without_valid_pixels_has_no_items() -> None:
    assert items_of([0, 0], "uint8", nodata=0) == {}
    assert items_of([math.nan, math.inf]) == {}


# type, thematic, pixels, function, lowest, highest, number of bins
BINS: list[tuple[str, bool, Any, str, str, str, int]] = [
    ("uint8", False, [3, 200], "direct", "0", "200", 201),
    ("int16", False, [1000, 1255], "direct", "1000", "1255", 256),
    ("int16", False, [1000, 1256], "linear", "1000", "1256", 256),
    ("int16", True, [2, 1000], "direct", "0", "1000", 1001),
    ("int16", True, [-3, 5], "direct", "-3", "5", 9),
    ("int32", True, [0, 65_535], "direct", "0", "65535", 65_536),
    ("int32", True, [0, 65_536], "linear", "0", "65536", 256),
    ("int32", True, [70_000, 70_001], "direct", "70000", "70001", 2),
    ("uint64", False, [2**64 - 5, 2**64 - 1], "direct", str(2**64 - 5), str(2**64 - 1), 5),
    ("int64", False, [-(2**63), 2**63 - 1], "linear", str(-(2**63)), str(2**63 - 1), 256),
    ("float32", False, [0.5, 2], "linear", "0.5", "2.0", 256),
    ("float32", True, [0.5, 2], "linear", "0.5", "2.0", 256),
    ("float64", False, [7.25, 7.25], "linear", "7.25", "7.25", 1),
    ("float64", False, [-1.7e308, 1.7e308], "linear", "-1.7e+308", "1.7e+308", 256),
    ("float64", False, [-5e-324, 5e-324], "linear", "-5e-324", "5e-324", 256),
]


@pytest.mark.parametrize(("dtype", "thematic", "pixels", "function", "lowest", "highest", "nbins"), BINS)
def test_bins_suit_the_type(
    dtype: str, thematic: bool, pixels: Any, function: str, lowest: str, highest: str, nbins: int
) -> None:
    items = items_of(np.array(pixels, dtype), dtype, thematic=thematic)

    assert (items["HISTOBINFUNCTION"], items["HISTOMIN"], items["HISTOMAX"]) == (function, lowest, highest)
    counts = bin_counts(items)
    assert (len(counts), sum(counts)) == (nbins, 2)
    assert counts[-1] >= 1  # the highest value is in the last bin


@pytest.mark.parametrize("dtype", ["int16", "uint16", "int32", "uint32", "int64"])
def test_linear_bins_of_integers_are_numpys(dtype: str) -> None:
    pixels = np.random.default_rng(5).normal(10_000, 2000, (200, 200)).astype(dtype)

    items = items_of(pixels, dtype)

    expected, _ = np.histogram(pixels, 256, (float(pixels.min()), float(pixels.max())))
    assert bin_counts(items) == expected.tolist()
    assert int(items["MEDIAN"]) == np.sort(pixels, axis=None)[(pixels.size - 1) // 2]
    assert int(items["MODE"]) == np.bincount(pixels.ravel()).argmax()


@pytest.mark.parametrize("offset", [0.0, 1e9])
def test_linear_bins_of_floats_are_off_by_no_more_than_a_fine_bin(offset: float) -> None:
    pixels = np.random.default_rng(5).normal(offset, 3, (200, 200))
    lowest, highest = float(pixels.min()), float(pixels.max())
    fine = (highest - lowest) / 4095  # at most: the next width would make 8192 bins 4096

    items = items_of(pixels)

    edges = np.linspace(lowest, highest, 257)[1:-1]
    below = np.cumsum(bin_counts(items))[:-1]
    assert (below >= [(pixels < edge - fine).sum() for edge in edges]).all()
    assert (below <= [(pixels < edge + fine).sum() for edge in edges]).all()
    assert 0 <= np.median(pixels) - float(items["MEDIAN"]) <= fine


def test_round_floats_are_found_as_they_are() -> None:
    items = items_of([0.0, 0.25, 0.25, 0.5, 1.0])

    assert (items["MEDIAN"], items["MODE"]) == ("0.25", "0.25")


def test_numbers_are_read_back_as_the_same_numbers() -> None:
    value = float(np.float32(0.1))
    items = items_of([value, 1 / 3], nodata=math.nan)

    assert float(items["MINIMUM"]) == value
    assert float(items["MAXIMUM"]) == 1 / 3
    assert items["EXCLUDEDVALUES"] == "nan"
    assert items_of([1], "uint8", nodata=np.float32(0.5).item())["EXCLUDEDVALUES"] == "0.5"


DTYPES = ["uint8", "int16", "uint16", "int32", "uint64", "float32", "float64"]


@settings(max_examples=60, deadline=None)
@given(
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 2**32 - 1),
    npixels=st.integers(1, 3000),
    thematic=st.booleans(),
    step=st.sampled_from([1, 4]),
    spread=st.sampled_from([3, 200, 1e9, 1e300]),
)
def test_no_output_has_longer_texts_than_those_that_room_is_kept_for(
    dtype: str, seed: int, npixels: int, thematic: bool, step: int, spread: float
) -> None:
    values = np.random.default_rng(seed).normal(0, spread, npixels)
    if dtype not in ("float32", "float64"):
        limits = np.iinfo(dtype)
        values = np.clip(values, float(limits.min), float(limits.max) * (1 - 2**-50))
    changes: dict[str, Any] = {"thematic": thematic, "nodata": 0, "statistics": replace(ALL, step=step)}
    with np.errstate(over="ignore"):
        items = items_of(values.astype(dtype), dtype, **changes)

    (room,) = longest(replace(OUTPUT, **changes), Layout(dtype, 1), npixels)

    for name, text in items.items():
        assert len(text) <= len(room.items[f"STATISTICS_{name}"]), name


def test_room_for_a_histogram_is_no_larger_than_its_digits_can_need() -> None:
    (room,) = longest(OUTPUT, Layout("uint8", 1), 256 * 10 + 90)

    counts = [int(text) for text in room.items["STATISTICS_HISTOBINVALUES"].split("|")[:-1]]
    assert sorted(counts) == [10] * 255 + [100]


def test_there_is_room_for_every_band_and_none_for_complex_ones() -> None:
    assert len(longest(OUTPUT, Layout("float32", 3), 100)) == 3
    assert longest(OUTPUT, Layout("complex64", 3), 100) == ()
    assert longest(replace(OUTPUT, statistics=None), Layout("uint8", 3), 100) == ()
