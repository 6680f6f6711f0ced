"""Outputs in every format that GDAL can write block by block are what GDAL itself writes in one piece."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from osgeo import gdal

from rios_batch import applier, pixelgrid
from rios_batch.errors import TypeConversionError
from rios_batch.gdalapi import GDAL_TYPES, gdal_exceptions, same_projection
from tests.support import make_raster, ramp, read_metadata, read_raster, utm_wkt

if TYPE_CHECKING:
    from rios_batch.model.spec import Array

NODATA = 5
NAMES = ["water", "wood"]


@dataclass(frozen=True)
class Format:
    """A GDAL driver, and what of it is tried."""

    driver: str
    extension: str
    dtype: str = "int16"
    nbands: int = 2
    keeps_all: bool = False  # pixels, georeference, nodata value and names of layers
    options: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.driver

    @property
    def pixels(self) -> Array:
        return ramp(self.nbands, 75, 90, self.dtype)


FORMATS = [
    Format("GTiff", "tif", keeps_all=True),
    Format("HFA", "img", keeps_all=True),
    Format("KEA", "kea", keeps_all=True),
    Format("ENVI", "bsq", keeps_all=True),
    Format("ENVI", "bil", options=("INTERLEAVE=BIL",), keeps_all=True),
    Format("EHdr", "bil", keeps_all=True),
    Format("PCIDSK", "pix", keeps_all=True),
    Format("RRASTER", "grd"),
    Format("LAN", "lan"),
    Format("ISCE", "slc"),
    Format("ISIS2", "cub"),
    Format("HDF4Image", "hdf"),
    Format("BAG", "bag", "float32"),
    Format("RST", "rst", nbands=1),
    Format("SAGA", "sdat", nbands=1),
    Format("BT", "bt", nbands=1),
    Format("BMP", "bmp", "uint8", nbands=1),
    Format("NITF", "ntf", options=("ICORDS=N",)),
    Format("netCDF", "nc", nbands=1),
    Format("Zarr", "zarr", nbands=1),
    Format("GPKG", "gpkg", nbands=1),
    Format("RMF", "rsw", nbands=1, options=("MTW=ON",)),
    Format("ERS", "ers"),
    Format("MRF", "mrf"),
    Format("FITS", "fits"),
    Format("ISIS3", "lbl"),
    Format("PDS4", "xml"),
    Format("VICAR", "vic"),
    Format("ILWIS", "mpr", nbands=1),
    Format("GSBG", "grd", nbands=1),
]


def has_driver(name: str) -> bool:
    try:
        driver = gdal.GetDriverByName(name)
    except RuntimeError:  # newer GDAL raises where older returns None
        return False
    return driver is not None and driver.GetMetadataItem("DCAP_CREATE") == "YES"


def written_by_gdal(form: Format, path: Path, like: str) -> gdal.Dataset:
    """Write the pixels with GDAL alone, as all of rios_batch would be written."""
    scene = gdal.Open(like)
    dataset = gdal.GetDriverByName(form.driver).Create(
        str(path), 90, 75, form.nbands, GDAL_TYPES[form.dtype], list(form.options)
    )
    dataset.SetGeoTransform(scene.GetGeoTransform())
    dataset.SetProjection(scene.GetProjection())
    bands = [dataset.GetRasterBand(number) for number in range(1, form.nbands + 1)]
    for band in bands:
        band.SetNoDataValue(NODATA)
    for band, name in zip(bands, NAMES, strict=False):
        band.SetDescription(name)
    dataset.WriteArray(form.pixels)
    del band, bands, dataset
    return gdal.Open(str(path))


def written_by_apply(form: Format, path: Path, scene: str) -> gdal.Dataset:
    def copy(_info: Any, inputs: Any, outputs: Any) -> None:
        outputs.copy = inputs.scene

    controls = applier.ApplierControls()
    controls.setOutputDriverName(form.driver)
    controls.setCreationOptions(list(form.options))
    controls.setWindowSize(16, 32)
    controls.setTileSize(32, 32)
    controls.setStatsIgnore(NODATA)
    controls.setCalcStats(False)
    controls.setLayerNames(NAMES[: form.nbands])
    outfiles = applier.FilenameAssociations(copy=path)
    applier.apply(copy, applier.FilenameAssociations(scene=scene), outfiles, controls=controls)
    return gdal.Open(str(path))


@pytest.mark.parametrize("form", FORMATS, ids=str)
def test_an_output_in_blocks_is_what_gdal_writes_in_one_piece(form: Format, tmp_path: Path) -> None:
    if not has_driver(form.driver):
        pytest.skip(f"this GDAL cannot write {form.driver}")
    (tmp_path / "ours").mkdir()
    (tmp_path / "gdals").mkdir()
    scene = make_raster(tmp_path / "scene.tif", form.pixels)

    with gdal_exceptions():
        theirs = written_by_gdal(form, tmp_path / "gdals" / f"out.{form.extension}", scene)
    ours = written_by_apply(form, tmp_path / "ours" / f"out.{form.extension}", scene)

    pixels = read_raster(ours.GetDescription())
    np.testing.assert_array_equal(pixels, read_raster(theirs.GetDescription()))
    assert facts(ours) == facts(theirs)
    assert {path.name for path in (tmp_path / "ours").iterdir()} == {
        path.name for path in (tmp_path / "gdals").iterdir()
    }
    if form.keeps_all:
        np.testing.assert_array_equal(pixels, form.pixels)
        assert same_projection(ours.GetProjection(), utm_wkt())
        wanted = {"nodata": [NODATA] * form.nbands, "names": NAMES[: form.nbands]}
        wanted["transform"] = gdal.Open(scene).GetGeoTransform()
        assert facts(ours) == facts(ours) | wanted


def facts(dataset: gdal.Dataset) -> dict[str, Any]:
    """Return everything but pixels that can be set for an output."""
    bands = [dataset.GetRasterBand(number) for number in range(1, dataset.RasterCount + 1)]
    return {
        "driver": dataset.GetDriver().ShortName,
        "transform": dataset.GetGeoTransform(can_return_null=True),
        "projection": dataset.GetProjection(),
        "nodata": [band.GetNoDataValue() for band in bands],
        "names": [band.GetDescription() for band in bands],
        "types": [band.DataType for band in bands],
    }


# -- how they are written


def write_coordinates(path: Path, driver: str, options: list[str], dtype: str = "float32") -> None:
    """Write 12 MB of pixels that come from nowhere, in windows that are not the format's blocks."""

    def coordinates(info: Any, _inputs: Any, outputs: Any) -> None:
        x, y = info.getBlockCoordArrays()
        outputs.out = (np.stack([x * 7, y * 3, x * y]) % 251).astype(dtype)

    controls = applier.ApplierControls()
    controls.setReferencePixgrid(pixelgrid.PixelGridDefn(xMin=0, xMax=2000, yMin=0, yMax=500, xRes=1, yRes=1))
    controls.setFootprintType(applier.BOUNDS_FROM_REFERENCE)
    controls.setWindowSize(100, 100)
    controls.setOutputDriverName(driver)
    controls.setCreationOptions(options)
    controls.setOverviewMinDim(16)
    outfiles = applier.FilenameAssociations(out=path)
    applier.apply(coordinates, applier.FilenameAssociations(), outfiles, controls=controls)


