"""The examples do what they say, and a RIOS script runs once its import line is changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from osgeo import gdal

from tests.examples.loading import EXAMPLES, loaded
from tests.support import make_raster, read_raster, run_python

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray


# More than one block of 256 x 256 both ways, and cut ones at the edges.
ROWS, COLS = 270, 530
NODATA = 7
NDVI_NODATA = -2


@dataclass(frozen=True)
class Inputs:
    """Two rasters on one grid, as files and as arrays of shape (bands, rows, cols)."""

    folder: Path
    first: Path
    second: Path
    pixels: NDArray[Any]
    second_pixels: NDArray[Any]


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 60, (4, ROWS, COLS)).astype(np.uint16)  # small: zeros and nodata occur
    second = rng.integers(0, 60_000, (4, ROWS, COLS)).astype(np.uint16)
    make_raster(tmp_path / "first.tif", pixels, nodata=NODATA)
    make_raster(tmp_path / "second.tif", second)
    return Inputs(tmp_path, tmp_path / "first.tif", tmp_path / "second.tif", pixels, second)


def strict_run(script: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return run_python(script, *arguments, PYTHONWARNINGS="error")


def run_well(script: Path, *arguments: str | Path) -> str:
    done = strict_run(script, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


# -- what numpy makes of the whole arrays


def expected_average(inputs: Inputs) -> NDArray[Any]:
    average: NDArray[Any] = (inputs.pixels.astype("f4") + inputs.second_pixels) / 2
    return average


def expected_average_with_data(inputs: Inputs) -> NDArray[Any]:
    return np.where(inputs.pixels == NODATA, np.float32(-9999), expected_average(inputs))


def expected_ndvi(inputs: Inputs, red: int, nir: int, *, nodata: int | None) -> NDArray[Any]:
    bands = inputs.pixels[[red - 1, nir - 1]].astype("f4")
    without = bands.sum(axis=0) == 0
    if nodata is not None:
        without |= (bands == nodata).any(axis=0)
    assert without.any()
    with np.errstate(invalid="ignore"):
        ndvi: NDArray[Any] = (bands[1] - bands[0]) / (bands[1] + bands[0])
    ndvi[without] = NDVI_NODATA
    return ndvi[np.newaxis]


def expected_maximum(pixels: NDArray[Any], outside: float) -> NDArray[Any]:
    padded = np.pad(pixels, ((0, 0), (2, 2), (2, 2)), constant_values=outside)
    maximum: NDArray[Any] = sliding_window_view(padded, (1, 5, 5)).max(axis=(3, 4, 5))
    return maximum


def expected_means(pixels: NDArray[Any], nodata: int | None) -> list[tuple[int, float]]:
    values = [band[band != nodata] if nodata is not None else band.ravel() for band in pixels]
    return [(band.size, float(band.mean(dtype="f8"))) for band in values]


# -- the examples


def test_average_equals_numpys(inputs: Inputs) -> None:
    out = inputs.folder / "out.tif"
    run_well(EXAMPLES / "average.py", inputs.first, inputs.second, out)
    np.testing.assert_array_equal(read_raster(out), expected_average_with_data(inputs))
    assert gdal.Info(str(out), format="json")["bands"][0]["noDataValue"] == -9999


@pytest.mark.parametrize(("red", "nir"), [(3, 4), (2, 1)])
def test_ndvi_equals_numpys_with_nodata_for_zero_sums_and_missing_pixels(
    inputs: Inputs, red: int, nir: int
) -> None:
    out = inputs.folder / "out.tif"
    run_well(EXAMPLES / "ndvi.py", inputs.first, out, "--red", str(red), "--nir", str(nir))
    np.testing.assert_array_equal(read_raster(out), expected_ndvi(inputs, red, nir, nodata=NODATA))
    assert gdal.Info(str(out), format="json")["bands"][0]["noDataValue"] == NDVI_NODATA


def test_focal_maximum_equals_numpys_across_blocks_and_edges(inputs: Inputs) -> None:
    out = inputs.folder / "out.tif"
    run_well(EXAMPLES / "focal_maximum.py", inputs.second, out)
    np.testing.assert_array_equal(read_raster(out), expected_maximum(inputs.second_pixels, outside=0))


def test_focal_maximum_leaves_nodata_out(inputs: Inputs) -> None:
    pixels = inputs.pixels.astype("f4")
    pixels[:, 100:120, 250:260] = (
        60_000  # more than any other pixel, and wider than what the example looks at
    )
    make_raster(inputs.first, pixels, nodata=60_000)
    out = inputs.folder / "out.tif"
    run_well(EXAMPLES / "focal_maximum.py", inputs.first, out)
    lowest = np.where(pixels == 60_000, -1e38, pixels.astype("f8"))
    np.testing.assert_array_equal(read_raster(out), expected_maximum(lowest, outside=-1e38))
    assert gdal.Info(str(out), format="json")["bands"][0]["noDataValue"] == -1e38


def test_band_means_equal_numpys_and_leave_nodata_out(inputs: Inputs) -> None:
    printed = run_well(EXAMPLES / "band_means.py", inputs.first).splitlines()
    assert printed == [
        f"band {band}: {count} pixels with data, mean {mean:.6f}"
        for band, (count, mean) in enumerate(expected_means(inputs.pixels, NODATA), start=1)
    ]
    assert sorted(path.name for path in inputs.folder.iterdir()) == ["first.tif", "second.tif"]


@pytest.mark.parametrize("example", ["average.py", "focal_maximum.py", "band_means.py"])
def test_an_example_without_arguments_says_what_it_wants(example: str) -> None:
    done = strict_run(EXAMPLES / example)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [done.stderr.strip()]
    assert done.stderr.startswith(f"usage: {example}")


# -- the demo's parts


@dataclass(frozen=True)
class Scene:
    path: Path
    pixels: NDArray[np.uint8]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A meadow that gets greener eastwards, a lake, a black spot, and a corner without data."""
    pixels = np.empty((3, 300, 400), np.uint8)
    pixels[0], pixels[2] = 60, 50
    pixels[1] = np.linspace(50, 150, 400)
    pixels[:, 200:260, 50:120] = np.array([20, 40, 42])[:, None, None]
    pixels[:, 10:20, 10:20] = 0
    pixels[:, 280:, 380:] = 255
    make_raster(tmp_path / "scene.tif", pixels, nodata=255)
    return Scene(tmp_path / "scene.tif", pixels)


