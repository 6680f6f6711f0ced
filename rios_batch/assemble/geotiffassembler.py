"""A GeoTIFF put together from encoded blocks, wherever its bytes go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rios_batch.assemble.blockindex import BlockIndex
from rios_batch.encode.coarseoverviews import CoarseOverviews
from rios_batch.encode.overviewblocks import encode_overview
from rios_batch.gdalapi import output_errors_named
from rios_batch.model.blobs import StoredBlocks
from rios_batch.model.encodedblocks import EncodedBlocks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from rios_batch.model.grid import PixelGridDefn
    from rios_batch.model.protocols import ByteSink
    from rios_batch.model.spec import Layout, OutputSpec
    from rios_batch.model.statitems import BandStatistics
    from rios_batch.model.tileresult import TileOutput
    from rios_batch.model.tiles import Tile

    Blocks = EncodedBlocks | StoredBlocks
    OpenBytes = Callable[[BlockIndex], ByteSink]


class GeoTiffAssembler:
    """Appends encoded blocks one after the other, and then the directories that find them, before them; decodes none.

    Blocks are appended as they come, in tile order, so a run's file does not depend on which worker was quicker. Tiles
    come one after the other, then the overviews that main makes, the coarsest first, then the first tile. So the first
    block of each resolution stands behind that of the next coarser one, which is what validators of cloud-optimised
    GeoTIFFs ask for. Without overviews the first tile comes first.

    Parameters
    ----------
    open_bytes : starts the sink of the file's bytes, which leaves room for the index at the front.
    scratch_folder : where the coarsest overviews are made; None for the system's folder for temporary files.

    Raises
    ------
    OutputError : GDAL refuses the output's options, or there is no room for it.
    """

    def __init__(
        self,
        output_spec: OutputSpec,
        grid: PixelGridDefn,
        layout: Layout,
        open_bytes: OpenBytes,
        scratch_folder: Path | None,
    ) -> None:
        self._output_spec = output_spec
        self._first_tile: tuple[Tile, Blocks] | None = None
        with output_errors_named(output_spec.path):
            self._index = BlockIndex(output_spec, grid, layout)
            self._coarse_overviews = _coarse_overviews(
                output_spec, grid, layout, self._index.made_by_main, scratch_folder
            )
        self._position = self._index.front_bytes
        self._sink = open_bytes(self._index)

    def write(self, tile: Tile, tile_output: TileOutput) -> None:
        blocks = tile_output.payload
        assert isinstance(blocks, EncodedBlocks | StoredBlocks)
        if self._coarse_overviews is not None:
            assert tile_output.coarsest is not None
            with output_errors_named(self._output_spec.path):
                self._coarse_overviews.add(tile.window, tile_output.coarsest)
        if self._output_spec.pyramid is not None and self._first_tile is None:
            self._first_tile = tile, blocks
        else:
            self._append_tile(tile, blocks)

    def finish(self, statistics: Sequence[BandStatistics] = ()) -> None:
        if self._coarse_overviews is not None:
            self._append_overviews(self._coarse_overviews)
        if self._first_tile is not None:
            self._append_tile(*self._first_tile)
        with output_errors_named(self._output_spec.path):
            self._index.check(self._position)
            front, side_files = self._index.front(statistics)
        self._sink.finish(front, side_files)

    def commit(self) -> None:
        self._sink.commit()

    def abort(self) -> None:
        self._sink.abort()

    def _append_overviews(self, coarse_overviews: CoarseOverviews) -> None:
        with output_errors_named(self._output_spec.path):
            for part in coarse_overviews.overviews():
                blocks = encode_overview(self._output_spec, part.pixels)
                self._index.place_overview(part, blocks, self._position)
                self._append(blocks)

    def _append_tile(self, tile: Tile, blocks: Blocks) -> None:
        self._index.place_tile(tile, blocks, self._position)
        self._append(blocks)

    def _append(self, blocks: Blocks) -> None:
        self._sink.append(blocks)
        self._position += blocks.nbytes


def _coarse_overviews(
    output_spec: OutputSpec,
    grid: PixelGridDefn,
    layout: Layout,
    made_by_main: tuple[int, ...],
    scratch_folder: Path | None,
) -> CoarseOverviews | None:
    pyramid = output_spec.pyramid
    if pyramid is None or not made_by_main:
        return None
    factor = pyramid.top_factor(output_spec.encoded_overviews)
    shape = (layout.nbands, grid.nrows, grid.ncols)
    return CoarseOverviews(output_spec, pyramid, factor, made_by_main, shape, layout.dtype, scratch_folder)
