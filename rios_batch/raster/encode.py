"""Encoding one tile of an output: GDAL writes a small TIFF in memory, and its blocks are taken out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from osgeo import gdal

from rios_batch.geotiff import EncodedBlocks, take_blocks
from rios_batch.jobspec import TileOutput
from rios_batch.raster.gdalapi import gdal_type, memory_file, memory_folder, set_nodata
from rios_batch.raster.staging import explained

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

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
    """

    def __init__(self, output: OutputSpec, layout: Layout, window: PixelWindow) -> None:
        self._output, self._layout = output, layout
        self._memory: AbstractContextManager[str] = memory_folder()
        self._path = self._memory.__enter__() + "/tile.tif"
        self._may_be_sparse = any(o.upper().startswith("SPARSE_OK=") for o in output.creation_options)
        with explained(output.path):
            self._dataset: gdal.Dataset | None = gdal.GetDriverByName("GTiff").Create(
                self._path,
                window.width,
                window.height,
                layout.nbands,
                gdal_type(layout.dtype),
                [
                    option
                    for option in output.creation_options
                    if not option.upper().startswith("NUM_THREADS=")
                ],
            )
            if output.nodata is not None:  # decides which blocks SPARSE_OK leaves out
                set_nodata(self._dataset, output.nodata, layout.dtype)

    def write(self, block: Array, col: int, row: int) -> None:
        with explained(self._output.path):
            assert self._dataset is not None
            self._dataset.WriteArray(block, col, row)

    def finish(self) -> TileOutput:
        with explained(self._output.path):
            assert self._dataset is not None
            self._dataset.FlushCache()  # an encoder's error is raised here; the destructor would swallow it
            self._dataset = None
            encoded: EncodedBlocks = take_blocks(memory_file(self._path))
            if not self._may_be_sparse and not encoded.byte_counts.all():
                raise RuntimeError("GDAL encoded a block to nothing")
        self.abort()
        return TileOutput(self._layout, encoded)

    def abort(self) -> None:
        self._dataset = None
        self._memory.__exit__(None, None, None)


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
