# ruff: noqa: N802 - RIOS's names
"""Progress, and a run that is cancelled."""

from __future__ import annotations

import pytest

from rios_batch.errors import ProcessCancelledError
from rios_batch.testing.running import ManagerTestBase, SceneRun, double


class Watcher:
    """A progress object that remembers, and cancels at a percentage."""

    def __init__(self, cancel_at: int = 101) -> None:
        self.seen: list[int] = []
        self.steps, self.cancel_at = 0, cancel_at

    def setTotalSteps(self, steps: int) -> None:
        self.steps = steps

    def setProgress(self, progress: int) -> None:
        self.seen.append(progress)

    def setLabelText(self, text: str) -> None:
        raise AssertionError(text)

    def reset(self) -> None:
        self.seen.clear()

    def wasCancelled(self) -> bool:
        return bool(self.seen) and self.seen[-1] >= self.cancel_at


class ProgressTests(ManagerTestBase):
    """Progress is told as tiles come, and the person who watches may end the run."""

    def test_progress_goes_up_to_100_and_is_told_only_changes(self, run: SceneRun) -> None:
        watcher = Watcher()

        run(double, setProgress=watcher)

        assert watcher.steps == 100
        assert watcher.seen == [0, 11, 22, 33, 44, 55, 66, 77, 88, 100]

    def test_cancelling_stops_the_run_and_leaves_nothing(self, run: SceneRun) -> None:
        with pytest.raises(ProcessCancelledError, match="cancelled after 3 of 9 tiles"):
            run(double, setProgress=Watcher(cancel_at=33))
        run.assert_nothing_left()
