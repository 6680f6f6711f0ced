"""The examples that are a whole task each give what plain numpy and GDAL's own tools give."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pytest
from osgeo import gdal, ogr
from osgeo_utils.samples.validate_cloud_optimized_geotiff import validate
from sklearn.ensemble import RandomForestClassifier

from tests.examples.loading import EXAMPLES, loaded
from tests.support import ROOT, read_raster, run_python

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray


@pytest.fixture(scope="module")
def synthetic() -> Iterator[Any]:
    with loaded("synthetic") as module:
        yield module


def run_well(script: str, *arguments: str | Path) -> str:
    done = run_python(EXAMPLES / script, *arguments, PYTHONWARNINGS="error")
    assert done.returncode == 0, done.stderr
    assert "setStatsIgnore" not in done.stderr
    return done.stdout


def burned(polygons: Path, like: Path, attribute: str) -> NDArray[Any]:
    """Return GDAL's own rasterisation of all polygons at once, of shape (rows, cols)."""
    raster, vectors = gdal.Open(str(like)), ogr.Open(str(polygons))
    target = gdal.GetDriverByName("MEM").Create(
        "", raster.RasterXSize, raster.RasterYSize, 1, gdal.GDT_UInt16
    )
    target.SetGeoTransform(raster.GetGeoTransform())
    target.SetProjection(raster.GetProjection())
    gdal.RasterizeLayer(target, [1], vectors.GetLayer(), options=[f"ATTRIBUTE={attribute}"])
    numbers: NDArray[Any] = target.ReadAsArray()
    return numbers


def test_synthetic_writes_what_the_others_need(synthetic: Any, tmp_path: Path) -> None:
    printed = run_well("synthetic.py", tmp_path)

    assert "date12.tif" in printed
    np.testing.assert_array_equal(read_raster(tmp_path / "date03.tif"), synthetic.scene(3))


def test_cloud_free_median_equals_numpys_of_dates_that_gdal_has_warped(
    synthetic: Any, tmp_path: Path
) -> None:
    dates = synthetic.write_dates(tmp_path)

    run_well("cloud_free_median.py", tmp_path / "median.tif", tmp_path / "count.tif", *dates)

    first = gdal.Open(str(dates[0]))
    west, _, _, north, _, _ = first.GetGeoTransform()
    bounds = (west, north - 30 * first.RasterYSize, west + 30 * first.RasterXSize, north)
    stack = []
    for path in dates:
        warped = gdal.Warp(
            "", str(path), format="MEM", dstSRS=first.GetProjection(), outputBounds=bounds, xRes=30, yRes=30,
            errorThreshold=0, warpOptions=["UNIFIED_SRC_NODATA=NO"],
        )  # fmt: skip
        stack.append(warped.ReadAsArray())
    values = np.array(stack, np.float64)
    clear = values[:, 2] == 1
    count = clear.sum(axis=0)
    assert 0 < (count == 0).sum() < count.size / 10
    values[:, :2][~np.broadcast_to(clear[:, None], values[:, :2].shape)] = np.nan
    values[:, :, count == 0] = 0
    expected = np.rint(np.nanmedian(values[:, :2], axis=0)).astype("u2")
    np.testing.assert_array_equal(read_raster(tmp_path / "median.tif"), expected)
    np.testing.assert_array_equal(read_raster(tmp_path / "count.tif")[0], count)
    dataset = gdal.Open(str(tmp_path / "median.tif"))
    assert dataset.GetRasterBand(2).GetDescription() == "near infrared"


def test_random_forest_predicts_what_one_call_on_all_pixels_predicts(synthetic: Any, tmp_path: Path) -> None:
    scene = synthetic.scene(1)
    scene[:, 40:60, 200:] = 0
    synthetic.write(tmp_path / "scene.tif", scene)
    synthetic.write_training_areas(tmp_path / "training.geojson")

    run_well("random_forest.py", tmp_path / "scene.tif", tmp_path / "training.geojson", tmp_path / "out.tif")

    cover = burned(tmp_path / "training.geojson", tmp_path / "scene.tif", "cover")
    rows = np.concatenate([scene[:2], cover[None]])[:, cover > 0].T
    rows = rows[np.lexsort(rows.T)]
    forest = RandomForestClassifier(n_estimators=20, random_state=1).fit(rows[:, :-1], rows[:, -1])
    expected = forest.predict(scene[:2].reshape(2, -1).T).reshape(scene.shape[1:])
    expected[(scene[:2] == 0).any(axis=0)] = 0
    assert set(np.unique(expected)) == {0, 1, 2, 3}
    np.testing.assert_array_equal(read_raster(tmp_path / "out.tif")[0], expected)
    dataset = gdal.Open(str(tmp_path / "out.tif"))
    assert dataset.GetRasterBand(1).GetColorTable().GetColorEntry(2)[:3] == (20, 100, 40)
    assert validate(str(tmp_path / "out.tif"))[:2] == ([], [])


