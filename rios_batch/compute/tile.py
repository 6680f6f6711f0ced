"""One tile: read each block, call the user function, check what it returns, encode it.

Knows nothing of job managers or AWS; whoever has a tile to run makes a :class:`TileRunner` and keeps it,
since it holds the open input files.
"""

from __future__ import annotations

import contextlib
import os
import time
import traceback
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rios_batch.associations import BlockAssociations
from rios_batch.encode.blocks import tile_sink
from rios_batch.errors import (
    ArrayShapeError,
    KeysMismatch,
    MismatchedListLengthsError,
    RiosBatchError,
    TypeConversionError,
    UserFunctionError,
)
from rios_batch.gdalapi import ensure_exceptions, gdal_type, nodata_or_none
from rios_batch.model.spec import Layout, block_dtype_name
from rios_batch.model.statistics import TileStatistics
from rios_batch.model.tileresult import TileRecord, TileResult
from rios_batch.read.facts import open_raster
from rios_batch.read.sources import BlockReader
from rios_batch.readerinfo import ReaderInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rios_batch.encode.blocks import TileSink
    from rios_batch.model.grid import PixelWindow
    from rios_batch.model.spec import Array, OutputSpec, RunSpec
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
    """Wall-clock time spent on a tile so far."""

    reading: float = 0.0
    function: float = 0.0
    encoding: float = 0.0
    statistics: float = 0.0


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
        """
        seconds = _Seconds()
        with contextlib.ExitStack() as cleanup:
            sinks: list[TileSink] = []
            statistics: list[TileStatistics | None] = []
            for block in self._blocks(tile):
                arrays = self._compute(block, other_args, seconds)
                started = time.perf_counter()
                layouts = [Layout(array.dtype.name, array.shape[0]) for array in arrays]
                if block.window.col == tile.window.col and block.window.row == tile.window.row:
                    tile_layouts = layouts
                    for output, layout in zip(self._spec.outputs, layouts, strict=True):
                        sinks.append(tile_sink(output, layout, tile.window))
                        cleanup.callback(sinks[-1].abort)
                        statistics.append(_tile_statistics(output, layout))
                check_layouts(self._spec.outputs, layouts, tile_layouts, block.window)
                for array, sink in zip(arrays, sinks, strict=True):
                    sink.write(array, block.window.col - tile.window.col, block.window.row - tile.window.row)
                written = time.perf_counter()
                seconds.encoding += written - started
                for array, collector in zip(arrays, statistics, strict=True):
                    if collector is not None:
                        collector.add(array, block.window)
                seconds.statistics += time.perf_counter() - written
            started = time.perf_counter()
            outputs = tuple(
                replace(sink.finish(), statistics=() if collector is None else collector.finish())
                for sink, collector in zip(sinks, statistics, strict=True)
            )
            seconds.encoding += time.perf_counter() - started
        record = TileRecord(
            tile=tile.index,
            window=tile.window,
            worker=self._worker,
            blocks=len(tile.xblocks) * len(tile.yblocks),
            reading_s=seconds.reading,
            function_s=seconds.function,
            encoding_s=seconds.encoding,
            statistics_s=seconds.statistics,
            bytes_out=sum(output.nbytes for output in outputs),
        )
        return TileResult(record, outputs)

    def close(self) -> None:
        """Close the input files."""
        self._reader.close()

    def _blocks(self, tile: Tile) -> Iterator[_Block]:
        for xblock, yblock in tile.blocks():
            if self._stopped():
                raise StoppedError(f"tile {tile.index} was given up because the run was stopped")
            yield _Block(tile, xblock, yblock, self._spec.plan.blocks.window(xblock, yblock))

    def _compute(self, block: _Block, other_args: Any, seconds: _Seconds) -> list[Array]:
        """Read one block, call the user function, and return the checked outputs without margin."""
        spec = self._spec
        started = time.perf_counter()
        inputs, files = self._reader.read(block.window)
        outputs = BlockAssociations()
        info = ReaderInfo(
            grid=spec.grid,
            blocks=spec.plan.blocks,
            overlap_px=spec.overlap_px,
            xblock=block.xblock,
            yblock=block.yblock,
            arrays=files,
            open_file=lambda file: open_raster(file.name, file.path),
        )
        called = time.perf_counter()
        seconds.reading += called - started
        try:
            spec.function(info, inputs, outputs, *([other_args] if spec.takes_other_args else []))
        except Exception as error:
            raise self._explained(error, block) from error
        finally:
            seconds.function += time.perf_counter() - called
            ensure_exceptions()
        return collect_outputs(spec.outputs, outputs, block.window, spec.overlap_px, f"in {block}")

    def _explained(self, error: Exception, block: _Block) -> UserFunctionError:
        # The first frame is this module's; the reader wants to start at the function.
        frames = error.__traceback__.tb_next if error.__traceback__ else None
        text = "".join(traceback.format_exception(type(error), error, frames or error.__traceback__))
        name = getattr(self._spec.function, "__name__", repr(self._spec.function))
        files = ", ".join(self._spec.input_names) or "none"
        message = (
            f"{name} raised {type(error).__name__}: {error}\n"
            f"in {block}, of tile {block.tile.index}, run by {self._worker}\n"
            f"input files: {files}"
        )
        kind = f"{type(error).__module__}.{type(error).__qualname__}"
        return UserFunctionError(message, exception_type=kind, traceback_text=text)


def _tile_statistics(output: OutputSpec, layout: Layout) -> TileStatistics | None:
    if output.statistics is None:
        return None
    return TileStatistics(output.statistics, layout, nodata_or_none(output.nodata, layout.dtype))


def process_name() -> str:
    """Return a worker name for this process."""
    return f"process {os.getpid()}"


def collect_outputs(
    output_specs: tuple[OutputSpec, ...],
    outputs: BlockAssociations,
    window: PixelWindow,
    overlap_px: int,
    where: str,
) -> list[Array]:
    """Check what the user function set, and cut the margin off.

    Parameters
    ----------
    where : "in" and the block, for messages.

    Returns
    -------
    One array of shape (bands, rows, cols) for each output, of a type that GDAL can write.

    Raises
    ------
    KeysMismatch, MismatchedListLengthsError : an output is missing, or a list has another length.
    ArrayShapeError, TypeConversionError : the array's shape or type is wrong.
    """
    return [
        _checked(output_spec, _value_of(output_spec, output_specs, outputs, where), window, overlap_px, where)
        for output_spec in output_specs
    ]


def _value_of(
    output_spec: OutputSpec, output_specs: tuple[OutputSpec, ...], outputs: BlockAssociations, where: str
) -> Any:
    if output_spec.name not in outputs:
        raise KeysMismatch(
            f"the user function did not set outputs.{output_spec.name} {where}; "
            f"it set {', '.join(outputs) or 'nothing'}"
        )
    value = getattr(outputs, output_spec.name)
    if output_spec.sequence is None:
        return value
    wanted = sum(other.name == output_spec.name for other in output_specs)
    if not isinstance(value, list | tuple) or len(value) != wanted:
        got = f"{len(value)} arrays" if isinstance(value, list | tuple) else f"a {type(value).__name__}"
        raise MismatchedListLengthsError(
            f"outputs.{output_spec.name} must be a list of {wanted} arrays, one for each file; "
            f"{where} it is {got}"
        )
    return value[output_spec.sequence]


def _checked(output_spec: OutputSpec, value: Any, window: PixelWindow, overlap_px: int, where: str) -> Array:
    rows, cols = window.height + 2 * overlap_px, window.width + 2 * overlap_px
    if not isinstance(value, np.ndarray):
        raise ArrayShapeError(
            f"{output_spec.label} is a {type(value).__name__} {where}; "
            "it must be a numpy array of shape (bands, rows, cols)"
        )
    if value.ndim != 3 or value.shape[0] < 1 or value.shape[1:] != (rows, cols):  # noqa: PLR2004
        margin = f", the margin of {overlap_px} on every side included" if overlap_px else ""
        raise ArrayShapeError(
            f"{output_spec.label} has shape {value.shape} {where}; it must be (bands, {rows}, {cols}) with "
            f"at least one band{margin}"
        )
    dtype = block_dtype_name(value.dtype)
    try:
        gdal_type(dtype)
    except TypeConversionError as error:
        raise TypeConversionError(f"{output_spec.label} {where}: {error}") from None
    inner = value[:, overlap_px : rows - overlap_px, overlap_px : cols - overlap_px]
    array = np.asarray(inner).astype(dtype, copy=False)
    # GDAL takes a stride of 0 (np.broadcast_to) for "as usual", and reads past the array's end.
    return array if all(stride > 0 for stride in array.strides) else np.ascontiguousarray(array)


def check_layouts(
    output_specs: tuple[OutputSpec, ...],
    layouts: Sequence[Layout],
    wanted: Sequence[Layout],
    window: PixelWindow,
) -> None:
    """Refuse outputs whose type or band count is not that of an earlier block.

    GDAL would cast silently (300.7 becomes 255 in uint8), or leave bands out.

    Parameters
    ----------
    window : where ``layouts`` were found, for messages.

    Raises
    ------
    TypeConversionError, ArrayShapeError : naming both.
    """
    for output_spec, got, expected in zip(output_specs, layouts, wanted, strict=True):
        if got != expected:
            kind = TypeConversionError if got.dtype != expected.dtype else ArrayShapeError
            raise kind(
                f"{output_spec.label} has {got} at {window}, but {expected} in an earlier block; every block must "
                "have the same type and number of bands (use .astype)"
            )
