"""Runs on this machine that were killed: finished tiles are gone on with, and hidden folders are removed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rios_batch import applier
from rios_batch.errors import JobMgrError, UserFunctionError
from rios_batch.testing.rasters import make_raster, read_raster
from tests.support import ROOT, ramp, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PIXELS = ramp(1, 96, 96)  # nine tiles
SCRIPT = """
    import os, signal, sys
    from pathlib import Path
    from rios_batch import applier

    manager, resume, format = sys.argv[1:]
    here = os.getcwd()
    Path("main").write_text(str(os.getpid()))

    def double(info, inputs, outputs):
        with open(f"{here}/calls", "a") as file:
            file.write(f"{info.xblock},{info.yblock}\\n")
        if info.yblock == 2 and not Path(here, "killed").exists():
            Path(here, "killed").touch()
            os.kill(int(Path(here, "main").read_text()), signal.SIGKILL)
            signal.pause()
        outputs.result = inputs.image.astype("uint16") * 2

    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.image, outfiles.result = "scene.tif", "out.img"
    controls = applier.ApplierControls()
    controls.setWindowSize(32, 32)
    controls.setTileSize(32, 32)
    controls.setOutputDriverName(format)
    if format == "GTiff":
        controls.setCreationOptions(["TILED=YES", "BLOCKXSIZE=32", "BLOCKYSIZE=32", "COMPRESS=DEFLATE"])
    controls.setNumThreads(1 if manager == "in-process" else 2)
    controls.setJobManagerType(manager)
    controls.setResume(resume == "resume")
    applier.apply(double, infiles, outfiles, controls=controls)
"""


class Folder:
    """A folder with a scene, and scripts that run there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        make_raster(path / "scene.tif", PIXELS)
        (path / "script.py").write_text(textwrap.dedent(SCRIPT))

    def script(self, manager: str, resume: str = "resume", file_format: str = "GTiff") -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "script.py", manager, resume, file_format],
            cwd=self.path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        return done.returncode, done.stderr

    @property
    def calls(self) -> list[str]:
        return (self.path / "calls").read_text().split()

    @property
    def hidden(self) -> list[str]:
        return sorted(path.name for path in self.path.iterdir() if path.name.startswith("."))

    def assert_complete(self) -> None:
        np.testing.assert_array_equal(read_raster(self.path / "out.img"), PIXELS.astype(np.uint16) * 2)
        assert self.hidden == []

    def run(self, function: Callable[..., None], other: Any = None, threads: int = 1, **options: Any) -> None:
        infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
        infiles.image, outfiles.result = str(self.path / "scene.tif"), str(self.path / "out.img")
        controls = applier.ApplierControls()
        controls.setWindowSize(32, 32)
        controls.setTileSize(32, 32)
        controls.setOutputDriverName("GTiff")
        controls.setCreationOptions(["TILED=YES", "BLOCKXSIZE=32", "BLOCKYSIZE=32", "COMPRESS=DEFLATE"])
        controls.setNumThreads(threads)
        controls.setJobManagerType("threads")
        controls.setResume(True)
        for setter, value in options.items():
            getattr(controls, setter)(*value if isinstance(value, tuple) else (value,))
        applier.apply(function, infiles, outfiles, other, controls=controls)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    path = tmp_path / "work"
    path.mkdir()
    return Folder(path)


@pytest.mark.parametrize(
    ("manager", "file_format"),
    [("in-process", "GTiff"), ("threads", "GTiff"), ("multiprocessing", "GTiff"), ("in-process", "HFA")],
)
def test_tiles_that_were_finished_when_main_was_killed_are_not_computed_again(
    folder: Folder, manager: str, file_format: str
) -> None:
    status, _ = folder.script(manager, file_format=file_format)
    assert status == -signal.SIGKILL
    before = folder.calls
    assert len(folder.hidden) == 2  # the output as it was, and the tiles

    status, said = folder.script(manager, file_format=file_format)

    assert (status, said) == (0, "")
    folder.assert_complete()
    again = folder.calls[len(before) :]
    in_work = (
        1 if manager == "in-process" else 4
    )  # given to two workers, with one result that main had not got
    assert 9 - 6 <= len(again) <= 9 - 6 + in_work - 1
    assert {"0,2", "1,2", "2,2"} <= set(again)


def test_what_a_killed_run_has_left_is_removed_by_the_next_one(folder: Folder) -> None:
    assert folder.script("in-process")[0] == -signal.SIGKILL
    assert len(folder.hidden) == 2

    assert folder.script("in-process", "anew") == (0, "")

    folder.assert_complete()
    assert folder.calls.count("0,0") == 2


