"""Two processes of a run share what takes long to make."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from tests.once import once_per_run

if TYPE_CHECKING:
    from pathlib import Path


class Factory:
    """The part of pytest's factory that is used, as pytest-xdist sets it up for one of its processes."""

    def __init__(self, base: Path) -> None:
        self.base = base

    def getbasetemp(self) -> Path:
        self.base.mkdir(exist_ok=True)
        return self.base


def ask(run: Path, worker: str, made: list[str], *, fails: bool = False) -> Path:
    def make(folder: Path) -> None:
        made.append(worker)
        if fails:
            raise OSError("it could not be made")
        (folder / "by").write_text(worker)

    factory = cast("pytest.TempPathFactory", Factory(run / f"popen-{worker}"))
    return once_per_run(factory, worker, "thing", make)


def test_the_second_process_reads_what_the_first_has_made(tmp_path: Path) -> None:
    made: list[str] = []

    first, second = ask(tmp_path, "gw0", made), ask(tmp_path, "gw1", made)

    assert first == second
    assert (second / "by").read_text() == "gw0"
    assert made == ["gw0"]


def test_what_could_not_be_made_is_not_taken_for_done(tmp_path: Path) -> None:
    made: list[str] = []
    with pytest.raises(OSError, match="could not be made"):
        ask(tmp_path, "gw0", made, fails=True)

    assert (ask(tmp_path, "gw1", made) / "by").read_text() == "gw1"
    assert made == ["gw0", "gw1"]
