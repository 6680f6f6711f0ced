"""A focal function in blocks gives what it gives on the whole image, padded with nodata."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rios_batch import applier
from tests.support import make_raster, ramp, read_raster

if TYPE_CHECKING:
    from rios_batch.model.spec import Array

ROWS, COLS = 23, 36  # small, since windows of one pixel are among those tried
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
    radius=st.integers(0, 2),
    more=st.integers(0, 40),
    window=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    tile=st.tuples(st.integers(1, 40), st.integers(1, 40)),
)
def test_blocks_with_a_margin_are_parts_of_the_padded_whole(
    scene: str, radius: int, more: int, window: tuple[int, int], tile: tuple[int, int]
) -> None:
    padded = np.pad(
        ramp(2, ROWS, COLS, "int32"), ((0, 0), (radius, radius), (radius, radius)), constant_values=NODATA
    )
    expected = smoothed(padded, radius)[:, radius : radius + ROWS, radius : radius + COLS]

    def smooth(_info: Any, inputs: Any, outputs: Any) -> None:
        outputs.smooth = smoothed(inputs.a, radius)

    controls = applier.ApplierControls()
    controls.setWindowSize(*window)
    controls.setTileSize(*tile)
    controls.setOverlap(radius + more)
    infiles, outfiles = applier.FilenameAssociations(a=scene), applier.FilenameAssociations()
    outfiles.smooth = Path(scene).with_name("smooth.tif")
    applier.apply(smooth, infiles, outfiles, controls=controls)

    np.testing.assert_array_equal(read_raster(outfiles.smooth), expected)
