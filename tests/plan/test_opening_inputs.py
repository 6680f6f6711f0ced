"""Planning opens every input once; over a network each opening is several requests."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from osgeo import gdal, ogr, osr

from rios_batch import applier
from rios_batch.errors import FileOpenError, GridError
from rios_batch.gdalapi import gdal_exceptions
from rios_batch.plan.prepare import prepare
from tests.support import make_raster, ramp, utm_wkt

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Return how many times GDAL was asked, with success, to open each file."""
    counts: Counter[str] = Counter()

    def counting(function: Any) -> Any:
        def called(path: str, *args: Any, **kwargs: Any) -> Any:
            dataset = function(path, *args, **kwargs)
            counts[path] += 1
            return dataset

        return called

    for name in ("Open", "OpenEx"):
        monkeypatch.setattr(gdal, name, counting(getattr(gdal, name)))
    return counts


def plan(controls: applier.ApplierControls | None = None, **files: str | list[str]) -> None:
    infiles = applier.FilenameAssociations()
    for name, given in files.items():
        setattr(infiles, name, given)
    with gdal_exceptions():
        prepare(
            lambda _info, _inputs, _outputs: None,
            infiles,
            applier.FilenameAssociations(),
            controls or applier.ApplierControls(),
            takes_other_args=False,
            num_workers=1,
        )


def vector_file(path: Path) -> str:
    with gdal_exceptions():
        dataset = gdal.GetDriverByName("GPKG").Create(str(path), 0, 0, 0, gdal.GDT_Unknown)
        layer = dataset.CreateLayer("areas", osr.SpatialReference(utm_wkt()), ogr.wkbPolygon)
        feature = ogr.Feature(layer.GetLayerDefn())
        feature.SetGeometry(
            ogr.CreateGeometryFromWkt(
                "POLYGON ((500010 4399990, 500090 4399990, 500090 4399910, 500010 4399990))"
            )
        )
        layer.CreateFeature(feature)
        del feature, layer, dataset
    return str(path)


def test_a_raster_on_the_grid(tmp_path: Path, opened: Counter[str]) -> None:
    path = make_raster(tmp_path / "a.tif", ramp(1, 40, 40))
    opened.clear()

    plan(image=path)

    assert opened == {path: 1}


def test_a_list_of_rasters(tmp_path: Path, opened: Counter[str]) -> None:
    paths = [make_raster(tmp_path / f"{number}.tif", ramp(1, 40, 40)) for number in range(3)]
    opened.clear()

    plan(images=paths)

    assert opened == dict.fromkeys(paths, 1)


def test_a_raster_under_two_names_and_twice_in_a_list(tmp_path: Path, opened: Counter[str]) -> None:
    path = make_raster(tmp_path / "a.tif", ramp(1, 40, 40))
    opened.clear()

    plan(one=path, other=path, more=[path, path])

    assert opened == {path: 1}


@pytest.mark.parametrize("overviews", [False, True])
def test_a_raster_that_is_resampled(tmp_path: Path, opened: Counter[str], *, overviews: bool) -> None:
    fine = make_raster(tmp_path / "fine.tif", ramp(1, 80, 80), pixel_size=5)
    coarse = make_raster(tmp_path / "coarse.tif", ramp(1, 40, 40))
    controls = applier.ApplierControls()
    controls.setReferenceImage(coarse)
    controls.setAllowOverviewsGdalwarp(overviews)
    opened.clear()

    plan(controls, fine=fine, coarse=coarse)

    assert opened == {fine: 1, coarse: 1}


def test_a_reference_and_an_extent_that_are_no_inputs(tmp_path: Path, opened: Counter[str]) -> None:
    image, other = (make_raster(tmp_path / f"{name}.tif", ramp(1, 40, 40)) for name in ("image", "other"))
    controls = applier.ApplierControls()
    controls.setReferenceImage(other)
    controls.setFilesForExtent([other, image])
    opened.clear()

    plan(controls, image=image)

    assert opened == {image: 1, other: 1}


def test_a_vector_file_under_two_names(tmp_path: Path, opened: Counter[str]) -> None:
    image, areas = make_raster(tmp_path / "a.tif", ramp(1, 40, 40)), vector_file(tmp_path / "areas.gpkg")
    controls = applier.ApplierControls()
    controls.setFilterSQL("fid = 1", "some")
    opened.clear()

    plan(controls, image=image, areas=areas, some=areas)

    assert opened == {image: 1, areas: 1}


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_pipe_or_device_is_refused_and_never_opened(
    tmp_path: Path, opened: Counter[str], kind: str
) -> None:
    path = tmp_path / "scene.tif"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")

    with pytest.raises(FileOpenError, match=r"scene.tif' is a pipe, a socket or a device, .* name the file"):
        plan(scene=str(path))

    assert not opened


@pytest.mark.parametrize(
    ("geotransform", "problem"),
    [
        ((1e15, 0.001, 0, 6e6, 0, -0.001), "cannot be told apart at x"),
        ((float("nan"), 30, 0, 6e6, 0, -30), "no finite number"),
        ((5e5, float("inf"), 0, 6e6, 0, -30), "no finite number"),
        ((5e5, 30, float("nan"), 6e6, 0, -30), "no finite number"),
    ],
)
@pytest.mark.parametrize("as_reference", [False, True])
def test_a_raster_that_lies_nowhere_is_named(
    tmp_path: Path, geotransform: tuple[float, ...], problem: str, as_reference: bool
) -> None:
    nowhere = make_raster(tmp_path / "nowhere.tif", ramp(1, 300, 400), geotransform=geotransform)
    controls = applier.ApplierControls()
    good = make_raster(tmp_path / "good.tif", ramp(1, 30, 40))
    controls.setReferenceImage(nowhere if as_reference else good)

    with pytest.raises(GridError, match=rf"nowhere\.tif' .*{problem}"):
        plan(controls, image=good if as_reference else nowhere)
