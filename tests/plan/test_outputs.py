from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from osgeo import gdal

from rios_batch import applier
from rios_batch.errors import OutputError, ParameterError
from rios_batch.model.tiles import BlockGrid
from rios_batch.plan.outputs import (
    ASSEMBLED_CODECS,
    DEFAULT_CREATION_OPTIONS,
    choose_format,
    driver_for_extension,
)
from tests.support import make_raster, ramp, read_raster

if TYPE_CHECKING:
    from pathlib import Path

BLOCKS = BlockGrid(ncols=20_000, nrows=20_000, window_xsize=256, window_ysize=256)
TILED = ["TILED=YES"]


def has_driver(name: str) -> bool:
    try:
        return gdal.GetDriverByName(name) is not None
    except RuntimeError:  # newer GDAL raises where older returns None
        return False


@pytest.mark.parametrize(
    ("path", "driver"),
    [
        ("out.tif", "GTiff"),
        ("OUT.TIFF", "GTiff"),
        ("out", "GTiff"),
        ("folder.img/out", "GTiff"),
        ("out.unheard-of", "GTiff"),
        ("out.img", "HFA"),
        ("out.vrt", "VRT"),
        ("out.jpg", "JPEG"),
    ],
)
def test_the_extension_says_the_driver_and_geotiff_is_meant_where_it_says_nothing(
    path: str, driver: str
) -> None:
    assert driver_for_extension(path) == driver


def test_a_driver_that_can_write_goes_before_one_of_the_same_extension_that_cannot() -> None:
    for extension in ("nc", "dat", "bil", "hdr", "mrf", "kea", "gpkg"):
        name = driver_for_extension(f"out.{extension}")
        drivers = [gdal.GetDriver(i) for i in range(gdal.GetDriverCount())]
        able = {
            d.ShortName
            for d in drivers
            if d.GetMetadataItem("DCAP_RASTER") == "YES"
            and d.GetMetadataItem("DCAP_CREATE") == "YES"
            and extension in (d.GetMetadataItem("DMD_EXTENSIONS") or "").lower().split()
        }
        assert name in able or not able, extension


def test_a_driver_that_was_set_goes_before_the_extension() -> None:
    chosen = choose_format("out.tif", "HFA", None, BLOCKS)

    assert chosen.driver == "HFA"
    assert chosen.creation_options.texts == DEFAULT_CREATION_OPTIONS["HFA"]
    assert chosen.unit_blocks is None
    assert "HFA driver writes whole files only" in chosen.reason


def test_an_unknown_driver_is_refused_with_where_to_look() -> None:
    with pytest.raises(
        OutputError, match=r"output 'out\.tif': GDAL has no driver 'GTif'; 'gdalinfo --formats'"
    ):
        choose_format("out.tif", "GTif", None, BLOCKS)


@pytest.mark.parametrize(
    ("path", "driver"),
    [("out.png", None), ("out.jpg", None), ("out.tif", "PNG"), ("out.vrt", None), ("out.tif", "MEM")],
)
def test_a_driver_that_only_copies_is_refused_with_what_to_do(path: str, driver: str | None) -> None:
    with pytest.raises(
        OutputError, match=rf"'{path}': GDAL's \w+ driver cannot write block by block.*gdal_translate"
    ):
        choose_format(path, driver, None, BLOCKS)


def test_the_defaults_are_rioss_for_geotiff_and_are_assembled() -> None:
    chosen = choose_format("out.tif", None, None, BLOCKS)

    assert set(chosen.creation_options.texts) == {
        *DEFAULT_CREATION_OPTIONS["GTiff"],
        "BLOCKXSIZE=256",
        "BLOCKYSIZE=256",
    }
    assert (chosen.unit_blocks, chosen.reason) == ((1, 1), "")


def test_options_that_were_given_replace_the_defaults() -> None:
    chosen = choose_format("out.tif", None, ["COMPRESS=LZW", "TILED=YES", "BIGTIFF=NO"], BLOCKS)

    assert set(chosen.creation_options.texts) == {
        "COMPRESS=LZW", "TILED=YES", "BIGTIFF=NO", "BLOCKXSIZE=256", "BLOCKYSIZE=256",
    }  # fmt: skip


def test_no_options_at_all_still_give_tiles_and_room_for_large_files() -> None:
    chosen = choose_format("out.tif", None, [], BLOCKS)

    assert {"TILED=YES", "BIGTIFF=IF_SAFER"} <= set(chosen.creation_options.texts)
    assert not any(option.startswith("COMPRESS") for option in chosen.creation_options.texts)
    assert chosen.unit_blocks == (1, 1)


