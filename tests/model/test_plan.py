from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rios_batch.errors import ParameterError
from rios_batch.model.tiles import BlockGrid, TilePlan
from rios_batch.plan.tiling import (
    LARGEST_TIFF_BLOCK_PX,
    LARGEST_TILE_PX,
    LARGEST_UNIT_PX,
    SMALLEST_TIFF_BLOCK_PX,
    SMALLEST_TILE_PX,
    TARGET_TILE_BYTES,
    TARGET_TILE_PX,
    blocks_per_unit,
    plan_tiles,
    tiff_block_for,
)

block_grids = st.builds(
    BlockGrid, st.integers(1, 3000), st.integers(1, 3000), st.integers(64, 700), st.integers(64, 700)
)
units = st.integers(1, 5)
workers = st.integers(1, 40)
tile_sizes = st.none() | st.tuples(st.integers(1, 4000), st.integers(1, 4000))


@st.composite
def plans(draw: st.DrawFn) -> tuple[TilePlan, int, int]:
    """Return a plan and the unit, in blocks, that it was asked to keep."""
    unit_x, unit_y = draw(units), draw(units)
    plan = plan_tiles(
        draw(block_grids),
        unit_xblocks=unit_x,
        unit_yblocks=unit_y,
        num_workers=draw(workers),
        tile_size_px=draw(tile_sizes),
    )
    return plan, unit_x, unit_y


@given(plans())
def test_tiles_cover_every_block_exactly_once(case: tuple[TilePlan, int, int]) -> None:
    plan, _, _ = case
    seen = [block for tile in plan for block in tile.blocks()]

    grid = plan.blocks
    assert len(seen) == grid.nblocks_x * grid.nblocks_y
    assert set(seen) == {(x, y) for y in range(grid.nblocks_y) for x in range(grid.nblocks_x)}


@given(plans())
def test_a_tiles_window_is_that_of_its_blocks(case: tuple[TilePlan, int, int]) -> None:
    plan, _, _ = case
    for tile in plan:
        windows = [plan.blocks.window(x, y) for x, y in tile.blocks()]
        assert tile.window.col == min(w.col for w in windows)
        assert tile.window.row == min(w.row for w in windows)
        assert tile.window.end_col == max(w.end_col for w in windows)
        assert tile.window.end_row == max(w.end_row for w in windows)
        assert tile.window.size_px == sum(w.size_px for w in windows)


@given(plans())
def test_tiles_start_at_multiples_of_the_unit(case: tuple[TilePlan, int, int]) -> None:
    plan, unit_x, unit_y = case
    for tile in plan:
        assert tile.xblocks.start % unit_x == 0
        assert tile.yblocks.start % unit_y == 0


@given(plans())
def test_tiles_are_numbered_in_order_row_by_row(case: tuple[TilePlan, int, int]) -> None:
    plan, _, _ = case
    tiles = list(plan)

    assert [tile.index for tile in tiles] == list(range(len(plan)))
    assert [plan.tile(tile.index) for tile in tiles] == tiles
    corners = [(tile.window.row, tile.window.col) for tile in tiles]
    assert corners == sorted(corners)


@given(block_grids, units, units)
def test_with_one_worker_blocks_come_row_by_row_unless_units_forbid_it(
    blocks: BlockGrid, unit_x: int, unit_y: int
) -> None:
    plan = plan_tiles(blocks, unit_xblocks=unit_x, unit_yblocks=unit_y, num_workers=1)
    order = [(y, x) for tile in plan for x, y in tile.blocks()]

    assert order == sorted(order)


@pytest.mark.parametrize("unit_yblocks", [1, 2])
def test_one_worker_keeps_the_order_even_where_a_row_of_blocks_is_larger_than_a_tile_may_be(
    unit_yblocks: int,
) -> None:
    blocks = BlockGrid(1_000_000, 1000, 256, 256)

    plan = plan_tiles(blocks, unit_yblocks=unit_yblocks)

    order = [(y, x) for tile in plan for x, y in tile.blocks()]
    assert order == sorted(order)
    if unit_yblocks == 1:  # a tile is a part of one row of blocks
        assert plan.ntiles_x > 1
        assert max(tile.window.size_px for tile in plan) <= LARGEST_TILE_PX
    else:  # a part of two rows would change the order, so it is not cut
        assert plan.ntiles_x == 1


@given(block_grids, st.integers(2, 40))
def test_there_are_several_tiles_for_every_worker_where_there_are_blocks_enough(
    blocks: BlockGrid, num_workers: int
) -> None:
    plan = plan_tiles(blocks, num_workers=num_workers)

    nblocks = blocks.nblocks_x * blocks.nblocks_y
    assert len(plan) >= min(nblocks, num_workers) / 2  # cutting whole blocks rounds


@given(st.integers(1, 300_000), st.integers(64, 4000), st.integers(64, 4000), st.integers(1, 40))
def test_tiles_stay_within_memory_however_wide_the_raster_is(
    ncols: int, window_xsize: int, window_ysize: int, num_workers: int
) -> None:
    blocks = BlockGrid(ncols, 5000, window_xsize, window_ysize)

    plan = plan_tiles(blocks, num_workers=num_workers)

    one_block_more = blocks.window(0, 0).size_px  # tiles are whole blocks
    assert max(tile.window.size_px for tile in plan) <= LARGEST_TILE_PX + one_block_more


