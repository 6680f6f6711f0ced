"""What a person sees when a script's input or output is bad: scripts run as a whole, in a shell's place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.support import ORIGIN, files_below, make_raster, mounted_disk, ramp, run_script

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPT = """
    import sys
    from rios_batch import applier

    def add(info, inputs, outputs):
        outputs.out = inputs.a + inputs.b

    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.a, infiles.b, outfiles.out = sys.argv[1:4]
    controls = applier.ApplierControls()
    controls.setWindowSize(64, 64)
    controls.setNumThreads(int(sys.argv[4]))
    applier.apply(add, infiles, outfiles, controls=controls)
"""


@pytest.fixture
def good(tmp_path: Path) -> str:
    pixels = np.random.default_rng(0).integers(0, 2**16, (1, 256, 256), np.uint16)
    options = ["TILED=YES", "BLOCKXSIZE=64", "BLOCKYSIZE=64", "COMPRESS=DEFLATE"]
    (tmp_path / "inputs").mkdir()
    return make_raster(tmp_path / "inputs" / "good.tif", pixels, options=options)


def last_message(tmp_path: Path, a: str, b: str, out: str, *, threads: int = 1) -> str:
    """Run the script, see that it failed and left nothing, and return the last line it wrote."""
    work = tmp_path / "work"
    work.mkdir(exist_ok=True)
    before = files_below(tmp_path)

    done = run_script(work, SCRIPT, a, b, out, str(threads))

    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    assert set(files_below(tmp_path)) - set(before) == {"work/script.py"}
    kind, _, message = done.stderr.rstrip("\n").splitlines()[-1].partition(": ")
    assert kind.startswith("rios_batch.errors."), done.stderr
    return message


@pytest.mark.parametrize("threads", [1, 2])
def test_a_missing_input_is_named(tmp_path: Path, good: str, threads: int) -> None:
    message = last_message(tmp_path, good, "missing.tif", "out.tif", threads=threads)

    assert message == "input file 'missing.tif' does not exist"


def test_inputs_that_do_not_overlap_are_named(tmp_path: Path, good: str) -> None:
    away = make_raster(
        tmp_path / "inputs" / "away.tif", ramp(1, 9, 9), origin=(ORIGIN[0] + 90_000, ORIGIN[1])
    )

    message = last_message(tmp_path, good, away, "out.tif")

    assert "overlap" in message
    assert "away.tif" in message
    assert "good.tif" in message


def test_an_input_with_other_pixel_sizes_is_named_with_both(tmp_path: Path, good: str) -> None:
    coarse = make_raster(tmp_path / "inputs" / "coarse.tif", ramp(1, 9, 9), pixel_size=30)

    message = last_message(tmp_path, good, coarse, "out.tif")

    assert message.startswith(f"input {coarse!r} is not on the grid of {good!r}, the first input: ")
    assert "30 x 30" in message
    assert "10 x 10" in message
    assert "setReferenceImage" in message


def test_an_input_in_another_projection_is_named(tmp_path: Path, good: str) -> None:
    other = make_raster(tmp_path / "inputs" / "other.tif", ramp(1, 9, 9), epsg=32612)

    message = last_message(tmp_path, good, other, "out.tif")

    assert message.startswith(f"input {other!r} is not on the grid of ")
    assert "projection" in message


@pytest.mark.parametrize("threads", [1, 2])
def test_an_input_cut_short_is_named_with_the_place(tmp_path: Path, good: str, threads: int) -> None:
    cut = tmp_path / "inputs" / "cut.tif"
    cut.write_bytes(Path(good).read_bytes()[:60_000])

    message = last_message(tmp_path, good, str(cut), "out.tif", threads=threads)

    assert message.startswith(f"input {str(cut)!r} cannot be read at columns ")
    assert "damaged or cut short" in message


def test_an_input_that_is_no_raster_is_named(tmp_path: Path, good: str) -> None:
    text = tmp_path / "inputs" / "text.tif"
    text.write_text("not a raster")

    message = last_message(tmp_path, good, str(text), "out.tif")

    assert message.startswith(f"input {str(text)!r} cannot be opened as a raster: ")


@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("nowhere/out.tif", "cannot be written: No such file or directory ('nowhere')"),
        ("script.py/out.tif", "cannot be written: Not a directory ('script.py')"),
        ("/proc/out.tif", "cannot be written: No such file or directory ('/proc')"),
        ("out.png", "GDAL's PNG driver cannot write block by block"),
        (".", "is a folder"),
    ],
)
def test_an_output_that_cannot_be_written_is_named(tmp_path: Path, good: str, out: str, words: str) -> None:
    message = last_message(tmp_path, good, good, out)

    assert message.startswith(f"output {out!r}")
    assert words in message


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted_disk(tmp_path, 64) as disk:
        yield disk


# In a traceback the frames of osgeo.gdal hold the dataset; closed as late as the interpreter ends, it would print
# "ERROR 3: ..." after the sentence.
@pytest.mark.parametrize(("name", "threads"), [("out.tif", 1), ("out.tif", 2), ("out.img", 1)])
def test_a_full_disk_is_named(tmp_path: Path, small_disk: Path, good: str, name: str, threads: int) -> None:
    message = last_message(tmp_path, good, good, str(small_disk / name), threads=threads)

    assert message == (
        f"output {str(small_disk / name)!r} cannot be written: "
        "the disk is full; free some space or choose another folder"
    )
