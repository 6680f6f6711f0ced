"""Small rasters to try the other examples with, all made up: a made-up landscape at the border of two UTM zones.

python examples/synthetic.py FOLDER
"""

import json
import sys
from pathlib import Path

import numpy as np
from osgeo import gdal, osr

gdal.UseExceptions()

ZONE, NEIGHBOUR = 32633, 32632  # EPSG codes of UTM zones 33 and 32 north
WEST, NORTH, PIXEL_M = 280_000, 5_200_000, 30
WATER, FOREST, FIELD = 1, 2, 3
REFLECTANCE = {WATER: (400, 200), FOREST: (500, 3000), FIELD: (1500, 2500)}  # of red and near infrared
CLEAR, CLOUD = 1, 2
NODATA = 0


def wave(x, y, length_m):
    """Return something between -1 and 1 that is as smooth as hills are."""
    return np.sin(x / length_m + np.cos(y / (0.7 * length_m))) * np.cos(y / length_m)


def land_cover(x, y):
    height = wave(x, y, 800)
    return np.where(height < -0.5, WATER, np.where(height > 0.1, FOREST, FIELD))


def coordinates(rows, cols, west=WEST, north=NORTH, epsg=ZONE):
    """Return x and y of pixel centres in the landscape's own zone, for a grid in any zone."""
    x, y = np.meshgrid(west + (np.arange(cols) + 0.5) * PIXEL_M, north - (np.arange(rows) + 0.5) * PIXEL_M)
    if epsg == ZONE:
        return x, y
    transform = osr.CoordinateTransformation(projection(epsg), projection(ZONE))
    points = np.array(transform.TransformPoints(np.stack([x.ravel(), y.ravel()], axis=1)))
    return points[:, 0].reshape(x.shape), points[:, 1].reshape(y.shape)


def projection(epsg):
    reference = osr.SpatialReference()
    reference.ImportFromEPSG(epsg)
    return reference


def scene(seed, rows=260, cols=300, west=WEST, north=NORTH, epsg=ZONE):
    """Return red, near infrared and a mask of what is CLEAR or CLOUD, uint16 of shape (3, rows, cols)."""
    random = np.random.default_rng(seed)
    x, y = coordinates(rows, cols, west, north, epsg)
    classes = land_cover(x, y)
    bands = [
        np.select([classes == cover for cover in REFLECTANCE], [mean[band] for mean in REFLECTANCE.values()])
        for band in (0, 1)
    ]
    clouds = wave(x + seed * 2_900, y + seed * 1_700, 900) > 0.35
    clouds |= (
        np.hypot(x - WEST - 4_000, y - NORTH + 5_000) < 200
    )  # the steam of a cooling tower, on all dates
    pixels = np.array(bands) + random.integers(-150, 150, (2, rows, cols))
    pixels[:, clouds] = 8_000
    return np.concatenate([pixels, np.where(clouds, CLOUD, CLEAR)[None]]).astype(np.uint16)


def write(path, pixels, west=WEST, north=NORTH, epsg=ZONE, nodata=NODATA):
    bands, rows, cols = pixels.shape
    kind = {"uint16": gdal.GDT_UInt16, "float32": gdal.GDT_Float32}[pixels.dtype.name]
    dataset = gdal.GetDriverByName("GTiff").Create(str(path), cols, rows, bands, kind)
    dataset.SetGeoTransform((west, PIXEL_M, 0, north, 0, -PIXEL_M))
    dataset.SetProjection(projection(epsg).ExportToWkt())
    for number in range(bands):
        dataset.GetRasterBand(number + 1).SetNoDataValue(nodata)
    dataset.WriteArray(pixels)
    dataset.FlushCache()


def write_rectangles(path, attribute, rectangles):
    """Write a GeoJSON of rectangles, each with a number: (first row, last row, first column, last column, number)."""
    features = []
    for top, bottom, left, right, number in rectangles:
        west, east = WEST + left * PIXEL_M, WEST + right * PIXEL_M
        north, south = NORTH - top * PIXEL_M, NORTH - bottom * PIXEL_M
        ring = [[west, north], [east, north], [east, south], [west, south], [west, north]]
        features.append(
            {
                "type": "Feature",
                "properties": {attribute: number},
                "geometry": {"type": "Polygon", "coordinates": [ring]},
            }
        )
    crs = {"type": "name", "properties": {"name": f"urn:ogc:def:crs:EPSG::{ZONE}"}}
    Path(path).write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": features}))


