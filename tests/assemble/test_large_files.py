"""The index of a very large GeoTIFF is made without several times its size in memory."""

from __future__ import annotations

import mmap
import tracemalloc
from typing import TYPE_CHECKING

import numpy as np
import pytest
from osgeo import gdal

from rios_batch.assemble import blockindex
from rios_batch.assemble.blockindex import BlockIndex
from rios_batch.encode import coarseoverviews
from rios_batch.encode.coarseoverviews import CoarseOverviews
from rios_batch.model.encodedblocks import EncodedBlocks
from rios_batch.model.grid import PixelGridDefn, PixelWindow
from rios_batch.model.pyramid import Pyramid
from rios_batch.model.spec import Layout, OutputSpec
from rios_batch.model.tiles import Tile
from tests.support import output_spec

if TYPE_CHECKING:
    from pathlib import Path

OPTIONS = ("TILED=YES", "INTERLEAVE=BAND", "COMPRESS=DEFLATE", "BLOCKXSIZE=256", "BLOCKYSIZE=256")


def spec_of(*options: str) -> OutputSpec:
    return output_spec(
        *OPTIONS,
        *options,
        nodata=7,
        thematic=True,
        layer_names=("one",),
        pyramid=Pyramid((4, 8), "NEAREST"),
        colour_table="rainbow",
    )


def grid_of(ncols: int, nrows: int) -> PixelGridDefn:
    return PixelGridDefn(
        xMin=500_000.1,
        xMax=500_000.1 + ncols * 30,
        yMin=0.3,
        yMax=0.3 + nrows * 30,
        xRes=30,
        yRes=30,
        projection="",
    )


@pytest.mark.parametrize("big", ["YES", "NO", "IF_SAFER", "IF_NEEDED"])
def test_the_front_of_a_large_file_is_what_gdal_would_make(big: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fronts = []
    for large_px in (blockindex._LARGE_PX, 0):
        monkeypatch.setattr(blockindex, "_LARGE_PX", large_px)
        index = BlockIndex(spec_of(f"BIGTIFF={big}"), grid_of(300_000, 270_000 // 32), Layout("uint8", 1))
        fronts.append(index.front(())[0])

    assert len(set(map(len, fronts))) == 1
    # Sizes of less than 65,536 have two bytes from GDAL, and four here; both are right.
    gdal.FileFromMemBuffer("/vsimem/front.tif", fronts[1])
    dataset = gdal.Open("/vsimem/front.tif")
    assert (dataset.RasterXSize, dataset.RasterYSize) == (300_000, 270_000 // 32)
    gdal.FileFromMemBuffer("/vsimem/front0.tif", fronts[0])
    expected = gdal.Open("/vsimem/front0.tif")
    assert gdal.Info(dataset, format="json")["bands"] == gdal.Info(expected, format="json")["bands"]
    assert dataset.GetGeoTransform() == expected.GetGeoTransform()
    differing = np.flatnonzero(np.frombuffer(fronts[0], "u1") != np.frombuffer(fronts[1], "u1"))
    assert len(differing) <= 3 * 2  # the types of three heights and widths of an overview
    del dataset, expected
    gdal.Unlink("/vsimem/front.tif")
    gdal.Unlink("/vsimem/front0.tif")


def test_making_the_front_holds_little_more_than_the_index_and_the_front() -> None:
    grid = grid_of(800_000, 200_000)
    tracemalloc.start()
    try:
        index = BlockIndex(spec_of("BIGTIFF=YES"), grid, Layout("uint8", 1))
        at_start = tracemalloc.get_traced_memory()[1]
        front, _ = index.front(())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert len(front) > 30e6
    assert at_start < 1.3 * len(front)  # 13 bytes for each block, of which the file has 12
    assert peak < 2.3 * len(front)


def test_scratch_files_of_overviews_are_let_go_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    let_go = []

    class Map(mmap.mmap):
        def madvise(self, option: int, *_: int) -> None:
            let_go.append(option)
            super().madvise(option)

    monkeypatch.setattr("rios_batch.encode.coarseoverviews.mmap.mmap", Map)
    monkeypatch.setattr(coarseoverviews, "_MOST_TOUCHED_BYTES", 100_000)
    spec, pixels = spec_of(), np.random.default_rng(1).integers(0, 250, (1, 1024, 1024)).astype("u1")
    assert spec.pyramid is not None
    overviews = CoarseOverviews(spec, spec.pyramid, 4, (4, 8), (1, 4096, 4096), "uint8", tmp_path)
    for row in range(0, 1024, 128):
        overviews.add(PixelWindow(0, row * 4, 4096, 512), pixels[:, row : row + 128])
    parts = list(overviews.overviews())

    assert len(let_go) >= 1024 * 1024 // 300_000
    np.testing.assert_array_equal(parts[1].pixels, pixels)
    np.testing.assert_array_equal(parts[0].pixels, pixels[:, ::2, ::2])


def test_blocks_of_a_large_file_find_their_places() -> None:
    index = BlockIndex(spec_of("BIGTIFF=YES"), grid_of(300_000, 300_000), Layout("uint8", 1))
    blocks = EncodedBlocks(np.zeros(12, np.uint8), np.array([4, 8], np.uint64))
    tile = Tile(0, range(2), range(1), PixelWindow(299_776 - 256, 299_776, 480, 224))

    index.place_tile(tile, blocks, 10**12)
    front, _ = index.front(())

    gdal.FileFromMemBuffer("/vsimem/large.tif", front)
    dataset = gdal.Open("/vsimem/large.tif")
    band = dataset.GetRasterBand(1)
    last = (
        band.GetMetadataItem("BLOCK_OFFSET_1171_1171", "TIFF"),
        band.GetMetadataItem("BLOCK_SIZE_1171_1171", "TIFF"),
    )
    del band, dataset
    gdal.Unlink("/vsimem/large.tif")
    assert last == (str(10**12 + 4), "8")
