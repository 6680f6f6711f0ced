"""Encoding one tile of an output: GDAL writes a small TIFF in memory, and its blocks are taken out."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
from osgeo import gdal

from rios_batch.encode.overviews import TileOverviews
from rios_batch.gdalapi import (
    MemoryFolder,
    closing,
    gdal_type,
    memory_file,
    output_errors_named,
    set_nodata,
)
from rios_batch.model.encodedblocks import joined, take_blocks
from rios_batch.model.pyramid import OVERVIEW_BLOCK_PX
from rios_batch.model.spec import Layout
from rios_batch.model.tileresult import TileOutput

if TYPE_CHECKING:
    from rios_batch.model.encodedblocks import EncodedBlocks
    from rios_batch.model.grid import PixelWindow
    from rios_batch.model.spec import Array, OutputSpec


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
    """

    def __init__(self, output_spec: OutputSpec, layout: Layout, window: PixelWindow) -> None:
        self._output_spec, self._layout = output_spec, layout
        self._collected = None if output_spec.blocks_are_whole else ArrayCollector(layout, window)
        self._overviews = None
        if output_spec.pyramid is not None:
            self._overviews = TileOverviews(output_spec, output_spec.pyramid, layout, window)
        self._tiff = SmallTiff(output_spec, layout, window.height, window.width)

    def write(self, block: Array, col: int, row: int) -> None:
        if self._collected is not None:
            self._collected.write(block, col, row)
            return
        self._tiff.write(block, col, row)
        if self._overviews is not None:
            with output_errors_named(self._output_spec.path):
                self._overviews.add(block, col, row)

    def finish(self) -> TileOutput:
        if self._collected is not None:
            whole, self._collected = self._collected.array, None
            self.write(whole, 0, 0)
        full = self._tiff.finish()
        if self._overviews is None:
            return TileOutput(self._layout, full)
        with output_errors_named(self._output_spec.path):
            arrays, coarsest = self._overviews.finish()
        overviews = [encode_overview(self._output_spec, array) for array in arrays]
        return TileOutput(self._layout, joined([*reversed(overviews), full]), coarsest=coarsest)

    def abort(self) -> None:
        self._tiff.abort()


def encode_overview(output_spec: OutputSpec, pixels: Array) -> EncodedBlocks:
    """Encode a part of an overview, pixels of shape (bands, rows, cols), that begins at a TIFF block."""
    tiff = SmallTiff(as_overview(output_spec), Layout(pixels.dtype.name, pixels.shape[0]), *pixels.shape[1:])
    try:
        tiff.write(pixels, 0, 0)
        return tiff.finish()
    finally:
        tiff.abort()


def as_overview(output_spec: OutputSpec) -> OutputSpec:
    """Return the output as its overviews are written: with blocks of their own size."""
    side = str(OVERVIEW_BLOCK_PX)
    return replace(
        output_spec, creation_options=output_spec.creation_options.but(BLOCKXSIZE=side, BLOCKYSIZE=side)
    )


def new_tiff(path: str, output_spec: OutputSpec, layout: Layout, rows: int, cols: int) -> gdal.Dataset:
    """Create a TIFF with the output's own creation options.

    All but NUM_THREADS, which says how and not what: workers are the threads, see
    :func:`rios_batch.gdalapi.limit_gdal_resources`.
    """
    dataset = gdal.GetDriverByName("GTiff").Create(
        path,
        cols,
        rows,
        layout.nbands,
        gdal_type(layout.dtype),
        list(output_spec.creation_options.for_type(layout.dtype).but(NUM_THREADS=None).texts),
    )
    if output_spec.nodata is not None:  # decides which blocks SPARSE_OK leaves out
        set_nodata(dataset, output_spec.nodata, layout.dtype)
    return dataset


class SmallTiff:
    """A TIFF in memory, made for its encoded blocks."""

    def __init__(self, output_spec: OutputSpec, layout: Layout, rows: int, cols: int) -> None:
        self._output_spec, self._finished = output_spec, False
        self._memory = MemoryFolder()
        self._path = f"{self._memory.path}/tile.tif"
        self._may_be_sparse = output_spec.creation_options.is_on("SPARSE_OK")
        with output_errors_named(output_spec.path):
            self._dataset = new_tiff(self._path, output_spec, layout, rows, cols)

    def write(self, block: Array, col: int, row: int) -> None:
        """Write an array of shape (bands, rows, cols)."""
        with output_errors_named(self._output_spec.path):
            self._dataset.WriteArray(block, col, row)

    def finish(self) -> EncodedBlocks:
        """Return the blocks; the file goes when they do."""
        with output_errors_named(self._output_spec.path):
            self._dataset.FlushCache()  # an encoder's error is raised here; the destructor would swallow it
            self._dataset = None
            encoded = take_blocks(memory_file(self._path))
            if not self._may_be_sparse and not encoded.byte_counts.all():
                raise RuntimeError("GDAL encoded a block to nothing")
        self._memory.remove_after(encoded.data)
        self._finished = True
        return encoded

    def abort(self) -> None:
        """Free what it holds; harmless after ``finish``."""
        if self._dataset is not None:
            # GDAL would try again to encode, and complain again; the cause is already on its way. Other threads
            # may be running, for which closing() is not meant, but this run has failed anyhow.
            with contextlib.suppress(RuntimeError), closing():
                self._dataset = None
        if not self._finished:
            self._memory.remove()


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
