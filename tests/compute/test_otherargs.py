# ruff: noqa: ARG001 - user functions and merge rules have the arguments they are called with
from __future__ import annotations

import math
import threading
from typing import Any

import cloudpickle
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rios_batch.associations import OtherInputs
from rios_batch.compute.otherargs import ChangeDetector, attributes_of, check_rules, merge, pickle_or_none
from rios_batch.errors import ParameterError
from rios_batch.model.mergerules import resolve_rule


def changes_of(*tiles: dict[str, Any]) -> list[dict[str, bytes | None]]:
    """Return what tiles would bring back for these new values."""
    return [{name: cloudpickle.dumps(value) for name, value in tile.items()} for tile in tiles]


def merged(rule: Any, initial: Any, *values: Any) -> Any:
    other_args = OtherInputs(x=initial)
    merge(other_args, changes_of(*({"x": value} for value in values)), {"x": resolve_rule(rule)})
    return other_args.x


@given(st.integers(-1000, 1000), st.lists(st.integers(-1000, 1000), min_size=1))
def test_sum_adds_what_each_tile_added(initial: int, added: list[int]) -> None:
    assert merged("sum", initial, *(initial + more for more in added)) == initial + sum(added)


def test_sum_of_arrays_goes_element_by_element() -> None:
    initial = np.array([1, 2, 3])

    total = merged("sum", initial, np.array([2, 2, 3]), np.array([1, 12, 3]))

    assert total.tolist() == [2, 12, 3]
    assert initial.tolist() == [1, 2, 3]


def test_sum_starts_from_nothing_where_the_initial_value_is_none() -> None:
    assert merged("sum", None, 3, 4) == 7
    assert merged("sum", None, np.array([1, 2]), np.array([3, 4])).tolist() == [4, 6]


@given(st.floats(allow_nan=False), st.lists(st.floats(allow_nan=False), min_size=1))
def test_min_and_max_are_the_extremes_of_initial_and_all_tiles(initial: float, values: list[float]) -> None:
    assert merged("min", initial, *values) == min(initial, *values)
    assert merged("max", initial, *values) == max(initial, *values)


def test_min_and_max_of_plain_numbers_stay_plain_numbers() -> None:
    for rule in ("min", "max"):
        assert type(merged(rule, 3, 5)) is int
        assert type(merged(rule, 3.0, 5.0)) is float


def test_min_and_max_of_arrays_go_element_by_element() -> None:
    initial = np.array([5, 5, 5])

    assert merged("min", initial, np.array([1, 9, 5]), np.array([9, 2, 5])).tolist() == [1, 2, 5]
    assert merged("max", initial, np.array([1, 9, 5]), np.array([9, 2, 5])).tolist() == [9, 9, 5]


def test_min_and_max_ignore_an_initial_value_of_none() -> None:
    assert merged("min", None, 4, 2) == 2
    assert merged("max", None, 4, 2) == 4


def test_nan_in_any_tile_shows_in_the_extremes() -> None:
    assert math.isnan(merged("min", 1.0, math.nan, 0.5))
    assert math.isnan(merged("max", math.nan, 2.0))


@given(st.lists(st.integers()), st.lists(st.lists(st.integers(), min_size=1), min_size=1))
def test_concat_appends_what_tiles_appended_in_tile_order(initial: list[int], added: list[list[int]]) -> None:
    expected = initial + [item for tail in added for item in tail]

    assert merged("concat", initial, *(initial + tail for tail in added)) == expected


def test_concat_keeps_a_tuple_a_tuple_and_begins_with_an_empty_list_for_none() -> None:
    assert merged("concat", (1,), (1, 2), (1, 3)) == (1, 2, 3)
    assert merged("concat", None, [1], [2]) == [1, 2]


@pytest.mark.parametrize("values", [([1],), ([1, 2, 3], 7), ("text",)])
def test_concat_of_something_that_did_not_only_grow_fails_and_names_the_attribute(values: Any) -> None:
    with pytest.raises(ParameterError, match=r"otherArgs\.x failed: 'concat' wants lists"):
        merged("concat", [1, 2], *values)


