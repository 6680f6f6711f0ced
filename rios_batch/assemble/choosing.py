"""Choosing in main how an output is compressed, by pixels of its first tiles.

The pixels that are looked at are squares of the raster, and the squares are looked at in a fixed order. The choice is
therefore the same for every plan of tiles, every window and every worker. Workers start before the choice is known, and
compress by what they see of their own tile; the few tiles for which that is another compression are compressed again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from rios_batch.encode.compression import (
    DEFAULT,
    ENOUGH_SQUARES,
    choose_compression,
    is_telling,
    sample_windows,
)
from rios_batch.encode.recompression import pixels_of, recompressed
from rios_batch.gdalapi import output_errors_named
from rios_batch.model.blobs import StoredBlocks
from rios_batch.model.encodedblocks import EncodedBlocks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rios_batch.model.creationoptions import Compression
    from rios_batch.model.grid import PixelGridDefn, PixelWindow
    from rios_batch.model.spec import Array, OutputSpec
    from rios_batch.model.tileresult import TileOutput
    from rios_batch.model.tiles import Tile

    Tiles = Sequence[tuple[Tile, TileOutput]]


class CompressionChoice:
    """Looks at the squares of an output, one after the other, as tiles come that hold them."""

    def __init__(self, output_spec: OutputSpec, grid: PixelGridDefn) -> None:
        self._output_spec = output_spec
        self._windows = list(sample_windows(grid.ncols, grid.nrows))
        self._squares: list[Array] = []

    def made(self, tiles: Tiles, *, all_there: bool) -> Compression | None:
        """Return the compression, or None if pixels of further tiles decide.

        Parameters
        ----------
        tiles : all that have come, in order.
        all_there : no more will come.

        Raises
        ------
        OutputError : a tile's pixels cannot be read or encoded.
        """
        layout = tiles[0][1].layout
        while self._windows and len(self._squares) < ENOUGH_SQUARES:
            square = self._square(self._windows[0], tiles)
            if square is None and not all_there:
                return None
            del self._windows[0]
            if square is not None and is_telling(square):
                self._squares.append(square)
        return choose_compression(self._output_spec, layout.dtype, self._squares)

    def _square(self, window: PixelWindow, tiles: Tiles) -> Array | None:
        """Put a square together; None if tiles are missing that hold a part of it."""
        layout = tiles[0][1].layout
        square: Array = np.empty((layout.nbands, window.height, window.width), layout.dtype)
        missing_px = window.size_px
        for tile, tile_output in tiles:
            part = _common(window, tile.window)
            if part.size_px:
                row, col = part.row - window.row, part.col - window.col
                square[:, row : row + part.height, col : col + part.width] = self._pixels(
                    tile, tile_output, part
                )
                missing_px -= part.size_px
        return None if missing_px else square

    def _pixels(self, tile: Tile, tile_output: TileOutput, part: PixelWindow) -> Array:
        payload, part = tile_output.payload, part.shifted(-tile.window.col, -tile.window.row)
        if not isinstance(payload, EncodedBlocks | StoredBlocks):
            return payload[:, part.row : part.end_row, part.col : part.end_col]
        as_compressed = self._output_spec.compressed(tile_output.compression)
        with output_errors_named(self._output_spec.path):
            return pixels_of(as_compressed, tile_output.layout, tile.window, payload, part)


def _common(one: PixelWindow, other: PixelWindow) -> PixelWindow:
    inside = one.shifted(-other.col, -other.row).clipped(other.width, other.height)
    return inside.shifted(other.col, other.row)


def as_chosen(output_spec: OutputSpec, tile: Tile, tile_output: TileOutput) -> TileOutput:
    """Return a tile's part of an output compressed as the output is.

    Parameters
    ----------
    output_spec : with the compression that was chosen, if the script set none.

    Raises
    ------
    OutputError : the tile's pixels cannot be read or encoded.
    """
    blocks, used = tile_output.payload, tile_output.compression or DEFAULT
    if output_spec.compression in (None, used) or not isinstance(blocks, EncodedBlocks | StoredBlocks):
        return tile_output
    before = output_spec.compressed(used)
    with output_errors_named(output_spec.path):
        made = recompressed(before, output_spec, tile_output.layout, tile.window, blocks)
    return replace(tile_output, payload=made, compression=output_spec.compression)
