"""The examples that are a whole task each give what plain numpy and GDAL's own tools give."""

from __future__ import annotations

import csv
from importlib.util import find_spec
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


def vegetation(scene: NDArray[Any]) -> NDArray[Any]:
    red, nir = scene[:2].astype("f4") / np.float32(10_000)
    index: NDArray[Any] = 2.5 * (nir - red) / (nir + 2.4 * red + 1)
    return index


def test_change_detection_finds_what_was_felled_and_planted_and_leaves_clouds_unknown(
    synthetic: Any, tmp_path: Path
) -> None:
    before, after, difference, change = (
        tmp_path / f"{name}.tif" for name in ("a", "b", "difference", "change")
    )
    synthetic.write_change(before, after)

    printed = run_well("change_detection.py", before, after, difference, change)

    early, late = read_raster(before), read_raster(after)
    unknown = (early == 0).any(axis=0) | (late == 0).any(axis=0) | (early[2] != 1) | (late[2] != 1)
    assert {early[2, unknown].min(), late[2, unknown].min()} == {0}
    assert unknown[early[2] == 2].all()
    expected = np.where(unknown, np.float32(-9999), vegetation(late) - vegetation(early))
    np.testing.assert_allclose(read_raster(difference)[0], expected, atol=1e-6)
    cover = synthetic.land_cover(*synthetic.coordinates(260, 300))
    truth = np.ones(cover.shape, int)
    for area, was, number in ((synthetic.FELLED, 2, 2), (synthetic.PLANTED, 3, 3)):
        truth[area][cover[area] == was] = number
    truth[unknown] = 0
    classes = read_raster(change)[0]
    np.testing.assert_array_equal(classes == 0, unknown)
    assert (classes == truth)[~unknown].mean() > 0.999
    counts = np.bincount(classes.ravel())
    assert [int(line.split()[1]) for line in printed.splitlines()[:4]] == counts.tolist()
    (about,) = gdal.Info(str(difference), format="json")["bands"]
    assert about["noDataValue"] == -9999
    assert about["mean"] == pytest.approx(expected[~unknown].mean(dtype="f8"), abs=1e-3)
    (about,) = gdal.Info(str(change), format="json")["bands"]
    assert about["noDataValue"] == 0
    assert about["colorTable"]["entries"][2][:3] == [200, 60, 40]


def test_change_detection_finds_no_change_between_a_date_and_itself(synthetic: Any, tmp_path: Path) -> None:
    synthetic.write(tmp_path / "date.tif", synthetic.scene(1, 60, 70))

    date, outputs = tmp_path / "date.tif", (tmp_path / "difference.tif", tmp_path / "change.tif")
    run_well("change_detection.py", date, date, *outputs)

    assert set(np.unique(read_raster(outputs[1]))) == {0, 1}


def test_change_detection_of_dates_without_a_common_clear_pixel_says_so(
    synthetic: Any, tmp_path: Path
) -> None:
    scene = synthetic.scene(1, 60, 70)
    scene[2] = synthetic.CLOUD
    synthetic.write(tmp_path / "date.tif", scene)

    done = run_python(
        EXAMPLES / "change_detection.py", *[tmp_path / "date.tif"] * 2, tmp_path / "a.tif", tmp_path / "b.tif"
    )

    assert (done.returncode, done.stderr) == (1, "no pixel is clear on both dates\n")
    assert not (tmp_path / "a.tif").exists()


# Stands in front of onnxruntime, and notes which processes load a network.
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


def test_a_network_gives_what_one_call_on_the_whole_scene_gives_and_is_loaded_once_per_process(
    synthetic: Any, tmp_path: Path
) -> None:
    scene = synthetic.scene(1, 700, 800)  # 12 blocks
    scene[:, 300:320, 200:] = 0
    synthetic.write(tmp_path / "scene.tif", scene)
    network, out = EXAMPLES / "land_cover.onnx", tmp_path / "out.tif"
    (tmp_path / "onnxruntime.py").write_text(NOTES_LOADING)

    done = run_python(
        EXAMPLES / "network_inference.py", tmp_path / "scene.tif", network, out,
        PYTHONWARNINGS="error", PYTHONPATH=f"{tmp_path}:{ROOT}",
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")
    session = onnxruntime.InferenceSession(network.read_bytes(), providers=["CPUExecutionProvider"])
    whole = np.pad(scene[:2], [(0, 0), (2, 2), (2, 2)])[None].astype("f4")
    (expected,) = session.run(None, {"scene": whole})[0]
    clear = (scene[2] == 1) & (scene[:2] != 0).all(axis=0)
    np.testing.assert_array_equal(read_raster(out)[0], np.where(clear, expected, 0))
    truth = synthetic.land_cover(*synthetic.coordinates(700, 800))
    beside_the_hole = np.zeros(clear.shape, bool)
    beside_the_hole[298:322, 198:] = True
    assert (expected == truth)[clear & ~beside_the_hole].mean() > 0.995
    loaded = [line.split() for line in (tmp_path / "loaded").read_text().splitlines()]
    assert len({process for process, *_ in loaded}) == len(loaded) <= 2
    assert {tuple(threads) for _, *threads in loaded} == {("1", "1")}


@pytest.mark.skipif(
    not find_spec("torch") or not find_spec("onnxscript"), reason="torch is not a test's dependency"
)
def test_the_training_exports_a_network_that_the_inference_takes(synthetic: Any, tmp_path: Path) -> None:
    synthetic.write(tmp_path / "scene.tif", synthetic.scene(1))

    run_python(EXAMPLES / "network_training.py", tmp_path / "network.onnx")
    run_well("network_inference.py", tmp_path / "scene.tif", tmp_path / "network.onnx", tmp_path / "out.tif")

    found, clear = read_raster(tmp_path / "out.tif")[0], synthetic.scene(1)[2] == 1
    truth = synthetic.land_cover(*synthetic.coordinates(260, 300))
    assert (found == truth)[clear].mean() > 0.99


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
        "network_inference.py",
        "random_forest.py",
        "slope.py",
        "synthetic.py",
        "zonal_statistics.py",
    ],
)
def test_an_example_without_arguments_says_what_it_wants(example: str) -> None:
    done = run_python(EXAMPLES / example)

    assert (done.returncode, done.stderr.startswith(f"usage: {example}")) == (1, True)
    assert len(done.stderr.splitlines()) == 1
