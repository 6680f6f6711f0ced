"""What the peers of field.py compute: functions of numpy arrays only, the same for every peer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[Any]


def light(scene: Array) -> Array:
    """Return NDVI of two bands, as float32."""
    red, nir = scene.astype("f4")
    found: Array = ((nir - red) / (nir + red))[None]
    return found


def medium(scene: Array) -> Array:
    """Return three masked indices of six bands, as int16."""
    blue, green, red, nir, swir, other = scene.astype("f4")
    pairs = ((nir, red), (green, nir), (nir, swir))
    found: Array = np.stack([10_000 * (a - b) / (a + b) for a, b in pairs]).astype("i2")
    found[:, (blue > 3 * green) | (other < blue)] = -32_768
    return found


def heavy(scene: Array) -> Array:
    """Return the median of 3 x 3 pixels of one band, without the margin of one pixel, as uint16."""
    rows, cols = scene.shape[1] - 2, scene.shape[2] - 2
    shifted = [scene[:, row : row + rows, col : col + cols] for row in range(3) for col in range(3)]
    found: Array = np.partition(np.stack(shifted), 4, axis=0)[4]
    return found


def dates(images: Array) -> Array:
    """Return the median of (dates, bands, rows, cols), as uint16."""
    found: Array = np.median(images, axis=0).astype("u2")
    return found


def same(scene: Array) -> Array:
    """Return what was read."""
    return scene


@dataclass(frozen=True)
class Task:
    """A function, the bands that it gets, its margin in pixels, and the output's bands and type."""

    function: Callable[[Array], Array]
    bands: tuple[int, ...]
    margin_px: int
    nbands: int
    dtype: str


TASKS = {
    "light": Task(light, (3, 4), 0, 1, "float32"),
    "medium": Task(medium, (1, 2, 3, 4, 5, 6), 0, 3, "int16"),
    "heavy": Task(heavy, (4,), 1, 1, "uint16"),
    "dates": Task(dates, (1,), 0, 1, "uint16"),
    "mosaic": Task(same, (1, 2, 3), 0, 3, "uint16"),
    "warp": Task(same, (4,), 0, 1, "uint16"),
}
# Bounds in metres and pixel size of the grid onto which "warp" brings the scene, in Australian Albers.
WARP_CRS, WARP_RESOLUTION_M = "EPSG:3577", 30.0
SCENE_CRS, SCENE_LEFT_M, SCENE_TOP_M, SCENE_RESOLUTION_M = "EPSG:32755", 500_000.0, 6_200_000.0, 30.0
