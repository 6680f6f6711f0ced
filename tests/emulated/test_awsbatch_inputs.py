"""Inputs that are made into rasters on the grid are the same on a worker elsewhere, which has copies of the files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from osgeo import gdal, ogr, osr

from rios_batch import applier
from rios_batch.raster.gdalapi import gdal_exceptions
from tests.support import ORIGIN, make_raster, ramp, read_raster

if TYPE_CHECKING:
    from pathlib import Path


def write_field(path: Path) -> str:
    """Write a shapefile, which is several files, with one triangle."""
    with gdal_exceptions():
        reference = osr.SpatialReference()
        reference.ImportFromEPSG(32613)
        dataset = gdal.GetDriverByName("ESRI Shapefile").Create(str(path), 0, 0, 0, gdal.GDT_Unknown)
        layer = dataset.CreateLayer("field", reference, ogr.wkbPolygon)
        feature = ogr.Feature(layer.GetLayerDefn())
        x, y = ORIGIN
        feature.SetGeometry(
            ogr.CreateGeometryFromWkt(
                f"POLYGON(({x + 55} {y - 55}, {x + 1203} {y - 333}, {x + 411} {y - 871}, {x + 55} {y - 55}))"
            )
        )
        layer.CreateFeature(feature)
        del feature, layer, dataset
    return str(path)


def join(_info: Any, inputs: Any, outputs: Any) -> None:
    outputs.joined = np.concatenate([inputs.fine, inputs.coarse, inputs.field])


@pytest.mark.usefixtures("quick_cloud")
def test_resampled_and_rasterised_inputs_are_the_same_on_batch(tmp_path: Path) -> None:
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.fine = make_raster(tmp_path / "fine.tif", ramp(1, 96, 160))
    infiles.coarse = make_raster(tmp_path / "coarse.tif", ramp(1, 40, 60), pixel_size=33.0)
    infiles.field = write_field(tmp_path / "field.shp")
    results = []
    for manager, threads, alone in (("in-process", 1, False), ("AWSBatch", 2, True)):
        outfiles.joined = str(tmp_path / f"{manager}.tif")
        controls = applier.ApplierControls()
        controls.setWindowSize(32, 32)
        controls.setTileSize(32, 32)
        controls.setCreationOptions(["TILED=YES", "BLOCKXSIZE=32", "BLOCKYSIZE=32"])
        controls.setReferenceImage("fine")
        controls.setResampleMethod("cubic", "coarse")
        controls.setBurnValue(7, "field")
        controls.setVectorDatatype("uint16", "field")
        controls.setNumThreads(threads)
        controls.setJobManagerType(manager)
        controls.setCoordinateOnly(alone)
        applier.apply(join, infiles, outfiles, controls=controls)
        results.append(read_raster(outfiles.joined))

    here, on_batch = results
    np.testing.assert_array_equal(on_batch, here)
    assert set(np.unique(here[2])) == {0, 7}
    assert len(np.unique(here[1])) > 10
