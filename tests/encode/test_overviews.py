# ruff: noqa: ARG001 - user functions have the arguments they are called with
"""Overviews: the same whoever makes them and however the raster is cut, and those of gdaladdo where sizes are whole."""

from __future__ import annotations

import math
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from osgeo import gdal
from osgeo_utils.samples.validate_cloud_optimized_geotiff import validate

from rios_batch import applier
from rios_batch.awsbatch.fingerprint import fingerprints
from rios_batch.encode.coarseoverviews import CoarseOverviews
from rios_batch.encode.reducing import decimate
from rios_batch.errors import OutputError, ParameterError
from rios_batch.model.pyramid import METHODS_WITHIN_TILES, Pyramid
from rios_batch.model.tiles import BlockGrid
from rios_batch.plan.prepare import prepare
from rios_batch.plan.tiling import plan_tiles
from tests.support import files_below, make_raster, output_spec, ramp, read_raster

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rios_batch.applier import ApplierReturn
    from tests.support import Array


def overviews_of(path: str | Path) -> list[Array]:
    """Return all overviews of a file, each of shape (bands, rows, cols), finest first."""
    dataset = gdal.Open(str(path))
    bands = [dataset.GetRasterBand(n) for n in range(1, dataset.RasterCount + 1)]
    return [
        np.stack([band.GetOverview(level).ReadAsArray() for band in bands])
        for level in range(bands[0].GetOverviewCount())
    ]


def identity(info: Any, inputs: Any, outputs: Any) -> None:
    outputs.out = inputs.image


def copy_with_overviews(folder: Path, pixels: Array, **settings: Any) -> ApplierReturn:
    """Write pixels to ``out.tif`` (or ``target``) with overviews as far down as 2 pixels."""
    make_raster(folder / "in.tif", pixels)
    controls = applier.ApplierControls()
    controls.setOverviewMinDim(1)
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.image, outfiles.out = folder / "in.tif", folder / settings.pop("target", "out.tif")
    for setter, value in settings.items():
        getattr(controls, setter)(*(value if isinstance(value, tuple) else (value,)))
    return applier.apply(identity, infiles, outfiles, controls=controls)


# -- reducing an array


