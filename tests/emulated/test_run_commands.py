"""``rios-batch runs``, ``status``, ``logs``, ``cancel``, ``resume`` and ``clean``, driven as a person would."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rios_batch import cli
from rios_batch.awsbatch import runinfo
from rios_batch.contract import StackOutput
from rios_batch.testing.emulation.leavings import clean_up, wait_for_jobs
from tests.support import ROOT, make_raster, ramp, read_raster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rios_batch.testing.emulation.cloud import Emulator

pytestmark = pytest.mark.usefixtures("quick_cloud")
PIXELS = ramp(1, 512, 768)  # six tiles
GO_ON = "go on"
# Main alone may compute two tiles at a time; the function waits for a file, so that a test says when a run goes on.
SCRIPT = """
import pathlib, sys, time
from rios_batch import applier
from rios_batch.awsbatch import polling

polling.POLL_SECONDS = 0.2

def work(info, inputs, outputs, args):
    print("block", info.xblock, info.yblock, flush=True)
    while info.xblock == 2 and not pathlib.Path(args.go_on).exists():
        time.sleep(0.1)
    outputs.result = inputs.image * 2

infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
infiles.image, outfiles.result, go_on = sys.argv[1:]
controls = applier.ApplierControls()
controls.setWindowSize(256, 256)
controls.setTileSize(256, 256)
controls.setNumThreads(2)
controls.setJobManagerType("AWSBatch")
controls.setCoordinateOnly(True)
applier.apply(work, infiles, outfiles, applier.OtherInputs(go_on=go_on), controls=controls)
"""


class Shell:
    """Types commands, and reads what is printed."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture, self.err = capture, ""

    def __call__(self, *arguments: str, status: int = 0) -> str:
        self._capture.readouterr()
        got = cli.main(arguments)
        printed = self._capture.readouterr()
        assert got == status, printed
        self.err = printed.err
        return printed.out if status == 0 else printed.err

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--json"))


@pytest.fixture
def shell(capfd: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capfd)


def until(happened: Callable[[], Any]) -> Any:
    while not (result := happened()):  # the time limit of tests ends it
        time.sleep(0.1)
    return result


class Terminal:
    """A terminal in which a command runs."""

    def __init__(self, *arguments: str) -> None:
        self._own, other = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "rios_batch", *arguments],
            cwd=ROOT,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "150"},
            stdin=other,
            stdout=other,
            stderr=other,
        )
        os.close(other)
        os.set_blocking(self._own, False)
        self._seen = b""

    def screen(self) -> str:
        """Return all that was drawn so far, without colours and movements."""
        with contextlib.suppress(BlockingIOError, OSError):  # nothing new; the command has ended
            while more := os.read(self._own, 65536):
                self._seen += more
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self._seen.decode())

    def type(self, line: str) -> None:
        os.write(self._own, f"{line}\n".encode())

    def at_end(self, status: int = 0) -> str:
        assert self._process.wait() == status, self.screen()
        screen = self.screen()
        os.close(self._own)
        return screen


