"""What a user function finds of GDAL's state."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from osgeo import gdal

from rios_batch import applier
from rios_batch.errors import FileOpenError
from tests.support import make_raster, ramp, read_raster

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def script_has_exceptions(on: bool) -> Iterator[None]:
    before = gdal.GetUseExceptions()
    (gdal.UseExceptions if on else gdal.DontUseExceptions)()
    try:
        yield
        assert bool(gdal.GetUseExceptions()) is on
    finally:
        (gdal.UseExceptions if before else gdal.DontUseExceptions)()


def note(_info: Any, inputs: Any, outputs: Any) -> None:
    outputs.seen = inputs.a.astype("uint8") * 0 + gdal.GetUseExceptions()


def run(function: Any, folder: Path, manager: str) -> Path:
    controls = applier.ApplierControls()
    controls.setWindowSize(16, 16)
    controls.setTileSize(16, 16)
    controls.setStatsIgnore(None)
    controls.setNumThreads(1 if manager == "in-process" else 2)
    controls.setJobManagerType(manager)
    infiles = applier.FilenameAssociations(a=make_raster(folder / "a.tif", ramp(1, 32, 32)))
    applier.apply(
        function, infiles, applier.FilenameAssociations(seen=folder / "seen.tif"), controls=controls
    )
    return folder / "seen.tif"


@pytest.mark.parametrize("manager", ["in-process", "multiprocessing"])
@pytest.mark.parametrize("on", [True, False])
def test_gdals_exceptions_are_as_the_script_has_set_them(tmp_path: Path, manager: str, on: bool) -> None:
    with script_has_exceptions(on):
        seen = read_raster(run(note, tmp_path, manager))

    assert (seen == on).all()


# GDAL has one switch for the whole process: off, it would hide what goes wrong in the other threads.
def test_gdals_exceptions_are_on_in_threads(tmp_path: Path) -> None:
    with script_has_exceptions(False):
        seen = read_raster(run(note, tmp_path, "threads"))

    assert (seen == 1).all()


def test_gdals_exceptions_stay_on_while_another_run_is_working(tmp_path: Path) -> None:
    def inner_and_note(info: Any, inputs: Any, outputs: Any) -> None:
        if info.isFirstBlock():
            (tmp_path / "inner").mkdir()
            assert (read_raster(run(note, tmp_path / "inner", "in-process")) == 1).all()
        note(info, inputs, outputs)

    with script_has_exceptions(False):
        run(inner_and_note, tmp_path, "in-process")


def test_a_file_that_the_function_asks_for_is_opened_or_refused_whatever_the_script_has_set(
    tmp_path: Path,
) -> None:
    errors = []

    def ask(info: Any, inputs: Any, outputs: Any) -> None:
        note(info, inputs, outputs)
        if info.isFirstBlock():
            assert info.getGDALDatasetFor(inputs.a).RasterXSize == 32
        elif info.isLastBlock():
            (tmp_path / "a.tif").unlink()
            try:
                info.getGDALDatasetFor(inputs.a)
            except FileOpenError as error:
                errors.append(error)
            assert not gdal.GetUseExceptions()

    with script_has_exceptions(False):
        run(ask, tmp_path, "in-process")

    assert len(errors) == 1
