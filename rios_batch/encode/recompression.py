"""Decoding the blocks of a tile again, to look at pixels or to compress the tile otherwise."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from osgeo import gdal

from rios_batch.encode.encoders import encode
from rios_batch.encode.overviewblocks import as_overview, encode_overview
from rios_batch.encode.reducing import reduced_shape
from rios_batch.encode.smalltiff import new_tiff
from rios_batch.gdalapi import MemoryFolder, memory_file
from rios_batch.model import geotiff
from rios_batch.model.blobs import StoredBlocks
from rios_batch.model.encodedblocks import BlockLayout, EncodedBlocks, joined
from rios_batch.model.grid import PixelWindow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rios_batch.model.spec import Array, Layout, OutputSpec

    Blocks = EncodedBlocks | StoredBlocks


@dataclass(frozen=True)
class _Level:
    """One resolution of a tile.

    Attributes
    ----------
    window : all of the tile, in pixels of this resolution.
    empty : a TIFF of this size without blocks.
    first : number of the level's first block among all blocks of the tile.
    """

    factor: int
    window: PixelWindow
    empty: geotiff.TiledTiff
    first: int

    @property
    def nblocks(self) -> int:
        return len(self.empty.byte_counts)


def pixels_of(
    output_spec: OutputSpec, layout: Layout, size: PixelWindow, blocks: Blocks, part: PixelWindow
) -> Array:
    """Return some pixels of a tile, of shape (bands, rows, cols).

    Parameters
    ----------
    output_spec : the output as the tile is compressed.
    size : the tile's window; only width and height count.
    blocks : the tile's blocks of all resolutions.
    part : the wanted pixels, counted from the tile's corner. No more blocks are fetched and decoded than hold them.

    Raises
    ------
    RuntimeError : GDAL cannot decode a block.
    """
    *_, full = _levels(output_spec, layout, size)
    return _decoded(full, layout, blocks, part)


def recompressed(
    output_spec: OutputSpec, wanted: OutputSpec, layout: Layout, size: PixelWindow, blocks: Blocks
) -> EncodedBlocks:
    """Return a tile's blocks of all resolutions as another spec has them compressed.

    Parameters
    ----------
    output_spec : the output as the tile is compressed.
    wanted : the output as the tile is to be compressed.
    size : the tile's window; only width and height count.

    Raises
    ------
    RuntimeError : GDAL cannot decode a block.
    """
    if isinstance(blocks, StoredBlocks):
        data = np.frombuffer(blocks.blob_store.read(blocks.blob), np.uint8)
        blocks = EncodedBlocks(data, blocks.byte_counts)
    made = []
    for level in _levels(output_spec, layout, size):
        pixels = _decoded(level, layout, blocks, level.window)
        made.append(encode(wanted, pixels) if level.factor == 1 else encode_overview(wanted, pixels))
    return joined(made)


def _levels(output_spec: OutputSpec, layout: Layout, size: PixelWindow) -> Iterator[_Level]:
    """Yield the resolutions of a tile, the coarsest first, as their blocks come."""
    first = 0
    for factor in (*reversed(output_spec.encoded_overviews), 1):
        rows, cols = reduced_shape(size.height, size.width, factor)
        spec = output_spec if factor == 1 else as_overview(output_spec)
        level = _Level(factor, PixelWindow(0, 0, cols, rows), _empty(spec, layout, rows, cols), first)
        first += level.nblocks
        yield level


def _empty(output_spec: OutputSpec, layout: Layout, rows: int, cols: int) -> geotiff.TiledTiff:
    sparse = replace(output_spec, creation_options=output_spec.creation_options.but(SPARSE_OK="TRUE"))
    with MemoryFolder() as folder:
        path = f"{folder}/empty.tif"
        dataset = new_tiff(path, sparse, layout, rows, cols)
        dataset.FlushCache()
        del dataset
        return geotiff.parse_tiled_tiff(memory_file(path))


def _decoded(level: _Level, layout: Layout, blocks: Blocks, part: PixelWindow) -> Array:
    side_x, side_y = level.empty.block_size
    nplanes = layout.nbands if level.empty.is_planar else 1
    places = BlockLayout(
        side_x, side_y, -(-level.window.width // side_x), -(-level.window.height // side_y), nplanes
    )
    needed = places.index_of(part.col, part.row, part.width, part.height)
    ends = np.cumsum(blocks.byte_counts)
    starts = ends - blocks.byte_counts
    begin, end = int(starts[level.first + needed].min()), int(ends[level.first + needed].max())
    front_bytes = len(_front(level, np.zeros(level.nblocks, np.uint64), np.zeros(level.nblocks, np.uint64)))
    offsets, counts = np.zeros(level.nblocks, np.uint64), np.zeros(level.nblocks, np.uint64)
    counts[needed] = blocks.byte_counts[level.first + needed]
    offsets[needed] = starts[level.first + needed] + np.uint64(front_bytes) - np.uint64(begin)
    with MemoryFolder() as folder:
        path = f"{folder}/tile.tif"
        gdal.FileFromMemBuffer(path, _front(level, offsets, counts) + _bytes(blocks, begin, end))
        dataset = gdal.Open(path)
        pixels: Array = dataset.ReadAsArray(part.col, part.row, part.width, part.height)
        del dataset
    return pixels.reshape(layout.nbands, part.height, part.width)


def _front(level: _Level, offsets: Array, counts: Array) -> bytes:
    position = geotiff.header_size(level.empty)
    header = geotiff.header(level.empty, position)
    return b"".join([header, *geotiff.directory(level.empty, offsets, counts, position)])


def _bytes(blocks: Blocks, begin: int, end: int) -> bytes:
    if isinstance(blocks, StoredBlocks):
        return blocks.blob_store.read(blocks.blob.part(begin, end - begin))
    return blocks.data[begin:end].tobytes()
