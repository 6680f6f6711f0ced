"""The warning that valid pixels are nodata by default: when it comes, and when it must not."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rios_batch import applier
from rios_batch.associations import BlockAssociations
from rios_batch.compute.lostpixels import without_data
from rios_batch.model.grid import PixelWindow
from rios_batch.model.spec import InputFile, InputSpec
from tests.support import ORIGIN, PIXEL_M, make_raster

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    UserFunction = Callable[..., None]

SCENE = (np.arange(2 * 40 * 50).reshape(2, 40, 50) % 200 + 20).astype(np.uint8)
NODATA = 255


def bright(_info: Any, inputs: Any, outputs: Any) -> None:
    outputs.out = inputs.a > 100


def bright_where_there_is_data(info: Any, inputs: Any, outputs: Any) -> None:
    """Write 0 without data, and 1 or 2 otherwise, and change the input in passing as some scripts do."""
    nodata = info.getNoDataValueFor(inputs.a)
    has_data = (inputs.a != nodata).all(axis=0)
    outputs.out = np.where(has_data, 1 + (inputs.a[:1] > 100), 0).astype(np.uint8)
    inputs.a[:] = 1


def largest_around(info: Any, inputs: Any, outputs: Any) -> None:
    """Write 0 where a neighbour has no data."""
    radius, padded = info.getOverlapSize(), np.full_like(inputs.a, 0)
    around = np.lib.stride_tricks.sliding_window_view(inputs.a, (1, 2 * radius + 1, 2 * radius + 1))
    inner = np.where((around == NODATA).any(axis=(3, 4, 5)), 0, around.max(axis=(3, 4, 5)))
    padded[:, radius:-radius, radius:-radius] = inner
    outputs.out = padded


def masked(_info: Any, inputs: Any, outputs: Any) -> None:
    outputs.out = np.ma.masked_array(inputs.a, inputs.a < 100)  # type: ignore[no-untyped-call]


def warnings_of(
    caplog: pytest.LogCaptureFixture,
    folder: Path,
    function: UserFunction,
    files: dict[str, Any],
    **options: Any,
) -> list[str]:
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    for name, value in files.items():
        setattr(infiles, name, value)
    outfiles.out = folder / "out.tif"
    controls = applier.ApplierControls()
    controls.setWindowSize(32, 16)
    for setter, value in options.items():
        getattr(controls, setter)(*value if isinstance(value, tuple) else (value,))
    caplog.clear()
    applier.apply(function, infiles, outfiles, controls=controls)
    return [record.getMessage() for record in caplog.records]


def with_hole(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return pixels of which the first band has a place without data."""
    pixels = pixels.copy()
    pixels[0, 10:20, 30:40] = NODATA
    return pixels


# -- it comes


