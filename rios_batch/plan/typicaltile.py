"""Choosing the tile that stands for all others: whole, with data, and near the middle of the raster."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np

from rios_batch.gdalapi import nodata_or_none
from rios_batch.read.sources import BlockReader

if TYPE_CHECKING:
    from rios_batch.associations import BlockAssociations
    from rios_batch.model.spec import RunSpec
    from rios_batch.model.tiles import Tile, TilePlan

_ENOUGH = 0.9  # of a block's pixels have data: no better tile is looked for


def typical_tile(spec: RunSpec) -> Tile:
    """Return the tile whose middle block has the most data, of nine that are spread over the raster.

    Raises
    ------
    FileOpenError : an input cannot be read.
    """
    best, most = None, -1.0
    with contextlib.closing(BlockReader(spec)) as reader:
        for tile in _spread(spec.plan):
            xblock, yblock = (blocks[len(blocks) // 2] for blocks in (tile.xblocks, tile.yblocks))
            inputs, _ = reader.read(spec.plan.blocks.window(xblock, yblock))
            share = _share_with_data(spec, inputs)
            if share > most:
                best, most = tile, share
            if share >= _ENOUGH:
                break
    assert best is not None  # a plan has a tile
    return best


def _spread(plan: TilePlan) -> list[Tile]:
    """Return up to nine tiles; those that the raster's edge cuts last, those near the middle first."""
    rows, cols = (dict.fromkeys((n // 2, n // 6, 5 * n // 6)) for n in (plan.ntiles_y, plan.ntiles_x))
    places = sorted(
        ((row, col) for row in rows for col in cols),
        key=lambda place: abs(place[0] - plan.ntiles_y / 2) + abs(place[1] - plan.ntiles_x / 2),
    )
    tiles = [plan.tile(row * plan.ntiles_x + col) for row, col in places]
    return sorted(tiles, key=lambda tile: -tile.window.size_px)


def _share_with_data(spec: RunSpec, inputs: BlockAssociations) -> float:
    """Return which share of a block's pixels have data, over all inputs; 1 without inputs."""
    shares: list[float] = []
    for input_spec in spec.inputs:
        value: Any = getattr(inputs, input_spec.name)
        for file, array in zip(input_spec.files, value if input_spec.is_list else [value], strict=True):
            if array is None:
                shares.append(0.0)
                continue
            nodata = nodata_or_none(file.nodata[0], file.dtype)
            band = array[0]
            has_data = ~np.isnan(band) if band.dtype.kind in "fc" else np.ones(band.shape, bool)
            if nodata is not None:
                has_data &= band != nodata
            shares.append(float(has_data.mean()))
    return sum(shares) / len(shares) if shares else 1.0