@pytest.mark.parametrize("option", ["COMPRESS", "", "TILED:YES"])
@pytest.mark.parametrize("driver", ["GTiff", "HFA"])
def test_an_option_that_is_not_name_and_value_is_refused(option: str, driver: str) -> None:
    with pytest.raises(
        ParameterError, match=rf"creation option '{option}' of 'out\.tif' is not of the form NAME=VALUE"
    ):
        choose_format("out.tif", driver, ["BIGTIFF=YES", option], BLOCKS)


@pytest.mark.parametrize(
    "options",
    [["TILED=NO"], ["TILED=OFF", "COMPRESS=LZW"], ["BLOCKYSIZE=1"], ["tiled=no"], ["BLOCKXSIZE=256"]],
)
def test_strips_are_left_to_gdal(options: list[str]) -> None:
    chosen = choose_format("out.tif", None, options, BLOCKS)

    assert (chosen.driver, chosen.unit_blocks) == ("GTiff", None)
    assert "written in strips" in chosen.reason
    assert set(options) <= set(chosen.creation_options.texts)


@pytest.mark.parametrize("codec", ["JPEG", "WEBP", "CCITTFAX4"])
def test_codecs_whose_blocks_cannot_be_moved_are_left_to_gdal(codec: str) -> None:
    chosen = choose_format("out.tif", None, [*TILED, f"COMPRESS={codec}"], BLOCKS)

    assert chosen.unit_blocks is None
    assert f"blocks of codec {codec.upper()} cannot be moved" in chosen.reason


@pytest.mark.parametrize("codec", sorted(ASSEMBLED_CODECS))
def test_the_codecs_that_can_be_moved_are_assembled_in_any_case_of_letters(codec: str) -> None:
    assert choose_format("out.tif", None, ["tiled=yes", f"compress={codec.lower()}"], BLOCKS).unit_blocks == (
        1,
        1,
    )


@pytest.mark.parametrize("side", ["100", "0", "-16", "many", "", "16.0"])
@pytest.mark.parametrize("axis", ["X", "Y"])
def test_a_block_side_that_tiff_does_not_allow_is_refused(axis: str, side: str) -> None:
    with pytest.raises(
        ParameterError, match=rf"(?i)BLOCK{axis}SIZE={side}: a TIFF block's side must be a multiple of 16"
    ):
        choose_format("out.tif", None, [*TILED, f"BLOCK{axis}SIZE={side}"], BLOCKS)


@given(st.integers(1, 64), st.integers(1, 64))
def test_block_sides_that_were_given_are_kept_and_the_unit_is_whole_blocks_of_them(
    bx16: int, by16: int
) -> None:
    bx, by = 16 * bx16, 16 * by16
    chosen = choose_format("out.tif", None, [*TILED, f"BLOCKXSIZE={bx}", f"blockysize={by}"], BLOCKS)

    named = {option.upper() for option in chosen.creation_options.texts}
    assert {f"BLOCKXSIZE={bx}", f"BLOCKYSIZE={by}"} <= named
    assert sum(option.startswith("BLOCK") for option in named) == 2
    if chosen.unit_blocks is not None:
        assert chosen.unit_blocks[0] * 256 % bx == 0
        assert chosen.unit_blocks[1] * 256 % by == 0
        assert chosen.reason == ""


def test_a_window_that_cannot_be_aligned_falls_back_and_says_both_sizes() -> None:
    blocks = BlockGrid(20_000, 20_000, window_xsize=257, window_ysize=255)

    chosen = choose_format("out.tif", None, [*TILED, "BLOCKXSIZE=512", "BLOCKYSIZE=256"], blocks)

    assert chosen.unit_blocks is None
    assert chosen.reason == "windows of 257 x 255 px do not fit TIFF blocks of 512 x 256 px"


def test_a_window_that_cannot_be_aligned_is_no_trouble_on_a_raster_of_one_tile() -> None:
    blocks = BlockGrid(500, 500, window_xsize=257, window_ysize=257)

    assert choose_format("out.tif", None, TILED, blocks).unit_blocks == (2, 2)


def test_kea_is_chosen_by_its_extension_where_gdal_has_it() -> None:
    if not has_driver("KEA"):
        pytest.skip("this GDAL has no KEA driver")
    assert driver_for_extension("out.kea") == "KEA"


@pytest.mark.parametrize(("codec", "option"), [("DEFLATE", "ZLEVEL"), ("LZMA", "LZMA_PRESET")])
def test_a_cogs_level_is_that_of_its_codec(codec: str, option: str) -> None:
    chosen = choose_format("out.tif", "COG", [f"COMPRESS={codec}", "LEVEL=1"], BLOCKS)

    assert f"{option}=1" in chosen.creation_options.texts


