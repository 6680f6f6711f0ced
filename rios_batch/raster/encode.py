"""Encoding one tile of an output: GDAL writes a small TIFF in memory, and its blocks are taken out."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Protocol

import numpy as np
from osgeo import gdal

from rios_batch.geotiff import take_blocks
from rios_batch.jobspec import TileOutput
from rios_batch.raster.gdalapi import MemoryFolder, closing, gdal_type, memory_file, set_nodata
from rios_batch.raster.staging import explained

if TYPE_CHECKING:
    from rios_batch.grid import PixelWindow
    from rios_batch.jobspec import Array, Layout, OutputSpec


class TileSink(Protocol):
    """Collects the blocks of one tile of one output."""

    def write(self, block: Array, col: int, row: int) -> None:
        """Take a block of shape (bands, rows, cols) at a column and row of the tile."""

    def finish(self) -> TileOutput:
        """Return the tile's part of the output."""

    def abort(self) -> None:
        """Free what the tile holds; harmless after ``finish``."""


def tile_sink(output: OutputSpec, layout: Layout, window: PixelWindow) -> TileSink:
    """Return the sink that suits the output: one that encodes, or one that keeps the array."""
    kind = BlockEncoder if output.encoded_by_workers else ArrayCollector
    return kind(output, layout, window)


class BlockEncoder:
    """Encodes a tile into TIFF blocks with the output's own creation options.

    All but NUM_THREADS, which says how and not what: workers are the threads, see
    :func:`rios_batch.raster.gdalapi.be_one_of`.

    Every TIFF block is encoded once, when it is complete. Where the user function's blocks cut TIFF blocks,
    the tile is collected first: GDAL may encode a half-filled block when its cache is full, and decode it
    again for the rest, which costs time, and with a lossy codec makes the pixels depend on the cache's size.
    """

    def __init__(self, output: OutputSpec, layout: Layout, window: PixelWindow) -> None:
        self._output, self._layout, self._finished = output, layout, False
        self._collected = None if output.blocks_are_whole else ArrayCollector(output, layout, window)
        self._memory = MemoryFolder()
        self._path = f"{self._memory.path}/tile.tif"
        self._may_be_sparse = output.creation_options.is_on("SPARSE_OK")
        with explained(output.path):
            self._dataset: gdal.Dataset | None = gdal.GetDriverByName("GTiff").Create(
                self._path,
                window.width,
                window.height,
                layout.nbands,
                gdal_type(layout.dtype),
                list(output.creation_options.but(NUM_THREADS=None).texts),
            )
            if output.nodata is not None:  # decides which blocks SPARSE_OK leaves out
                set_nodata(self._dataset, output.nodata, layout.dtype)

    def write(self, block: Array, col: int, row: int) -> None:
        if self._collected is not None:
            self._collected.write(block, col, row)
            return
        with explained(self._output.path):
            assert self._dataset is not None
            self._dataset.WriteArray(block, col, row)

    def finish(self) -> TileOutput:
        with explained(self._output.path):
            assert self._dataset is not None
            if self._collected is not None:
                self._dataset.WriteArray(self._collected.finish().payload)
            self._dataset.FlushCache()  # an encoder's error is raised here; the destructor would swallow it
            self._dataset = None
            encoded = take_blocks(memory_file(self._path))
            if not self._may_be_sparse and not encoded.byte_counts.all():
                raise RuntimeError("GDAL encoded a block to nothing")
        self._memory.remove_after(encoded.data)
        self._finished = True
        return TileOutput(self._layout, encoded)

    def abort(self) -> None:
        if self._dataset is not None:
            # GDAL would try again to encode, and complain again; the cause is already on its way. Other threads
            # may be running, for which closing() is not meant, but this run has failed anyhow.
            with contextlib.suppress(RuntimeError), closing():
                self._dataset = None
        if not self._finished:
            self._memory.remove()


class ArrayCollector:
    """Keeps a tile as one array, for outputs that a single writer encodes."""

    def __init__(self, output: OutputSpec, layout: Layout, window: PixelWindow) -> None:
        del output
        self._layout = layout
        self._array: Array = np.empty((layout.nbands, window.height, window.width), layout.dtype)

    def write(self, block: Array, col: int, row: int) -> None:
        self._array[:, row : row + block.shape[1], col : col + block.shape[2]] = block

    def finish(self) -> TileOutput:
        return TileOutput(self._layout, self._array)

    def abort(self) -> None:
        self._array = np.empty((0, 0, 0), self._layout.dtype)
