"""Workers and main programs that are killed or interrupted."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rios_batch.errors import WorkerLostError
from rios_batch.testing.rasters import read_raster
from rios_batch.testing.running import (
    HANGS_AFTER_S,
    SCENE,
    ManagerTestBase,
    SceneRun,
    as_in_a_script,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

SLOW_SCRIPT = """
    import os, pathlib, signal, sys, time
    from rios_batch import applier

    # What a shell starts in the background, tests included, ignores SIGINT, and so would this script.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    here = os.getcwd()

    def slow(info, inputs, outputs):
        pathlib.Path(here, f"started-{os.getpid()}").touch()
        time.sleep(0.05)
        outputs.result = inputs.image

    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.image, outfiles.result = "scene.tif", "out.tif"
    controls = applier.ApplierControls()
    controls.setWindowSize(2, 2)
    controls.setTileSize(16, 16)
    controls.setCreationOptions(["TILED=YES", "BLOCKXSIZE=16", "BLOCKYSIZE=16"])
    controls.setNumThreads(int(sys.argv[2]))
    controls.setJobManagerType(sys.argv[1])
    applier.apply(slow, infiles, outfiles, controls=controls)
"""


@as_in_a_script
def poison(info: Any, inputs: Any, outputs: Any) -> None:
    if info.getBlockCount() == (2, 1):
        os.kill(os.getpid(), signal.SIGKILL)
    outputs.result = inputs.image


class WorkerTests(ManagerTestBase):
    """A killed worker costs its tile's work, and no worker outlives main."""

    def test_a_worker_killed_in_mid_tile_is_replaced_and_the_run_completes(
        self, run: SceneRun, tmp_path: Path
    ) -> None:
        self._skip_unless_a_killed_worker_is_survived()
        killed, log = tmp_path / "killed", tmp_path / "calls"

        def killed_once(info: Any, inputs: Any, outputs: Any) -> None:
            with log.open("a") as file:
                file.write(f"{info.getBlockCount()}\n")
            if info.getBlockCount() == (3, 1):  # the second block of its tile
                try:
                    killed.touch(exist_ok=False)
                except FileExistsError:
                    pass
                else:
                    os.kill(os.getpid(), signal.SIGKILL)
            outputs.result = inputs.image.astype(np.uint16) * 2

        run(killed_once)

        np.testing.assert_array_equal(read_raster(run.target), SCENE.astype(np.uint16) * 2)
        calls = log.read_text().splitlines()
        assert len(calls) == 15 + 2  # the killed tile's two blocks twice, all others once
        assert calls.count("(3, 1)") == 2

    def test_a_tile_that_always_kills_its_worker_ends_the_run_with_its_name(self, run: SceneRun) -> None:
        self._skip_unless_a_killed_worker_is_survived()
        with pytest.raises(
            WorkerLostError, match=r"tile 4 \(columns 32-63, rows 32-63\).* 3 times.*SIGKILL.*memory"
        ):
            run(poison)
        run.assert_nothing_left()

    def test_ctrl_c_stops_everything_and_leaves_nothing_but_the_older_output(self, run: SceneRun) -> None:
        run.target.write_bytes(b"precious")
        with self._slow_script(run) as (process, workers):
            os.killpg(process.pid, signal.SIGINT)  # the terminal sends it to the whole group

            _, stderr = process.communicate(timeout=HANGS_AFTER_S)
            assert process.returncode != 0
            assert stderr.count("Traceback") == 1, stderr  # workers keep quiet
            assert stderr.rstrip().endswith("KeyboardInterrupt")
            wait_until(lambda: not any(map(is_running, workers)))
        names = [path.name for path in run.folder.iterdir() if not path.name.startswith("started-")]
        assert sorted(names) == sorted([run.scene.name, run.target.name])
        assert run.target.read_bytes() == b"precious"

    def test_workers_leave_when_main_is_killed(self, run: SceneRun) -> None:
        if not (self.pickles and self.same_machine):
            pytest.skip(f"{self.manager_type} has no worker processes on this machine alone")
        with self._slow_script(run) as (process, workers):
            process.kill()
            process.communicate(timeout=HANGS_AFTER_S)

            wait_until(lambda: not any(map(is_running, workers)))
        assert not run.target.exists()

    def _skip_unless_a_killed_worker_is_survived(self) -> None:
        if not self.survives_sigkill:
            pytest.skip(f"a tile that kills its process ends a run of {self.manager_type}")

    @contextlib.contextmanager
    def _slow_script(self, run: SceneRun) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
        """Start a run that would take minutes; give it, and its workers' process ids."""
        num_processes = self.num_processes if self.pickles else 1

        def started() -> list[Path]:
            return list(run.folder.glob("started-*"))

        with run.start_script(SLOW_SCRIPT, stderr=subprocess.PIPE, start_new_session=True) as process:
            try:
                wait_until(lambda: len(started()) >= num_processes or process.poll() is not None)
                assert process.poll() is None, process.communicate()[1]
                workers = [int(path.name.removeprefix("started-")) for path in started()]
                for path in (run.folder / "script.py", *started()):
                    path.unlink(missing_ok=True)
                yield process, workers
            finally:
                with contextlib.suppress(ProcessLookupError):  # all have ended, as they should
                    os.killpg(process.pid, signal.SIGKILL)


def is_running(pid: int) -> bool:
    """Say whether a process exists that has not ended."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
