from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rios_batch.model.histogram import (
    FLOAT_SPAN,
    Histogram,
    float_exponent,
    float_histogram,
    float_key,
    in_bins,
    merged_integers,
)

finite = st.floats(allow_nan=False, allow_infinity=False)


def fits(lowest: float, highest: float, exponent: int) -> bool:
    first, last = float_key(lowest, exponent), float_key(highest, exponent)
    return last - first < FLOAT_SPAN and max(abs(first), abs(last)) < 2**53


@given(one=finite, other=finite)
def test_float_bins_are_the_finest_that_are_few_enough(one: float, other: float) -> None:
    lowest, highest = sorted([one, other])

    exponent = float_exponent(lowest, highest)

    assert fits(lowest, highest, exponent)
    assert exponent == -1074 or not fits(lowest, highest, exponent - 1)


@given(values=st.lists(finite, min_size=1, max_size=20), more=st.lists(finite, max_size=5))
def test_more_values_never_have_finer_bins(values: list[float], more: list[float]) -> None:
    some, all_of_them = float_exponent(min(values), max(values)), [*values, *more]

    assert float_exponent(min(all_of_them), max(all_of_them)) >= some


@given(
    values=st.one_of(
        st.lists(finite, min_size=1, max_size=50),
        st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=50),
    ),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_every_float_is_in_its_bin(values: list[float], dtype: type) -> None:
    with np.errstate(over="ignore"):
        array: np.ndarray[Any, Any] = np.array(values).astype(dtype)
    array[np.isinf(array)] = 0
    values = array.tolist()
    exponent = float_exponent(min(values), max(values))

    histogram = float_histogram(in_bins(array, exponent), exponent, min(values))

    expected = np.unique([float_key(value, exponent) for value in values], return_counts=True)
    assert histogram.keys.tolist() == expected[0].tolist()
    assert histogram.counts.tolist() == expected[1].tolist()


@pytest.mark.parametrize(
    ("value", "exponent", "key"),
    [(0.75, -1, 1), (-0.75, -1, -2), (-1e-300, 1000, -1), (5e-324, -1074, 1), (8, 2, 2)],
)
def test_a_key_counts_bins_from_0_towards_minus_infinity(value: float, exponent: int, key: int) -> None:
    assert float_key(float(value), exponent) == key


@pytest.mark.parametrize("far", [100, 2**40], ids=["counted", "sorted"])
def test_bins_of_different_width_merge_in_the_wider_ones(far: int) -> None:
    fine = Histogram(0, np.array([-3, -1, 5]), np.array([1, 2, 4]))
    coarse = Histogram(1, np.array([-1, 2, far]), np.array([8, 16, 32]))

    merged = merged_integers([fine, coarse])

    assert merged.exponent == 1
    assert dict(zip(merged.keys.tolist(), merged.counts.tolist(), strict=True)) == {
        -2: 1,
        -1: 10,
        2: 20,
        far: 32,
    }
