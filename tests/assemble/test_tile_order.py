from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rios_batch.assemble.order import in_tile_order
from rios_batch.errors import JobMgrError


def results(indices: list[int]) -> list[Any]:
    return [SimpleNamespace(record=SimpleNamespace(tile=index)) for index in indices]


@given(st.permutations(range(6)))
def test_results_come_in_order_of_their_tiles(indices: list[int]) -> None:
    ordered = in_tile_order(results(indices), 6)

    assert [result.record.tile for result in ordered] == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("missing", [0, 2, 3])
def test_a_tile_without_a_result_is_refused(missing: int) -> None:
    indices = [index for index in range(4) if index != missing]

    with pytest.raises(JobMgrError, match=f"without a result of tile {missing}, of 4 tiles"):
        list(in_tile_order(results(indices), 4))


@pytest.mark.parametrize("indices", [[0, 0, 1], [1, 1, 0]], ids=["after its turn", "before its turn"])
def test_a_tile_with_two_results_is_refused(indices: list[int]) -> None:
    with pytest.raises(JobMgrError, match=f"gave tile {indices[0]} twice"):
        list(in_tile_order(results(indices), 2))
