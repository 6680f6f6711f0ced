"""Inputs that somebody changes while a run reads them, and what a user function changes of the run's own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from osgeo import gdal

from rios_batch import applier
from rios_batch.errors import FileOpenError
from rios_batch.pixelgrid import pixelGridFromFile
from tests.support import files_below, make_raster, ramp, read_raster

if TYPE_CHECKING:
    from collections.abc import Callable

PIXELS = ramp(1, 40, 50, "uint8")
managers = pytest.mark.parametrize("manager", ["in-process", "threads"])


def run(folder: Path, path: str, during: Callable[[Any], None], manager: str = "in-process") -> None:
    """Copy a raster to ``out.tif``; ``during`` is called with ``info`` in each block."""

    def function(info: Any, inputs: Any, outputs: Any) -> None:
        outputs.out = inputs.image
        during(info)

    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.image, outfiles.out = path, folder / "out.tif"
    controls = applier.ApplierControls()
    controls.setWindowSize(16, 16)
    controls.setNumThreads(1 if manager == "in-process" else 2)
    controls.setJobManagerType(manager)
    applier.apply(function, infiles, outfiles, controls=controls)


def once(change: Callable[[], None]) -> Callable[[Any], None]:
    return lambda info: change() if info.isFirstBlock() else None


def rewritten(path: Path) -> None:
    """Change a pixel in place; the file keeps its size and, to the second, its time."""
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1000))


def replaced(path: Path) -> None:
    """Put a copy with the same content and times in the file's place."""
    shutil.copy2(path, path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


@managers
@pytest.mark.parametrize("change", [rewritten, replaced])
def test_an_input_that_is_changed_while_it_is_read_is_an_error_and_nothing_is_written(
    tmp_path: Path, change: Callable[[Path], None], manager: str
) -> None:
    path = make_raster(tmp_path / "in.tif", PIXELS)

    with pytest.raises(FileOpenError, match=r"input '.*in\.tif' was changed while the run was reading it"):
        run(tmp_path, path, once(lambda: change(Path(path))), manager)

    assert not [name for name in files_below(tmp_path) if name != "in.tif"]


def test_an_input_that_is_taken_away_while_it_is_open_is_read_as_it_was(tmp_path: Path) -> None:
    path = make_raster(tmp_path / "in.tif", PIXELS)

    run(tmp_path, path, once(Path(path).unlink))

    assert np.array_equal(read_raster(tmp_path / "out.tif"), PIXELS)


def test_a_source_of_a_vrt_counts_too(tmp_path: Path) -> None:
    path = make_raster(tmp_path / "in.tif", PIXELS)
    dataset = gdal.BuildVRT(str(tmp_path / "in.vrt"), [path])
    dataset.FlushCache()
    del dataset

    with pytest.raises(FileOpenError, match=r"input '.*in\.vrt' \('.*in\.tif'\) was changed"):
        run(tmp_path, str(tmp_path / "in.vrt"), once(lambda: rewritten(Path(path))))


def test_reading_an_input_its_permissions_and_its_statistics_are_no_changes(tmp_path: Path) -> None:
    path = make_raster(tmp_path / "in.tif", PIXELS)
    Path(f"{path}.aux.xml").write_text("<PAMDataset />")

    def use() -> None:
        Path(path).read_bytes()
        Path(path).chmod(0o600)
        Path(f"{path}.aux.xml").write_text("<PAMDataset></PAMDataset>")

    run(tmp_path, path, once(use))

    assert np.array_equal(read_raster(tmp_path / "out.tif"), PIXELS)


def test_an_output_may_take_an_inputs_place(tmp_path: Path) -> None:
    path = make_raster(tmp_path / "out.tif", PIXELS)

    run(tmp_path, path, lambda _: None)

    assert np.array_equal(read_raster(path), PIXELS)


@managers
def test_a_function_that_changes_infos_grid_does_not_move_the_output(tmp_path: Path, manager: str) -> None:
    path = make_raster(tmp_path / "in.tif", PIXELS)
    expected = pixelGridFromFile(path)

    def change(info: Any) -> None:
        info.workingGrid.xMin += 1000
        info.workingGrid.xMax -= 13 * info.workingGrid.xRes
        info.workingGrid.projection = ""

    run(tmp_path, path, change, manager)

    assert pixelGridFromFile(tmp_path / "out.tif") == expected
