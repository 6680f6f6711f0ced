"""A focal function in blocks gives what it gives on the whole image, padded with nodata; and odd inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from osgeo import gdal

from rios_batch import applier
from tests.support import make_raster, ramp, read_raster

if TYPE_CHECKING:
    from pathlib import Path

    from rios_batch.jobspec import Array

ROWS, COLS = 45, 70
NODATA = 7


def smoothed(image: Array, radius: int) -> Array:
    """Return the sum over squares of side 2 x radius + 1, wrapping round at the edges."""
    shifts = range(-radius, radius + 1)
    total = np.zeros(image.shape, np.int64)
    for row in shifts:
        for col in shifts:
            total += np.roll(image, (row, col), (1, 2))
    return total


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> str:
    pixels = ramp(2, ROWS, COLS, "int32")
    return make_raster(tmp_path_factory.mktemp("scene") / "a.tif", pixels, nodata=NODATA)


@settings(max_examples=20)
@given(
    radius=st.integers(0, 4),
    more=st.integers(0, 60),
    window=st.tuples(st.integers(1, 80), st.integers(1, 80)),
    tile=st.tuples(st.integers(1, 80), st.integers(1, 80)),
)
def test_blocks_with_a_margin_are_parts_of_the_padded_whole(
    scene: str, radius: int, more: int, window: tuple[int, int], tile: tuple[int, int]
) -> None:
    overlap = radius + more
    padded = np.pad(
        ramp(2, ROWS, COLS, "int32"), ((0, 0), (radius, radius), (radius, radius)), constant_values=NODATA
    )
    expected = smoothed(padded, radius)[:, radius : radius + ROWS, radius : radius + COLS]
    whole = np.zeros_like(expected)

    def smooth(info: Any, inputs: Any, _outputs: Any) -> None:
        cols, rows = info.getBlockSize()
        row, col = info.yblock * window[1], info.xblock * window[0]
        result = smoothed(inputs.a, radius)
        whole[:, row : row + rows, col : col + cols] = result[
            :, overlap : overlap + rows, overlap : overlap + cols
        ]

    controls = applier.ApplierControls()
    controls.setWindowSize(*window)
    controls.setTileSize(*tile)
    controls.setOverlap(overlap)
    infiles = applier.FilenameAssociations(a=scene)
    applier.apply(smooth, infiles, applier.FilenameAssociations(), controls=controls)

    np.testing.assert_array_equal(whole, expected)


def copied(path: Any, folder: Path, **inputs: Any) -> Array:
    """Copy the input ``a`` through a function with default settings; return what is in the file."""

    def copy(_info: Any, inputs: Any, outputs: Any) -> None:
        outputs.copy = inputs.a

    infiles = applier.FilenameAssociations(a=path, **inputs)
    applier.apply(copy, infiles, applier.FilenameAssociations(copy=folder / "copy.tif"))
    return read_raster(folder / "copy.tif")


@pytest.mark.parametrize("shape", [(1, 1, 1), (100, 3, 5), (1, 1, 300), (1, 300, 1)])
def test_rasters_of_odd_shapes(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    pixels = ramp(*shape)

    np.testing.assert_array_equal(copied(make_raster(tmp_path / "a.tif", pixels), tmp_path), pixels)


def test_a_raster_of_70_000_columns(tmp_path: Path) -> None:
    strip = ramp(1, 2, 7000)
    path = make_raster(tmp_path / "strip.tif", strip)
    wide = gdal.Translate(str(tmp_path / "wide.vrt"), path, format="VRT", width=70_000, height=2)
    del wide

    np.testing.assert_array_equal(copied(tmp_path / "wide.vrt", tmp_path), np.repeat(strip, 10, 2))


@pytest.mark.parametrize(("dtype", "nodata"), [("float32", np.nan), ("float64", np.inf), ("int16", -5)])
def test_an_image_of_nothing_but_nodata(tmp_path: Path, dtype: str, nodata: float) -> None:
    pixels = np.full((1, 5, 6), nodata, dtype)

    copy = copied(make_raster(tmp_path / "a.tif", pixels, nodata=nodata), tmp_path)

    np.testing.assert_array_equal(copy, pixels)
