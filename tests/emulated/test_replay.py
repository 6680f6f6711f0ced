"""``rios-batch replay``, driven as a person would: a tile that failed on AWS Batch fails, or passes, here."""

from __future__ import annotations

import json
import os
import pickle
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from rios_batch import cli
from rios_batch.contract import StackOutput
from rios_batch.testing.emulation.leavings import clean_up
from tests.emulated.test_run_commands import Terminal, until
from tests.support import ROOT, make_raster, ramp

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rios_batch.testing.emulation.cloud import Emulator

pytestmark = pytest.mark.usefixtures("quick_cloud")
# The last tile fails, and waits until others are finished: without these nothing of the run is kept.
SCRIPT = """
import pathlib, sys, time
import numpy as np
from rios_batch import applier
from rios_batch.awsbatch import polling

polling.POLL_SECONDS = 0.2

def check(info, pixels, args):
    largest = pixels.max()
    if info.xblock == 2 and not pathlib.Path(args.mended).exists():
        time.sleep(args.seconds)
        np.linalg.inv(np.zeros((2, 2)) + 0 * largest)

def work(info, inputs, outputs, args):
    check(info, inputs.image, args)
    outputs.result = inputs.image * args.factor

infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
infiles.image, outfiles.result, mended = sys.argv[1:]
controls = applier.ApplierControls()
controls.setWindowSize(256, 256)
controls.setTileSize(256, 256)
controls.setNumThreads(2)
controls.setJobManagerType("AWSBatch")
controls.setCoordinateOnly(True)
args = applier.OtherInputs(mended=mended, seconds=2, factor=2)
applier.apply(work, infiles, outfiles, args, controls=controls)
"""
TILE = 2


@pytest.fixture
def failed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> str:
    """Give a run of which two tiles are finished and the third has failed, whose script and scene are gone."""
    (tmp_path / "my_script.py").write_text(SCRIPT)
    scene = make_raster(tmp_path / "scene.tif", ramp(1, 256, 768))
    done = subprocess.run(
        [sys.executable, "my_script.py", scene, "out.tif", str(tmp_path / "mended")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "work raised LinAlgError: Singular matrix" in done.stderr
    (tmp_path / "scene.tif").unlink()
    assert cli.main(["runs", "--json"]) == 0
    (run,) = json.loads(capfd.readouterr().out)
    assert (run["tiles_done"], run["tiles"]) == (2, 3)
    return str(run["run_id"])


@pytest.fixture
def replay(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def typed(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        status = cli.main(["replay", *arguments])
        printed = capfd.readouterr()
        return status, printed.out, printed.err

    return typed


def test_a_failed_tile_fails_here_with_its_traceback_and_debugger_and_passes_once_the_cause_is_gone(
    failed: str, replay: Any, tmp_path: Path, quick_cloud: Emulator
) -> None:
    status, said, _ = replay(failed)

    assert status == 1
    assert f"tile      2 of run {failed} (columns 512-767, rows 0-255)\n" in said
    assert re.search(rf"input     /vsis3/\S+/runs/{failed}/inputs/scene.tif, the copy", said)
    assert "there     failed on worker 1 (job " in said
    assert "here      it fails the same way: work raised LinAlgError: Singular matrix\n" in said
    assert re.search(r"memory    \d+ MiB at most\n", said)
    assert f'File "{tmp_path}/my_script.py", line 13, in check\n    np.linalg.inv(' in said
    assert "differs" not in said

    status, said, _ = replay("--json", failed, str(TILE))
    found = json.loads(said)
    assert (status, found["tile"], found["here"]["exception_type"]) == (1, 2, "numpy.linalg.LinAlgError")
    assert (
        found["there"]["traceback_text"].splitlines()[-1] == found["here"]["traceback_text"].splitlines()[-1]
    )

    look_with_the_debugger(failed, tmp_path / "my_script.py")

    (tmp_path / "mended").touch()
    status, said, _ = replay(failed, str(TILE))
    assert status == 0
    assert re.search(r"^here      it passes: \d+\.\d s reading, ", said, re.MULTILINE)
    assert (
        "differs   Python, GDAL and the packages that the function uses have the same versions there" in said
    )
    status, said, _ = replay(failed, "0")
    assert (status, "there     no failure is known\nhere      it passes" in said) == (0, True)
    assert replay(failed, "3")[2] == f"rios-batch: run {failed} has tiles 0 to 2, not 3\n"

    # What others have written into the bucket is not loaded.
    s3, bucket = quick_cloud.client("s3"), quick_cloud.outputs()[StackOutput.BUCKET]
    trace = tmp_path / "trace"
    s3.put_object(Bucket=bucket, Key=f"runs/{failed}/job.pkl", Body=pickle.dumps(_Touch(trace)))
    status, said, err = replay(failed, str(TILE))
    assert (status, said) == (1, "")
    assert re.match(
        r"rios-batch: job.pkl of run \S+ has SHA-256 \w+, main submitted \w+; somebody has changed it", err
    )
    main = json.dumps({"queue_url": "https://sqs/other", "job_name": "rios-batch-other"})
    s3.put_object(Bucket=bucket, Key=f"runs/{failed}/main.json", Body=main.encode())
    assert "which are not of this run, so somebody has changed it" in replay(failed)[2]
    s3.delete_object(Bucket=bucket, Key=f"runs/{failed}/main.json")
    assert "has no workers that AWS Batch knows" in replay(failed)[2]
    assert not trace.exists()
    assert "there is no unfinished run nothing" in replay("nothing")[2]
    clean_up(quick_cloud)


def look_with_the_debugger(run_id: str, script: Path) -> None:
    terminal = Terminal("replay", "--pdb", run_id)
    until(lambda: "(Pdb)" in terminal.screen())
    screen = terminal.screen()
    assert "here      it fails the same way" in screen
    # Not in numpy, which raised the exception.
    assert f"> {script}(13)check()" in screen
    assert "-> np.linalg.inv(np.zeros((2, 2)) + 0 * largest)" in screen
    terminal.type("p 'largest is', int(largest), args.factor")
    until(lambda: "('largest is', 239, 2)" in terminal.screen())
    terminal.type("up")
    until(lambda: "-> check(info, inputs.image, args)" in terminal.screen())
    terminal.type("p inputs.image.shape")
    until(lambda: "(1, 256, 256)" in terminal.screen())
    terminal.type("q")
    terminal.at_end(status=1)


class _Touch:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return type(self._path).touch, (self._path,)
