"""Make the pictures of the docs' cookbook: docs/cookbook/pictures/*.png, from small synthetic data.

.venv/bin/python scripts/cookbook-pictures.py [FOLDER]
"""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from osgeo import gdal, ogr

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]  # (rows, cols, red green blue)

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "cookbook" / "pictures"
GAP_PX = 8
BROWN_TO_GREEN = [(140, 98, 70), (196, 182, 132), (148, 168, 96), (26, 98, 50)]
DARK_TO_BRIGHT = [(30, 30, 60), (140, 70, 110), (240, 150, 90), (255, 240, 190)]
BLUES = [(247, 251, 255), (107, 174, 214), (8, 48, 107)]
EARTH = [(70, 120, 80), (210, 200, 140), (150, 110, 80), (250, 250, 250)]
CLASSES = {0: (255, 255, 255), 1: (40, 90, 200), 2: (20, 100, 40), 3: (220, 200, 120)}

gdal.UseExceptions()


def example(name: str, *arguments: str | Path) -> None:
    subprocess.run(
        [sys.executable, ROOT / "examples" / f"{name}.py", *arguments], check=True, stdout=subprocess.DEVNULL
    )


def pixels(path: Path) -> NDArray[Any]:
    """Return a file's pixels, of shape (bands, rows, cols)."""
    dataset = gdal.Open(str(path))
    array: NDArray[Any] = dataset.ReadAsArray().reshape(-1, dataset.RasterYSize, dataset.RasterXSize)
    return array


def coloured(
    values: NDArray[Any], colours: list[tuple[int, int, int]], nodata: float | None = None
) -> Picture:
    """Give colours, evenly spaced between the 2nd and the 98th percentile; nodata is a light grey."""
    missing = np.zeros(values.shape, bool) if nodata is None else values == nodata
    low, high = np.percentile(values[~missing], (2, 98))
    stops = np.linspace(low, max(high, low + 1e-6), len(colours))
    picture: Picture = np.empty((*values.shape, 3), np.uint8)
    for number, channel in enumerate(np.transpose(colours)):
        picture[..., number] = np.interp(values, stops, channel)
    picture[missing] = 225
    return picture


def infrared(scene: NDArray[Any]) -> Picture:
    """Show near infrared as red, and red as green and blue; both bands from 0 to 5000, clouds are white."""
    red, nir = np.clip(scene[:2] / 5_000 * 255, 0, 255)
    picture: Picture = np.stack([nir, red, red], axis=-1).astype(np.uint8)
    return picture


def beside(*pictures: Picture) -> Picture:
    """Put pictures side by side; a gap is transparent in the file, since it has no colour."""
    rows = max(picture.shape[0] for picture in pictures)
    padded = []
    for picture in pictures:
        whole = np.zeros((rows, picture.shape[1] + GAP_PX, 4), np.uint8)
        whole[: picture.shape[0], : picture.shape[1], :3] = picture
        whole[: picture.shape[0], : picture.shape[1], 3] = 255
        padded.append(whole)
    return np.concatenate(padded, axis=1)[:, :-GAP_PX]


def write(path: Path, picture: Picture) -> None:
    rows, cols, bands = picture.shape
    memory = gdal.GetDriverByName("MEM").Create("", cols, rows, bands, gdal.GDT_Byte)
    memory.WriteArray(picture.transpose(2, 0, 1))
    gdal.GetDriverByName("PNG").CreateCopy(str(path), memory, options=["ZLEVEL=9"])
    Path(f"{path}.aux.xml").unlink(missing_ok=True)


def cloud_free_median(data: Path) -> Picture:
    example("cloud_free_median", data / "median.tif", data / "count.tif", *sorted(data.glob("date*.tif")))
    count = coloured(pixels(data / "count.tif")[0], BLUES)
    return beside(infrared(pixels(data / "date01.tif")), infrared(pixels(data / "median.tif")), count)


def classification(data: Path) -> Picture:
    example("random_forest", data / "date01.tif", data / "training.geojson", data / "classes.tif")
    table = np.array([CLASSES[value] for value in range(len(CLASSES))], np.uint8)
    return beside(infrared(pixels(data / "date01.tif")), table[pixels(data / "classes.tif")[0]])