def test_a_living_run_is_left_alone(folder: Folder) -> None:
    (folder.path / "killed").touch()
    script = (
        (folder.path / "script.py")
        .read_text()
        .replace("outputs.result =", "signal.pause(); outputs.result =")
    )
    (folder.path / "living.py").write_text(script)
    command = [sys.executable, "living.py", "in-process", "resume", "GTiff"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=folder.path, env=environment) as living:
        wait_until((folder.path / "calls").exists)
        hidden = folder.hidden
        status, said = folder.script("in-process")
        assert status == 1
        assert f"another run with these outputs is at work (process {living.pid} on " in said
        assert folder.script("in-process", "anew") == (0, "")
        assert folder.hidden == hidden
        np.testing.assert_array_equal(read_raster(folder.path / "out.img"), PIXELS.astype(np.uint16) * 2)
        living.kill()
    assert folder.script("in-process", "anew") == (0, "")
    folder.assert_complete()


def double(_info: Any, inputs: Any, outputs: Any) -> None:
    outputs.result = inputs.image.astype(np.uint16) * 2


def fail(info: Any, inputs: Any, outputs: Any) -> None:
    if info.yblock == 1:
        raise LookupError("no such class")
    outputs.result = inputs.image.astype(np.uint16) * 2


def add(info: Any, inputs: Any, outputs: Any, other: Any) -> None:
    other.total += int(inputs.image.sum(dtype=np.uint64))
    if info.yblock == 2 and other.fails.exists():
        raise LookupError("not yet")
    outputs.result = inputs.image.astype(np.uint16) * 2


def test_a_failed_run_says_where_its_tiles_are_and_a_changed_function_is_refused(
    folder: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(UserFunctionError, match="no such class"):
        folder.run(fail)
    (kept,) = folder.hidden
    (said,) = (record.getMessage() for record in caplog.records)
    assert said.startswith(f"3 of 9 tiles are finished and kept in {folder.path / kept}; to go on")

    with pytest.raises(JobMgrError, match="cannot be resumed, because the function changed since it began"):
        folder.run(double)
    assert folder.hidden == [kept]
    make_raster(folder.path / "scene.tif", PIXELS + 1)
    with pytest.raises(JobMgrError, match="because infiles.image changed"):
        folder.run(fail)
    make_raster(folder.path / "scene.tif", PIXELS)
    folder.run(double, setResume=False)
    folder.assert_complete()


def test_changes_of_other_args_come_back_with_kept_tiles(folder: Folder) -> None:
    other = applier.OtherInputs(total=5, fails=folder.path / "fails")
    other.fails.touch()
    rules = {"setOtherArgsMerge": ("total", "sum")}
    with pytest.raises(UserFunctionError, match="not yet"):
        folder.run(add, other, threads=2, **rules)
    assert len(folder.hidden) == 1

    other.fails.unlink()
    folder.run(add, other, threads=2, **rules)

    folder.assert_complete()
    assert other.total == 5 + int(PIXELS.sum(dtype=np.uint64))


def test_one_worker_that_changes_other_args_keeps_no_tiles(
    folder: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    other = applier.OtherInputs(total=0, fails=folder.path / "fails")
    other.fails.touch()

    with pytest.raises(UserFunctionError, match="not yet"):
        folder.run(add, other)

    assert folder.hidden == []
    assert "no tiles are kept: the function changes otherArgs" in caplog.text


@pytest.mark.parametrize("damage", [b"", b"RBTILE04", "cut", "flipped"])
def test_damaged_tiles_are_computed_again(folder: Folder, damage: bytes | str) -> None:
    other = applier.OtherInputs(total=0, fails=folder.path / "fails")
    other.fails.touch()
    with pytest.raises(UserFunctionError):
        folder.run(add, other, threads=2, setOtherArgsMerge=("total", "sum"))
    (kept,) = folder.hidden
    tile = folder.path / kept / "tiles/0000001"
    whole = tile.read_bytes()
    changed = {"cut": whole[:-10], "flipped": whole[:-10] + b"0123456789"}
    tile.write_bytes(changed[damage] if isinstance(damage, str) else damage)
    (folder.path / kept / "tiles/notes.txt").touch()

    other.fails.unlink()
    folder.run(add, other, threads=2, setOtherArgsMerge=("total", "sum"))

    folder.assert_complete()
    assert other.total == int(PIXELS.sum(dtype=np.uint64))