def test_a_function_gets_the_initial_value_and_all_values_in_tile_order() -> None:
    seen: list[Any] = []

    def rule(initial: Any, values: list[Any]) -> str:
        seen.append((initial, values))
        return "result"

    assert merged(rule, "before", "b", "a", "c") == "result"
    assert seen == [("before", ["b", "a", "c"])]


def test_a_rule_that_fails_names_the_attribute_and_keeps_its_reason() -> None:
    def rule(initial: Any, values: list[Any]) -> Any:
        raise LookupError("no such thing")

    with pytest.raises(ParameterError, match=r"otherArgs\.x failed: no such thing") as caught:
        merged(rule, 1, 2)
    assert isinstance(caught.value.__cause__, LookupError)


def test_an_unknown_rule_is_refused_with_those_there_are() -> None:
    with pytest.raises(
        ParameterError, match=r"'mean' is not a merge rule; use one of 'sum', 'min', 'max', 'concat'"
    ):
        resolve_rule("mean")


def test_values_that_do_not_fit_the_rule_fail_with_the_attributes_name() -> None:
    with pytest.raises(ParameterError, match=r"otherArgs\.x failed"):
        merged("sum", {"a": 1}, {"a": 2})


def test_attributes_without_a_rule_are_refused_by_name_with_the_rules() -> None:
    check_rules(["n"], {"n": resolve_rule("sum")})

    with pytest.raises(
        ParameterError, match=r"^otherArgs\.a, otherArgs\.b changed .* have no merge rule, .*'scratch'"
    ):
        check_rules(["b", "n", "a"], {"n": resolve_rule("sum")})


def test_last_is_the_value_of_the_last_tile_that_changed_it() -> None:
    assert merged("last", 1, 5, 3) == 3


def test_scratch_stays_as_it_was() -> None:
    assert merged("scratch", 1, 5, 3) == 1


def test_a_key_chooses_a_whole_value_and_the_first_of_several() -> None:
    for rule, expected in (("max", (9, "b")), ("min", (1, "a"))):
        other_args = OtherInputs(x=None)
        merge(
            other_args,
            changes_of({"x": (1, "a")}, {"x": (9, "b")}, {"x": (9, "c")}, {"x": (1, "d")}),
            {"x": resolve_rule(rule, key=lambda value: value[0])},
        )
        assert other_args.x == expected


def test_with_a_key_the_value_before_the_run_counts_too() -> None:
    other_args = OtherInputs(x="long enough")
    merge(other_args, changes_of({"x": "short"}), {"x": resolve_rule("max", key=len)})

    assert other_args.x == "long enough"


def test_a_key_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ParameterError, match="a key is given for the merge rule 'sum'; only 'min' and 'max'"):
        resolve_rule("sum", key=len)
    with pytest.raises(ParameterError, match="the key of merge rule 'min' is 'size'; it must be a function"):
        resolve_rule("min", key="size")  # type: ignore[arg-type] # a mistake


def test_scratch_is_no_change_and_stays_for_the_workers_next_tile() -> None:
    detector = ChangeDetector(cloudpickle.dumps(OtherInputs(n=1)), ["lock"])
    copy = detector.fresh_copy()
    copy.lock = lock = threading.Lock()

    assert detector.changes(copy) == {}
    assert detector.fresh_copy().lock is lock


def test_a_class_that_another_thread_unpickles_again_is_no_change() -> None:
    class Scale:
        def of(self, value: int) -> int:
            return 3 * value

    Scale.__module__ = "__main__"  # as a script's, which travels by value
    pickled = cloudpickle.dumps(OtherInputs(scale=Scale()))
    detector = ChangeDetector(pickled)
    copy = detector.fresh_copy()
    # cloudpickle gives the one class of this process new functions, for instance those of another Python's compiler.
    type(copy.scale).of = lambda self, value: self.factor * value

    assert detector.changes(copy) == {}


def test_attributes_without_a_rule_stay_unchanged_in_the_callers_object() -> None:
    other_args = OtherInputs(n=1, b=0, a=0)

    copies = merge(other_args, changes_of({"n": 2, "b": 5}, {"n": 4, "a": 6}), {"n": resolve_rule("sum")})

    assert (other_args.n, other_args.a, other_args.b) == (5, 0, 0)
    assert [(c.n, c.a, c.b) for c in copies] == [(2, 0, 5), (4, 6, 0)]