def neural_network(data: Path) -> Picture:
    example("train_network", data / "date01.tif", data / "training.geojson", data / "network.onnx")
    example("network", data / "date01.tif", data / "network.onnx", data / "classes.tif")
    table = np.array([CLASSES[value] for value in range(len(CLASSES))], np.uint8)
    return beside(infrared(pixels(data / "date01.tif")), table[pixels(data / "classes.tif")[0]])


def change_detection(data: Path) -> Picture:
    example("change_detection", data / "date01.tif", data / "felled.tif", data / "change.tif")
    table = np.array([(225, 225, 225), (235, 230, 215), (200, 60, 30), (30, 120, 60)], np.uint8)
    scenes = (infrared(pixels(data / name)) for name in ("date01.tif", "felled.tif"))
    return beside(*scenes, table[pixels(data / "change.tif")[0]])


def zonal_statistics(data: Path) -> Picture:
    example("zonal_statistics", data / "date05.tif", data / "zones.geojson", data / "table.csv")
    scene = gdal.Open(str(data / "date05.tif"))
    zones = gdal.GetDriverByName("MEM").Create("", scene.RasterXSize, scene.RasterYSize, 1, gdal.GDT_UInt16)
    zones.SetGeoTransform(scene.GetGeoTransform())
    zones.SetProjection(scene.GetProjection())
    polygons = ogr.Open(str(data / "zones.geojson"))
    gdal.RasterizeLayer(zones, [1], polygons.GetLayer(), options=["ATTRIBUTE=zone"])
    numbers = zones.ReadAsArray()
    means = np.full(numbers.shape, -1.0)
    with (data / "table.csv").open() as file:
        for row in csv.DictReader(file):
            means[numbers == int(row["zone"])] = float(row["mean"])
    return beside(coloured(pixels(data / "date05.tif")[0], EARTH, 0), coloured(means, EARTH, -1))


def slope(data: Path) -> Picture:
    example("slope", data / "elevation.tif", data / "slope.tif")
    heights = coloured(pixels(data / "elevation.tif")[0], EARTH, -9999)
    return beside(heights[::2, ::2], coloured(pixels(data / "slope.tif")[0], DARK_TO_BRIGHT, -9999)[::2, ::2])


def mosaic(data: Path) -> Picture:
    example("mosaic", data / "mosaic.tif", *sorted(data.glob("tile*.tif")))
    whole = gdal.Open(str(data / "mosaic.tif"))
    west, size, _, north, *_ = whole.GetGeoTransform()
    extents = np.full((whole.RasterYSize, whole.RasterXSize, 3), 225, np.uint8)
    colours = [(79, 127, 217), (47, 158, 110), (201, 138, 27), (180, 90, 130)]
    for path, colour in zip(sorted(data.glob("tile*.tif"), reverse=True), colours, strict=True):
        tile = gdal.Open(str(path))
        left, _, _, top, *_ = tile.GetGeoTransform()
        row, col = round((north - top) / size), round((left - west) / size)
        extents[row : row + tile.RasterYSize, col : col + tile.RasterXSize] = colour
    mosaicked = infrared(pixels(data / "mosaic.tif"))
    mosaicked[pixels(data / "mosaic.tif")[0] == 0] = 225
    return beside(extents[::2, ::2], mosaicked[::2, ::2])


def many_scenes(data: Path) -> Picture:
    tiles = sorted(data.glob("tile*.tif"))
    (data / "ndvi").mkdir()
    example("many_scenes", data / "ndvi", *tiles)
    return beside(
        *(coloured(pixels(path)[0], BROWN_TO_GREEN, -2) for path in sorted((data / "ndvi").glob("*.tif")))
    )


RECIPES = (
    cloud_free_median, classification, neural_network, change_detection, zonal_statistics, slope, mosaic, many_scenes
)  # fmt: skip

if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    with tempfile.TemporaryDirectory() as place:
        data = Path(place)
        example("synthetic", data)
        for recipe in RECIPES:
            write(folder / f"{recipe.__name__.replace('_', '-')}.png", recipe(data))