IO_COUNTS = Path("/proc/self/io")


@pytest.mark.skipif(not IO_COUNTS.exists(), reason="bytes read and written are counted by Linux")
@pytest.mark.parametrize(
    ("driver", "options"),
    [
        ("GTiff", ["TILED=NO"]),
        ("GTiff", ["TILED=NO", "COMPRESS=LZW"]),
        ("HFA", []),
        ("HFA", ["COMPRESSED=YES"]),
    ],
)
def test_nothing_that_was_written_is_read_again(tmp_path: Path, driver: str, options: list[str]) -> None:
    def counts() -> dict[str, int]:
        return {name: int(n) for name, n in (line.split(":") for line in IO_COUNTS.read_text().splitlines())}

    before = counts()
    write_coordinates(tmp_path / "out", driver, options)
    after = counts()

    read, written = (after[name] - before[name] for name in ("rchar", "wchar"))
    size = (tmp_path / "out").stat().st_size
    assert size > 4_000_000
    dataset = gdal.Open(str(tmp_path / "out"))
    assert dataset.GetRasterBand(1).GetOverviewCount() == 3
    assert written < 1.05 * size
    assert read < 0.1 * size  # headers, and one pixel of each band to see whether the file can be read


@pytest.mark.parametrize(
    ("driver", "options", "says"),
    [
        ("GTiff", ["TILED=NO", "COMPRESS=DEFLATE"], "Using up to 3 threads for compression"),
        ("GTiff", ["TILED=YES", "COMPRESS=JPEG"], "Using up to 3 threads for compression"),
        ("RMF", ["COMPRESS=LZW"], "Setup 3 compressor threads"),
    ],
)
def test_num_threads_reaches_the_driver_where_one_writer_compresses(
    tmp_path: Path, driver: str, options: list[str], says: str
) -> None:
    messages: list[str] = []
    gdal.PushErrorHandler(lambda _class, _number, message: messages.append(message))
    gdal.SetConfigOption("CPL_DEBUG", "ON")
    try:
        write_coordinates(tmp_path / "out", driver, [*options, "NUM_THREADS=3"], "uint8")
    finally:
        gdal.SetConfigOption("CPL_DEBUG", None)
        gdal.PopErrorHandler()

    assert says in "\n".join(messages)


