"""What a script sees of ``apply``, whichever manager runs it: grids, names, metadata, bad input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from osgeo import gdal

from rios_batch import applier, pixelgrid, rioserrors
from tests.support import make_raster, read_raster, run_script

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rios_batch.model.spec import Array

RANDOM = np.random.default_rng(11)
LEFT = RANDOM.integers(1, 200, (1, 60, 80), np.uint8)
RIGHT = RANDOM.integers(1, 200, (1, 60, 80), np.uint8)
PIXEL = 10.0


@dataclass
class Overlapping:
    """Two rasters on one lattice: ``right`` lies 30 columns east and 20 rows south of ``left``."""

    folder: Path

    def __post_init__(self) -> None:
        make_raster(self.folder / "left.tif", LEFT, nodata=255)
        make_raster(
            self.folder / "right.tif",
            RIGHT,
            origin=(500_000 + 30 * PIXEL, 4_400_000 - 20 * PIXEL),
            nodata=7,
        )

    def stack(self, controls: applier.ApplierControls) -> tuple[Array, applier.ApplierReturn]:
        infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
        infiles.left, infiles.right = self.folder / "left.tif", self.folder / "right.tif"
        outfiles.both = self.folder / "both.tif"
        controls.setWindowSize(32, 48)
        result = applier.apply(stack, infiles, outfiles, controls=controls)
        return read_raster(self.folder / "both.tif"), result


def stack(_info: Any, inputs: Any, outputs: Any) -> None:
    outputs.both = np.concatenate([inputs.left, inputs.right])


@pytest.fixture
def overlapping(tmp_path: Path) -> Overlapping:
    return Overlapping(tmp_path)


@pytest.mark.parametrize("reference", ["right", "file", "grid"])
def test_bounds_from_reference(overlapping: Overlapping, reference: str) -> None:
    controls = applier.ApplierControls()
    controls.setFootprintType(applier.BOUNDS_FROM_REFERENCE)
    if reference == "grid":
        controls.setReferencePixgrid(pixelgrid.pixelGridFromFile(overlapping.folder / "right.tif"))
    else:
        named = "right" if reference == "right" else overlapping.folder / "right.tif"
        controls.setReferenceImage(named)

    pixels, _ = overlapping.stack(controls)

    expected = np.full((1, 60, 80), 255, np.uint8)
    expected[0, :40, :50] = LEFT[0, 20:, 30:]
    np.testing.assert_array_equal(pixels, np.concatenate([expected, RIGHT]))


def test_the_margin_is_read_from_beyond_the_working_grid(overlapping: Overlapping) -> None:
    seen: list[Array] = []

    def look(_info: Any, inputs: Any, _outputs: Any) -> None:
        seen.append(inputs.left.copy())

    infiles = applier.FilenameAssociations()
    infiles.left, infiles.right = overlapping.folder / "left.tif", overlapping.folder / "right.tif"
    controls = applier.ApplierControls()
    controls.setOverlap(2)

    applier.apply(look, infiles, applier.FilenameAssociations(), controls=controls)

    expected = np.full((1, 44, 54), 255, np.uint8)
    expected[0, :42, :52] = LEFT[0, 18:, 28:]
    np.testing.assert_array_equal(seen[0], expected)


def test_no_inputs_with_a_reference_makes_a_raster_from_coordinates(tmp_path: Path) -> None:
    def x_of_pixels(info: Any, _inputs: Any, outputs: Any) -> None:
        outputs.x = info.getBlockCoordArrays()[0][None].astype(np.float32)

    outfiles = applier.FilenameAssociations()
    outfiles.x = tmp_path / "x.tif"
    controls = applier.ApplierControls()
    controls.setFootprintType(applier.BOUNDS_FROM_REFERENCE)
    controls.setReferencePixgrid(pixelgrid.PixelGridDefn(xMin=0, xMax=300, yMin=0, yMax=20, xRes=1, yRes=1))

    applier.apply(x_of_pixels, applier.FilenameAssociations(), outfiles, controls=controls)

    np.testing.assert_array_equal(read_raster(tmp_path / "x.tif")[0, 0], np.arange(300) + 0.5)


# -- outputs


def identity(_info: Any, inputs: Any, outputs: Any) -> None:
    outputs.copy = inputs.scene


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    make_raster(tmp_path / "scene.tif", RANDOM.integers(0, 9, (3, 40, 50), np.uint8), nodata=3)
    return tmp_path / "scene.tif"


def copy_to(scene: Path, target: Path, controls: applier.ApplierControls | None = None) -> gdal.Dataset:
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.scene, outfiles.copy = scene, target
    applier.apply(identity, infiles, outfiles, controls=controls)
    return gdal.Open(str(target))


def test_the_driver_follows_the_extension_and_is_geotiff_otherwise(scene: Path, tmp_path: Path) -> None:
    for name, driver in {"a.tif": "GTiff", "b.img": "HFA", "c": "GTiff", "d.what": "GTiff"}.items():
        assert copy_to(scene, tmp_path / name).GetDriver().ShortName == driver


def test_geotiffs_are_tiled_and_compressed_by_default(scene: Path, tmp_path: Path) -> None:
    dataset = copy_to(scene, tmp_path / "copy.tif")

    assert dataset.GetRasterBand(1).GetBlockSize() == [256, 256]
    structure = dataset.GetMetadata("IMAGE_STRUCTURE")
    assert (structure["COMPRESSION"], structure["INTERLEAVE"]) == ("DEFLATE", "BAND")


def test_names_theme_and_nodata_reach_the_file(scene: Path, tmp_path: Path) -> None:
    controls = applier.ApplierControls()
    controls.setLayerNames(["water", "wood"], imagename="copy")
    controls.setThematic(True)
    controls.setStatsIgnore(8)

    dataset = copy_to(scene, tmp_path / "copy.tif", controls)

    bands = [dataset.GetRasterBand(i) for i in (1, 2, 3)]
    assert [band.GetDescription() for band in bands] == ["water", "wood", ""]
    assert {band.GetMetadataItem("LAYER_TYPE") for band in bands} == {"thematic"}
    assert {band.GetNoDataValue() for band in bands} == {8}


def test_nodata_is_0_unless_switched_off(scene: Path, tmp_path: Path) -> None:
    assert copy_to(scene, tmp_path / "a.tif").GetRasterBand(1).GetNoDataValue() == 0
    controls = applier.ApplierControls()
    controls.setStatsIgnore(None)
    assert copy_to(scene, tmp_path / "b.tif", controls).GetRasterBand(1).GetNoDataValue() is None


def test_an_older_output_is_replaced_with_what_gdal_kept_beside_it(scene: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.tif"
    target.write_bytes(b"old")
    (tmp_path / "copy.tif.aux.xml").write_text("old statistics")
    (tmp_path / "copy.tif.ovr").write_text("old pyramids")

    copy_to(scene, target)

    np.testing.assert_array_equal(read_raster(target), read_raster(scene))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy.tif", "scene.tif"]


def test_an_input_can_be_replaced_by_its_own_result(scene: Path) -> None:
    before = read_raster(scene)

    copy_to(scene, scene)

    np.testing.assert_array_equal(read_raster(scene), before)


def test_bool_becomes_uint8(scene: Path, tmp_path: Path) -> None:
    def mask(_info: Any, inputs: Any, outputs: Any) -> None:
        outputs.copy = inputs.scene > 4

    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.scene, outfiles.copy = scene, tmp_path / "mask.tif"
    applier.apply(mask, infiles, outfiles)

    pixels = read_raster(tmp_path / "mask.tif")
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, read_raster(scene) > 4)


def test_none_means_absent(scene: Path, tmp_path: Path) -> None:
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.scene, infiles.mask, outfiles.copy, outfiles.extra = scene, None, tmp_path / "copy.tif", None

    def check(_info: Any, inputs: Any, outputs: Any) -> None:
        assert "mask" not in inputs
        outputs.copy = inputs.scene

    assert applier.apply(check, infiles, outfiles).outputs == (str(tmp_path / "copy.tif"),)


def test_gdal_exceptions_are_as_the_script_left_them(scene: Path, tmp_path: Path) -> None:
    before = gdal.GetUseExceptions()

    copy_to(scene, tmp_path / "copy.tif")

    assert gdal.GetUseExceptions() == before


# -- bad input


def expect(error: type[Exception], says: str, infiles: dict[str, Any], outfiles: dict[str, Any]) -> None:
    with pytest.raises(error, match=says):
        applier.apply(
            identity, applier.FilenameAssociations(**infiles), applier.FilenameAssociations(**outfiles)
        )


def test_files_that_cannot_work_are_named(scene: Path, tmp_path: Path) -> None:
    out = {"copy": tmp_path / "copy.tif"}
    expect(FileNotFoundError, "gone.tif' does not exist", {"scene": tmp_path / "gone.tif"}, out)
    expect(rioserrors.ParameterError, r"infiles.scene is 3; it must be a file name", {"scene": 3}, out)
    expect(rioserrors.ParameterError, "no input rasters and no reference", {}, out)
    same = {"copy": tmp_path / "x.tif", "other": tmp_path / "sub" / ".." / "x.tif"}
    (tmp_path / "sub").mkdir()
    expect(rioserrors.ParameterError, "outputs.copy and outputs.other would both", {"scene": scene}, same)
    expect(
        rioserrors.OutputError,
        "missing/copy.tif' cannot be written: No such",
        {"scene": scene},
        {"copy": tmp_path / "missing" / "copy.tif"},
    )
    assert not list(tmp_path.glob("copy*"))


def test_grids_that_do_not_match_are_named_with_the_difference(scene: Path, tmp_path: Path) -> None:
    pixels = np.zeros((1, 40, 50), np.uint8)
    cases: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
        "coarse": ({"pixel_size": 30}, rioserrors.ResampleNeededError, "pixels are 30 x 30.* are 10 x 10"),
        "shifted": (
            {"origin": (500_004, 4_400_000)},
            rioserrors.ResampleNeededError,
            "corners are 0.4000 columns",
        ),
        "projected": ({"epsg": 32756}, rioserrors.ResampleNeededError, "in another projection"),
        "far": (
            {"origin": (600_000, 4_400_000)},
            rioserrors.IntersectionError,
            "do not overlap.*far.tif",
        ),
    }
    for name, (options, error, says) in cases.items():
        make_raster(tmp_path / f"{name}.tif", pixels, **options)
        expect(error, says, {"scene": scene, "other": tmp_path / f"{name}.tif"}, {"copy": tmp_path / "c.tif"})


def test_options_for_unknown_names_are_refused(scene: Path, tmp_path: Path) -> None:
    controls = applier.ApplierControls()
    controls.setThematic(True, imagename="cpoy")
    with pytest.raises(rioserrors.ParameterError, match="thematic was set for 'cpoy'.* 'copy', 'scene'"):
        copy_to(scene, tmp_path / "copy.tif", controls)


def test_layers_that_do_not_exist_are_refused(scene: Path, tmp_path: Path) -> None:
    controls = applier.ApplierControls()
    controls.selectInputImageLayers([1, 4])
    with pytest.raises(rioserrors.GDALLayerNumberError, match="layer 4 of input .* has layers 1 to 3"):
        copy_to(scene, tmp_path / "copy.tif", controls)


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_64_bit_outputs_have_a_nodata_value_of_their_own_type(
    scene: Path, tmp_path: Path, dtype: type[np.generic]
) -> None:
    def widen(_info: Any, inputs: Any, outputs: Any) -> None:
        outputs.copy = inputs.scene.astype(dtype) + np.array(2**60, dtype)

    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.scene, outfiles.copy = scene, tmp_path / "wide.tif"
    controls = applier.ApplierControls()
    controls.setStatsIgnore(2**60 + 1.0)
    applier.apply(widen, infiles, outfiles, controls=controls)

    assert gdal.Open(str(tmp_path / "wide.tif")).GetRasterBand(1).GetNoDataValue() == int(2**60 + 1.0)
    np.testing.assert_array_equal(
        read_raster(tmp_path / "wide.tif"), read_raster(scene).astype(dtype) + np.array(2**60, dtype)
    )
    controls.setStatsIgnore(0.5)
    with pytest.raises(rioserrors.ParameterError, match="nodata value 0.5 is not one of u?int64"):
        applier.apply(widen, infiles, outfiles, controls=controls)


@pytest.mark.parametrize("manager", ["threads", "multiprocessing"])
def test_lossy_codecs_do_not_depend_on_windows_cache_or_workers(
    scene: Path, tmp_path: Path, manager: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert scene.parent == tmp_path
    # 100 kB hold 24 of the 120 bands' blocks, so they would be encoded before all their windows are there.
    code = """
        import sys
        import numpy as np
        from osgeo import gdal
        from rios_batch import applier

        def widen(info, inputs, outputs):
            outputs.wide = np.repeat(1234.5 + inputs.scene.astype("f4") ** 3, 40, axis=0)

        infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
        infiles.scene, outfiles.wide = "scene.tif", sys.argv[1]
        controls = applier.ApplierControls()
        controls.setWindowSize(*map(int, sys.argv[2:4]))
        controls.setNumThreads(int(sys.argv[4]))
        controls.setJobManagerType(sys.argv[5])
        controls.setCreationOptions(
            ["TILED=YES", "BLOCKXSIZE=32", "BLOCKYSIZE=32", "COMPRESS=LERC", "MAX_Z_ERROR=50", "INTERLEAVE=BAND"]
        )
        applier.apply(widen, infiles, outfiles, controls=controls)
    """
    first = run_script(tmp_path, code, "a.tif", "64", "64", "1", manager)
    monkeypatch.setenv("GDAL_CACHEMAX", "100000")  # bytes; less is taken for MB
    second = run_script(tmp_path, code, "b.tif", "9", "7", "2", manager)

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    np.testing.assert_array_equal(read_raster(tmp_path / "a.tif"), read_raster(tmp_path / "b.tif"))


STRIDES: dict[str, Callable[[Array], Array]] = {
    "broadcast band": lambda a: np.broadcast_to(a[:1], a.shape),
    "broadcast row": lambda a: np.broadcast_to(a[:, :1], a.shape),
    "broadcast scalar": lambda a: np.broadcast_to(np.uint8(9), a.shape),
    "upside down": lambda a: a[:, ::-1],
    "mirrored": lambda a: a[:, :, ::-1],
    "reversed bands": lambda a: a[::-1],
    "fortran": np.asfortranarray,
    "bands last": lambda a: np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 0, -1)), -1, 0),
    "every other": lambda a: np.repeat(a, 2, axis=2)[:, :, ::2],
    "other byte order": lambda a: a.astype(">i4"),
}


@pytest.mark.parametrize("window", [256, 200])
@pytest.mark.parametrize("strides", STRIDES)
def test_arrays_may_lie_in_memory_in_any_way(tmp_path: Path, strides: str, window: int) -> None:
    pixels = RANDOM.integers(0, 250, (4, 256, 256), np.uint8)
    make_raster(tmp_path / "scene.tif", pixels)
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.scene, outfiles.copy = tmp_path / "scene.tif", tmp_path / "copy.tif"
    controls = applier.ApplierControls()
    controls.setWindowSize(window, window)
    expected = np.empty(pixels.shape)

    def rearrange(info: Any, inputs: Any, outputs: Any) -> None:
        outputs.copy = STRIDES[strides](inputs.scene)
        col, row = info.getPixColRow(0, 0)
        expected[:, row : row + info.blockheight, col : col + info.blockwidth] = outputs.copy

    applier.apply(rearrange, infiles, outfiles, controls=controls)

    np.testing.assert_array_equal(read_raster(tmp_path / "copy.tif"), expected)


def test_a_function_that_switches_gdals_exceptions_off_hides_no_error(scene: Path, tmp_path: Path) -> None:
    whole = RANDOM.integers(0, 255, (1, 600, 600), np.uint8)
    make_raster(tmp_path / "cut.tif", whole, options=["TILED=YES"])
    with (tmp_path / "cut.tif").open("r+b") as file:
        file.truncate(100_000)
    assert scene.exists()

    def careless(_info: Any, inputs: Any, outputs: Any) -> None:
        gdal.DontUseExceptions()
        outputs.copy = inputs.cut

    expect_from(careless, rioserrors.ImageOpenError, "cut.tif' cannot be read", tmp_path)


def expect_from(function: Any, error: type[Exception], says: str, folder: Path) -> None:
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.cut, outfiles.copy = folder / "cut.tif", folder / "copy.tif"
    with pytest.raises(error, match=says):
        applier.apply(function, infiles, outfiles)
    assert not (folder / "copy.tif").exists()


def test_a_merge_rule_that_fails_leaves_no_output(scene: Path, tmp_path: Path) -> None:
    def count(_info: Any, inputs: Any, outputs: Any, other: Any) -> None:
        other.n += 1
        outputs.copy = inputs.scene

    controls = applier.ApplierControls()
    controls.setNumThreads(2)
    controls.setJobManagerType("threads")
    controls.setOtherArgsMerge("n", lambda _initial, _values: 1 // 0)
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.scene, outfiles.copy = scene, tmp_path / "copy.tif"

    with pytest.raises(rioserrors.ParameterError, match="merge rule of otherArgs.n failed: .*zero"):
        applier.apply(count, infiles, outfiles, applier.OtherInputs(n=0), controls=controls)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scene.tif"]


def test_a_format_that_this_gdal_lacks_is_not_replaced_by_another(scene: Path, tmp_path: Path) -> None:
    if gdal.GetDriverByName("KEA") is not None:
        pytest.skip("this GDAL has KEA")
    with pytest.raises(rioserrors.OutputError, match="GDAL has no driver 'KEA'"):
        copy_to(scene, tmp_path / "copy.kea")


def test_driver_names_may_be_spelt_in_any_case(scene: Path, tmp_path: Path) -> None:
    controls = applier.ApplierControls()
    controls.setOutputDriverName("gtiff")

    dataset = copy_to(scene, tmp_path / "copy.dat", controls)

    assert dataset.GetMetadataItem("COMPRESSION", "IMAGE_STRUCTURE") == "DEFLATE"


def test_a_misspelt_codec_is_refused_with_those_there_are(scene: Path, tmp_path: Path) -> None:
    controls = applier.ApplierControls()
    controls.setCreationOptions(["COMPRESS=DEFLAT"])
    with pytest.raises(rioserrors.ParameterError, match="COMPRESS=DEFLAT: this GDAL has .*DEFLATE"):
        copy_to(scene, tmp_path / "copy.tif", controls)


def test_what_is_behind_a_link_is_written(scene: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link.tif").symlink_to(tmp_path / "real" / "copy.tif")

    copy_to(scene, tmp_path / "link.tif")

    assert (tmp_path / "link.tif").is_symlink()
    assert (tmp_path / "real" / "copy.tif").is_file()
