from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rios_batch.result import Timers

SECONDS = {"walltime": (12.0,), "reading": (1.0, 2.0, 3.0, 4.0, 10.0), "writing": ()}
times = st.lists(st.floats(0, 1e6), min_size=1, max_size=30)


def test_the_summary_has_totals_and_quartiles_of_every_part_that_happened() -> None:
    summary = Timers(SECONDS).makeSummaryDict()

    assert summary["reading"] == {
        "tot": 20.0,
        "min": 1.0,
        "lower": 2.0,
        "median": 3.0,
        "upper": 4.0,
        "max": 10.0,
        "N": 5,
    }


@pytest.mark.parametrize(
    "name",
    [
        "walltime",
        "reading",
        "startcomputeworkers",
        "userfunction",
        "writing",
        "pyramids",
        "basicstats",
        "histogram",
        "beforeclose",
        "insert_readbuffer",
        "pop_readbuffer",
        "insert_computebuffer",
        "pop_computebuffer",
    ],
)
def test_every_name_of_rios_2_can_be_looked_up_and_says_whether_it_was_measured(name: str) -> None:
    timers = Timers(SECONDS | {"encoding": (1.5,)})
    measured = SECONDS.get(name, ())

    summary = timers.makeSummaryDict()

    assert summary[name].keys() == {"tot", "min", "lower", "median", "upper", "max", "N"}
    assert (summary[name]["tot"], summary[name]["N"]) == (sum(measured), len(measured))
    assert timers.getDurationsForName(name) == (list(measured) or None)
    assert summary["encoding"]["tot"] == 1.5


def test_a_single_value_is_its_own_spread() -> None:
    walltime = Timers(SECONDS).makeSummaryDict()["walltime"]

    assert walltime.pop("N") == 1
    assert set(walltime.values()) == {12.0}


@given(times)
def test_a_summary_is_in_order(values: list[float]) -> None:
    summary = Timers({"reading": tuple(values)}).makeSummaryDict()["reading"]

    spread = [summary[name] for name in ("min", "lower", "median", "upper", "max")]
    assert all(a <= b or a == pytest.approx(b) for a, b in itertools.pairwise(spread))
    assert (spread[0], spread[-1], summary["N"]) == (min(values), max(values), len(values))
    assert summary["tot"] == sum(values)


def test_the_report_has_totals_only_and_the_spread_from_level_one_on() -> None:
    timers = Timers(SECONDS)

    short, long = timers.formatReport().splitlines(), timers.formatReport(level=1).splitlines()

    assert [line.split() for line in short] == [
        ["seconds", "tot"],
        ["walltime", "12.000"],
        ["reading", "20.000"],
    ]
    assert long[0].split() == ["seconds", "tot", "min", "lower", "median", "upper", "max"]
    assert long[2].split() == ["reading", "20.000", "1.000", "2.000", "3.000", "4.000", "10.000"]
    assert len({len(line) for line in long}) == 1


def test_a_report_of_nothing_is_its_heading() -> None:
    assert Timers({}).formatReport().split() == ["seconds", "tot"]