def test_a_cog_is_a_geotiff_that_workers_encode_with_the_cog_drivers_names() -> None:
    options = ["COMPRESS=zstd", "LEVEL=5", "PREDICTOR=STANDARD", "BLOCKSIZE=512", "BIGTIFF=YES"]

    chosen = choose_format("out.tif", "cog", options, BLOCKS)

    assert chosen.driver == "GTiff"
    assert chosen.unit_blocks == (2, 2)
    assert set(chosen.creation_options.texts) == {
        "TILED=YES", "COMPRESS=zstd", "ZSTD_LEVEL=5", "PREDICTOR=2", "BLOCKXSIZE=512", "BLOCKYSIZE=512",
        "INTERLEAVE=PIXEL", "BIGTIFF=YES",
    }  # fmt: skip


def test_a_cog_without_options_is_compressed_and_interleaved_by_pixel() -> None:
    chosen = choose_format("out.tif", "COG", None, BLOCKS)

    assert {"COMPRESS=DEFLATE", "INTERLEAVE=PIXEL", "TILED=YES"} <= set(chosen.creation_options.texts)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("OVERVIEWS=NONE", r"'OVERVIEWS=NONE' of 'out\.tif': outputs of driver COG take BIGTIFF, BLOCKSIZE"),
        ("PREDICTOR=4", "PREDICTOR=4 of 'out.tif': use one of NO, YES, STANDARD, FLOATING_POINT"),
        ("LEVEL=5 COMPRESS=LZW", "LEVEL=5 of 'out.tif': LZW has no levels; DEFLATE, LERC_DEFLATE"),
        ("BLOCKSIZE=100", "a TIFF block's side must be a multiple of 16"),
        ("COMPRESS=BEST", "COMPRESS=BEST: this GDAL has"),
    ],
)
def test_an_option_that_a_cog_cannot_have_is_refused(option: str, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        choose_format("out.tif", "COG", option.split(), BLOCKS)


def test_what_only_one_writer_could_write_is_no_cog() -> None:
    with pytest.raises(OutputError, match=r"'out\.tif' cannot be a COG: blocks of codec JPEG.*-of COG"):
        choose_format("out.tif", "COG", ["COMPRESS=JPEG"], BLOCKS)


@pytest.mark.skipif(gdal.GetDriverByName("Zarr") is None, reason="this GDAL has no Zarr driver")
def test_a_zarr_is_no_object_in_s3() -> None:
    with pytest.raises(OutputError, match=r"'s3://bucket/out\.zarr': a Zarr is a folder"):
        choose_format("s3://bucket/out.zarr", None, None, BLOCKS)


@pytest.mark.parametrize(
    ("path", "options", "says"),
    [
        (
            "out.tif",
            ["COMPRES=LZW"],
            "'COMPRES=LZW' of 'out.tif': GDAL's GTiff driver has no option COMPRES; ",
        ),
        ("out.tif", ["TILED=YES", "compression=LZW"], "no option compression; .*BIGTIFF.*COMPRESS.*ZLEVEL"),
        ("out.img", ["TILED=YES"], "GDAL's HFA driver has no option TILED; it has .*COMPRESSED"),
    ],
)
def test_a_creation_option_that_the_driver_does_not_have_is_refused_with_those_it_has(
    path: str, options: list[str], says: str
) -> None:
    with pytest.raises(ParameterError, match=says):
        choose_format(path, None, options, BLOCKS)


@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("out.tif", ["compress=LZW", "Tiled=yes", "ZLEVEL=3"]),
        ("out.img", ["COMPRESS=YES"]),  # HFA's other name for COMPRESSED
    ],
)
def test_creation_options_of_the_driver_are_taken_in_any_case_and_by_any_name(
    path: str, options: list[str]
) -> None:
    assert set(options) <= set(choose_format(path, None, options, BLOCKS).creation_options.texts)


@pytest.mark.parametrize(("dtype", "predictor"), [("uint8", 2), ("int16", 2), ("float32", 3), ("float64", 3)])
@pytest.mark.parametrize("given", ["YES", "yes"])
def test_the_predictor_of_a_cog_follows_the_type(
    tmp_path: Path, dtype: str, predictor: int, given: str
) -> None:
    pixels = ramp(2, 300, 280, dtype)
    infiles = applier.FilenameAssociations(a=make_raster(tmp_path / "a.tif", pixels))
    controls = applier.ApplierControls()
    controls.setOutputDriverName("COG")
    controls.setCreationOptions([f"PREDICTOR={given}"])

    def copy(_info: Any, inputs: Any, outputs: Any) -> None:
        outputs.copy = inputs.a

    applier.apply(copy, infiles, applier.FilenameAssociations(copy=tmp_path / "out.tif"), controls=controls)

    assert (read_raster(tmp_path / "out.tif") == pixels).all()
    structure = gdal.Open(str(tmp_path / "out.tif")).GetMetadata("IMAGE_STRUCTURE")
    assert (structure["COMPRESSION"], structure["PREDICTOR"]) == ("DEFLATE", str(predictor))
