"""A person's files while a script is rehearsed: whatever happens to them, they are as they were afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rios_batch.testing.rehearsed import Setting
from tests.support import files_below, make_raster, ramp, run_script, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

# Every way to lose a file that a script has, one after the other; GDAL's and Python's.
CHANGES = """
import os, shutil, sys
from pathlib import Path
from osgeo import gdal, ogr
from rios_batch.testing.guarding import Guard

scratch = Path(sys.argv[1])
guard = Guard(scratch)
guard.watch()
gdal.UseExceptions()

open("written.txt", "w").write("other")
open("added.txt", "a").write(" and more")
Path("bytes.txt").write_bytes(b"x")
with open("within.txt", "r+") as file:
    file.write("X")
os.remove("removed.txt")
os.rename("renamed.txt", "new name.txt")
os.replace("onto.txt", "covered.txt")
os.truncate("cut.txt", 1)
shutil.rmtree("folder")
os.makedirs("made/by/script")
open("made/by/script/file.txt", "w").write("new")
os.symlink("written.txt", "link.txt")
os.chdir("other")
open("here.txt", "w").write("other")
os.chdir("..")
open(sys.argv[2], "w").write("other")
open(os.open("low.txt", os.O_WRONLY | os.O_TRUNC), "w").write("low")
shutil.copy("added.txt", "copied.txt")

dataset = gdal.Open("updated.tif", gdal.GA_Update)
dataset.SetMetadataItem("a", "b")
dataset.GetRasterBand(1).Fill(7)
del dataset
gdal.GetDriverByName("GTiff").Create("created.tif", 2, 2)
gdal.Translate("translated.tif", "updated.tif")
gdal.GetDriverByName("GTiff").Delete("deleted.tif")
ogr.GetDriverByName("GeoJSON").DeleteDataSource("vector.json")
ogr.GetDriverByName("GeoJSON").CreateDataSource("vector.json").CreateLayer("one")
os.remove("linked.tif")
open("linked.tif", "w").write("first")
open("linked.tif", "a").write(" second")

kept = guard.save_output("updated.tif")
guard.put_back()
print(gdal.Open(kept).GetMetadataItem("a"), len(guard.output_folders))
for folder in guard.output_folders:
    shutil.rmtree(folder)
"""
TEXTS = (
    "written",
    "added",
    "bytes",
    "within",
    "removed",
    "renamed",
    "onto",
    "covered",
    "cut",
    "low",
    "copied",
)
RASTERS = ("updated", "created", "translated", "deleted", "linked")


def snapshot(folder: Path) -> dict[str, Any]:
    return {
        name: ((folder / name).read_bytes(), (folder / name).stat().st_mtime_ns)
        for name in files_below(folder)
        if (folder / name).is_file()
    }


@pytest.fixture
def other_disk() -> Iterator[Path]:
    """Give a folder of another file system, to which no link leads."""
    folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
    yield folder
    shutil.rmtree(folder)


def test_whatever_a_script_does_to_files_they_are_as_they_were(tmp_path: Path, other_disk: Path) -> None:
    folder, scratch = tmp_path / "mine", tmp_path / "scratch"
    for one in (folder / "folder" / "below", folder / "other", scratch):
        one.mkdir(parents=True)
    for name in (*TEXTS, "folder/below/deep", "folder/high", "other/here"):
        (folder / f"{name}.txt").write_text(f"the text of {name}")
    for name in RASTERS:
        make_raster(folder / f"{name}.tif", ramp(1, 4, 4))
    (folder / "vector.json").write_text("{}")
    before = snapshot(folder)
    (other_disk / "far.txt").write_text("far away")

    (tmp_path / "changes.py").write_text(CHANGES)
    done = subprocess.run(
        [sys.executable, tmp_path / "changes.py", scratch, other_disk / "far.txt"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout == "b 1\n", done.stderr
    assert snapshot(folder) == before
    assert (files_below(other_disk), (other_disk / "far.txt").read_text()) == (["far.txt"], "far away")


def test_files_are_put_back_when_the_rehearsal_itself_is_killed(tmp_path: Path) -> None:
    folder, scratch = tmp_path / "mine", tmp_path / "rehearsal" / "here"
    folder.mkdir()
    scratch.mkdir(parents=True)
    (folder / "log.txt").write_text("as it was")
    (folder / "script.py").write_text("import time\nopen('log.txt', 'w').write('other')\ntime.sleep(100)")
    before = snapshot(folder)
    setting = Setting(there=False, scratch=str(scratch), workers=1, emulated=False)
    command = [sys.executable, "-m", "rios_batch.testing.rehearsed", setting.encode(), "script.py"]
    parent = subprocess.Popen(
        [sys.executable, "-c", f"import subprocess; subprocess.run({command!r})"], cwd=folder
    )
    try:
        wait_until(lambda: (folder / "log.txt").read_text() == "other")
    finally:
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()

    wait_until(lambda: not scratch.parent.exists())
    assert snapshot(folder) == before


def test_the_emulation_and_rehearsals_need_no_pytest(tmp_path: Path) -> None:
    done = run_script(
        tmp_path,
        """
        import sys
        import rios_batch.testing.rehearsal, rios_batch.testing.rehearsed, rios_batch.testing.emulation.deployed
        assert "pytest" not in sys.modules
        """,
    )
    assert done.returncode == 0, done.stderr
