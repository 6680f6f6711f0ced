"""Choosing the tiles of a run, and the TIFF blocks of its outputs. Arithmetic only.

Where tiles are encoded by workers, tiles are whole blocks of the user function and also whole blocks of the output
TIFF, so that no TIFF block is shared by two workers.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rios_batch.errors import ParameterError
from rios_batch.model.pyramid import OVERVIEW_BLOCK_PX
from rios_batch.model.tiles import TilePlan

if TYPE_CHECKING:
    from collections.abc import Collection

    from rios_batch.model.tiles import BlockGrid

TIFF_BLOCK_MULTIPLE_PX = 16  # TIFF 6.0, section 15: TileWidth and TileLength are multiples of 16
PREFERRED_TIFF_BLOCK_PX = 256  # GDAL's own default
SMALLEST_TIFF_BLOCK_PX, LARGEST_TIFF_BLOCK_PX = 64, 1024  # smaller wastes index, larger wastes partial reads

LARGEST_UNIT_PX = 4096  # a tile side beyond which alignment is not worth having

# A tile of about 4 Mpx takes seconds, so losing one costs little and progress moves, while the cost of
# handing it out (well under a millisecond) does not show. A tile with many bands is smaller, so that what a
# worker holds stays in memory; and where full rows are wide, a tile may be four times the target, in the same memory.
TARGET_TILE_PX = 4 * 1024 * 1024
TARGET_TILE_BYTES = 256 * 1024 * 1024
LARGEST_TILE_PX = 4 * TARGET_TILE_PX
TILES_PER_WORKER = 8  # so that the last tile's worker does not keep the others waiting for long
# Main takes in a tile in about a millisecond. So many tiles are no matter; where hundreds of workers want more, tiles
# are not made smaller than this.
FEW_TILES, SMALLEST_TILE_PX = 256, 1024 * 1024
# With one worker main makes all overviews, of a sixteenth of the pixels, unless these fill a disk.
MOST_SCRATCH_BYTES = 2 * 1024**3


def tiff_block_for(window_px: int) -> int:
    """Choose a TIFF block side for a window side: near 256, and such that a small tile is whole blocks.

    A tile must be whole windows and whole TIFF blocks, so at least their least common multiple wide. Up
    to two windows or 512 px that costs nothing; beyond, the smallest multiple wins. Windows of 256 and 2048
    give 256, 200 gives 400, 48 gives 240. Where nothing of a sensible size fits (257) it is 256, and the
    caller finds that tiles cannot be aligned.
    """
    free_px = min(max(2 * window_px, 2 * PREFERRED_TIFF_BLOCK_PX), LARGEST_UNIT_PX)

    def cost(side_px: int) -> tuple[int, int]:
        return max(math.lcm(window_px, side_px), free_px), abs(side_px - PREFERRED_TIFF_BLOCK_PX)

    sides = range(SMALLEST_TIFF_BLOCK_PX, LARGEST_TIFF_BLOCK_PX + 1, TIFF_BLOCK_MULTIPLE_PX)
    best = min(sides, key=cost)
    return best if math.lcm(window_px, best) <= LARGEST_UNIT_PX else PREFERRED_TIFF_BLOCK_PX


def blocks_per_unit(
    blocks: BlockGrid, tiff_block_xsize: int, tiff_block_ysize: int
) -> tuple[int, int] | None:
    """Return the smallest tile, in blocks, that is also whole TIFF blocks; None if it is not sensible.

    An axis where the unit reaches past the raster's edge needs no alignment: one tile spans it.
    """
    unit_x = math.lcm(blocks.window_xsize, tiff_block_xsize)
    unit_y = math.lcm(blocks.window_ysize, tiff_block_ysize)
    if min(unit_x, blocks.ncols) * min(unit_y, blocks.nrows) > TARGET_TILE_PX:
        return None
    return (
        min(unit_x // blocks.window_xsize, blocks.nblocks_x),
        min(unit_y // blocks.window_ysize, blocks.nblocks_y),
    )


def plan_tiles(
    blocks: BlockGrid,
    *,
    unit_xblocks: int = 1,
    unit_yblocks: int = 1,
    num_workers: int = 1,
    bytes_per_px: int = 8,
    tile_size_px: tuple[int, int] | None = None,
    overview_factors: Collection[int] = (),
) -> TilePlan:
    """Group blocks into tiles.

    By default a tile spans the whole width: files are read and written in order, and with one worker
    blocks come row by row, as in RIOS. Tiles are cut in x too where a full-width tile would be too large,
    or where there would be fewer tiles than keep all workers busy.

    Parameters
    ----------
    unit_xblocks, unit_yblocks : tiles are multiples of this many blocks.
    num_workers : with 1 the row-by-row order of blocks is kept whatever the width.
    bytes_per_px : what a pixel takes with all its bands, as far as it is known before the run.
    tile_size_px : ``(width, height)`` wanted, in pixels; rounded up to whole units.
    overview_factors : how many times smaller overviews are that can be encoded with tiles. Tiles are whole blocks of as
        many of them as leaves several tiles for each worker; with one worker it does not matter who encodes them,
        unless the raster is very large.

    Raises
    ------
    ParameterError : ``tile_size_px`` is not positive.
    """
    target_px = min(TARGET_TILE_PX, TARGET_TILE_BYTES // bytes_per_px)
    largest_px = min(LARGEST_TILE_PX, TARGET_TILE_BYTES // bytes_per_px)
    raster_px = blocks.ncols * blocks.nrows
    wanted_tiles = min(TILES_PER_WORKER * num_workers, max(FEW_TILES, raster_px // SMALLEST_TILE_PX))
    any_order = num_workers > 1 or (
        bool(overview_factors) and raster_px * bytes_per_px // 16 > MOST_SCRATCH_BYTES
    )
    if any_order:
        unit_xblocks, unit_yblocks = _unit_with_overviews(
            blocks, (unit_xblocks, unit_yblocks), overview_factors, wanted_tiles, target_px, tile_size_px
        )
    nx_units, ny_units = -(-blocks.nblocks_x // unit_xblocks), -(-blocks.nblocks_y // unit_yblocks)
    unit_width, unit_height = unit_xblocks * blocks.window_xsize, unit_yblocks * blocks.window_ysize
    if tile_size_px is not None:
        if min(tile_size_px) < 1:
            raise ParameterError(f"a tile size must be at least 1 x 1 pixels, not {tile_size_px}")
        x_units = min(-(-tile_size_px[0] // unit_width), nx_units)
        y_units = min(-(-tile_size_px[1] // unit_height), ny_units)
        return TilePlan(blocks, x_units * unit_xblocks, y_units * unit_yblocks)

    row_px = min(unit_height, blocks.nrows) * blocks.ncols
    y_units = max(1, min(target_px // row_px, ny_units // wanted_tiles))
    x_units = nx_units
    order_kept = unit_yblocks == 1 and y_units == 1  # one row of blocks, cut in x, is still row by row
    if any_order or order_kept:
        too_wide = -(-row_px * y_units // largest_px)
        too_few = -(-wanted_tiles // -(-ny_units // y_units)) if num_workers > 1 else 1
        fitting = max(1, largest_px // (y_units * min(unit_height, blocks.nrows) * unit_width))
        # Rounded down: rounded up, 18 units for 17 columns would make 9 of them, and half of the tiles that are wanted.
        x_units = min(nx_units // min(nx_units, max(too_wide, too_few)), fitting)
    return TilePlan(blocks, x_units * unit_xblocks, y_units * unit_yblocks)


def _unit_with_overviews(
    blocks: BlockGrid,
    unit: tuple[int, int],
    factors: Collection[int],
    wanted_tiles: int,
    most_px: int,
    tile_size_px: tuple[int, int] | None,
) -> tuple[int, int]:
    """Return the smallest tile, in blocks, that is whole TIFF blocks of the coarsest overview that it has room for."""
    windows, nblocks = (blocks.window_xsize, blocks.window_ysize), (blocks.nblocks_x, blocks.nblocks_y)
    for factor in sorted(factors, reverse=True):
        sides = [
            math.lcm(n * window, factor * OVERVIEW_BLOCK_PX) // window
            for n, window in zip(unit, windows, strict=True)
        ]
        xblocks, yblocks = (min(side, n) for side, n in zip(sides, nblocks, strict=True))
        if tile_size_px is not None:
            wanted = (-(-size // window) for size, window in zip(tile_size_px, windows, strict=True))
            fits = all(side <= want for side, want in zip((xblocks, yblocks), wanted, strict=True))
        else:
            ntiles = -(-blocks.nblocks_x // xblocks) * -(-blocks.nblocks_y // yblocks)
            fits = ntiles >= wanted_tiles
            fits &= xblocks * windows[0] * yblocks * windows[1] <= most_px
        if fits:
            return xblocks, yblocks
    return unit
