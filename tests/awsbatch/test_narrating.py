"""What a run on AWS Batch says by itself."""

from __future__ import annotations

import io
import logging
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from rios_batch.awsbatch import narrating
from rios_batch.awsbatch.narrating import ProgressLines, say_finished
from rios_batch.jobmanagers.shownlines import lines_shown
from tests.support import run_script

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger("rios_batch")

SAYING = """
import logging, sys
from rios_batch.awsbatch.narrating import say_begun
from rios_batch.jobmanagers.shownlines import lines_shown

exec(sys.argv[1])
with lines_shown():
    say_begun("R", 6, 2, main_has_worker=True)
    logging.getLogger("rios_batch").warning("mind the gap")
say_begun("R", 6, 2, main_has_worker=True)
"""
BEGUN = "run R: 6 tiles for main's own worker and 2 workers on AWS Batch\n"
WARNED = "mind the gap\n"


@pytest.mark.parametrize(
    ("set_up", "shown"),
    [
        ("pass", BEGUN + WARNED),
        ("logging.basicConfig(format='%(levelname)s %(message)s')", f"INFO {BEGUN}WARNING {WARNED}"),
        ("logging.getLogger('rios_batch').setLevel('WARNING')", WARNED),
        ("logging.getLogger('rios_batch').setLevel('ERROR')", ""),
    ],
    ids=["nothing set up", "handlers set up", "warnings only", "errors only"],
)
def test_lines_are_shown_once_unless_the_script_decides_otherwise(
    tmp_path: Path, set_up: str, shown: str
) -> None:
    done = run_script(tmp_path, SAYING, set_up)

    assert (done.returncode, done.stderr) == (0, shown)


class Tiles:
    total = 12

    def __init__(self) -> None:
        self.done = 2

    def __len__(self) -> int:
        return self.done

    @property
    def complete(self) -> bool:
        return self.done == self.total


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=0.0)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr(narrating, "time", clock)
    return clock


def lines_of(clock: SimpleNamespace, caplog: pytest.LogCaptureFixture) -> list[str]:
    tiles: Any = Tiles()
    with lines_shown():
        progress = ProgressLines("R", tiles)
        for clock.now, tiles.done in ((10, 2), (31, 2), (40, 3), (70, 4), (71, 4), (200, 12)):
            progress.look()
    return [record.getMessage() for record in caplog.records]


def test_a_file_gets_a_line_every_half_minute_until_all_tiles_are_finished(
    clock: SimpleNamespace, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())

    assert lines_of(clock, caplog) == [
        "run R: 2 of 12 tiles are finished",
        "run R: 4 of 12 tiles are finished, about 0:04:40 left",
    ]


def test_a_terminal_gets_none_of_these_lines(
    clock: SimpleNamespace, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", terminal)

    assert lines_of(clock, caplog) == []


def test_the_end_says_who_did_what(caplog: pytest.LogCaptureFixture) -> None:
    names = [
        "main, process 1",
        "worker 1 (job J:0), process 7",
        "worker 1 (job J:0), process 8",
        "worker 2 (job J:1)",
    ]
    records: Any = [SimpleNamespace(worker=name) for name in names]

    with lines_shown():
        say_finished("R", records, 1, 200.4)

    assert caplog.messages == [
        "run R is finished: 4 tiles in 0:03:20, 3 of them by 2 workers on AWS Batch; 1 failure made good"
    ]
