"""A run whose worker hangs ends at the script's limit, with one error, and leaves nothing."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from typing import TYPE_CHECKING, Any

import pytest

from rios_batch import applier
from rios_batch.compute.tile import TileRunner
from rios_batch.errors import ParameterError, WaitLimitError
from rios_batch.jobmanagers import children
from rios_batch.testing.running import SceneRun, as_in_a_script, double

if TYPE_CHECKING:
    from pathlib import Path


@as_in_a_script
def stops(info: Any, inputs: Any, outputs: Any) -> None:
    """Stop the process in the second tile, as SIGSTOP or a lock that is never freed does."""
    import os  # noqa: PLC0415 - the function travels
    import signal  # noqa: PLC0415

    if info.getBlockCount() == (2, 0):
        os.kill(os.getpid(), signal.SIGSTOP)
    outputs.result = inputs.image


@pytest.fixture
def run(tmp_path: Path) -> SceneRun:
    folder = tmp_path / "work"
    folder.mkdir()
    return SceneRun(folder, "multiprocessing", 2, "")


def test_a_worker_process_that_is_stopped_ends_the_run_at_the_limit(
    run: SceneRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "_STOP_SECONDS", 0.2)
    with pytest.raises(WaitLimitError, match=r"waited for tile 1 in process \d+ \(stopped by a signal; "):
        run(stops, setWaitLimit=0.5)

    run.assert_nothing_left()


HANGING_THREAD = """
    import sys, threading
    from rios_batch import applier

    def hangs(info, inputs, outputs):
        if info.getBlockCount() == (2, 0):
            threading.Event().wait()
        outputs.result = inputs.image

    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.image, outfiles.result = "scene.tif", "out.tif"
    controls = applier.ApplierControls()
    controls.setWindowSize(16, 32)
    controls.setTileSize(32, 32)
    controls.setCreationOptions(["TILED=YES", "BLOCKXSIZE=16", "BLOCKYSIZE=16"])
    controls.setNumThreads(2)
    controls.setJobManagerType("threads")
    controls.setWaitLimit(0.5)
    applier.apply(hangs, infiles, outfiles, controls=controls)
"""


def test_a_thread_that_hangs_ends_the_run_at_the_limit_and_lets_the_script_end(run: SceneRun) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(HANGING_THREAD)],
        cwd=run.folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert "WaitLimitError: nothing was heard while main waited for 0.5" in done.stderr
    assert "main waited for tile 1 in threads; last heard, " in done.stderr
    assert done.returncode == 1
    run.assert_nothing_left()


def test_threads_that_do_not_hang_have_closed_their_files_when_the_error_arrives(
    run: SceneRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    freed = threading.Event()
    close = TileRunner.close

    def closes_late(runner: TileRunner) -> None:
        freed.wait(0.2)
        close(runner)

    def hangs(info: Any, inputs: Any, outputs: Any) -> None:
        if info.getBlockCount() == (2, 0):
            freed.wait()
        outputs.result = inputs.image

    monkeypatch.setattr(TileRunner, "close", closes_late)
    try:
        with pytest.raises(WaitLimitError):
            run(hangs, setJobManagerType="threads", setWaitLimit=0.5)
        left = [thread for thread in threading.enumerate() if thread.name.startswith("rios_batch_")]
    finally:
        freed.set()

    assert len(left) == 1
    left[0].join()


def test_time_in_which_main_works_itself_is_no_waiting(run: SceneRun) -> None:
    class Slow:
        """Keeps main busy between two tiles for longer than the limit."""

        def setTotalSteps(self, steps: int) -> None: ...  # noqa: N802 - RIOS's names
        def setProgress(self, progress: int) -> None:  # noqa: N802
            threading.Event().wait(0.3 if 0 < progress < 40 else 0)

    for manager in ("threads", "multiprocessing"):
        run(double, setJobManagerType=manager, setProgress=Slow(), setWaitLimit=0.25)
        assert run.target.exists()


def test_a_script_in_one_process_waits_for_nobody(run: SceneRun) -> None:
    run.in_process(double, setWaitLimit=1e-9)

    assert run.target.exists()


@pytest.mark.parametrize("limit", [0, -1, float("nan"), float("inf"), "60", True])
def test_a_limit_that_is_no_number_of_seconds_is_refused(limit: Any) -> None:
    with pytest.raises(ParameterError, match="wait limit must be"):
        applier.ApplierControls().setWaitLimit(limit)


def test_a_limit_can_be_taken_away_again() -> None:
    controls = applier.ApplierControls()
    controls.waitLimit = 60
    controls.setWaitLimit(None)
    assert controls.waitLimit is None
