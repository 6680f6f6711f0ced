"""Which environment variables a function reads, as far as its code says so."""

from __future__ import annotations

import functools
import os
from os import environ, getenv
from typing import Any

import pytest

from rios_batch.jobmanagers.environment import variables_left_behind, warn_of_variables_left_behind


@pytest.fixture(autouse=True)
def _variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KK", "LL", "OTHER"):
        monkeypatch.setenv(name, "1")


def helper() -> str:
    return os.environ.get("LL", "none")


def by_helper(*_: Any) -> None:
    helper()


def subscript(*_: Any) -> None:
    os.environ["KK"]


def function(*_: Any) -> None:
    os.getenv("KK")


def imported(*_: Any) -> None:
    environ.get("KK")
    getenv("LL", default="OTHER")


def nested(*_: Any) -> None:
    def inner() -> bool:
        return "KK" in os.environ

    inner()


class Callable:
    def __call__(self, *_: Any) -> None:
        self.read()

    def read(self) -> None:
        os.environ["KK"]


def no_reader(*_: Any) -> str:
    return "KK"


def of_the_machine(*_: Any) -> None:
    os.environ["HOME"], os.environ["AWS_REGION"], os.environ["NOT_SET_HERE"]


@pytest.mark.parametrize(
    ("read_by", "names"),
    [
        (subscript, ["KK"]),
        (function, ["KK"]),
        (imported, ["KK", "LL", "OTHER"]),
        (by_helper, ["LL"]),
        (nested, ["KK"]),
        (Callable(), ["KK"]),
        (functools.partial(subscript, 1), ["KK"]),
        (no_reader, []),
        (of_the_machine, []),
        (print, []),
    ],
)
def test_variables_that_stay_behind_are_found_by_their_names(
    monkeypatch: pytest.MonkeyPatch, read_by: Any, names: list[str]
) -> None:
    monkeypatch.setenv("AWS_REGION", "us-west-2")

    assert variables_left_behind(read_by, {}) == names


def test_variables_that_travel_do_not_stay_behind() -> None:
    assert variables_left_behind(imported, {"KK": "1", "OTHER": None}) == ["LL"]


def test_the_warning_names_the_variables_and_the_cure(caplog: pytest.LogCaptureFixture) -> None:
    warn_of_variables_left_behind(imported, {"LL": None})
    warn_of_variables_left_behind(no_reader, {})

    (message,) = caplog.messages
    assert "do not get from here: KK, OTHER; " in message
    assert "controls.setWorkerEnvironment(['KK', 'OTHER'])" in message
