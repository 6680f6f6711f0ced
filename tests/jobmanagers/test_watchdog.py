"""What is said of main's waiting, and when it is enough."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from rios_batch.errors import WaitLimitError
from rios_batch.jobmanagers.watchdog import Watchdog, activity
from tests.support import wait_until


def wait(dog: Watchdog, *pauses_s: float) -> None:
    for pause_s in pauses_s:
        dog.waited(pause_s, lambda: "tile 3")


def test_what_main_waits_for_is_said_after_a_minute_and_then_seldom(caplog: pytest.LogCaptureFixture) -> None:
    dog = Watchdog()
    dog.heard("tile 2 is finished")

    wait(dog, *[10.0] * 100)  # 1,000 s

    assert [line[:42] for line in caplog.messages] == [
        "main has waited for 60 s, for tile 3; last",
        "main has waited for 120 s, for tile 3; las",
        "main has waited for 240 s, for tile 3; las",
        "main has waited for 8 min, for tile 3; las",
        "main has waited for 16 min, for tile 3; la",
    ]
    assert caplog.messages[0].endswith("tile 2 is finished")


def test_news_begin_the_counting_anew(caplog: pytest.LogCaptureFixture) -> None:
    dog = Watchdog(limit_s=80)
    for number in range(50):
        wait(dog, 30.0, 29.0)
        dog.heard(f"tile {number} is finished")

    assert caplog.messages == []
    with pytest.raises(
        WaitLimitError, match=r"waited for 88 s, .*for tile 3; last heard, .*tile 49 is finished"
    ):
        wait(dog, 30.0, 29.0, 29.0)


def test_a_pause_ends_when_there_is_something_to_say() -> None:
    pauses, dog = [], Watchdog(limit_s=7)

    def nothing_comes(seconds: float) -> None:
        pauses.append(seconds)
        dog.waited(6.0, lambda: "tile 3")  # as if the pause had been so long

    with pytest.raises(WaitLimitError, match="the limit of setWaitLimit.*nothing was heard"):
        dog.until(nothing_comes, lambda: "tile 3")

    assert pauses[0] == 7
    assert pauses[1] <= 1


def test_what_has_come_is_returned_and_not_waited_for() -> None:
    assert Watchdog(limit_s=1e-9).until(lambda _: ["reply"], lambda: "tile 3") == ["reply"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_process_that_is_stopped_is_told_from_one_that_works() -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        try:
            assert "stopped" not in activity(process.pid)
            process.send_signal(signal.SIGSTOP)
            wait_until(lambda: "stopped by a signal" in activity(process.pid))
            assert "s of processor time used so far" in activity(process.pid)
        finally:
            process.kill()
    assert activity(process.pid) == ""
    assert "stopped" not in activity(os.getpid())
