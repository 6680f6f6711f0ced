from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rios_batch.model.grid import PixelGridDefn
from rios_batch.model.spec import InputFile
from rios_batch.model.tiles import BlockGrid
from rios_batch.readerinfo import Coord, ReaderInfo

# 25 columns x 13 rows of 10 x 20 m in windows of 10 x 10: 3 x 2 blocks, cut at the right and the bottom.
GRID = PixelGridDefn((1000.0, 10.0, 0.0, 5000.0, 0.0, -20.0), nrows=13, ncols=25, projection="some WKT")
BLOCKS = BlockGrid(25, 13, 10, 10)
ALL_BLOCKS = [(x, y) for y in range(2) for x in range(3)]
FIRST, LAST = (0, 0), (2, 1)


def open_nothing(file: InputFile) -> None:
    raise AssertionError(file)


def info_for(block: tuple[int, int], overlap_px: int = 0) -> ReaderInfo:
    return ReaderInfo(
        grid=GRID,
        blocks=BLOCKS,
        overlap_px=overlap_px,
        xblock=block[0],
        yblock=block[1],
        arrays={},
        open_file=open_nothing,
    )


@pytest.mark.parametrize("block", ALL_BLOCKS)
@pytest.mark.parametrize("overlap_px", [0, 3])
def test_what_is_the_same_for_every_block(block: tuple[int, int], overlap_px: int) -> None:
    info = info_for(block, overlap_px)

    assert info.getTotalSize() == (info.xsize, info.ysize) == (25, 13)
    assert info.getWindowSize() == (info.windowxsize, info.windowysize) == (10, 10)
    assert info.getTotalBlocks() == (info.xtotalblocks, info.ytotalblocks) == (3, 2)
    assert info.getOverlapSize() == info.overlap == overlap_px
    assert info.getTransform() == (1000.0, 10.0, 0.0, 5000.0, 0.0, -20.0)
    assert info.getProjection() == "some WKT"
    assert info.getPixelSize() == (10.0, 20.0)
    assert info.workingGrid == GRID
    assert info.loggingstream is sys.stdout
    assert info.getBlockCount() == (info.xblock, info.yblock) == block


@pytest.mark.parametrize(
    ("block", "size"),
    [((0, 0), (10, 10)), ((1, 0), (10, 10)), ((2, 0), (5, 10)), ((0, 1), (10, 3)), ((2, 1), (5, 3))],
)
@pytest.mark.parametrize("overlap_px", [0, 3])
def test_block_size_leaves_the_margin_out_and_is_smaller_at_the_edges(
    block: tuple[int, int], size: tuple[int, int], overlap_px: int
) -> None:
    info = info_for(block, overlap_px)

    assert info.getBlockSize() == (info.blockwidth, info.blockheight) == size


@pytest.mark.parametrize("overlap_px", [0, 3])
def test_corners_are_those_of_the_block_without_margin(overlap_px: int) -> None:
    first, last = info_for(FIRST, overlap_px), info_for(LAST, overlap_px)

    assert (first.blocktl, first.blockbr) == (Coord(1000.0, 5000.0), Coord(1100.0, 4800.0))
    assert (last.blocktl, last.blockbr) == (Coord(1200.0, 4800.0), Coord(1250.0, 4740.0))


def test_first_and_last_are_the_corner_blocks_only() -> None:
    assert [block for block in ALL_BLOCKS if info_for(block).isFirstBlock()] == [FIRST]
    assert [block for block in ALL_BLOCKS if info_for(block).isLastBlock()] == [LAST]


def test_percent_counts_blocks_before_this_one_rounded_down() -> None:
    assert [info_for(block).getPercent() for block in ALL_BLOCKS] == [0, 16, 33, 50, 66, 83]


@pytest.mark.parametrize("block", ALL_BLOCKS)
@pytest.mark.parametrize("overlap_px", [0, 3])
def test_coordinates_are_pixel_centres_and_include_the_margin(
    block: tuple[int, int], overlap_px: int
) -> None:
    info = info_for(block, overlap_px)
    width, height = info.getBlockSize()

    x, y = info.getBlockCoordArrays()

    assert x.shape == y.shape == (height + 2 * overlap_px, width + 2 * overlap_px)
    inner_x = x[overlap_px : overlap_px + height, overlap_px : overlap_px + width]
    inner_y = y[overlap_px : overlap_px + height, overlap_px : overlap_px + width]
    assert inner_x[0, 0] == info.blocktl.x + 5
    assert inner_y[0, 0] == info.blocktl.y - 10
    assert inner_x[-1, -1] == info.blockbr.x - 5
    assert inner_y[-1, -1] == info.blockbr.y + 10
    assert np.allclose(np.diff(x, axis=1), 10)
    assert np.allclose(np.diff(y, axis=0), -20)
    assert np.all(x == x[0])
    assert np.all(y == y[:, :1])