def test_zeros_computed_from_data_are_counted_and_the_sentence_says_what_to_do(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    lost = int((SCENE <= 100).any(axis=0).sum())

    (warning,) = warnings_of(caplog, tmp_path, bright, {"a": make_raster(tmp_path / "a.tif", SCENE)})

    assert re.search(rf"out\.tif: {lost:,} pixels computed from data are 0, which is nodata", warning)
    assert "controls.setStatsIgnore(value, 'out')" in warning


def test_zeros_beside_a_hole_are_counted_without_the_hole(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    pixels = with_hole(SCENE)
    make_raster(tmp_path / "a.tif", pixels, nodata=NODATA)
    lost = int((pixels <= 100).any(axis=0, where=(pixels != NODATA).all(axis=0)).sum())

    (warning,) = warnings_of(caplog, tmp_path, bright, {"a": tmp_path / "a.tif"})

    assert f": {lost:,} pixels" in warning


def test_a_single_zero_and_no_input_at_all(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    def columns(info: Any, _inputs: Any, outputs: Any) -> None:
        x, y = info.getBlockCoordArrays()
        outputs.out = ((x - x.min()) + (y.max() - y) + info.yblock + info.xblock)[None]

    grid = applier.PixelGridDefn((0.0, 10.0, 0.0, 0.0, 0.0, -10.0), 40, 50)

    (warning,) = warnings_of(
        caplog,
        tmp_path,
        columns,
        {},
        setReferencePixgrid=grid,
        setFootprintType=applier.BOUNDS_FROM_REFERENCE,
    )

    assert ": 1 pixel computed from data is 0" in warning


def test_each_output_has_a_warning_of_its_own_and_only_where_no_value_was_named(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    def three(_info: Any, inputs: Any, outputs: Any) -> None:
        outputs.one = outputs.two = outputs.three = inputs.a > 100

    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.a = make_raster(tmp_path / "a.tif", SCENE)
    outfiles.one, outfiles.two, outfiles.three = (tmp_path / f"{name}.tif" for name in "123")
    controls = applier.ApplierControls()
    controls.setStatsIgnore(None, "two")

    applier.apply(three, infiles, outfiles, controls=controls)

    first, second = (record.getMessage() for record in caplog.records)
    assert first.startswith(f"{outfiles.one}: ")
    assert second.startswith(f"{outfiles.three}: ")


# -- it does not


@pytest.mark.parametrize("setting", [255, None, 0])
def test_a_script_that_names_a_value_is_not_warned(
    caplog: pytest.LogCaptureFixture, tmp_path: Path, setting: int | None
) -> None:
    scene = make_raster(tmp_path / "a.tif", SCENE)

    assert warnings_of(caplog, tmp_path, bright, {"a": scene}, setStatsIgnore=setting) == []
    assert warnings_of(caplog, tmp_path, bright, {"a": scene}, setStatsIgnore=(setting, "out")) == []
    assert (
        warnings_of(
            caplog, tmp_path, bright, {"a": scene}, setOptionForImagename=("statsIgnore", "out", setting)
        )
        == []
    )


@pytest.mark.parametrize(
    "where", ["a hole", "a hole in a later input", "beside the file", "beside a list's file"]
)
def test_zeros_where_an_input_has_no_data_are_meant(
    caplog: pytest.LogCaptureFixture, tmp_path: Path, where: str
) -> None:
    def data_only(_info: Any, inputs: Any, outputs: Any) -> None:
        arrays = [inputs.a, *(inputs.others if isinstance(inputs.others, list) else [inputs.others])]
        without = [(array == NODATA).any(axis=0) for array in arrays]
        outputs.out = np.where(np.any(without, axis=0), 0, 1)[None].astype(np.uint8)

    beside = (ORIGIN[0] + 10 * PIXEL_M, ORIGIN[1])
    pixels = {"a hole": with_hole(SCENE)}.get(where, SCENE)
    other = {"a hole in a later input": with_hole(SCENE)}.get(where, SCENE)
    origin = beside if where.startswith("beside") else ORIGIN
    first = make_raster(tmp_path / "a.tif", pixels, nodata=NODATA)
    second = make_raster(tmp_path / "b.tif", other, nodata=NODATA, origin=origin)
    others = [first, second] if where == "beside a list's file" else second

    assert (
        warnings_of(
            caplog, tmp_path, data_only, {"a": first, "others": others}, setFootprintType=applier.UNION
        )
        == []
    )


def test_pixels_outside_a_file_without_nodata_value_have_no_data(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    def copy(_info: Any, inputs: Any, outputs: Any) -> None:
        outputs.out = inputs.b

    first = make_raster(tmp_path / "a.tif", SCENE)
    second = make_raster(tmp_path / "b.tif", SCENE, origin=(ORIGIN[0] + 100, ORIGIN[1] - 50))

    assert (
        warnings_of(caplog, tmp_path, copy, {"a": first, "b": second}, setFootprintType=applier.UNION) == []
    )


def test_nan_is_no_data_whatever_the_file_says(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    def filled(_info: Any, inputs: Any, outputs: Any) -> None:
        outputs.out = np.nan_to_num(inputs.a)

    pixels = with_hole(SCENE).astype(np.float32)
    pixels[pixels == NODATA] = np.nan

    for nodata in (None, float("nan"), -9999.0):
        make_raster(tmp_path / "a.tif", pixels, nodata=nodata)
        assert warnings_of(caplog, tmp_path, filled, {"a": tmp_path / "a.tif"}) == []


def test_an_input_that_the_function_changes_is_judged_as_it_was(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    make_raster(tmp_path / "a.tif", with_hole(SCENE), nodata=NODATA)

    assert warnings_of(caplog, tmp_path, bright_where_there_is_data, {"a": tmp_path / "a.tif"}) == []


def test_with_an_overlap_the_neighbourhood_counts(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    make_raster(tmp_path / "a.tif", with_hole(SCENE), nodata=NODATA)

    assert warnings_of(caplog, tmp_path, largest_around, {"a": tmp_path / "a.tif"}, setOverlap=2) == []


def test_masked_pixels_are_meant_to_be_nodata(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    assert warnings_of(caplog, tmp_path, masked, {"a": make_raster(tmp_path / "a.tif", SCENE)}) == []


def test_a_nodata_value_that_the_inputs_type_cannot_hold_is_nowhere(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    make_raster(tmp_path / "a.tif", SCENE, nodata=-9999)

    (warning,) = warnings_of(caplog, tmp_path, bright, {"a": tmp_path / "a.tif"})

    assert "pixels computed from data are 0" in warning


def test_a_file_that_is_not_read_because_it_lies_elsewhere_has_no_data() -> None:
    elsewhere = InputFile("a.tif", "a.tif", 100, 0, 10, 10, "uint8", (1,), (None,))
    spec: Any = SimpleNamespace(
        outputs=[SimpleNamespace(nodata_is_default=True)],
        inputs=[InputSpec("scenes", (elsewhere,), is_list=True)],
        overlap_px=0,
    )

    missing = without_data(spec, BlockAssociations(scenes=[None]), PixelWindow(0, 0, 4, 4))

    assert missing is not None
    assert missing.all()