# Stands in front of onnxruntime, and notes which processes load a network, and with how many threads.
NOTES_LOADING = """
import importlib, os, sys
here = os.path.dirname(__file__)
sys.path.remove(here)
del sys.modules["onnxruntime"]
real = importlib.import_module("onnxruntime")
sys.path.insert(0, here)
load = real.InferenceSession
def noted(network, options, **rest):
    with open(os.path.join(here, "loaded"), "a") as file:
        print(os.getpid(), options.intra_op_num_threads, options.inter_op_num_threads, file=file)
    return load(network, options, **rest)
real.InferenceSession = noted
"""


def test_a_network_predicts_what_one_call_on_all_pixels_predicts(synthetic: Any, tmp_path: Path) -> None:
    scene = synthetic.scene(1)
    scene[:, 40:60, 200:] = 0
    synthetic.write(tmp_path / "scene.tif", scene)
    synthetic.write_training_areas(tmp_path / "training.geojson")
    network = tmp_path / "network.onnx"

    run_well("train_network.py", tmp_path / "scene.tif", tmp_path / "training.geojson", network)
    (tmp_path / "onnxruntime.py").write_text(NOTES_LOADING)
    done = run_python(
        EXAMPLES / "network.py", tmp_path / "scene.tif", network, tmp_path / "out.tif",
        PYTHONWARNINGS="error", PYTHONPATH=f"{tmp_path}:{ROOT}",
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")
    loaded = [line.split() for line in (tmp_path / "loaded").read_text().splitlines()]
    assert len({process for process, *_ in loaded}) == len(loaded) <= 2, "of 2 processes and 4 blocks"
    assert {tuple(threads) for _, *threads in loaded} == {("1", "1")}

    session = onnxruntime.InferenceSession(network.read_bytes(), providers=["CPUExecutionProvider"])
    pixels = scene[:2].reshape(2, -1).T.astype("f4")
    expected = session.run(None, {session.get_inputs()[0].name: pixels})[0].reshape(scene.shape[1:])
    missing = (scene[:2] == 0).any(axis=0)
    expected[missing] = 0
    found = read_raster(tmp_path / "out.tif")[0]
    # Products of matrices of another size round in another way: a pixel on the border of two classes may go either way.
    assert np.count_nonzero(found != expected) <= 5
    truth = synthetic.land_cover(*synthetic.coordinates(260, 300))
    clear = ~missing & (scene[2] == synthetic.CLEAR)
    assert (found == truth)[clear].mean() > 0.95


def test_change_is_numpys_of_whole_scenes_and_shows_what_was_felled(synthetic: Any, tmp_path: Path) -> None:
    synthetic.write_clearing(tmp_path / "after.tif")
    before, after = synthetic.scene(1), read_raster(tmp_path / "after.tif")
    before[:, 40:60, 200:] = 0
    synthetic.write(tmp_path / "before.tif", before)

    run_well("change_detection.py", *(tmp_path / name for name in ("before.tif", "after.tif", "change.tif")))

    valid = (before != 0).all(axis=0) & (before[2] == 1) & (after[2] == 1)
    (red, nir), (later_red, later_nir) = before[:2].astype("f8"), after[:2].astype("f8")
    with np.errstate(invalid="ignore"):
        ndvi = (nir - red) / (nir + red)
    change = np.rint(1000 * ((later_nir - later_red) / (later_nir + later_red) - ndvi))
    mean, deviation = change[valid].mean(), change[valid].std()
    expected = np.select([change < mean - 3 * deviation, change > mean + 3 * deviation], [2, 3], 1)
    expected[~valid] = 0
    found = read_raster(tmp_path / "change.tif")[0]
    np.testing.assert_array_equal(found, expected)
    felled = valid & (np.abs(after[0] - 1500.0) <= 150) & (np.abs(before[0] - 500.0) <= 150)
    assert felled.sum() > 500
    assert (found[felled] == 2).mean() > 0.8  # NDVI is noisy
    assert gdal.Open(str(tmp_path / "change.tif")).GetRasterBand(1).GetColorTable() is not None


def test_two_scenes_that_share_no_clear_pixel_are_said(synthetic: Any, tmp_path: Path) -> None:
    clouds = np.full((3, 40, 50), 2, np.uint16)
    synthetic.write(tmp_path / "scene.tif", clouds)

    done = run_python(EXAMPLES / "change_detection.py", *[tmp_path / "scene.tif"] * 2, tmp_path / "out.tif")

    assert (done.returncode, done.stderr) == (1, "no pixel is clear on both dates\n")
    assert not (tmp_path / "out.tif").exists()


def test_zonal_statistics_equal_numpys_of_the_whole_raster(synthetic: Any, tmp_path: Path) -> None:
    scene = synthetic.scene(5)
    scene[0, 50:70, 50:90] = 0
    synthetic.write(tmp_path / "values.tif", scene)
    synthetic.write_zones(tmp_path / "zones.geojson")

    run_well(
        "zonal_statistics.py", tmp_path / "values.tif", tmp_path / "zones.geojson", tmp_path / "table.csv"
    )

    zones = burned(tmp_path / "zones.geojson", tmp_path / "values.tif", "zone")
    expected = []
    for zone in (10, 20, 30, 40, 50, 60):
        values = scene[0, (zones == zone) & (scene[0] != 0)].astype("f8")
        expected.append([zone, values.size, round(values.mean(), 3), values.min(), values.max()])
    with (tmp_path / "table.csv").open() as file:
        names, *rows = csv.reader(file)
    assert names == ["zone", "count", "mean", "minimum", "maximum"]
    assert [[float(number) for number in row] for row in rows] == expected


def test_slope_equals_gdaldems_and_is_a_cog(synthetic: Any, tmp_path: Path) -> None:
    synthetic.write_elevation(tmp_path / "elevation.tif")

    run_well("slope.py", tmp_path / "elevation.tif", tmp_path / "slope.tif")

    gdal.DEMProcessing(str(tmp_path / "gdaldem.tif"), str(tmp_path / "elevation.tif"), "slope")
    expected, slope = read_raster(tmp_path / "gdaldem.tif"), read_raster(tmp_path / "slope.tif")
    np.testing.assert_array_equal(slope == -9999, expected == -9999)
    np.testing.assert_allclose(slope, expected, atol=1e-3)  # gdaldem works in float32
    dataset = gdal.Open(str(tmp_path / "slope.tif"))
    assert dataset.GetRasterBand(1).GetOverviewCount() == 1
    assert validate(str(tmp_path / "slope.tif"))[:2] == ([], [])


def test_thirty_scenes_are_done_one_after_the_other_and_a_damaged_one_is_named(
    synthetic: Any, tmp_path: Path
) -> None:
    scenes = [tmp_path / f"scene{number}.tif" for number in range(30)]
    for number, path in enumerate(scenes):
        pixels = synthetic.scene(number, 40, 50)
        pixels[:, :5] = 0
        synthetic.write(path, pixels)
    scenes[17].write_bytes(b"no raster")
    (tmp_path / "out").mkdir()

    done = run_python(EXAMPLES / "many_scenes.py", tmp_path / "out", *scenes, PYTHONWARNINGS="error")

    assert done.stdout == "29 of 30 scenes are done.\n"
    (message,) = done.stderr.splitlines()
    assert message.startswith(f"{scenes[17]}: ")
    assert done.returncode == 1
    for path in scenes[:17] + scenes[18:]:
        red, nir = read_raster(path)[:2].astype("f4")
        with np.errstate(invalid="ignore"):
            expected = np.where(red == 0, np.float32(-2), (nir - red) / (nir + red))
        np.testing.assert_array_equal(read_raster(tmp_path / "out" / f"{path.stem}_ndvi.tif")[0], expected)
    assert not (tmp_path / "out" / "scene17_ndvi.tif").exists()


def test_mosaic_equals_gdals_virtual_one(synthetic: Any, tmp_path: Path) -> None:
    tiles = synthetic.write_tiles(tmp_path)

    run_well("mosaic.py", tmp_path / "mosaic.tif", *tiles)

    virtual = gdal.BuildVRT("", [str(path) for path in reversed(tiles)])  # there the last one counts
    np.testing.assert_array_equal(read_raster(tmp_path / "mosaic.tif"), virtual.ReadAsArray())
    assert gdal.Open(str(tmp_path / "mosaic.tif")).GetGeoTransform() == virtual.GetGeoTransform()


@pytest.mark.parametrize(
    "example",
    [
        "change_detection.py",
        "cloud_free_median.py",
        "many_scenes.py",
        "mosaic.py",
        "network.py",
        "random_forest.py",
        "slope.py",
        "synthetic.py",
        "train_network.py",
        "zonal_statistics.py",
    ],
)
def test_an_example_without_arguments_says_what_it_wants(example: str) -> None:
    done = run_python(EXAMPLES / example)

    assert (done.returncode, done.stderr.startswith(f"usage: {example}")) == (1, True)
    assert len(done.stderr.splitlines()) == 1
