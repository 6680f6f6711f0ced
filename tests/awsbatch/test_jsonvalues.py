from __future__ import annotations

import json
import math
from collections import Counter, OrderedDict, defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rios_batch.awsbatch.jsonvalues import ArrayPile, decode_value, encode_value, read_arrays
from rios_batch.errors import ParameterError


def there_and_back(value: Any) -> Any:
    arrays = ArrayPile()
    text = json.dumps([encode_value(value, arrays, "x"), arrays.index])
    encoded, index = json.loads(text)
    return decode_value(encoded, read_arrays(index, b"".join(arrays.data)))


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
    st.complex_numbers(allow_nan=False),
)
KEYS = st.one_of(st.text(), st.integers(), st.tuples(st.integers(), st.text()))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner), st.tuples(inner, inner), st.dictionaries(KEYS, inner), st.frozensets(SCALARS)
    ),
    max_leaves=15,
)


@given(VALUES)
def test_a_value_comes_back_equal_and_of_the_same_type(value: Any) -> None:
    back = there_and_back(value)

    assert back == value
    assert type(back) is type(value)


def test_nan_and_the_sign_of_zero_come_back() -> None:
    assert math.isnan(there_and_back(float("nan")))
    assert math.copysign(1, there_and_back(-0.0)) == -1


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=">i2").reshape(2, 3),
        np.array(3.5),
        np.zeros((0, 4), np.uint8),
        np.array(["2026-11-23"], "datetime64[D]"),
        np.array(["ab", "c"]),
        np.arange(12.0).reshape(3, 4)[:, ::2],
    ],
    ids=["big-endian", "no dimension", "empty", "dates", "text", "strided"],
)
def test_an_array_comes_back_and_may_be_written_into(array: np.ndarray[Any, Any]) -> None:
    back = there_and_back({"a": [array]})["a"][0]

    np.testing.assert_array_equal(back, array)
    assert back.dtype == array.dtype
    assert back.flags.writeable


def test_a_numpy_scalar_stays_one() -> None:
    back = there_and_back(np.float32(0.1))

    assert type(back) is np.float32
    assert back == np.float32(0.1)


MASKED: Any = np.ma.masked_array([1, 2], [False, True])  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    "value",
    [
        object(),
        np.array([object()]),
        [1, {2: open}],
        MASKED,
        defaultdict(int),
    ],
    ids=["object", "objects", "inside", "masked array", "defaultdict"],
)
def test_another_type_is_refused_by_name(value: Any) -> None:
    with pytest.raises(
        ParameterError, match=r"otherArgs.model.* is a .*does not come back from a worker on another"
    ):
        encode_value(value, ArrayPile(), "otherArgs.model")


@pytest.mark.parametrize("value", [Counter("abca"), OrderedDict(b=1, a=2)], ids=["Counter", "OrderedDict"])
def test_a_mapping_stays_what_it_was(value: Any) -> None:
    back = there_and_back(value)

    assert type(back) is type(value)
    assert list(back.items()) == list(value.items())


@pytest.mark.parametrize("text", ['{"$pickle": "gAR9lC4="}', '{"a": 1, "b": 2}'])
def test_nothing_else_is_decoded(text: str) -> None:
    with pytest.raises(ValueError, match="unknown kind|too many values"):
        decode_value(json.loads(text), [])