def write_dates(folder):
    """Write 12 dates of one place, one of them in the neighbouring zone; return the paths."""
    paths = [Path(folder, f"date{month:02}.tif") for month in range(1, 13)]
    for month, path in enumerate(paths, 1):
        if month == 7:
            # Zone 32 has other numbers for the same place, and its north is turned by some degrees.
            transform = osr.CoordinateTransformation(projection(ZONE), projection(NEIGHBOUR))
            x, y, _ = transform.TransformPoint(WEST, NORTH)
            west, north = (round(value / PIXEL_M) * PIXEL_M for value in (x - 1_500, y + 1_500))
            write(path, scene(month, 380, 420, west, north, NEIGHBOUR), west, north, NEIGHBOUR)
        else:
            write(path, scene(month))
    return paths


def write_scene(path, rows=900, cols=1200):
    """Write blue, green, red and near infrared, with a corner without data as satellites' scenes have it."""
    red, nir, _ = scene(0, rows, cols)
    pixels = np.stack([0.6 * red, 0.8 * red, red, nir]).astype(np.uint16)
    across, down = np.meshgrid(np.arange(cols), np.arange(rows))
    pixels[:, across + 2 * down < 500] = NODATA
    write(path, pixels)


def write_elevation(path, rows=600, cols=640):
    """Write a float32 elevation model, in metres, with a hole."""
    x, y = coordinates(rows, cols)
    heights = (800 + 300 * wave(x, y, 1_100) + 40 * wave(x, y, 190)).astype(np.float32)
    heights[100:130, 250:270] = -9999
    write(path, heights[None], nodata=-9999)


def write_training_areas(path):
    """Write rectangles that lie in one kind of land cover each, with its number as attribute ``cover``."""
    classes = land_cover(*coordinates(260, 300))
    rectangles = []
    for top in range(0, 250, 10):
        for left in range(0, 290, 10):
            found = np.unique(classes[top : top + 10, left : left + 10])
            if len(found) == 1 and (top + left) % 70 == 0:
                rectangles.append((top, top + 10, left, left + 10, int(found[0])))
    write_rectangles(path, "cover", rectangles)


def write_zones(path):
    """Write six zones, numbered by the attribute ``zone``; between them is a road that belongs to none."""
    rectangles = [
        (row * 130 + 3, row * 130 + 127, col * 100 + 3, col * 100 + 97, 10 * (3 * row + col + 1))
        for row in range(2)
        for col in range(3)
    ]
    write_rectangles(path, "zone", rectangles)


def write_clearing(path):
    """Write a later date than the others, when some of the forest is a field."""
    pixels = scene(13).astype(np.int64)
    x, y = coordinates(*pixels.shape[1:])
    felled = (np.hypot(x - WEST - 3_600, y - NORTH + 3_000) < 1_000) & (land_cover(x, y) == FOREST)
    for band in (0, 1):
        pixels[band, felled & (pixels[2] == CLEAR)] += REFLECTANCE[FIELD][band] - REFLECTANCE[FOREST][band]
    write(path, pixels.astype(np.uint16))


def write_tiles(folder):
    """Write four scenes that overlap, and leave a corner free; return the paths."""
    paths = []
    for number, (row, col) in enumerate([(0, 0), (30, 210), (190, 40), (150, 350)]):
        path = Path(folder, f"tile{number}.tif")
        west, north = WEST + col * PIXEL_M, NORTH - row * PIXEL_M
        pixels = scene(number, 220, 260, west, north)
        pixels[:, :15, :15] = NODATA
        write(path, pixels[:2], west, north)
        paths.append(path)
    return paths


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: synthetic.py FOLDER")
    folder = Path(sys.argv[1])
    folder.mkdir(exist_ok=True)
    write_dates(folder)
    write_clearing(folder / "felled.tif")
    write_tiles(folder)
    write_scene(folder / "scene.tif")
    write_elevation(folder / "elevation.tif")
    write_training_areas(folder / "training.geojson")
    write_zones(folder / "zones.geojson")
    print(f"{folder} has: {', '.join(sorted(path.name for path in folder.iterdir()))}")
