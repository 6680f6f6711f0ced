"""One tile: read each block, call the user function, check what it returned, encode it.

Nothing here knows of job managers or AWS. Whoever has tiles to run makes a :class:`TileRunner` and keeps it, since
it holds the open input files.
"""

from __future__ import annotations

import contextlib
import os
import time
import traceback
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from rios_batch.associations import BlockAssociations
from rios_batch.compute.checks import check_layouts, collect_outputs
from rios_batch.compute.lostpixels import lost_pixels, without_data
from rios_batch.encode.blocks import tile_sink
from rios_batch.errors import RiosBatchError, UserFunctionError, text_of
from rios_batch.gdalapi import ensure_exceptions, exceptions_switched, nodata_or_none
from rios_batch.model.spec import Layout
from rios_batch.model.tileresult import TileRecord, TileResult
from rios_batch.model.tilestatistics import TileStatistics
from rios_batch.read.facts import open_raster
from rios_batch.read.sources import BlockReader
from rios_batch.readerinfo import ReaderInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rios_batch.compute.checks import Returned
    from rios_batch.compute.lostpixels import Mask
    from rios_batch.encode.blocks import TileSink
    from rios_batch.model.grid import PixelWindow
    from rios_batch.model.spec import InputFile, OutputSpec, RunSpec
    from rios_batch.model.tileresult import TileOutput
    from rios_batch.model.tiles import Tile


class StoppedError(RiosBatchError):
    """The run is being stopped; raised inside workers only."""


@dataclass(frozen=True)
class _Block:
    """One block of a tile, and how to speak of it."""

    tile: Tile
    xblock: int
    yblock: int
    window: PixelWindow

    def __str__(self) -> str:
        return f"block ({self.xblock}, {self.yblock}), {self.window}"


@dataclass
class _Seconds:
    """Wall-clock time spent on a tile so far, and when the tile was begun, in seconds since 1970."""

    reading: float = 0.0
    function: float = 0.0
    encoding: float = 0.0
    statistics: float = 0.0
    began_at: float = field(default_factory=time.time)

    @contextlib.contextmanager
    def spent_on(self, stage: str) -> Iterator[None]:
        """Add the time until the block ends to that of a stage, also if it ends by an exception."""
        started = time.perf_counter()
        try:
            yield
        finally:
            setattr(self, stage, getattr(self, stage) + time.perf_counter() - started)


class TileRunner:
    """Runs tiles of one spec, one at a time.

    Parameters
    ----------
    worker : a name for messages and records, such as ``process 4711``.
    stopped : asked between blocks; when it says True the tile is given up with StoppedError.
    """

    def __init__(self, spec: RunSpec, worker: str, stopped: Callable[[], bool] = lambda: False) -> None:
        self._spec, self._worker, self._stopped = spec, worker, stopped
        self._reader = BlockReader(spec)

    def run(self, tile: Tile, other_args: Any) -> TileResult:
        """Compute one tile.

        Parameters
        ----------
        other_args : handed to the user function as it is, if the run takes otherArgs.

        Raises
        ------
        UserFunctionError : the user function raised; the original is its cause.
        BlockError : it returned something that cannot be written.
        ImageOpenError : an input cannot be read.
        StoppedError : the run is being stopped.
        """
        seconds = _Seconds()
        self._reader.skipped.clear()
        with contextlib.closing(_TileWriter(self._spec, tile, seconds)) as writer:
            for block in self._blocks(tile):
                inputs, files = self._read(block, seconds)
                missing = without_data(self._spec, inputs, block.window)
                outputs = self._compute(block, inputs, files, other_args, seconds)
                returned = collect_outputs(
                    self._spec.outputs, outputs, block.window, self._spec.overlap_px, f"in {block}"
                )
                writer.write(returned, block.window, missing)
            parts = writer.finish()
        return TileResult(self._record(tile, parts, seconds), parts)

    def close(self) -> None:
        """Close the input files."""
        self._reader.close()

    def _blocks(self, tile: Tile) -> Iterator[_Block]:
        for xblock, yblock in tile.blocks():
            if self._stopped():
                raise StoppedError(f"tile {tile.index} was given up because the run was stopped")
            yield _Block(tile, xblock, yblock, self._spec.plan.blocks.window(xblock, yblock))

    def _read(self, block: _Block, seconds: _Seconds) -> tuple[BlockAssociations, dict[int, InputFile]]:
        with seconds.spent_on("reading"):
            return self._reader.read(block.window, block.tile.window)

    def _compute(
        self,
        block: _Block,
        inputs: BlockAssociations,
        files: dict[int, InputFile],
        other_args: Any,
        seconds: _Seconds,
    ) -> BlockAssociations:
        """Call the user function on one block, and return what it set, with the margin and unchecked."""
        spec = self._spec
        info = ReaderInfo(
            grid=spec.grid,
            blocks=spec.plan.blocks,
            overlap_px=spec.overlap_px,
            xblock=block.xblock,
            yblock=block.yblock,
            arrays=files,
            open_file=_open_with_exceptions,
        )
        returned = BlockAssociations(**dict.fromkeys(spec.absent_outputs))
        try:
            with seconds.spent_on("function"), exceptions_switched(spec.gdal_exceptions):
                spec.function(info, inputs, returned, *([other_args] if spec.takes_other_args else []))
        except Exception as error:
            raise self._explained(error, block) from error
        finally:
            ensure_exceptions()  # the function itself may have switched them
        return returned

    def _explained(self, error: Exception, block: _Block) -> UserFunctionError:
        # The first frames are this package's; the reader wants to start at the function.
        frames = error.__traceback__
        while frames and frames.tb_next and frames.tb_frame.f_globals.get("__package__") == __package__:
            frames = frames.tb_next
        text = "".join(traceback.format_exception(type(error), error, frames or error.__traceback__))
        name = getattr(self._spec.function, "__name__", repr(self._spec.function))
        files = ", ".join(self._spec.input_names) or "none"
        message = (
            f"{name} raised {type(error).__name__}: {text_of(error)}\n"
            f"in {block}, of tile {block.tile.index}, run by {self._worker}\n"
            f"input files: {files}"
        )
        kind = f"{type(error).__module__}.{type(error).__qualname__}"
        return UserFunctionError(message, exception_type=kind, traceback_text=text)

    def _record(self, tile: Tile, outputs: tuple[TileOutput, ...], seconds: _Seconds) -> TileRecord:
        return TileRecord(
            tile=tile.index,
            window=tile.window,
            worker=self._worker,
            blocks=len(tile.xblocks) * len(tile.yblocks),
            reading_s=seconds.reading,
            function_s=seconds.function,
            encoding_s=seconds.encoding,
            statistics_s=seconds.statistics,
            bytes_out=sum(tile_output.nbytes for tile_output in outputs),
            skipped=tuple(sorted(self._reader.skipped.items())),
            began_at=seconds.began_at,
            ended_at=time.time(),
        )