@given(block_grids, units, units, st.integers(1, 4000), st.integers(1, 4000))
def test_a_wanted_tile_size_is_rounded_up_to_whole_units(
    blocks: BlockGrid, unit_x: int, unit_y: int, width: int, height: int
) -> None:
    plan = plan_tiles(blocks, unit_xblocks=unit_x, unit_yblocks=unit_y, tile_size_px=(width, height))

    unit_width, unit_height = unit_x * blocks.window_xsize, unit_y * blocks.window_ysize
    first = plan.tile(0).window
    assert first.width == min(math.ceil(width / unit_width) * unit_width, blocks.ncols)
    assert first.height == min(math.ceil(height / unit_height) * unit_height, blocks.nrows)


@pytest.mark.parametrize("size", [(0, 10), (10, 0), (-1, 10)])
def test_a_tile_size_that_is_not_positive_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ParameterError, match=rf"at least 1 x 1 pixels, not \({size[0]}, {size[1]}\)"):
        plan_tiles(BlockGrid(100, 100, 10, 10), tile_size_px=size)


@given(block_grids)
def test_blocks_are_clipped_at_the_right_and_bottom_edge_only(blocks: BlockGrid) -> None:
    for y in range(blocks.nblocks_y):
        for x in range(blocks.nblocks_x):
            window = blocks.window(x, y)
            assert (window.col, window.row) == (x * blocks.window_xsize, y * blocks.window_ysize)
            assert window.width == min(blocks.window_xsize, blocks.ncols - window.col) > 0
            assert window.height == min(blocks.window_ysize, blocks.nrows - window.row) > 0


@given(st.integers(1, 2048))  # larger ones are larger than a tile anyway
def test_the_chosen_tiff_block_is_a_legal_side_and_no_other_fits_the_window_better(window_px: int) -> None:
    side = tiff_block_for(window_px)

    legal = range(SMALLEST_TIFF_BLOCK_PX, LARGEST_TIFF_BLOCK_PX + 1, 16)
    assert side in legal
    smallest_unit = min(math.lcm(window_px, other) for other in legal)
    if smallest_unit > LARGEST_UNIT_PX:
        assert side == 256
    else:
        assert math.lcm(window_px, side) <= max(smallest_unit, 2 * window_px, 512)


@pytest.mark.parametrize(
    ("window_px", "side"),
    [(256, 256), (512, 256), (2048, 256), (128, 256), (48, 240), (200, 400), (100, 400), (257, 256)],
)
def test_tiff_block_for_common_windows(window_px: int, side: int) -> None:
    assert tiff_block_for(window_px) == side


@given(block_grids, st.integers(4, 64), st.integers(4, 64))
def test_a_unit_is_whole_tiff_blocks_or_spans_the_raster(blocks: BlockGrid, bx16: int, by16: int) -> None:
    tiff_x, tiff_y = 16 * bx16, 16 * by16
    unit = blocks_per_unit(blocks, tiff_x, tiff_y)
    assume(unit is not None)
    assert unit is not None

    for count, window, total, tiff in (
        (unit[0], blocks.window_xsize, blocks.nblocks_x, tiff_x),
        (unit[1], blocks.window_ysize, blocks.nblocks_y, tiff_y),
    ):
        assert 1 <= count <= total
        assert count * window % tiff == 0 or count == total


@given(block_grids, st.integers(4, 64), st.integers(4, 64))
def test_a_unit_is_refused_only_when_it_is_larger_than_a_tile_should_be(
    blocks: BlockGrid, bx16: int, by16: int
) -> None:
    unit_x, unit_y = math.lcm(blocks.window_xsize, 16 * bx16), math.lcm(blocks.window_ysize, 16 * by16)
    size_px = min(unit_x, blocks.ncols) * min(unit_y, blocks.nrows)

    assert (blocks_per_unit(blocks, 16 * bx16, 16 * by16) is None) == (size_px > TARGET_TILE_PX)


def test_a_window_that_shares_nothing_with_the_tiff_block_has_no_unit_on_a_large_raster() -> None:
    assert blocks_per_unit(BlockGrid(100_000, 100_000, 257, 257), 256, 256) is None
    assert blocks_per_unit(BlockGrid(500, 500, 257, 257), 256, 256) == (2, 2)


@pytest.mark.parametrize("bytes_per_px", [1, 8, 48, 400])
@pytest.mark.parametrize("num_workers", [1, 4, 200])
def test_no_tile_has_more_bytes_than_a_worker_can_hold(bytes_per_px: int, num_workers: int) -> None:
    plan = plan_tiles(BlockGrid(60_000, 50_000, 256, 256), num_workers=num_workers, bytes_per_px=bytes_per_px)

    assert plan.tile(0).window.size_px * bytes_per_px <= TARGET_TILE_BYTES


@pytest.mark.parametrize(("side_px", "num_workers"), [(20_000, 1000), (100_000, 5000)])
def test_very_many_workers_do_not_make_tiles_tiny(side_px: int, num_workers: int) -> None:
    plan = plan_tiles(
        BlockGrid(side_px, side_px, 256, 256), num_workers=num_workers, overview_factors=(4, 8, 16)
    )

    assert plan.tile(0).window.size_px >= 0.5 * SMALLEST_TILE_PX
    assert len(plan) >= 0.5 * min(8 * num_workers, side_px**2 / SMALLEST_TILE_PX)


def test_a_small_raster_is_cut_for_all_of_a_few_workers() -> None:
    assert len(plan_tiles(BlockGrid(3000, 3000, 256, 256), num_workers=16)) >= 4 * 16


def test_of_a_very_large_raster_one_worker_encodes_overviews_too() -> None:
    blocks = BlockGrid(1_000_000, 500_000, 256, 256)

    plan = plan_tiles(blocks, bytes_per_px=1, overview_factors=(4, 8, 16))

    assert (plan.tile_xblocks % 8, plan.tile_yblocks % 8) == (0, 0)  # 16 x 128 px
    assert plan.tile(0).window.size_px <= LARGEST_TILE_PX