@given(st.sampled_from(ALL_BLOCKS), st.integers(0, 4), st.data())
def test_the_position_of_a_pixel_centre_is_the_pixel(
    block: tuple[int, int], overlap_px: int, data: st.DataObject
) -> None:
    info = info_for(block, overlap_px)
    x, y = info.getBlockCoordArrays()
    row, col = data.draw(st.integers(0, x.shape[0] - 1)), data.draw(st.integers(0, x.shape[1] - 1))

    assert info.getPixRowColBlock(x[row, col], y[row, col]) == (row, col)


@given(st.sampled_from(ALL_BLOCKS), st.integers(0, 4), st.floats(900, 1400), st.floats(4600, 5100))
def test_a_point_outside_the_arrays_has_no_position(
    block: tuple[int, int], overlap_px: int, x: float, y: float
) -> None:
    info = info_for(block, overlap_px)
    left, right = info.blocktl.x - 10 * overlap_px, info.blockbr.x + 10 * overlap_px
    top, bottom = info.blocktl.y + 20 * overlap_px, info.blockbr.y - 20 * overlap_px

    inside = left <= x < right and bottom < y <= top

    assert (info.getPixRowColBlock(x, y) != (None, None)) == inside


@pytest.mark.parametrize("overlap_px", [0, 3])
def test_positions_in_the_array_lead_to_columns_and_rows_of_the_grid(overlap_px: int) -> None:
    info = info_for((1, 1), overlap_px)

    assert info.getPixColRow(0, 0) == (10 - overlap_px, 10 - overlap_px)
    assert info.getPixColRow(overlap_px + 4, overlap_px + 2) == (14, 12)


def input_file(path: str, dtype: str, *nodata: float | None) -> InputFile:
    layers = tuple(range(1, len(nodata) + 1))
    names = tuple(f"{path} {layer}" for layer in layers)
    return InputFile(path, f"/elsewhere/{path}", 0, 0, 25, 13, dtype, layers, nodata, layer_names=names)


def test_an_array_is_known_by_its_identity() -> None:
    one, two = np.zeros((1, 10, 10), np.uint8), np.zeros((2, 10, 10), np.int16)
    arrays = {
        id(one): input_file("one.tif", "uint8", 7.0),
        id(two): input_file("two.tif", "int16", None, -9999.0),
    }
    info = ReaderInfo(
        grid=GRID, blocks=BLOCKS, overlap_px=0, xblock=0, yblock=0, arrays=arrays, open_file=open_nothing
    )

    assert info.getFilenameFor(one) == "one.tif"
    assert info.getFilenameFor(two) == "two.tif"
    assert info.getNoDataValueFor(one) == 7
    assert info.getNoDataValueFor(one).dtype == np.uint8
    assert info.getNoDataValueFor(two) is None
    assert info.getNoDataValueFor(two, band=2) == -9999
    assert info.getNoDataValueFor(two, 2).dtype == np.int16
    assert info.getLayerNamesFor(one) == ["one.tif 1"]
    assert info.getLayerNamesFor(two) == ["two.tif 1", "two.tif 2"]


@pytest.mark.parametrize("method", ["getFilenameFor", "getNoDataValueFor", "getLayerNamesFor"])
def test_a_copy_or_part_of_an_array_is_refused_with_the_reason(method: str) -> None:
    array = np.zeros((1, 10, 10), np.uint8)
    arrays = {id(array): input_file("one.tif", "uint8", None)}
    info = ReaderInfo(
        grid=GRID, blocks=BLOCKS, overlap_px=0, xblock=0, yblock=0, arrays=arrays, open_file=open_nothing
    )

    for other in (array.copy(), array[:1]):
        with pytest.raises(KeyError, match="pass the very object from inputs"):
            getattr(info, method)(other)


def test_a_misspelt_method_is_an_ordinary_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'ReaderInfo' object has no attribute 'getBlocksize'"):
        info_for(FIRST).getBlocksize()  # type: ignore[attr-defined]