class _TileWriter:
    """Encodes the outputs of one tile, and collects their statistics, block by block."""

    def __init__(self, spec: RunSpec, tile: Tile, seconds: _Seconds) -> None:
        self._outputs = spec.compressed(tile.compressions).outputs
        self._window, self._seconds = tile.window, seconds
        self._layouts: list[Layout] = []
        self._sinks: list[TileSink] = []
        self._statistics: list[TileStatistics | None] = []
        self._lost_px = [0] * len(self._outputs)

    def write(self, returned: Sequence[Returned], window: PixelWindow, missing: Mask | None) -> None:
        """Take a block: for each output what the user function returned for ``window`` of the working grid.

        Raises
        ------
        TypeConversionError, ArrayShapeError : a type or number of bands is not that of the tile's first block.
        """
        arrays = [one.pixels for one in returned]
        with self._seconds.spent_on("encoding"):
            layouts = [Layout(array.dtype.name, array.shape[0]) for array in arrays]
            if not self._layouts:
                self._start(layouts)
            check_layouts(self._outputs, layouts, self._layouts, window)
            for array, sink in zip(arrays, self._sinks, strict=True):
                sink.write(array, window.col - self._window.col, window.row - self._window.row)
        with self._seconds.spent_on("statistics"):
            for array, collector in zip(arrays, self._statistics, strict=True):
                if collector is not None:
                    collector.add(array, window)
            for number, (output, one) in enumerate(zip(self._outputs, returned, strict=True)):
                self._lost_px[number] += lost_pixels(output, one, missing)

    def _start(self, layouts: list[Layout]) -> None:
        self._layouts = layouts
        for output_spec, layout in zip(self._outputs, layouts, strict=True):
            self._sinks.append(tile_sink(output_spec, layout, self._window))
            self._statistics.append(_tile_statistics(output_spec, layout))

    def finish(self) -> tuple[TileOutput, ...]:
        """Return the tile's part of each output."""
        with self._seconds.spent_on("encoding"):
            return tuple(
                replace(
                    sink.finish(), statistics=() if collector is None else collector.finish(), lost_px=lost_px
                )
                for sink, collector, lost_px in zip(self._sinks, self._statistics, self._lost_px, strict=True)
            )

    def close(self) -> None:
        """Free what the outputs hold; harmless after ``finish``."""
        with contextlib.ExitStack() as cleanup:
            for sink in self._sinks:
                cleanup.callback(sink.abort)


def _tile_statistics(output_spec: OutputSpec, layout: Layout) -> TileStatistics | None:
    if output_spec.statistics is None:
        return None
    nodata = nodata_or_none(output_spec.nodata, layout.dtype)
    return TileStatistics(output_spec.statistics, layout, nodata)


def _open_with_exceptions(file: InputFile) -> Any:
    with exceptions_switched(on=True):
        return open_raster(file.name, file.path)


def process_name() -> str:
    """Return a worker name for this process."""
    return f"process {os.getpid()}"
