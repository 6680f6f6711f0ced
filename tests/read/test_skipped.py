"""Inputs that cannot be read and are taken for nodata."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rios_batch import applier
from rios_batch.errors import FileOpenError, ImageOpenError, MissingFileError, ParameterError
from tests.support import make_raster, ramp, read_raster

if TYPE_CHECKING:
    from rios_batch.applier import ApplierReturn

PIXELS = ramp(1, 64, 64) % 200
NODATA = 250


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    """Give a missing file, a sound one, one that is cut short, and one that is no raster."""
    options = ["TILED=YES", "BLOCKXSIZE=16", "BLOCKYSIZE=16"]
    sound, cut = (
        make_raster(tmp_path / f"{name}.tif", PIXELS.astype("u1"), nodata=NODATA, options=options)
        for name in ("sound", "cut")
    )
    data = Path(cut).read_bytes()
    Path(cut).write_bytes(data[: len(data) - 4 * 256])  # the last row of blocks
    (tmp_path / "text.tif").write_text("no raster")
    return [str(tmp_path / "missing.tif"), sound, cut, str(tmp_path / "text.tif")]


def run(paths: list[str], out: Path, **options: Any) -> ApplierReturn:
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.scenes, outfiles.result = paths, out
    controls = applier.ApplierControls()
    controls.setWindowSize(16, 16)
    for setter, value in options.items():
        getattr(controls, setter)(value)

    def stack(_info: Any, inputs: Any, outputs: Any) -> None:
        outputs.result = np.concatenate(inputs.scenes)

    return applier.apply(stack, infiles, outfiles, controls=controls)


@pytest.mark.parametrize("manager", ["in-process", "threads", "multiprocessing"])
def test_what_cannot_be_read_is_nodata_and_is_listed(paths: list[str], tmp_path: Path, manager: str) -> None:
    result = run(
        paths, tmp_path / "out.tif", setInputErrors="nodata", setNumThreads=2, setJobManagerType=manager
    )

    missing, sound, cut, text = read_raster(tmp_path / "out.tif")
    assert (missing == NODATA).all()
    assert (text == NODATA).all()
    np.testing.assert_array_equal(sound, PIXELS[0])
    np.testing.assert_array_equal(cut[:48], PIXELS[0, :48])
    assert (cut[48:] == NODATA).all()
    assert sorted(result.skippedInputs) == sorted([paths[0], paths[2], paths[3]])
    assert "does not exist" in result.skippedInputs[paths[0]]
    assert "it may be damaged or cut short" in result.skippedInputs[paths[2]]
    assert "cannot be opened as a raster" in result.skippedInputs[paths[3]]


def test_without_errors_nothing_is_listed(paths: list[str], tmp_path: Path) -> None:
    assert run([paths[1]], tmp_path / "out.tif", setInputErrors="nodata").skippedInputs == {}


@pytest.mark.parametrize(
    ("number", "error"), [(0, MissingFileError), (2, ImageOpenError), (3, ImageOpenError)]
)
def test_by_default_they_are_errors(
    paths: list[str], tmp_path: Path, number: int, error: type[Exception]
) -> None:
    with pytest.raises(error):
        run([paths[1], paths[number]], tmp_path / "out.tif")
    assert not (tmp_path / "out.tif").exists()


def test_a_name_of_which_no_file_can_be_opened_is_an_error(paths: list[str], tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="missing.tif' does not exist"):
        run([paths[0], paths[3]], tmp_path / "out.tif", setInputErrors="nodata")


def test_a_file_that_another_name_needs_is_an_error(paths: list[str], tmp_path: Path) -> None:
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.scenes, infiles.mask, outfiles.result = paths[:2], paths[0], tmp_path / "out.tif"
    controls = applier.ApplierControls()
    controls.setInputErrors("nodata", "scenes")

    with pytest.raises(FileOpenError, match=r"missing.tif"):
        applier.apply(lambda *_: None, infiles, outfiles, controls=controls)


def test_another_word_is_refused() -> None:
    with pytest.raises(ParameterError, match="input errors 'ignore': use one of 'error', 'nodata'"):
        applier.ApplierControls().setInputErrors("ignore")