def test_vegetation_index_writes_the_index_and_a_picture(scene: Scene) -> None:
    out = scene.path.with_name("index.tif")
    printed = run_well(EXAMPLES / "vegetation_index.py", "--scene", scene.path, "--out", out)
    red, green, blue = scene.pixels.astype("f4")
    total = red + green + blue
    without = (total == 0) | (blue > np.float32(1.3) * red) | (scene.pixels == 255).any(axis=0)
    assert without.sum() == 60 * 70 + 10 * 10 + 20 * 20
    index = (2 * green - red - blue) / np.where(total == 0, 1, total)
    np.testing.assert_array_equal(read_raster(out), np.where(without, np.float32(-9), index)[np.newaxis])
    assert str(out) in printed
    assert str(out.with_suffix(".png")) in printed
    assert "walltime" in printed
    picture = read_raster(out.with_suffix(".png"))
    assert picture.shape == (3, 300, 400)
    assert picture.std() > 10


def test_vegetation_index_names_a_missing_scene_in_one_sentence(tmp_path: Path) -> None:
    done = strict_run(
        EXAMPLES / "vegetation_index.py",
        "--scene",
        tmp_path / "absent.tif",
        "--out",
        tmp_path / "out.tif",
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "absent.tif" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def quicklook() -> Iterator[Any]:
    with loaded("quicklook") as module:
        yield module


def test_quicklook_goes_from_brown_to_green_and_shows_nodata_apart(quicklook: Any, tmp_path: Path) -> None:
    values = np.linspace(0, 1, 200, dtype="f4")[None, None, :].repeat(100, axis=1)
    values[0, 40:60] = -9
    make_raster(tmp_path / "index.tif", values, nodata=-9)
    low, high = quicklook.write_quicklook(tmp_path / "index.tif", tmp_path / "index.png", width_px=100)
    assert (low, high) == pytest.approx((0.02, 0.98), abs=0.01)
    picture = read_raster(tmp_path / "index.png")
    assert picture.shape == (3, 50, 100)
    assert tuple(picture[:, 5, 0]) == quicklook.BROWN_TO_GREEN[0]
    assert tuple(picture[:, 5, -1]) == quicklook.BROWN_TO_GREEN[-1]
    assert np.all(picture[:, 25].T == quicklook.WATER_BLUE)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index.png", "index.tif"]


def test_quicklook_is_darker_where_the_shade_image_is(quicklook: Any, tmp_path: Path) -> None:
    ramp = np.linspace(0, 1, 100, dtype="f4")[None, :, None].repeat(100, axis=2)
    shade = np.full((3, 100, 100), 200, np.uint8)
    shade[:, :, :50] = 20
    make_raster(tmp_path / "index.tif", ramp)
    make_raster(tmp_path / "scene.tif", shade)
    quicklook.write_quicklook(
        tmp_path / "index.tif", tmp_path / "index.png", shade=tmp_path / "scene.tif", width_px=100
    )
    picture = read_raster(tmp_path / "index.png").astype(int)
    assert (picture[:, :, :50] < picture[:, :, 50:]).all()


def test_quicklook_of_nothing_says_so(quicklook: Any, tmp_path: Path) -> None:
    make_raster(tmp_path / "index.tif", np.full((1, 10, 10), -9, "f4"), nodata=-9)
    with pytest.raises(ValueError, match=r"index\.tif' has no pixel with data"):
        quicklook.write_quicklook(tmp_path / "index.tif", tmp_path / "index.png")
    assert not (tmp_path / "index.png").exists()


# -- scripts as they are written for RIOS

RIOS_AVERAGE = """\
#!/usr/bin/env python
import sys
from rios import applier

def main():
    infiles = applier.FilenameAssociations()
    infiles.images = sys.argv[1:3]
    outfiles = applier.FilenameAssociations()
    outfiles.mean = sys.argv[3]
    controls = applier.ApplierControls()
    controls.setCalcStats(False)
    applier.apply(doMean, infiles, outfiles, controls=controls)

def doMean(info, inputs, outputs):
    total = inputs.images[0].astype('float32') + inputs.images[1]
    outputs.mean = total / len(inputs.images)

if __name__ == "__main__":
    main()
"""

RIOS_NDVI = """\
import sys
import numpy
from rios import applier, cuiprogress

infiles = applier.FilenameAssociations()
infiles.img = sys.argv[1]
outfiles = applier.FilenameAssociations()
outfiles.ndvi = sys.argv[2]
otherargs = applier.OtherInputs()
otherargs.null = -2
controls = applier.ApplierControls()
controls.setOutputDriverName('GTiff')
controls.setCreationOptions(['COMPRESS=LZW', 'TILED=YES'])
controls.setStatsIgnore(otherargs.null)
controls.setOmitPyramids(True)
controls.setWindowXsize(128)
controls.setWindowYsize(64)
controls.setNumThreads(2)
controls.setJobManagerType('multiprocessing')
controls.setProgress(cuiprogress.CUIProgressBar())

def ndvi(info, inputs, outputs, otherargs):
    red = inputs.img[2].astype(numpy.float32)
    nir = inputs.img[3].astype(numpy.float32)
    total = nir + red
    total[total == 0] = 1
    result = (nir - red) / total
    result[(inputs.img[2] + inputs.img[3]) == 0] = otherargs.null
    outputs.ndvi = numpy.expand_dims(result, axis=0)

applier.apply(ndvi, infiles, outfiles, otherargs, controls=controls)
"""

RIOS_FOCAL_MAXIMUM = """\
import sys
import numpy
from rios import applier

infiles = applier.FilenameAssociations()
outfiles = applier.FilenameAssociations()
infiles.img = sys.argv[1]
outfiles.img = sys.argv[2]
controls = applier.ApplierControls()
controls.setOverlap(2)
controls.setWindowXsize(100)
controls.setWindowYsize(100)

def focalMax(info, inputs, outputs):
    n = info.getOverlapSize()
    biggest = inputs.img.copy()
    for i in range(-n, n + 1):
        for j in range(-n, n + 1):
            moved = numpy.roll(inputs.img, (i, j), axis=(1, 2))
            biggest = numpy.maximum(biggest, moved)
    outputs.img = biggest

applier.apply(focalMax, infiles, outfiles, controls=controls)
"""

RIOS_STATISTICS = """\
import sys
from rios import applier, cuiprogress

infiles = applier.FilenameAssociations()
outfiles = applier.FilenameAssociations()
infiles.img = sys.argv[1]
otherargs = applier.OtherInputs()
otherargs.count = 0
otherargs.total = None
otherargs.blocks = []
controls = applier.ApplierControls()
controls.setProgress(cuiprogress.GDALProgressBar())

def addUp(info, inputs, outputs, otherargs):
    nbands, nrows, ncols = inputs.img.shape
    otherargs.count += nrows * ncols
    sums = [band.sum() for band in inputs.img]
    if info.isFirstBlock():
        otherargs.total = sums
    else:
        otherargs.total = [a + b for (a, b) in zip(otherargs.total, sums)]
    otherargs.blocks.append(info.getBlockCount())

applier.apply(addUp, infiles, outfiles, otherargs, controls=controls)
print()
print(otherargs.count)
print(*[int(total) for total in otherargs.total])
print(otherargs.blocks)
"""


def ported(text: str, folder: Path) -> Path:
    """Write a RIOS script with its one import line changed, and nothing else."""
    lines = text.splitlines()
    changed = [line.replace("from rios import", "from rios_batch import") for line in lines]
    assert sum(old != new for old, new in zip(lines, changed, strict=True)) == 1
    script = folder / "script.py"
    script.write_text("\n".join(changed), encoding="utf-8")
    return script


def test_rios_average_runs_with_its_import_line_changed(inputs: Inputs) -> None:
    out = inputs.folder / "out.tif"
    run_well(ported(RIOS_AVERAGE, inputs.folder), inputs.first, inputs.second, out)
    np.testing.assert_array_equal(read_raster(out), expected_average(inputs))


def test_rios_ndvi_runs_with_its_import_line_changed(inputs: Inputs) -> None:
    out = inputs.folder / "out.tif"
    run_well(ported(RIOS_NDVI, inputs.folder), inputs.first, out)
    np.testing.assert_array_equal(read_raster(out), expected_ndvi(inputs, 3, 4, nodata=None))


def test_rios_focal_maximum_runs_with_its_import_line_changed(inputs: Inputs) -> None:
    out = inputs.folder / "out.tif"
    run_well(ported(RIOS_FOCAL_MAXIMUM, inputs.folder), inputs.second, out)
    np.testing.assert_array_equal(read_raster(out), expected_maximum(inputs.second_pixels, outside=0))


def test_rios_statistics_runs_with_its_import_line_changed(inputs: Inputs) -> None:
    printed = run_well(ported(RIOS_STATISTICS, inputs.folder), inputs.first).splitlines()
    totals = inputs.pixels.sum(axis=(1, 2), dtype="i8")
    assert printed[-3:] == [
        str(ROWS * COLS),
        " ".join(map(str, totals)),
        str([(x, y) for y in range(2) for x in range(3)]),
    ]
