"""Where the encoded blocks of a GeoTIFF stand, and the directories that say so."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np
from osgeo import gdal

from rios_batch.assemble.bandinfo import describe
from rios_batch.assemble.newdataset import create_dataset
from rios_batch.encode.overviewblocks import as_overview
from rios_batch.encode.reducing import reduced_shape
from rios_batch.encode.smalltiff import new_tiff
from rios_batch.errors import OutputError, RiosBatchError
from rios_batch.gdalapi import MemoryFolder, memory_file
from rios_batch.model import geotiff
from rios_batch.model.encodedblocks import BlockLayout
from rios_batch.model.statitems import longest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from rios_batch.encode.coarseoverviews import OverviewPart
    from rios_batch.model.blobs import StoredBlocks
    from rios_batch.model.encodedblocks import EncodedBlocks
    from rios_batch.model.grid import PixelGridDefn
    from rios_batch.model.spec import Layout, OutputSpec
    from rios_batch.model.statitems import BandStatistics
    from rios_batch.model.tiles import Tile

_ALIGNMENT_BYTES = 16
# Of a TIFF without blocks GDAL makes the whole index, several times in memory. In place of a large one it makes a small
# one, whose directory differs by the size only.
_LARGE_PX, _SMALL_PX = 2**33, 512
_SAFE_BYTES = 2_000_000_000  # GDAL's limit for BIGTIFF=IF_SAFER
_NAME = "file.tif"  # in memory: there GDAL takes a backslash in an output's own name for a folder


class BlockIndex:
    """Everything in a tiled GeoTIFF but the blocks: header, directories, and where each block stands.

    GDAL itself makes the directories, as those of empty files of the full size and of the overviews' sizes; only the
    block index is put in place of its own. They stand before the blocks, so that whoever opens the file over a network
    finds all of them at once (that is what makes a GeoTIFF cloud optimised).

    Attributes
    ----------
    front_bytes : where blocks may begin; known before any block, as is everything that ``front`` needs room for.
    raw_bytes, nblocks : what all blocks would take if they were not compressed, and how many there are.
    made_by_main : factors of the overviews that do not come with the tiles.
    """

    def __init__(
        self,
        output_spec: OutputSpec,
        grid: PixelGridDefn,
        layout: Layout,
    ) -> None:
        self._output_spec, self._grid, self._layout = output_spec, grid, layout
        factors = output_spec.pyramid.factors if output_spec.pyramid else ()
        template, _ = self._template(longest(output_spec, layout, grid.ncols * grid.nrows))
        self._levels = {1: _Level(template, layout, grid, 1)}
        for factor in factors:
            empty = _overview_template(output_spec, grid, layout, factor, big=template.big)
            self._levels[factor] = _Level(empty, layout, grid, factor)
        self._in_tiles = (*reversed(output_spec.encoded_overviews), 1)
        self.made_by_main = tuple(factor for factor in factors if factor not in output_spec.encoded_overviews)
        self.raw_bytes = sum(level.raw_bytes for level in self._levels.values())
        self.nblocks = sum(len(level.byte_counts) for level in self._levels.values())
        end = sum(map(len, self._header_and_directories(template)))
        self.front_bytes = end + -end % _ALIGNMENT_BYTES

    def _template(self, statistics: Sequence[BandStatistics]) -> tuple[geotiff.TiledTiff, dict[str, bytes]]:
        """Return the TIFF without its blocks, and what does not fit into it: content by suffix (.aux.xml, .tfw)."""
        grid, spec = self._grid, self._output_spec
        is_large = grid.ncols * grid.nrows > _LARGE_PX
        if is_large:
            grid, spec = grid.window(0, 0, _SMALL_PX, _SMALL_PX), _as_large(spec, self._raw_bytes)
        with MemoryFolder() as folder:
            dataset = create_dataset(f"{folder}/{_NAME}", _sparse(spec), grid, self._layout)
            describe(dataset, self._output_spec, self._layout, statistics)
            dataset.FlushCache()
            del dataset
            others = [other for other in gdal.ReadDir(folder) if other not in (".", "..", _NAME)]
            side_files = {_suffix(other): bytes(memory_file(f"{folder}/{other}")) for other in others}
            tiff = geotiff.parse_tiled_tiff(memory_file(f"{folder}/{_NAME}"))
            return _of_size(tiff, self._grid.nrows, self._grid.ncols, is_large=is_large), side_files

    @property
    def _raw_bytes(self) -> int:
        return (
            self._grid.ncols * self._grid.nrows * self._layout.nbands * np.dtype(self._layout.dtype).itemsize
        )

    def place_tile(self, tile: Tile, blocks: EncodedBlocks | StoredBlocks, position: int) -> None:
        """Note that a tile's blocks stand end to end at ``position``.

        Raises
        ------
        RiosBatchError : the blocks do not have the bytes that they should, so those that follow would be in the
            wrong place.
        """
        needed = int(blocks.byte_counts.sum())
        if needed != blocks.nbytes:
            raise RiosBatchError(
                f"tile {tile.index} of output {self._output_spec.path!r} has {blocks.nbytes:,} bytes, but its blocks "
                f"need {needed:,}"
            )
        window = tile.window
        indexes = {
            factor: self._levels[factor].index_of(
                window.col // factor,
                window.row // factor,
                reduced_shape(window.height, window.width, factor),
            )
            for factor in self._in_tiles
        }
        nblocks = sum(map(len, indexes.values()))
        if nblocks != len(blocks.byte_counts):
            raise RiosBatchError(
                f"tile {tile.index} of output {self._output_spec.path!r} has {len(blocks.byte_counts)} blocks, but "
                f"{window} are {nblocks} blocks"
            )
        offsets, start = _offsets(blocks, position), 0
        for factor, index in indexes.items():
            end = start + len(index)
            self._levels[factor].place(index, offsets[start:end], blocks.byte_counts[start:end])
            start = end

    def place_overview(self, part: OverviewPart, blocks: EncodedBlocks, position: int) -> None:
        """Note that the blocks of a part of an overview stand end to end at ``position``."""
        level = self._levels[part.factor]
        index = level.index_of(part.col, part.row, part.pixels.shape[1:])
        level.place(index, _offsets(blocks, position), blocks.byte_counts)

    def front(self, statistics: Sequence[BandStatistics]) -> tuple[bytes, dict[str, bytes]]:
        """Return the file's first ``front_bytes`` bytes, and the content of side files by suffix (.aux.xml, .tfw).

        Parameters
        ----------
        statistics : of each band, or none.
        """
        template, side_files = self._template(statistics)
        pieces = self._header_and_directories(template)
        end = sum(map(len, pieces))
        if end > self.front_bytes:
            raise RiosBatchError(
                f"the directory of output {self._output_spec.path!r} takes {end:,} bytes; {self.front_bytes:,} "
                "were kept for it"
            )
        return b"".join([*pieces, bytes(self.front_bytes - end)]), side_files

    def _header_and_directories(self, full: geotiff.TiledTiff) -> list[bytes | memoryview]:
        """Return the pieces of the front, in order; they look into the index, which may have gigabytes."""
        end = geotiff.header_size(full)
        pieces: list[bytes | memoryview] = [geotiff.header(full, end)]
        for number, level in enumerate(self._levels.values(), start=1):
            directory = geotiff.directory(
                geotiff.reduced(level.template, full) if number > 1 else full,
                level.offsets,
                level.byte_counts,
                end,
                another_follows=number < len(self._levels),
            )
            pieces += directory
            end += sum(map(len, directory))
        return pieces

    def check(self, end: int) -> None:
        """See that every block has its place in a file whose last byte comes before ``end``.

        Raises
        ------
        RiosBatchError : a tile is missing; it would read as nodata without a word.
        OutputError : the file is too large for a classic TIFF.
        """
        if not all(level.placed.all() for level in self._levels.values()):
            raise incomplete(self._output_spec)
        if not self._levels[1].template.big and end > geotiff.CLASSIC_LIMIT_BYTES:
            raise OutputError(
                f"output {self._output_spec.path!r} needs {end:,} bytes, more than the 4 GiB of a classic TIFF; "
                "remove BIGTIFF from its creation options, or set BIGTIFF=YES"
            )


class _Level:
    """The blocks of the full resolution, or of an overview, which is ``factor`` times smaller."""

    def __init__(self, template: geotiff.TiledTiff, layout: Layout, grid: PixelGridDefn, factor: int) -> None:
        self.template = template
        rows, cols = reduced_shape(grid.nrows, grid.ncols, factor)
        side_x, side_y = template.block_size
        nplanes = layout.nbands if template.is_planar else 1
        self._layout = BlockLayout(side_x, side_y, -(-cols // side_x), -(-rows // side_y), nplanes)
        nblocks = self._layout.nblocks
        bands_per_block = layout.nbands // nplanes
        self.raw_bytes = nblocks * side_x * side_y * bands_per_block * np.dtype(layout.dtype).itemsize
        self.offsets = np.zeros(nblocks, np.uint64)
        self.byte_counts = np.zeros(nblocks, np.uint32)  # as the file has them
        self.placed = np.zeros(nblocks, np.bool_)

    def index_of(self, col: int, row: int, shape: tuple[int, ...]) -> NDArray[np.intp]:
        """Return the numbers of the blocks of ``shape`` (rows, cols) pixels from a column and row on."""
        rows, cols = shape
        return self._layout.index_of(col, row, cols, rows)

    def place(
        self,
        index: NDArray[np.intp],
        offsets: NDArray[np.uint64],
        byte_counts: NDArray[np.uint64],
    ) -> None:
        """Note where the blocks of these numbers stand."""
        self.offsets[index] = offsets
        self.byte_counts[index] = byte_counts
        self.placed[index] = True


def _offsets(blocks: EncodedBlocks | StoredBlocks, position: int) -> NDArray[np.uint64]:
    """Return where each of some blocks stands that stand end to end at ``position``; 0 for sparse ones."""
    counts = blocks.byte_counts
    return np.where(counts > 0, position + np.cumsum(counts) - counts, 0)


def _suffix(side_file: str) -> str:
    return side_file.removeprefix(_NAME) if side_file.startswith(_NAME) else PurePath(side_file).suffix


def _sparse(output_spec: OutputSpec, **more: str) -> OutputSpec:
    return replace(output_spec, creation_options=output_spec.creation_options.but(SPARSE_OK="TRUE", **more))


def _overview_template(
    output_spec: OutputSpec, grid: PixelGridDefn, layout: Layout, factor: int, *, big: bool
) -> geotiff.TiledTiff:
    sparse = _sparse(as_overview(output_spec), BIGTIFF="YES" if big else "NO")
    rows, cols = reduced_shape(grid.nrows, grid.ncols, factor)
    is_large = rows * cols > _LARGE_PX
    with MemoryFolder() as folder:
        path = f"{folder}/overview.tif"
        dataset = new_tiff(path, sparse, layout, *((_SMALL_PX, _SMALL_PX) if is_large else (rows, cols)))
        dataset.FlushCache()
        del dataset
        return _of_size(geotiff.parse_tiled_tiff(memory_file(path)), rows, cols, is_large=is_large)


def _of_size(tiff: geotiff.TiledTiff, rows: int, cols: int, *, is_large: bool) -> geotiff.TiledTiff:
    return geotiff.resized(tiff, cols, rows) if is_large else tiff


def _as_large(output_spec: OutputSpec, raw_bytes: int) -> OutputSpec:
    """Return the output with GDAL's own decision for a BigTIFF of a size, for a template that is smaller."""
    options = output_spec.creation_options
    is_compressed = (options.get("COMPRESS") or "NONE").upper() != "NONE"
    limits = {
        "IF_SAFER": _SAFE_BYTES,
        "IF_NEEDED": math.inf if is_compressed else geotiff.CLASSIC_LIMIT_BYTES,
    }
    limit = limits.get((options.get("BIGTIFF") or "IF_NEEDED").upper())
    if limit is None:
        return output_spec
    return replace(output_spec, creation_options=options.but(BIGTIFF="YES" if raw_bytes > limit else "NO"))


def incomplete(output_spec: OutputSpec) -> RiosBatchError:
    """Return the error for an output that not all tiles came for."""
    return RiosBatchError(f"output {output_spec.path!r} is incomplete: some of its tiles never arrived")
