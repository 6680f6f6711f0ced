"""Encoding one tile of an output, block by block, or keeping the tile as one array."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from rios_batch.encode.compression import choose_compression, telling_squares
from rios_batch.encode.encoders import encoder
from rios_batch.encode.overviewblocks import encode_overview
from rios_batch.encode.overviews import TileOverviews
from rios_batch.gdalapi import output_errors_named
from rios_batch.model.tileresult import TileOutput

if TYPE_CHECKING:
    from rios_batch.encode.encoders import Encoder
    from rios_batch.model.grid import PixelWindow
    from rios_batch.model.spec import Array, Layout, OutputSpec


class TileSink(Protocol):
    """Collects the blocks of one tile of one output."""

    def write(self, block: Array, col: int, row: int) -> None:
        """Take a block of shape (bands, rows, cols) at a column and row of the tile."""

    def finish(self) -> TileOutput:
        """Return the tile's part of the output."""

    def abort(self) -> None:
        """Free what the tile holds; harmless after ``finish``."""


def tile_sink(output_spec: OutputSpec, layout: Layout, window: PixelWindow) -> TileSink:
    """Return the sink that suits the output: one that encodes, or one that keeps the array."""
    if output_spec.encoded_by_workers:
        return BlockEncoder(output_spec, layout, window)
    return ArrayCollector(layout, window)


class BlockEncoder:
    """Encodes a tile into TIFF blocks, and makes its part of the overviews.

    Every TIFF block is encoded once, when it is complete. Where the user function's blocks cut TIFF blocks,
    the tile is collected first: GDAL may encode a half-filled block when its cache is full, and decode it
    again for the rest, which costs time, and with a lossy codec makes the pixels depend on the cache's size.

    What is handed over are the blocks of all resolutions, the coarsest first, and, if there are overviews, the
    pixels that main makes the coarser ones of.

    Where main has not chosen the compression yet, the tile's first pixels that are not all the same do; blocks before
    them wait.
    """

    def __init__(self, output_spec: OutputSpec, layout: Layout, window: PixelWindow) -> None:
        self._output_spec, self._layout, self._window = output_spec, layout, window
        self._collected = None if output_spec.blocks_are_whole else ArrayCollector(layout, window)
        self._overviews = None
        if output_spec.pyramid is not None:
            self._overviews = TileOverviews(output_spec, output_spec.pyramid, layout, window)
        self._waiting: list[tuple[Array, int, int]] = []
        self._encoder: Encoder | None = None
        if not output_spec.chooses_compression:
            self._start()

    def _start(self) -> Encoder:
        self._encoder = encoder(self._output_spec, self._layout, self._window.height, self._window.width)
        return self._encoder

    def write(self, block: Array, col: int, row: int) -> None:
        if self._collected is not None:
            self._collected.write(block, col, row)
            return
        if self._encoder is None:
            self._waiting.append((block.copy(), col, row))  # the function may use its array again
            if squares := telling_squares(block):
                self._choose(squares)
        else:
            self._encoder.write(block, col, row)
        if self._overviews is not None:
            with output_errors_named(self._output_spec.path):
                self._overviews.add(block, col, row)

    def _choose(self, squares: list[Array]) -> Encoder:
        """Choose the compression by some pixels, and encode the blocks that have waited."""
        chosen = choose_compression(self._output_spec, self._layout.dtype, squares)
        self._output_spec = self._output_spec.compressed(chosen)
        chosen_encoder, waiting, self._waiting = self._start(), self._waiting, []
        for block in waiting:
            chosen_encoder.write(*block)
        return chosen_encoder

    def finish(self) -> TileOutput:
        if self._collected is not None:
            whole, self._collected = self._collected.array, None
            self.write(whole, 0, 0)
        part = self._encoder or self._choose([])
        compression, overviews, coarsest = self._output_spec.compression, [], None
        if self._overviews is not None:
            with output_errors_named(self._output_spec.path):
                arrays, coarsest = self._overviews.finish()
            overviews = [encode_overview(self._output_spec, array) for array in reversed(arrays)]
        payload = part.finish(leading=overviews)
        return TileOutput(self._layout, payload, coarsest=coarsest, compression=compression)

    def abort(self) -> None:
        self._waiting = []
        if self._encoder is not None:
            self._encoder.abort()


class ArrayCollector:
    """Keeps a tile as one array, for outputs that a single writer encodes."""

    def __init__(self, layout: Layout, window: PixelWindow) -> None:
        self._layout = layout
        self.array: Array = np.empty((layout.nbands, window.height, window.width), layout.dtype)

    def write(self, block: Array, col: int, row: int) -> None:
        self.array[:, row : row + block.shape[1], col : col + block.shape[2]] = block

    def finish(self) -> TileOutput:
        return TileOutput(self._layout, self.array)

    def abort(self) -> None:
        self.array = np.empty((0, 0, 0), self._layout.dtype)
