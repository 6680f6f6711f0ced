"""The output files of a run, from their opening until they are in their places."""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
from typing import TYPE_CHECKING, Self

import numpy as np

from rios_batch.assemble.bandinfo import why_no_colours
from rios_batch.assemble.sinks import open_sink
from rios_batch.compute.checks import check_layouts
from rios_batch.gdalapi import nodata_or_none
from rios_batch.model.statistics import merged
from rios_batch.model.statitems import finished

if TYPE_CHECKING:
    from collections.abc import Callable

    from rios_batch.assemble.beforeclose import BeforeClose
    from rios_batch.jobmanagers.watchdog import Watchdog
    from rios_batch.model.creationoptions import Compression
    from rios_batch.model.protocols import RasterSink
    from rios_batch.model.spec import Layout, OutputSpec, RunSpec
    from rios_batch.model.statistics import PartialStatistics
    from rios_batch.model.tileresult import TileResult

log = logging.getLogger("rios_batch")


class Outputs:
    """Opens the outputs on entry; whatever is not committed on exit is removed.

    Parameters
    ----------
    before_close : what a script wants to do to the output of a name before the file is in its place, or None.
    watchdog : counts main's waiting for S3.
    chosen : told of the outputs' compressions whenever another one is chosen; None where none is, or none was to be.
    """

    def __init__(
        self,
        spec: RunSpec,
        before_close: Callable[[str], BeforeClose | None],
        watchdog: Watchdog,
        chosen: Callable[[tuple[Compression | None, ...]], None] = lambda _: None,
    ) -> None:
        self._spec, self._before_close, self._watchdog = spec, before_close, watchdog
        self._tell = chosen
        self._compressions = [output.compression for output in spec.outputs]
        self._cleanup = contextlib.ExitStack()
        self._sinks: list[RasterSink] = []
        self._layouts: list[Layout] = []
        self._statistics: list[list[PartialStatistics]] = []
        self._lost_px = [0] * len(spec.outputs)

    def __enter__(self) -> Self:
        """Open the outputs.

        Raises
        ------
        OutputError : a folder or bucket cannot be written.
        """
        with self._cleanup:
            for number, output_spec in enumerate(self._spec.outputs):
                sink = open_sink(
                    output_spec,
                    self._spec.grid,
                    self._before_close(output_spec.name),
                    self._watchdog,
                    functools.partial(self._chosen, number),
                )
                self._cleanup.callback(sink.abort)
                self._sinks.append(sink)
            self._cleanup = self._cleanup.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._cleanup.close()
        # Sinks know this object, which tells main of a choice: without this, files stay open until they are collected.
        self._sinks.clear()

    def _chosen(self, number: int, compression: Compression) -> None:
        self._compressions[number] = compression
        self._tell(tuple(self._compressions))

    def write(self, result: TileResult) -> None:
        """Take in one tile; tiles come in order of their index.

        Raises
        ------
        TypeConversionError, ArrayShapeError : it is not like the tiles before.
        """
        layouts = [part.layout for part in result.outputs]
        if not self._layouts:
            self._layouts = layouts
            for output, layout in zip(self._spec.outputs, layouts, strict=True):
                _warn_of_settings_without_effect(output, layout)
        check_layouts(self._spec.outputs, layouts, self._layouts, result.record.window)
        for sink, part in zip(self._sinks, result.outputs, strict=True):
            sink.write(self._spec.plan.tile(result.record.tile), part)
        self._statistics = merge_tile_statistics(result, self._statistics)
        self._lost_px = [
            total + part.lost_px for total, part in zip(self._lost_px, result.outputs, strict=True)
        ]

    def finish(self) -> None:
        """Complete the files beside their places."""
        # Without any tile there are neither layouts nor statistics, which the sink says.
        bands = itertools.starmap(
            finished, zip(self._spec.outputs, self._layouts, self._statistics, strict=False)
        )
        for sink in self._sinks:
            sink.finish(next(bands, ()))
        for output, lost_px in zip(self._spec.outputs, self._lost_px, strict=True):
            _warn_of_lost_pixels(output, lost_px)

    def commit(self) -> None:
        """Move the finished files to their places, one after the other."""
        for sink in self._sinks:
            sink.commit()


def _warn_of_settings_without_effect(output: OutputSpec, layout: Layout) -> None:
    if reason := why_no_colours(output, layout):
        log.warning("%s gets no colour table: %s", output.path, reason)
    if output.nodata is not None and nodata_or_none(output.nodata, layout.dtype) is None:
        limits = np.iinfo(layout.dtype)
        log.warning(
            "%s has nodata value %s, which %s (%d to %d) cannot hold, so none of its pixels is nodata; set another "
            "with setStatsIgnore",
            *(output.path, output.nodata, layout.dtype, limits.min, limits.max),
        )


def _warn_of_lost_pixels(output: OutputSpec, lost_px: int) -> None:
    if lost_px:
        log.warning(
            "%s: %s computed from data %s 0, which is nodata where a script names no nodata value, so that statistics "
            "and other programs leave 0 out; name a value that is no result with controls.setStatsIgnore(value, %r), "
            "None for no nodata value, or 0 if 0 is meant to be nodata",
            output.path,
            "1 pixel" if lost_px == 1 else f"{lost_px:,} pixels",
            "is" if lost_px == 1 else "are",
            output.name,
        )


def merge_tile_statistics(
    result: TileResult, so_far: list[list[PartialStatistics]]
) -> list[list[PartialStatistics]]:
    """Return the statistics of each output's bands after one more tile."""
    found = [list(tile_output.statistics) for tile_output in result.outputs]
    if not so_far:
        return found
    return [[merged(band) for band in zip(*bands, strict=True)] for bands in zip(so_far, found, strict=True)]
