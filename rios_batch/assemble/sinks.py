"""Opening outputs: which way each is written, and when its writing starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rios_batch.assemble.blockindex import incomplete
from rios_batch.assemble.choosing import CompressionChoice, as_chosen
from rios_batch.assemble.filesink import FileSink
from rios_batch.assemble.gdalwriter import GdalWriter
from rios_batch.assemble.geotiffassembler import GeoTiffAssembler
from rios_batch.assemble.staging import StagedFile
from rios_batch.model.s3names import SCHEME

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from rios_batch.assemble.beforeclose import BeforeClose
    from rios_batch.assemble.geotiffassembler import OpenBytes
    from rios_batch.assemble.staging import StagingFolder
    from rios_batch.jobmanagers.watchdog import Watchdog
    from rios_batch.model.creationoptions import Compression
    from rios_batch.model.grid import PixelGridDefn
    from rios_batch.model.protocols import RasterSink
    from rios_batch.model.spec import Layout, OutputSpec
    from rios_batch.model.statitems import BandStatistics
    from rios_batch.model.tileresult import TileOutput
    from rios_batch.model.tiles import Tile

    Start = Callable[[OutputSpec, Layout, Tile], RasterSink]


def open_sink(
    output_spec: OutputSpec,
    grid: PixelGridDefn,
    before_close: BeforeClose | None = None,
    watchdog: Watchdog | None = None,
    chosen: Callable[[Compression], None] = lambda _: None,
) -> RasterSink:
    """Start writing an output.

    Parameters
    ----------
    before_close : called with the finished dataset, which it may change, before it is in its place.
    watchdog : counts the waiting for S3; None for one without a limit.
    chosen : told of the compression, once it is chosen, where the script left it open.

    Raises
    ------
    OutputError : its folder or bucket cannot be written.
    """

    def assembling(open_bytes: OpenBytes, scratch_folder: Path | None) -> Start:
        return lambda spec, layout, _: GeoTiffAssembler(spec, grid, layout, open_bytes, scratch_folder)

    if output_spec.stays_in_s3:
        # boto3 takes as long to import as everything else together; a run without S3 does without it.
        from rios_batch.assemble.s3sink import S3Sink, S3Target  # noqa: PLC0415

        target = S3Target(output_spec.path)
        start = assembling(
            lambda index: S3Sink(target, index.front_bytes, index.raw_bytes, index.nblocks, watchdog), None
        )
        return SinkOfFirstTiles(output_spec, grid, target.abort, start, chosen)
    staged = _staging_folder(output_spec.path)
    if output_spec.encoded_by_workers:
        start = assembling(
            lambda index: FileSink(staged, output_spec.path, index.front_bytes, before_close),
            staged.path.parent,
        )
    else:

        def start(spec: OutputSpec, layout: Layout, first_tile: Tile) -> RasterSink:
            return GdalWriter(spec, grid, layout, staged, first_tile.window, before_close)

    return SinkOfFirstTiles(output_spec, grid, staged.abort, start, chosen)


def _staging_folder(path: str) -> StagingFolder:
    if not path.startswith(SCHEME):
        return StagedFile(path)
    from rios_batch.assemble.s3sink import StagedObject  # noqa: PLC0415 - as above

    return StagedObject(path)


class SinkOfFirstTiles:
    """Starts an output with its first tile, which says what type and how many bands the output has.

    Where the compression is still to be chosen, tiles are held until the first pixels have come that decide.

    Parameters
    ----------
    abort_unstarted : frees what was taken to see that the output can be written.
    start : makes the sink that the tiles go to, of the output, the layout and the first tile.
    chosen : told of the compression that was chosen.
    """

    def __init__(
        self,
        output_spec: OutputSpec,
        grid: PixelGridDefn,
        abort_unstarted: Callable[[], None],
        start: Start,
        chosen: Callable[[Compression], None],
    ) -> None:
        self._output_spec, self._abort_unstarted, self._start = output_spec, abort_unstarted, start
        self._choice = CompressionChoice(output_spec, grid) if output_spec.chooses_compression else None
        self._chosen = chosen
        self._held: list[tuple[Tile, TileOutput]] = []
        self._started: RasterSink | None = None

    def write(self, tile: Tile, tile_output: TileOutput) -> None:
        if self._started is not None:
            self._started.write(tile, as_chosen(self._output_spec, tile, tile_output))
            return
        self._held.append((tile, tile_output))
        self._try_to_start(all_there=False)

    def finish(self, statistics: Sequence[BandStatistics] = ()) -> None:
        if self._started is None and self._held:
            self._try_to_start(all_there=True)
        if self._started is None:
            raise incomplete(self._output_spec)
        self._started.finish(statistics)

    def _try_to_start(self, *, all_there: bool) -> None:
        if self._choice is not None:
            compression = self._choice.made(self._held, all_there=all_there)
            if compression is None:
                return
            self._output_spec = self._output_spec.compressed(compression)
            self._chosen(compression)
        held, self._held = self._held, []
        first_tile, first_output = held[0]
        self._started = self._start(self._output_spec, first_output.layout, first_tile)
        for tile, tile_output in held:
            self._started.write(tile, as_chosen(self._output_spec, tile, tile_output))

    def commit(self) -> None:
        if self._started is None:
            raise incomplete(self._output_spec)
        self._started.commit()

    def abort(self) -> None:
        self._held.clear()
        if self._started is None:
            self._abort_unstarted()
        else:
            self._started.abort()
