"""How much of its inputs a worker keeps: no block is read twice in a tile, and a mosaic of many scenes needs little."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rios_batch import applier
from rios_batch.gdalapi import gdal_exceptions
from rios_batch.plan.prepare import prepare
from tests.support import make_raster, ramp

if TYPE_CHECKING:
    from pathlib import Path

EAST, NORTH, PIXEL_M, SIDE_PX = 500_000, 4_400_000, 10, 64


def cache_bytes(scenes: list[str], window_px: int, *, overlap_px: int = 0) -> int:
    controls = applier.ApplierControls()
    controls.setWindowSize(window_px, window_px)
    controls.setTileSize(2 * window_px, 2 * window_px)
    controls.setOverlap(overlap_px)
    controls.setFootprintType(applier.UNION)

    def nothing(_info: Any, _inputs: Any, _outputs: Any) -> None: ...

    with gdal_exceptions():
        return prepare(
            nothing,
            applier.FilenameAssociations(scenes=scenes),
            applier.FilenameAssociations(),
            controls,
            takes_other_args=False,
            num_workers=1,
        ).input_cache_bytes


@pytest.fixture
def row(tmp_path: Path) -> list[str]:
    """Return scenes side by side, in one strip each."""
    paths = [str(tmp_path / f"{number}.tif") for number in range(12)]
    for number, path in enumerate(paths):
        make_raster(path, ramp(1, SIDE_PX, SIDE_PX), origin=(EAST + number * SIDE_PX * PIXEL_M, NORTH))
    return paths


def test_of_scenes_side_by_side_those_of_one_tile_are_kept(row: list[str]) -> None:
    whole = SIDE_PX * SIDE_PX * 2

    assert cache_bytes(row, 40) == 2 * whole  # tiles of 80 px begin at multiples of 16 px within a scene
    assert cache_bytes(row[:1], 40) == whole
    assert cache_bytes(row, 32, overlap_px=4) == 3 * whole  # a scene, and its neighbours' margins


def test_scenes_that_cover_everything_are_all_kept(tmp_path: Path) -> None:
    scenes = [make_raster(tmp_path / f"{number}.tif", ramp(1, SIDE_PX, SIDE_PX)) for number in range(5)]

    assert cache_bytes(scenes, 40) == 5 * SIDE_PX * SIDE_PX * 2


def test_nothing_is_kept_where_windows_are_whole_blocks(tmp_path: Path) -> None:
    scene = make_raster(
        tmp_path / "scene.tif", ramp(1, 128, 128), options=["TILED=YES", "BLOCKXSIZE=64", "BLOCKYSIZE=64"]
    )

    assert cache_bytes([scene], 64) == 0
    assert cache_bytes([scene], 48) > 0