def test_an_attribute_that_only_tiles_have_is_merged_from_none() -> None:
    other_args = OtherInputs()

    merge(other_args, changes_of({"seen": [1]}, {}, {"seen": [2]}), {"seen": resolve_rule("concat")})

    assert other_args.seen == [1, 2]


def test_a_dict_is_merged_like_an_object() -> None:
    other_args = {"n": 10, "name": "x"}

    copies = merge(other_args, changes_of({"n": 11}, {"n": 13}), {"n": resolve_rule("sum")})

    assert other_args == {"n": 14, "name": "x"}
    assert copies == [{"n": 11, "name": "x"}, {"n": 13, "name": "x"}]


def test_a_rule_for_an_attribute_that_nobody_changed_does_nothing() -> None:
    other_args = OtherInputs(n=3)

    merge(other_args, [{}, {}], {"n": resolve_rule("sum")})

    assert other_args.n == 3


def test_without_other_args_there_is_nothing_to_merge() -> None:
    assert len(merge(None, [{}, {}], {})) == 2


def test_a_change_that_could_not_be_pickled_is_reported_as_none_not_lost() -> None:
    other_args = OtherInputs(handle=1)

    copies = merge(other_args, [{"handle": None}], {})

    assert copies[0].handle is None


def detector_for(other_args: Any) -> ChangeDetector:
    return ChangeDetector(cloudpickle.dumps(other_args))


def test_a_tile_that_changes_nothing_brings_nothing_back() -> None:
    detector = detector_for(OtherInputs(n=1, table={"a": [1, 2]}, pixels=np.arange(5), f=lambda x: x + 1))
    copy = detector.fresh_copy()
    assert copy.f(copy.n) + copy.pixels.sum() + len(copy.table["a"]) == 14

    assert detector.changes(copy) == {}


def test_every_kind_of_change_is_noticed() -> None:
    detector = detector_for(OtherInputs(n=1, table={"a": [1, 2]}, pixels=np.arange(5), same="same"))
    copy = detector.fresh_copy()
    copy.n += 1
    copy.table["a"].append(3)
    copy.pixels[2] = 99
    copy.fresh = "new"

    changed = {name: cloudpickle.loads(value) for name, value in detector.changes(copy).items() if value}

    assert changed.keys() == {"n", "table", "pixels", "fresh"}
    assert changed["table"] == {"a": [1, 2, 3]}
    assert changed["pixels"].tolist() == [0, 1, 99, 3, 4]


def test_every_fresh_copy_is_as_it_was_before_the_run() -> None:
    detector = detector_for(OtherInputs(items=[1]))
    first = detector.fresh_copy()
    first.items.append(2)

    second = detector.fresh_copy()

    assert second.items == [1]
    assert detector.changes(second) == {}
    assert list(detector.changes(first)) == ["items"]


def test_an_attribute_changed_to_something_unpicklable_is_noticed() -> None:
    detector = detector_for(OtherInputs(lock=None))
    copy = detector.fresh_copy()
    copy.lock = threading.Lock()

    assert detector.changes(copy) == {"lock": None}


def test_a_dicts_changes_are_noticed_too() -> None:
    detector = detector_for({"n": 1, "m": 2})
    copy = detector.fresh_copy()
    copy["n"] = 5

    assert list(detector.changes(copy)) == ["n"]


def test_no_other_args_means_no_changes() -> None:
    detector = detector_for(None)

    assert detector.changes(detector.fresh_copy()) == {}


@pytest.mark.parametrize("value", [[1, 2], 7, "text", object()])
def test_other_args_without_attributes_are_refused_by_name_of_their_type(value: Any) -> None:
    with pytest.raises(
        ParameterError, match=f"otherArgs is a {type(value).__name__}, which has no attributes"
    ):
        attributes_of(value)


def test_pickle_or_none_never_raises() -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            raise AnyError

    class AnyError(Exception):
        pass

    assert pickle_or_none(Bomb()) is None
    assert pickle_or_none(threading.Lock()) is None
    assert cloudpickle.loads(pickle_or_none([1]) or b"") == [1]
