"""Opening outputs: which way each is written, and when its writing starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rios_batch.assemble.blockindex import incomplete
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
    from rios_batch.model.grid import PixelGridDefn
    from rios_batch.model.protocols import RasterSink
    from rios_batch.model.spec import Layout, OutputSpec
    from rios_batch.model.statitems import BandStatistics
    from rios_batch.model.tileresult import TileOutput
    from rios_batch.model.tiles import Tile

    Start = Callable[[Layout, Tile], RasterSink]


def open_sink(
    output_spec: OutputSpec,
    grid: PixelGridDefn,
    before_close: BeforeClose | None = None,
    watchdog: Watchdog | None = None,
) -> RasterSink:
    """Start writing an output.

    Parameters
    ----------
    before_close : called with the finished dataset, which it may change, before it is in its place.
    watchdog : counts the waiting for S3; None for one without a limit.

    Raises
    ------
    OutputError : its folder or bucket cannot be written.
    """

    def assembling(open_bytes: OpenBytes, scratch_folder: Path | None) -> Start:
        return lambda layout, _: GeoTiffAssembler(output_spec, grid, layout, open_bytes, scratch_folder)

    if output_spec.stays_in_s3:
        # boto3 takes as long to import as everything else together; a run without S3 does without it.
        from rios_batch.assemble.s3sink import S3Sink, S3Target  # noqa: PLC0415

        target = S3Target(output_spec.path)
        start = assembling(lambda index: S3Sink(target, index.front_bytes, index.raw_bytes, watchdog), None)
        return SinkOfFirstTile(output_spec, target.abort, start)
    staged = _staging_folder(output_spec.path)
    if output_spec.encoded_by_workers:
        start = assembling(
            lambda index: FileSink(staged, output_spec.path, index.front_bytes, before_close),
            staged.path.parent,
        )
    else:

        def start(layout: Layout, first_tile: Tile) -> RasterSink:
            return GdalWriter(output_spec, grid, layout, staged, first_tile.window, before_close)

    return SinkOfFirstTile(output_spec, staged.abort, start)


def _staging_folder(path: str) -> StagingFolder:
    if not path.startswith(SCHEME):
        return StagedFile(path)
    from rios_batch.assemble.s3sink import StagedObject  # noqa: PLC0415 - as above

    return StagedObject(path)


class SinkOfFirstTile:
    """Starts an output with its first tile, which says what type and how many bands the output has.

    Parameters
    ----------
    abort_unstarted : frees what was taken to see that the output can be written.
    start : makes the sink that the tiles go to, of the layout and the first tile.
    """

    def __init__(self, output_spec: OutputSpec, abort_unstarted: Callable[[], None], start: Start) -> None:
        self._output_spec, self._abort_unstarted, self._start = output_spec, abort_unstarted, start
        self._started: RasterSink | None = None

    def write(self, tile: Tile, tile_output: TileOutput) -> None:
        if self._started is None:
            self._started = self._start(tile_output.layout, tile)
        self._started.write(tile, tile_output)

    def finish(self, statistics: Sequence[BandStatistics] = ()) -> None:
        if self._started is None:
            raise incomplete(self._output_spec)
        self._started.finish(statistics)

    def commit(self) -> None:
        if self._started is None:
            raise incomplete(self._output_spec)
        self._started.commit()

    def abort(self) -> None:
        if self._started is None:
            self._abort_unstarted()
        else:
            self._started.abort()