@pytest.fixture
def begun(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Give a main that waits for the file "go on" after some tiles."""
    (tmp_path / "my_script.py").write_text(SCRIPT)
    scene = make_raster(tmp_path / "scene.tif", PIXELS)
    main = subprocess.Popen(
        [sys.executable, "my_script.py", scene, "out.tif", str(tmp_path / GO_ON)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    yield main
    main.kill()
    main.wait()
    assert main.stdout is not None
    main.stdout.close()


def test_a_run_is_seen_cancelled_and_resumed(
    begun: subprocess.Popen[str], tmp_path: Path, shell: Shell, quick_cloud: Emulator
) -> None:
    # Seen.
    until(lambda: [run for run in shell.json("runs") if run["tiles_done"] == 4])
    (run,) = shell.json("runs")
    name = run["run_id"]
    assert (run["state"], run["tiles"], run["outputs"]) == ("running", 6, [str(tmp_path / "out.tif")])
    assert shell("runs").splitlines()[1].split()[:5] == [name, "running", "4", "of", "6"]
    said = shell("status", name)
    assert "tiles     4 of 6 finished" in said
    assert "workers   1 RUNNING" in said
    assert f"my_script.py {tmp_path}/scene.tif out.tif" in said
    assert shell.json("status", name)["workers"]["counts"] == {"RUNNING": 1}
    assert "worker 1 | block 0 0" in until(lambda: shell("logs", name, "--worker", "1"))
    assert "was finished by worker 1 (job " in shell("logs", name, "--tile", "0")
    assert "is not finished and has not failed" in shell("logs", name, "--tile", "5", status=1)
    assert "has workers 1 to 1, not 7" in shell("logs", name, "--worker", "7", status=1)
    assert f"run {name} is running" in shell("resume", name, status=1)
    page = tmp_path / "page.html"
    assert shell("report", name, "-o", str(page)).strip() == str(page)
    assert all(
        text in page.read_text() for text in (name, "running, 4 of 6 tiles are finished", "have cost about")
    )
    terminal = Terminal("watch", name)
    assert "4 of 6 finished, 2 in work, 0 failures" in until(terminal.screen)
    assert shell.json("clean", "--yes")["runs"] == []

    # Cancelled.
    assert f"4 of 6 tiles are finished and kept: rios-batch resume {name}" in shell("cancel", name)
    said, _ = begun.communicate()
    assert begun.returncode == 1
    screen = terminal.at_end()
    assert f"run      {name}, running" in screen
    assert "workers  1 RUNNING" in screen
    assert re.search(r"cost     about 0\.\d\d USD so far", screen)
    assert f"Nobody works on run {name} any more" in screen
    assert "JobMgrError: the run was cancelled (rios-batch cancel)" in said
    assert f"RIOS_AWSBATCH_RESUME={name}" in said
    lines = said.splitlines()
    assert f"run {name}: 6 tiles for 1 worker on AWS Batch" in lines
    (submitted,) = [line for line in lines if line.startswith(f"run {name}: job ")]
    outputs = quick_cloud.outputs()
    for told in (
        quick_cloud.jobs()[-1].job_id,
        outputs[StackOutput.WORKER_QUEUE],
        outputs[StackOutput.LOG_GROUP],
        f"`rios-batch status {name}`",
        f"`rios-batch resume {name}`",
    ):
        assert told in submitted
    assert not (tmp_path / "out.tif").exists()
    assert shell("runs").splitlines()[1].split()[:5] == [name, "stopped", "4", "of", "6"]
    assert f"go on     rios-batch resume {name}" in shell("status", name)
    wait_for_jobs(quick_cloud)

    # Resumed.
    (tmp_path / GO_ON).touch()
    assert "Nothing was run" in shell("resume", name, status=1)  # nobody is there to agree
    shell("resume", "--yes", name)
    said = shell.err
    assert f"run {name}: 2 tiles for 1 worker on AWS Batch\n" in said
    assert re.search(rf"run {name} is finished: 6 tiles in \S+, 6 of them by \d workers? on AWS Batch", said)
    np.testing.assert_array_equal(read_raster(tmp_path / "out.tif"), PIXELS * 2)
    assert shell.json("runs") == []
    assert "there is no unfinished run" in shell("status", name, status=1)


def test_a_run_whose_main_was_killed_is_finished_by_its_workers_and_cleaned_away(
    begun: subprocess.Popen[str],
    tmp_path: Path,
    shell: Shell,
    quick_cloud: Emulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    until(lambda: [run for run in shell.json("runs") if run["tiles_done"] == 4])
    begun.kill()
    begun.wait()
    (name,) = (run["run_id"] for run in shell.json("runs"))
    assert shell.json("status", name)["info"]["state"] == "running"  # as far as anybody knows
    monkeypatch.setattr(runinfo, "SILENT_SECONDS", 0.0)  # time passes

    assert shell.json("status", name)["info"]["state"] == "workers only"
    (tmp_path / GO_ON).touch()
    until(lambda: shell.json("status", name)["info"]["tiles_done"] == 6)
    assert shell.json("clean")["runs"] == []  # something happened in the last day
    monkeypatch.setattr(runinfo, "_last_change", lambda *_: time.time() - 25 * 3600)
    listed = shell.json("clean")
    assert ([run["run_id"] for run in listed["runs"]], listed["removed"]) == ([name], False)
    assert name in shell("clean", "--yes")

    assert shell.json("runs") == []
    keys = quick_cloud.client("s3").list_objects_v2(
        Bucket=quick_cloud.outputs()[StackOutput.BUCKET], Prefix="runs/"
    )
    assert "Contents" not in keys
    clean_up(quick_cloud)


def test_a_run_whose_main_was_killed_can_be_cancelled_and_resumed_at_once(
    begun: subprocess.Popen[str], shell: Shell, quick_cloud: Emulator
) -> None:
    until(lambda: [run for run in shell.json("runs") if run["tiles_done"]])
    begun.kill()
    begun.wait()
    (name,) = (run["run_id"] for run in shell.json("runs"))

    shell("cancel", name)

    assert shell.json("status", name)["info"]["state"] == "stopped"
    assert "Nothing was run" in shell("resume", name, status=1)  # it only wants to be agreed to
    wait_for_jobs(quick_cloud)
    clean_up(quick_cloud)


def test_what_is_no_run_is_said_with_the_runs_there_are(shell: Shell) -> None:
    for command in (["status"], ["logs"], ["cancel"], ["resume"]):
        assert "there is no unfinished run nothing in stack RiosBatch; finished runs leave nothing" in shell(
            *command, "nothing", status=1
        )
    assert shell("runs").split() == ["RUN", "STATE", "TILES", "OUTPUTS"]
