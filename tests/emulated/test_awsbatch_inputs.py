"""Local inputs of many formats, most of several files, are the same on workers that have copies of them in S3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from osgeo import gdal

from rios_batch import applier
from rios_batch.awsbatch import starting
from rios_batch.awsbatch.stagedinputs import copy_local_inputs
from rios_batch.gdalapi import gdal_exceptions
from tests.support import ORIGIN, PIXEL_M, make_raster, ramp, read_raster

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rios_batch.awsbatch.runstore import InputCopy
    from rios_batch.model.spec import Array

PIXELS = ramp(1, 96, 160)
OVERVIEW, NODATA = 250, 251


def has_driver(name: str) -> bool:
    return name in {gdal.GetDriver(i).ShortName for i in range(gdal.GetDriverCount())}


def vrt(folder: Path) -> str:
    """Two halves below the VRT, by relative names."""
    (folder / "halves").mkdir()
    east = (ORIGIN[0] + 80 * PIXEL_M, ORIGIN[1])
    halves = [
        make_raster(folder / "halves" / "west.tif", PIXELS[:, :, :80]),
        make_raster(folder / "halves" / "east.tif", PIXELS[:, :, 80:], origin=east),
    ]
    path = str(folder / "mosaic.vrt")
    mosaic = gdal.BuildVRT(path, halves)
    del mosaic
    return path


def translated(folder: Path, driver: str, name: str) -> str:
    source = make_raster(folder / f"{name}.tif", PIXELS)
    copy = gdal.Translate(str(folder / name), source, format=driver)
    del copy
    return str(folder / name)


def netcdf(folder: Path) -> str:
    return f'NETCDF:"{translated(folder, "netCDF", "a.nc")}":Band1'


def zarr(folder: Path) -> str:
    """A folder, of which the script names the whole."""
    return translated(folder, "Zarr", "whole.zarr")


def zarr_array(folder: Path) -> str:
    return f'ZARR:"{translated(folder, "Zarr", "array.zarr")}":/array'


def imagine(folder: Path) -> str:
    """Pixels in an .ige beside the .img."""
    path = make_raster(folder / "spilled.img", PIXELS, driver="HFA", options=["USE_SPILL=YES"])
    assert (folder / "spilled.ige").stat().st_size > (folder / "spilled.img").stat().st_size
    return path


def envi(folder: Path) -> str:
    path = make_raster(folder / "plain.dat", PIXELS, driver="ENVI")
    assert (folder / "plain.hdr").exists()
    return path


def small_with_nodata(folder: Path) -> str:
    """Nodata, which fills what the raster lacks, in an .aux.xml."""
    path = make_raster(folder / "small.tif", PIXELS[:, :50, :60])
    dataset = gdal.Open(path)
    dataset.GetRasterBand(1).SetNoDataValue(NODATA)
    del dataset
    assert (folder / "small.tif.aux.xml").exists()
    return path


def fine_with_overviews(folder: Path) -> str:
    """Overviews that can be told from the pixels, in an .ovr."""
    path = make_raster(
        folder / "fine.tif", np.repeat(PIXELS, 4, axis=2).repeat(4, axis=1), pixel_size=PIXEL_M / 4
    )
    dataset = gdal.Open(path)
    dataset.BuildOverviews("NEAREST", [2, 4])
    del dataset
    dataset = gdal.Open(f"{path}.ovr", gdal.GA_Update)
    for level in (dataset.GetRasterBand(1), dataset.GetRasterBand(1).GetOverview(0)):
        level.Fill(OVERVIEW)
    del level, dataset
    return path


def filled() -> Array:
    whole = np.full_like(PIXELS, NODATA)
    whole[:, :50, :60] = PIXELS[:, :50, :60]
    return whole


KINDS: dict[str, tuple[Callable[[Path], str], str, Array]] = {
    "VRT": (vrt, "VRT", PIXELS),
    "netCDF": (netcdf, "netCDF", PIXELS),
    "Zarr": (zarr, "Zarr", PIXELS),
    "array of a Zarr": (zarr_array, "Zarr", PIXELS),
    "HFA with .ige": (imagine, "HFA", PIXELS),
    "ENVI": (envi, "ENVI", PIXELS),
    "with .aux.xml": (small_with_nodata, "GTiff", filled()),
    "with .ovr": (fine_with_overviews, "GTiff", np.full_like(PIXELS, OVERVIEW)),
}


def stacked(inputs: dict[str, str], target: Path, manager: str, threads: int) -> Array:
    """Run a function that puts all inputs into one output; return its pixels."""

    def stack(_info: Any, inputs: Any, outputs: Any) -> None:
        outputs.stack = np.concatenate(inputs.all)

    controls = applier.ApplierControls()
    controls.setWindowSize(64, 32)
    controls.setTileSize(64, 32)
    controls.setCreationOptions(["TILED=YES", "BLOCKXSIZE=64", "BLOCKYSIZE=32", "COMPRESS=DEFLATE"])
    controls.setReferenceImage(inputs["HFA with .ige"])
    controls.setFootprintType(applier.BOUNDS_FROM_REFERENCE)
    controls.setAllowOverviewsGdalwarp(True)
    controls.setNumThreads(threads)
    controls.setJobManagerType(manager)
    controls.setCoordinateOnly(True)
    infiles = applier.FilenameAssociations(all=list(inputs.values()))
    outfiles = applier.FilenameAssociations(stack=target)
    assert len(applier.apply(stack, infiles, outfiles, controls=controls).tiles) == 9
    return read_raster(target)


@pytest.mark.usefixtures("quick_cloud")
def test_copies_of_every_kind_of_input_are_read_on_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "inputs"
    folder.mkdir()
    with gdal_exceptions():
        inputs = {kind: make(folder) for kind, (make, driver, _) in KINDS.items() if has_driver(driver)}
    expected = np.concatenate([KINDS[kind][2] for kind in inputs])

    def copy_and_take_away(*arguments: Any) -> dict[str, InputCopy]:
        copies = copy_local_inputs(*arguments)
        folder.rename(tmp_path / "elsewhere")  # on another machine they would not be there either
        return copies

    here = stacked(inputs, tmp_path / "here.tif", "in-process", 1)
    monkeypatch.setattr(starting, "copy_local_inputs", copy_and_take_away)
    on_batch = stacked(inputs, tmp_path / "batch.tif", "AWSBatch", 2)

    for number, kind in enumerate(inputs):
        np.testing.assert_array_equal(here[number], expected[number], kind)
        np.testing.assert_array_equal(on_batch[number], expected[number], kind)
    if len(inputs) < len(KINDS):
        pytest.skip(f"all but {', '.join(KINDS.keys() - inputs.keys())} were right; this GDAL has no driver")
