"""What `rios-batch watch` draws; the fonts of terminals are not."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from rios_batch.aws.jobs import JobReport
from rios_batch.awsbatch.failurerecord import Failure
from rios_batch.awsbatch.runinfo import RunInfo, RunStatus
from rios_batch.awsbatch.watching import View, picture

QUOTA = "CAPACITY: VcpuLimitExceeded"


def drawn(workers: JobReport | None, *failures: Failure, done: int = 34, speed: float = 6.9) -> str:
    info = RunInfo("82e1-2026", "running", done, 120, ("out.tif",), 3.0)
    status = RunStatus(info, workers, 80, 6, failures, (), "", "")
    console = Console(file=io.StringIO(), width=120, force_terminal=False)
    console.print(picture(View(status, speed, None if workers is None else 0.123)))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_tiles_speed_workers_and_cost_are_drawn() -> None:
    lines = drawn(JobReport({"RUNNING": 3, "SUCCEEDED": 1}, "")).splitlines()

    assert [line.rstrip() for line in lines if "━" not in line and "─" not in line] == [
        "run      82e1-2026, running",
        "         34 of 120 finished, 6 in work, 0 failures",
        "speed    6.9 tiles a minute, 0:12:28 left",
        "workers  3 RUNNING, 1 SUCCEEDED",
        "cost     about 0.12 USD so far",
    ]


@pytest.mark.parametrize("running", [0, 1])
def test_why_there_is_no_machine_is_said_in_a_sentence_until_there_is_one(running: int) -> None:
    said = " ".join(drawn(JobReport({"RUNNABLE": 5, "RUNNING": running}, QUOTA)).split())

    assert ("likely: the account's quota of vCPUs" in said) == (not running)


def test_a_run_without_speed_has_an_unknown_end() -> None:
    assert "0.0 tiles a minute, ? left" in drawn(None, speed=0.0)


def test_the_last_failure_is_shown_as_it_was_written() -> None:
    said = drawn(None, Failure(3, "E", "[red]no[/red] such band", "worker 1", stops_run=False))

    assert "1 failures" in said
    assert "failed: [red]no[/red] such band" in said
