"""The rasters that field.py's tasks read, made once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from osgeo import gdal, osr
from tasks import (  # type: ignore[import-not-found]  # beside this script
    SCENE_CRS,
    SCENE_LEFT_M,
    SCENE_RESOLUTION_M,
    SCENE_TOP_M,
    WARP_CRS,
    WARP_RESOLUTION_M,
)

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

gdal.UseExceptions()

SCENE_BANDS = 6
DATES = 12
MOSAIC_SIDE, MOSAIC_SCENE_PX, MOSAIC_STEP_PX = 20, 512, 472
OPTIONS = ["TILED=YES", "COMPRESS=DEFLATE", "INTERLEAVE=BAND"]


def inputs(task: str, folder: Path, size_px: int) -> list[Path]:
    """Return the files that a task reads; a file that is not there is made.

    Parameters
    ----------
    task : a name of `tasks.TASKS`.
    folder : where the files are.
    size_px : rows and columns of a scene.
    """
    if task == "dates":
        return [
            _scene(folder / f"date-{size_px}-{number}.tif", size_px, 1, number) for number in range(DATES)
        ]
    if task == "mosaic":
        return _mosaic(folder / "mosaic")
    return [_scene(folder / f"scene-{size_px}.tif", size_px, SCENE_BANDS, 0)]


def _scene(path: Path, size_px: int, bands: int, number: int) -> Path:
    """Write a file that compresses like satellite data: hills and valleys of reflectance, and noise."""
    if not path.exists():
        rng = np.random.default_rng((20240101, number))
        unfinished = path.with_name(f"{path.name}.unfinished")
        target = _create(unfinished, size_px, bands, (SCENE_LEFT_M, SCENE_TOP_M))
        for band in range(1, bands + 1):
            target.GetRasterBand(band).WriteArray(_reflectance(rng, size_px, 400 * band, 900 * band))
        target = None  # GDAL writes the rest of the file when the dataset goes
        unfinished.rename(path)
    return path


def _mosaic(folder: Path) -> list[Path]:
    """Write scenes in rows and columns that overlap; a corner of each is nodata (0)."""
    folder.mkdir(exist_ok=True)
    paths = []
    for number in range(MOSAIC_SIDE**2):
        path = folder / f"{number:03}.tif"
        paths.append(path)
        if path.exists():
            continue
        rng = np.random.default_rng((20240102, number))
        row, col = divmod(number, MOSAIC_SIDE)
        step_m = MOSAIC_STEP_PX * SCENE_RESOLUTION_M
        unfinished = path.with_name(f"{path.name}.unfinished")
        target = _create(
            unfinished, MOSAIC_SCENE_PX, 3, (SCENE_LEFT_M + col * step_m, SCENE_TOP_M - row * step_m)
        )
        corner = np.add.outer(np.arange(MOSAIC_SCENE_PX), np.arange(MOSAIC_SCENE_PX)) < MOSAIC_SCENE_PX // 4
        for band in range(1, 4):
            found = _reflectance(rng, MOSAIC_SCENE_PX, 400 * band, 900 * band)
            found[corner] = 0
            target.GetRasterBand(band).WriteArray(found)
            target.GetRasterBand(band).SetNoDataValue(0)
        target = None
        unfinished.rename(path)
    return paths


def _create(path: Path, size_px: int, bands: int, corner_m: tuple[float, float]) -> Any:
    target = gdal.GetDriverByName("GTiff").Create(
        str(path), size_px, size_px, bands, gdal.GDT_UInt16, OPTIONS
    )
    target.SetGeoTransform((corner_m[0], SCENE_RESOLUTION_M, 0, corner_m[1], 0, -SCENE_RESOLUTION_M))
    projection = osr.SpatialReference()
    projection.SetFromUserInput(SCENE_CRS)
    target.SetProjection(projection.ExportToWkt())
    return target


def _reflectance(rng: np.random.Generator, size_px: int, lowest: int, highest: int) -> NDArray[np.uint16]:
    coarse = gdal.GetDriverByName("MEM").Create("", 80, 80, 1, gdal.GDT_Float32)
    coarse.WriteArray(rng.uniform(lowest, highest, (80, 80)).astype("f4"))
    smooth = gdal.Translate(
        "", coarse, format="MEM", width=size_px, height=size_px, resampleAlg="cubicspline"
    ).ReadAsArray()
    noise = rng.standard_normal(smooth.shape, dtype="f4") * 15
    found: NDArray[np.uint16] = (smooth + noise).astype("u2")
    return found


def warp_bounds_m(scene: Path) -> tuple[float, float, float, float]:
    """Return left, bottom, right and top of a scene on the grid of the task "warp", in whole pixels."""
    warped = gdal.Warp(
        "", str(scene), format="VRT", dstSRS=WARP_CRS, xRes=WARP_RESOLUTION_M, yRes=WARP_RESOLUTION_M
    )
    left, _, _, top, _, _ = (
        round(value / WARP_RESOLUTION_M) * WARP_RESOLUTION_M for value in warped.GetGeoTransform()
    )
    return (
        left,
        top - warped.RasterYSize * WARP_RESOLUTION_M,
        left + warped.RasterXSize * WARP_RESOLUTION_M,
        top,
    )