@pytest.mark.parametrize(("driver", "extension"), [("netCDF", "nc"), ("Zarr", "zarr")])
def test_several_bands_that_gdal_writes_as_subdatasets_are_all_there(
    tmp_path: Path, driver: str, extension: str
) -> None:
    if not has_driver(driver):
        pytest.skip(f"this GDAL cannot write {driver}")
    form = Format(driver, extension, nbands=2)
    scene = make_raster(tmp_path / "scene.tif", form.pixels)

    written = written_by_apply(form, tmp_path / f"out.{extension}", scene)

    found = [gdal.Open(name).ReadAsArray() for name, _ in written.GetSubDatasets()]
    images = [pixels for pixels in found if pixels.shape == form.pixels.shape[1:]]
    np.testing.assert_array_equal(np.stack(images), form.pixels)


@pytest.mark.parametrize(("driver", "message"), [("ENVI", "make it uint8"), ("HFA", "Int64 not supported")])
def test_a_type_that_the_format_has_not_is_refused(tmp_path: Path, driver: str, message: str) -> None:
    with pytest.raises(TypeConversionError, match=rf"outputs\.out has 3 bands of int64.*{message}.*astype"):
        write_coordinates(tmp_path / "out", driver, [], "int64")
    assert list(tmp_path.iterdir()) == []


def test_hfa_has_no_histogram_of_values_that_it_has_no_room_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pixels = ramp(1, 40, 50).astype("float64") * 1e9
    controls = applier.ApplierControls()

    def copy(_info: Any, inputs: Any, outputs: Any) -> None:
        outputs.copy = inputs.scene

    scene = make_raster(tmp_path / "scene.tif", pixels)
    outfiles = applier.FilenameAssociations(copy=tmp_path / "out.img")
    applier.apply(copy, applier.FilenameAssociations(scene=scene), outfiles, controls=controls)

    items = read_metadata(tmp_path / "out.img")[0]
    np.testing.assert_array_equal(read_raster(tmp_path / "out.img"), pixels)
    assert float(items["STATISTICS_MAXIMUM"]) == pixels.max()
    assert "STATISTICS_HISTOMAX" not in items
    assert "out.img gets no histogram" in caplog.text
