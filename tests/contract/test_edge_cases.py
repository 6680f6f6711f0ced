"""Odd pixels and odd sizes go through a run and into the file as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from osgeo import gdal

from rios_batch import applier
from rios_batch.errors import BlockError, TypeConversionError
from rios_batch.gdalapi import GDAL_TYPES, gdal_version
from tests.support import make_raster, ramp, read_raster

if TYPE_CHECKING:
    from pathlib import Path

    from rios_batch.model.spec import Array

# Blocks that are encoded apart and put together, some of them left out if they are nodata; and one writer.
TILED = ["TILED=YES", "BLOCKXSIZE=16", "BLOCKYSIZE=16", "COMPRESS=DEFLATE"]
WAYS = {"assembled": TILED, "sparse": [*TILED, "SPARSE_OK=TRUE"], "one writer": ["COMPRESS=LZW", "TILED=NO"]}
each_way = pytest.mark.parametrize("way", WAYS)


def copied(source: Any, target: Path, way: str, **settings: Any) -> gdal.Dataset:
    """Copy a raster through a function in windows of 16 x 16 pixels; return the copy.

    Parameters
    ----------
    settings : what controls' setters get; several arguments as a tuple.
    """

    def copy(info: Any, inputs: Any, outputs: Any) -> None:
        assert inputs.a.shape[1:] == tuple(n + 2 * info.getOverlapSize() for n in info.getBlockSize()[::-1])
        outputs.copy = inputs.a

    controls = applier.ApplierControls()
    controls.setWindowSize(16, 16)
    controls.setTileSize(32, 32)
    controls.setCreationOptions(WAYS[way])
    controls.setOverlap(2)
    for setter, value in settings.items():
        getattr(controls, setter)(*(value if isinstance(value, tuple) else [value]))
    outfiles = applier.FilenameAssociations(copy=target)
    applier.apply(copy, applier.FilenameAssociations(a=source), outfiles, controls=controls)
    return gdal.Open(str(target))


def assert_same(dataset: gdal.Dataset, pixels: Array) -> None:
    read = read_raster(dataset.GetDescription())
    assert read.dtype == pixels.dtype
    np.testing.assert_array_equal(read, pixels)  # NaN is equal to NaN


# -- sizes


@each_way
@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (100, 3, 5), (1, 1, 300), (1, 300, 1), (100, 1, 1), (2, 17, 33)]
)
def test_rasters_of_odd_shapes(tmp_path: Path, shape: tuple[int, int, int], way: str) -> None:
    pixels = ramp(*shape)

    assert_same(copied(make_raster(tmp_path / "a.tif", pixels), tmp_path / "copy.tif", way), pixels)


@pytest.mark.parametrize("window", [256, 70_000])
@each_way
def test_a_raster_of_70_000_columns(tmp_path: Path, way: str, window: int) -> None:
    strip = ramp(1, 2, 7000)
    path = make_raster(tmp_path / "strip.tif", strip)
    wide = gdal.Translate(str(tmp_path / "wide.vrt"), path, format="VRT", width=70_000, height=2)
    del wide

    copy = copied(
        tmp_path / "wide.vrt", tmp_path / "copy.tif", way, setWindowXsize=window, setTileSize=(20_000, 2)
    )

    assert_same(copy, np.repeat(strip, 10, axis=2))


# -- pixels

NOT_FINITE = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, 3.4e38, 7.0]


@each_way
@pytest.mark.parametrize("nodata", [None, np.nan, np.inf, -np.inf, 7.0, -9999.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nan_and_infinity(tmp_path: Path, dtype: str, nodata: float | None, way: str) -> None:
    pixels = np.random.default_rng(2).choice(np.array(NOT_FINITE, dtype), (2, 40, 50))
    path = make_raster(tmp_path / "a.tif", pixels, nodata=nodata)

    copy = copied(path, tmp_path / "copy.tif", way, setStatsIgnore=nodata)

    assert_same(copy, pixels)
    np.testing.assert_equal(copy.GetRasterBand(2).GetNoDataValue(), nodata)


@each_way
@pytest.mark.parametrize(
    ("dtype", "values", "nodata"),
    [
        ("int64", [-(2**63), -(2**53) - 1, 2**53 + 1, 2**63 - 1], 2**53 + 1),
        ("uint64", [0, 2**53 + 1, 2**63, 2**64 - 1], 2**64 - 1),
        ("int64", [-(2**63), -(2**53) - 1, 2**53 + 1, 2**63 - 1], -(2**63)),
    ],
)
def test_64_bit_integers_keep_every_digit(
    tmp_path: Path, dtype: str, values: list[int], nodata: int, way: str
) -> None:
    pixels = np.random.default_rng(2).choice(np.array(values, dtype), (2, 40, 50))
    path = make_raster(tmp_path / "a.tif", pixels)

    copy = copied(path, tmp_path / "copy.tif", way, setStatsIgnore=nodata)
    again = copied(tmp_path / "copy.tif", tmp_path / "again.tif", way, setStatsIgnore=None)

    assert_same(copy, pixels)
    assert copy.GetRasterBand(1).GetNoDataValue() == nodata
    assert_same(again, pixels)


@each_way
@pytest.mark.parametrize("nodata", [-9999, 256, 0.5, np.nan, np.inf, 1e300])
def test_an_input_whose_type_cannot_hold_its_nodata_value_has_none(
    tmp_path: Path, nodata: float, way: str
) -> None:
    pixels = ramp(1, 20, 20, "uint8")
    path = make_raster(tmp_path / "a.tif", pixels, nodata=nodata)
    margins: set[int] = set()

    def look(info: Any, inputs: Any, outputs: Any) -> None:
        assert info.getNoDataValueFor(inputs.a) is None
        margins.update(inputs.a[0, :1, 0] if info.isFirstBlock() else [])
        outputs.copy = inputs.a

    controls = applier.ApplierControls()
    controls.setOverlap(1)
    controls.setCreationOptions(WAYS[way])
    outfiles = applier.FilenameAssociations(copy=tmp_path / "copy.tif")
    applier.apply(look, applier.FilenameAssociations(a=path), outfiles, controls=controls)

    assert margins == {0}
    assert_same(gdal.Open(str(tmp_path / "copy.tif")), pixels)


@each_way
@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [
        ("uint8", -9999),
        ("uint8", 300),
        ("int16", 0.5),
        ("uint8", np.nan),
        ("int32", -np.inf),
        ("float32", 1e300),
    ],
)
@pytest.mark.parametrize("value", [0, 5, 255])
def test_a_nodata_value_that_the_type_cannot_hold_marks_no_pixel(
    tmp_path: Path, dtype: str, nodata: float, way: str, value: int
) -> None:
    if (way, nodata, value) == ("sparse", 0.5, 0):
        pytest.skip("GDAL 3.6 leaves zeros out as if they were nodata, and reads them as 1")
    pixels = np.full((1, 20, 20), value, dtype)
    path = make_raster(tmp_path / "a.tif", pixels)

    copy = copied(path, tmp_path / "copy.tif", way, setStatsIgnore=nodata)

    assert_same(copy, pixels)


@each_way
@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [("float32", np.nan), ("float64", np.inf), ("int16", -5), ("uint8", 0), ("int64", 2**53 + 1)],
)
def test_an_image_of_nothing_but_nodata(tmp_path: Path, dtype: str, nodata: float, way: str) -> None:
    pixels = np.full((2, 40, 50), nodata, dtype)
    path = make_raster(tmp_path / "a.tif", pixels, nodata=nodata)

    copy = copied(path, tmp_path / "copy.tif", way, setStatsIgnore=nodata)

    assert_same(copy, pixels)
    np.testing.assert_equal(copy.GetRasterBand(2).GetNoDataValue(), nodata)


@each_way
def test_signed_bytes_are_written_from_gdal_3_7_on_and_refused_before(tmp_path: Path, way: str) -> None:
    def signed(_info: Any, inputs: Any, outputs: Any) -> None:
        outputs.copy = (inputs.a.astype(np.int16) - 128).astype(np.int8)

    pixels = ramp(1, 20, 20, "uint8")
    infiles = applier.FilenameAssociations(a=make_raster(tmp_path / "a.tif", pixels))
    outfiles = applier.FilenameAssociations(copy=tmp_path / "copy.tif")
    controls = applier.ApplierControls()
    controls.setCreationOptions(WAYS[way])

    if "int8" not in GDAL_TYPES:
        with pytest.raises(
            TypeConversionError, match=f"GDAL {gdal_version()} cannot write int8; use .astype"
        ):
            applier.apply(signed, infiles, outfiles, controls=controls)
        assert not (tmp_path / "copy.tif").exists()
        return
    applier.apply(signed, infiles, outfiles, controls=controls)
    assert_same(gdal.Open(str(tmp_path / "copy.tif")), (pixels.astype(np.int16) - 128).astype(np.int8))


# -- masked arrays

ma: Any = np.ma  # numpy's masked arrays have no types


def masked(target: Path, pixels: Any, **settings: Any) -> Array:
    """Write a masked array of shape (bands, rows, cols) as an output; return what the file has."""

    def write(_info: Any, _inputs: Any, outputs: Any) -> None:
        outputs.x = pixels

    like = make_raster(target.parent / "like.tif", np.zeros(pixels.shape, "uint8"))
    controls = applier.ApplierControls()
    for setter, value in settings.items():
        getattr(controls, setter)(value)
    outfiles = applier.FilenameAssociations(x=target)
    applier.apply(write, applier.FilenameAssociations(like=like), outfiles, controls=controls)
    return read_raster(target)


@pytest.mark.parametrize(
    ("dtype", "nodata", "written"),
    [
        ("uint8", 0, 0),  # RIOS's default
        ("uint8", 255.0, 255),
        ("bool", 9, 9),
        ("float32", np.nan, np.nan),
        ("int64", 2**53 + 1, 2**53 + 1),
        (">i2", -9999, -9999),
    ],
)
def test_masked_pixels_are_written_as_the_outputs_nodata_value(
    tmp_path: Path, dtype: str, nodata: float, written: float
) -> None:
    mask = np.zeros((2, 3, 4), bool)
    mask[1, 2, 3] = mask[0, 0, 0] = True
    pixels = ma.array(np.ones((2, 3, 4), dtype), mask=mask, fill_value=1)

    got = masked(tmp_path / "x.tif", pixels, setStatsIgnore=nodata)

    np.testing.assert_array_equal(got[mask], [written, written])
    assert (got[~mask] == 1).all()
    assert (pixels.data == 1).all()  # the function may keep its array


@pytest.mark.parametrize(
    ("dtype", "nodata", "says"),
    [
        (
            "uint8",
            None,
            r"outputs.x is masked in block \(0, 0\),.* has no nodata value; set.*setStatsIgnore.*filled",
        ),
        ("uint8", -9999, "nodata value -9999 is not one of uint8; .*setStatsIgnore"),
    ],
)
def test_masked_pixels_without_a_nodata_value_to_write_are_refused(
    tmp_path: Path, dtype: str, nodata: float | None, says: str
) -> None:
    pixels = ma.array(np.ones((1, 3, 4), dtype), mask=np.eye(3, 4, dtype=bool)[None])

    with pytest.raises(BlockError, match=says):
        masked(tmp_path / "x.tif", pixels, setStatsIgnore=nodata)


@pytest.mark.parametrize("mask", [ma.nomask, np.zeros((1, 3, 4), bool)])
def test_a_masked_array_without_masked_pixels_needs_no_nodata_value(tmp_path: Path, mask: Any) -> None:
    pixels = ma.array(ramp(1, 3, 4), mask=mask)

    np.testing.assert_array_equal(masked(tmp_path / "x.tif", pixels, setStatsIgnore=None), ramp(1, 3, 4))


@pytest.mark.parametrize(
    ("dtype", "nodata", "limits"),
    [("uint16", -9999, "0 to 65535"), ("uint8", 256, "0 to 255"), ("int16", np.nan, "-32768 to 32767")],
)
def test_a_nodata_value_that_the_type_cannot_hold_is_said_once_for_each_output(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, dtype: str, nodata: float, limits: str
) -> None:
    copied(
        make_raster(tmp_path / "a.tif", ramp(1, 80, 80, dtype)),
        tmp_path / "copy.tif",
        "assembled",
        setStatsIgnore=nodata,
    )

    (message,) = [record.getMessage() for record in caplog.records if "nodata" in record.getMessage()]
    assert f"copy.tif has nodata value {nodata}, which {dtype} ({limits}) cannot hold" in message
    assert "setStatsIgnore" in message