def cells(array: Array, factor: int) -> Iterator[tuple[int, int, Array]]:
    for row in range(-(-array.shape[0] // factor)):
        for col in range(-(-array.shape[1] // factor)):
            yield (
                row,
                col,
                array[row * factor : (row + 1) * factor, col * factor : (col + 1) * factor].ravel(),
            )


@pytest.mark.parametrize("shape", [(8, 8), (9, 8), (7, 10), (3, 2), (1, 1), (4, 1)])
def test_an_average_is_that_of_the_pixels_there_are_without_nodata(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(1).integers(0, 5, shape).astype("float32")
    expected = np.zeros([-(-side // 4) for side in shape], "float32")
    for row, col, cell in cells(pixels, 4):
        expected[row, col] = cell[cell != 0].mean() if cell.any() else 0

    reduced = decimate(pixels[None], 4, "AVERAGE", 0)

    np.testing.assert_allclose(reduced[0], expected, rtol=1e-6)


@pytest.mark.parametrize("shape", [(8, 8), (9, 6), (1, 1)])
def test_a_mode_is_that_of_the_pixels_there_are(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(2).integers(1, 4, shape).astype("uint8")

    reduced = decimate(pixels[None], 4, "MODE", None)

    for row, col, cell in cells(pixels, 4):
        counts = np.bincount(cell)
        assert counts[reduced[0, row, col]] == counts.max()


WIDE: dict[str, list[Any]] = {
    "int32": [-(2**31), 2**31 - 1, 2**31 - 2, 2**24 + 1],
    "uint32": [2**32 - 1, 2**32 - 2, 0, 2**24 + 1],
    "int64": [-(2**63), 2**63 - 1, 2**53 + 1, 2**53 + 2],
    "float64": [0.1, 0.1 + 1e-12, 1e300, -1e-300],
}


def mode_of(cell: list[Any], nodata: Any) -> Any:
    """Return the value that is first to be met as often as the most frequent one; nodata if there is no other."""
    valid = [value for value in cell if value != nodata]
    counts: dict[Any, int] = {}
    best, most = nodata, 0
    for value in valid:
        counts[value] = counts.get(value, 0) + 1
        if counts[value] > most:
            best, most = value, counts[value]
    return best


@pytest.mark.parametrize("shape", [(8, 8), (9, 10), (3, 2)])
@pytest.mark.parametrize("has_nodata", [False, True])
@pytest.mark.parametrize("dtype", WIDE)
def test_a_mode_is_a_value_of_the_cell_also_where_float32_does_not_hold_it(
    dtype: str, shape: tuple[int, int], *, has_nodata: bool
) -> None:
    pixels = np.random.default_rng(3).choice(np.array(WIDE[dtype], dtype), (2, *shape))
    nodata = pixels.dtype.type(WIDE[dtype][1]).item() if has_nodata else None

    reduced = decimate(pixels, 4, "MODE", nodata)

    for band, made in zip(pixels, reduced, strict=True):
        for row, col, cell in cells(band, 4):
            assert made[row, col].item() == mode_of(cell.tolist(), nodata)


def test_the_mode_of_nan_is_what_gdal_makes_of_it() -> None:
    pixels = np.random.default_rng(4).choice([np.nan, 1.5, 2.5], (1, 16, 15))
    tiny = 1e-300  # which float32 does not hold
    for nodata in (None, 1.5, np.nan):
        expected = decimate(pixels, 4, "MODE", nodata)
        shifted = decimate(np.where(pixels == 2.5, tiny, pixels), 4, "MODE", nodata)
        assert np.array_equal(np.where(shifted == tiny, 2.5, shifted), expected, equal_nan=True)


def test_modes_of_full_range_int32_in_a_file_are_pixels_of_it(tmp_path: Path) -> None:
    pixels = np.random.default_rng(5).integers(-(2**31), 2**31, (1, 300, 310), np.int64).astype(np.int32)

    copy_with_overviews(tmp_path, pixels, setOverviewLevels=[4, 8], setOverviewAggregationType="MODE")

    for overview in overviews_of(tmp_path / "out.tif"):
        assert np.isin(overview, pixels).all()


@pytest.mark.parametrize(("dtype", "is_said"), [("int32", True), ("uint16", False), ("float32", False)])
def test_where_gdal_makes_modes_that_it_rounds_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, dtype: str, *, is_said: bool
) -> None:
    levels = {"setOverviewLevels": [3], "setOverviewAggregationType": "MODE"}

    copy_with_overviews(tmp_path, ramp(1, 60, 50, dtype), **levels)

    assert ("finds the mode of int32 in float32" in caplog.text) == is_said


def test_nearest_takes_the_first_pixel_of_each_cell() -> None:
    pixels = ramp(2, 9, 10)

    assert np.array_equal(decimate(pixels, 4, "NEAREST", None), pixels[:, ::4, ::4])


# -- outputs


def expected_overviews(pixels: Array, levels: list[int], method: str) -> list[Array]:
    """Return the whole image reduced step by step; a first level of more than 16 comes after one of 16."""
    made = {1: pixels}
    for level in sorted({math.gcd(levels[0], 16), *levels}) if levels else []:
        finer = max(made)
        made[level] = decimate(made[finer], level // finer, method, 0)
    return [made[level] for level in levels]


sides = st.integers(2, 700)


@settings(max_examples=12)
@given(
    shape=st.tuples(st.integers(1, 2), sides, sides),
    window=st.sampled_from([(64, 64), (128, 256), (100, 60), (256, 256)]),
    tile=st.sampled_from([None, (256, 512), (512, 512), (300, 200)]),
    levels=st.sampled_from([[2], [4, 8], [2, 4, 8, 16, 32], [4, 12, 24], [32, 64]]),
    method=st.sampled_from(METHODS_WITHIN_TILES),
    threads=st.integers(1, 2),
    interleave=st.sampled_from(["BAND", "PIXEL"]),
    dtype=st.sampled_from(["uint8", "int16", "float32"]),
)
def test_overviews_do_not_depend_on_how_the_raster_is_cut(
    shape: tuple[int, int, int],
    window: tuple[int, int],
    tile: tuple[int, int] | None,
    levels: list[int],
    method: str,
    threads: int,
    interleave: str,
    dtype: str,
) -> None:
    assume(method == "NEAREST" or levels[0] <= 16)  # others are GDAL's, of the finished file
    pixels = np.random.default_rng(sum(shape)).integers(0, 9, shape).astype(dtype)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        more = {} if tile is None else {"setTileSize": tile}
        copy_with_overviews(
            folder,
            pixels,
            setWindowSize=window,
            setOverviewLevels=levels,
            setOverviewAggregationType=method,
            setNumThreads=threads,
            setJobManagerType="threads",
            setCreationOptions=["TILED=YES", "COMPRESS=DEFLATE", f"INTERLEAVE={interleave}"],
            **more,
        )
        assert np.array_equal(read_raster(folder / "out.tif"), pixels)
        found = overviews_of(folder / "out.tif")

    kept = [level for level in levels if min(shape[1:]) // level > 1]
    expected = expected_overviews(pixels, kept, method)
    assert [array.shape for array in found] == [array.shape for array in expected]
    for array, wanted in zip(found, expected, strict=True):
        assert np.array_equal(array, wanted, equal_nan=True)


@pytest.mark.parametrize("method", METHODS_WITHIN_TILES)
def test_where_sizes_are_whole_they_are_those_that_gdal_makes_of_the_file(
    tmp_path: Path, method: str
) -> None:
    pixels = np.random.default_rng(3).integers(0, 300, (2, 512, 1024)).astype("uint16")
    copy_with_overviews(
        tmp_path,
        pixels,
        setOverviewAggregationType=method,
        setOverviewLevels=[2, 4, 8, 16, 32],
        setNumThreads=2,
        setTileSize=(512, 512),
    )
    made = overviews_of(tmp_path / "out.tif")
    gdal.GetDriverByName("GTiff").CreateCopy(str(tmp_path / "gdal.tif"), gdal.Open(str(tmp_path / "out.tif")))

    dataset = gdal.Open(str(tmp_path / "gdal.tif"), gdal.GA_Update)
    dataset.BuildOverviews(method, [2, 4, 8, 16, 32])
    del dataset

    for ours, theirs in zip(made, overviews_of(tmp_path / "gdal.tif"), strict=True):
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"setNumThreads": 2, "setTileSize": (512, 512)},
        {"setOutputDriverName": "COG", "setCreationOptions": ["BLOCKSIZE=512"]},
    ],
    ids=str,
)
def test_a_geotiff_with_overviews_is_a_valid_cloud_optimised_one(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    result = copy_with_overviews(tmp_path, ramp(2, 900, 1100), **settings)

    warnings, errors, _ = validate(str(tmp_path / "out.tif"), full_check=True)

    assert len(result.tiles) > 1
    assert (warnings, errors) == ([], [])


def test_overviews_show_as_their_image_does_and_know_its_nodata_value(tmp_path: Path) -> None:
    copy_with_overviews(tmp_path, ramp(4, 300, 300, "uint8"), setStatsIgnore=7)

    dataset = gdal.Open(str(tmp_path / "out.tif"))
    band = dataset.GetRasterBand(4)
    overview = band.GetOverview(0)

    assert overview.GetNoDataValue() == 7
    assert overview.GetColorInterpretation() == band.GetColorInterpretation()
    assert overview.GetBlockSize() == [128, 128]


def test_by_default_overviews_are_made_down_to_128_pixels_and_there_are_none_of_small_rasters(
    tmp_path: Path,
) -> None:
    copy_with_overviews(tmp_path, ramp(1, 1040, 1100, "uint8"), setOverviewMinDim=128)
    assert [array.shape for array in overviews_of(tmp_path / "out.tif")] == [
        (1, 260, 275),
        (1, 130, 138),
    ]

    copy_with_overviews(tmp_path, ramp(1, 515, 2000, "uint8"), setOverviewMinDim=128)
    assert overviews_of(tmp_path / "out.tif") == []


def test_pyramids_can_be_omitted_for_one_output(tmp_path: Path) -> None:
    copy_with_overviews(tmp_path, ramp(1, 100, 100), setOmitPyramids=(True, "out"))

    assert overviews_of(tmp_path / "out.tif") == []


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (
            {"setOverviewAggregationType": "CUBIC"},
            "CUBIC overviews are made of pixels of several tiles",
        ),
        ({"setOverviewLevels": [3, 9]}, "levels 3, 9 do not fit tiles or each other"),
        ({"setOverviewLevels": [4, 6]}, "levels 4, 6 do not fit tiles or each other"),
        (
            {"setOverviewLevels": [6, 12], "setOverviewAggregationType": "MODE"},
            "levels 6, 12 do not fit tiles",
        ),
        ({"setCreationOptions": ["TILED=NO"]}, "written in strips"),
        ({"target": "out.img"}, None),
    ],
    ids=str,
)
def test_what_cannot_be_made_tile_by_tile_is_made_by_gdal(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, settings: dict[str, Any], reason: str | None
) -> None:
    pixels = ramp(1, 100, 160)
    copy_with_overviews(tmp_path, pixels, **settings)

    path = next(path for path in tmp_path.iterdir() if path.stem == "out")
    assert np.array_equal(read_raster(path), pixels)
    assert len(overviews_of(path)) >= 2
    assert reason is None or reason in caplog.text


@pytest.mark.parametrize("method", METHODS_WITHIN_TILES)
@pytest.mark.parametrize(
    ("target", "options"), [("out.img", ["COMPRESSED=YES"]), ("out.tif", ["TILED=NO", "COMPRESS=LZW"])]
)
def test_one_writer_makes_the_overviews_that_workers_would(
    tmp_path: Path, method: str, target: str, options: list[str]
) -> None:
    pixels = np.random.default_rng(9).integers(0, 9, (2, 131, 211)).astype("int16")
    copy_with_overviews(
        tmp_path,
        pixels,
        target=target,
        setWindowSize=(48, 64),
        setCreationOptions=options,
        setOverviewAggregationType=method,
        setNumThreads=2,
        setJobManagerType="threads",
    )

    found = overviews_of(tmp_path / target)
    expected = expected_overviews(pixels, [4, 8, 16, 32, 64], method)
    for array, wanted in zip(found, expected, strict=True):
        assert np.array_equal(array, wanted)


@pytest.mark.parametrize("method", METHODS_WITHIN_TILES)
@pytest.mark.parametrize("dtype", ["uint8", "int32", "float64"])
@pytest.mark.parametrize(
    "form", [{"target": "out.img"}, {"setCreationOptions": ["TILED=NO"]}], ids=["HFA", "strips"]
)
def test_overviews_of_one_writer_do_not_depend_on_the_window(
    tmp_path: Path, form: dict[str, Any], dtype: str, method: str
) -> None:
    pixels = np.random.default_rng(2).integers(2, 250, (2, 130, 205)).astype(dtype)
    if dtype == "int32" and method == "NEAREST":
        pixels += 2**31 - 251
    levels = {"setOverviewLevels": [8, 16], "setOverviewAggregationType": method}
    copy_with_overviews(tmp_path, pixels, setWindowSize=(256, 256), **levels, **form)
    target = tmp_path / str(form.get("target", "out.tif"))
    expected = overviews_of(target)

    for window in ((100, 31), (7, 130), (205, 9), (64, 30)):
        copy_with_overviews(tmp_path, pixels, setWindowSize=window, **levels, **form)
        for got, wanted in zip(overviews_of(target), expected, strict=True):
            assert np.array_equal(got, wanted)
    if method == "NEAREST":
        assert np.array_equal(expected[0], pixels[:, ::8, ::8])
        assert np.array_equal(expected[1], pixels[:, ::16, ::16])


@pytest.mark.skipif(gdal.GetDriverByName("netCDF") is None, reason="this GDAL has no netCDF driver")
def test_a_format_without_overviews_is_written_without_them_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pixels = ramp(1, 100, 160)

    copy_with_overviews(tmp_path, pixels, target="out.nc")

    assert np.array_equal(read_raster(tmp_path / "out.nc"), pixels)
    assert "out.nc has no overviews: GDAL's netCDF driver makes none" in caplog.text


@pytest.mark.parametrize(
    ("folder", "message"),
    [(True, "No space left on device"), (False, r"out\.tif' need 392 bytes in .*set TMPDIR")],
)
def test_without_room_for_the_overviews_it_is_said_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, folder: bool, message: str
) -> None:
    def full(_descriptor: int, _start: int, _nbytes: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises((OSError, OutputError), match=message):
        CoarseOverviews(
            output_spec(),
            Pyramid((4, 8), "NEAREST"),
            4,
            (4, 8),
            (2, 28, 26),
            "uint32",
            tmp_path if folder else None,
        )


# -- the plan


@given(
    side=st.integers(100, 40_000),
    workers=st.integers(2, 64),
    window=st.sampled_from([256, 512, 200]),
    bytes_per_px=st.sampled_from([1, 8, 400]),
)
def test_tiles_for_several_workers_hold_whole_blocks_of_overviews_where_there_is_room(
    side: int, workers: int, window: int, bytes_per_px: int
) -> None:
    blocks = BlockGrid(side, side, window, window)
    pyramid = Pyramid((4, 8, 16, 32), "NEAREST")
    unit = 2 if window == 200 else 1
    plain = plan_tiles(
        blocks, unit_xblocks=unit, unit_yblocks=unit, num_workers=workers, bytes_per_px=bytes_per_px
    )

    plan = plan_tiles(
        blocks,
        unit_xblocks=unit,
        unit_yblocks=unit,
        num_workers=workers,
        bytes_per_px=bytes_per_px,
        overview_factors=pyramid.factors_in_tiles,
    )

    encoded = pyramid.encoded_in_tiles(plan)
    assert encoded in {(), (4,), (4, 8), (4, 8, 16)}
    assert len(plan) >= min(len(plain), 8 * workers) * 0.5 or not encoded
    if window != 200 and side >= 2048 * 8 and bytes_per_px == 1 and workers < 8:
        assert encoded == (4, 8, 16)
    if plan == plain or not encoded:
        return
    tile = plan.tile(0).window
    assert all(
        size % (encoded[-1] * 128) == 0
        for size, count in ((tile.width, plan.ntiles_x), (tile.height, plan.ntiles_y))
        if count > 1
    )


def test_a_resumed_run_encodes_the_overviews_of_its_first_plan(tmp_path: Path) -> None:
    make_raster(tmp_path / "in.tif", ramp(1, 2048, 2048, "uint8"))
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.image, outfiles.out = tmp_path / "in.tif", tmp_path / "out.tif"

    few, many = (
        prepare(
            identity,
            infiles,
            outfiles,
            applier.ApplierControls(),
            takes_other_args=False,
            num_workers=workers,
        )
        for workers in (2, 16)
    )

    assert [spec.outputs[0].encoded_overviews for spec in (few, many)] == [(4,), ()]
    assert fingerprints(few, None) == fingerprints(many, None)  # so that resuming is not refused
    assert many.with_plan(few.plan).outputs == few.outputs


def test_with_one_worker_blocks_stay_in_order() -> None:
    blocks = BlockGrid(5000, 5000, 256, 256)

    plan = plan_tiles(blocks, overview_factors=(4, 8, 16))

    assert plan == plan_tiles(blocks)


# -- the last word before an output is closed


@pytest.mark.parametrize("target", ["out.tif", "out.img"])
def test_a_script_may_change_the_finished_output_before_it_is_closed(tmp_path: Path, target: str) -> None:
    def note(dataset: gdal.Dataset, text: str) -> None:
        band = dataset.GetRasterBand(1)
        seen.append((float(band.ReadAsArray().sum()), band.GetOverviewCount()))
        dataset.SetMetadataItem("note", text)

    seen: list[tuple[float, int]] = []
    pixels = ramp(1, 60, 70)
    copy_with_overviews(tmp_path, pixels, target=target, setCallBeforeClose=(note, ("seen by me",)))

    assert seen == [(float(pixels.sum()), 3)]
    assert gdal.Open(str(tmp_path / target)).GetMetadataItem("note") == "seen by me"
    assert np.array_equal(read_raster(tmp_path / target), pixels)


@pytest.mark.parametrize("target", ["out.tif", "out.img"])
def test_if_the_script_fails_there_nothing_is_written(tmp_path: Path, target: str) -> None:
    def fail(dataset: gdal.Dataset) -> None:
        raise LookupError("not today")

    with pytest.raises(LookupError, match="not today") as caught:
        copy_with_overviews(tmp_path, ramp(1, 60, 70), target=target, setCallBeforeClose=fail)

    assert caught.value.__notes__ == [
        "in the function given to setCallBeforeClose; the output was not written"
    ]
    assert files_below(tmp_path) == ["in.tif"]


@pytest.mark.parametrize("target", ["out.tif", "out.img"])
def test_a_script_that_keeps_the_dataset_is_told_so(tmp_path: Path, target: str) -> None:
    kept: list[gdal.Dataset] = []

    with pytest.raises(ParameterError, match="setCallBeforeClose kept the dataset"):
        copy_with_overviews(tmp_path, ramp(1, 60, 70), target=target, setCallBeforeClose=kept.append)
    kept.clear()

    assert files_below(tmp_path) == ["in.tif"]


# -- colours and types


def colours(band: gdal.Band) -> list[tuple[int, ...]]:
    table = band.GetColorTable()
    return [table.GetColorEntry(value) for value in range(table.GetCount())]


def test_overviews_have_the_colours_of_the_image(tmp_path: Path) -> None:
    copy_with_overviews(
        tmp_path, ramp(1, 60, 70, "uint8") % 10, setThematic=True, setAutoColorTableType="rainbow"
    )

    image, overview = gdal.Open(f"{tmp_path}/out.tif"), gdal.Open(f"GTIFF_DIR:2:{tmp_path}/out.tif")
    assert colours(overview.GetRasterBand(1))[:10] == colours(image.GetRasterBand(1))[:10]


@pytest.mark.parametrize(
    ("target", "settings", "nbands", "warning"),
    [
        ("out.dat", {"setOutputDriverName": "ENVI"}, 3, "the ENVI format keeps none"),
        ("out.tif", {"setCreationOptions": ["COMPRESS=JPEG", "TILED=YES"]}, 1, "JPEG"),
        ("out.tif", {"setCreationOptions": ["TILED=NO"]}, 1, None),
    ],
    ids=["bands that GDAL makes no overviews of with colours", "no palette in JPEG", "one writer"],
)
def test_colours_do_not_disturb_overviews(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    target: str,
    settings: dict[str, Any],
    nbands: int,
    warning: str | None,
) -> None:
    pixels = np.full((nbands, 64, 64), 10, "uint8")
    pixels[:, ::2] = 20
    copy_with_overviews(
        tmp_path,
        pixels,
        target=target,
        setThematic=True,
        setAutoColorTableType="gray",
        setOverviewAggregationType="AVERAGE",
        setOverviewLevels=[2],
        **settings,
    )

    assert np.all(overviews_of(tmp_path / target)[0] == 15)
    assert warning is None or warning in caplog.text


def test_complex_pixels_are_not_averaged(tmp_path: Path) -> None:
    pixels = ramp(1, 60, 70).astype("complex64")

    with pytest.raises(ParameterError, match=r"outputs\.out has 1 band of complex64.*'NEAREST'"):
        copy_with_overviews(tmp_path, pixels, setOverviewAggregationType="AVERAGE")
    copy_with_overviews(tmp_path, pixels)

    assert np.array_equal(overviews_of(tmp_path / "out.tif")[0], pixels[:, ::4, ::4])


def test_where_tiles_have_all_overviews_workers_hand_over_nothing_more(tmp_path: Path) -> None:
    settings = {"setOverviewLevels": [2], "setTileSize": (256, 256), "setNumThreads": 2}
    with_one = copy_with_overviews(tmp_path, ramp(1, 512, 512), **settings)
    settings["setOverviewLevels"] = [2, 4]
    with_two = copy_with_overviews(tmp_path, ramp(1, 512, 512), **settings)

    coarse_levels = 4 * 128 * 128 * 2
    sizes = [sum(tile.bytes_out for tile in result.tiles) for result in (with_one, with_two)]
    assert sizes[1] - sizes[0] == coarse_levels
