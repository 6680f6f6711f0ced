# ruff: noqa: N803 - RIOS's names
"""Run a function over rasters, block by block: the public API, with RIOS's names.

from rios_batch import applier

def ndvi(info, inputs, outputs):
    red, nir = inputs.image[2].astype("f4"), inputs.image[3].astype("f4")
    outputs.ndvi = ((nir - red) / (nir + red))[None]

infiles = applier.FilenameAssociations()
outfiles = applier.FilenameAssociations()
infiles.image = "scene.tif"
outfiles.ndvi = "ndvi.tif"
applier.apply(ndvi, infiles, outfiles)
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import sys
import time
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from rios_batch.assemble.bandinfo import why_no_colours
from rios_batch.assemble.sinks import open_sink
from rios_batch.associations import BlockAssociations, FilenameAssociations, OtherInputs
from rios_batch.compute.checks import check_layouts
from rios_batch.compute.otherargs import merge
from rios_batch.concurrency import (
    CW_AWSBATCH,
    CW_ECS,
    CW_NONE,
    CW_PBS,
    CW_SLURM,
    CW_SUBPROC,
    CW_THREADS,
    ConcurrencyStyle,
)
from rios_batch.controls import (
    DEFAULT_JOB_MANAGER,
    DEFAULT_MINOVERVIEWDIM,
    DEFAULT_OVERVIEWLEVELS,
    DEFAULT_RESAMPLEMETHOD,
    DEFAULTFOOTPRINT,
    DEFAULTOVERLAP,
    DEFAULTWINDOWXSIZE,
    DEFAULTWINDOWYSIZE,
    ApplierControls,
)
from rios_batch.errors import ProcessCancelledError, RiosBatchWarning, WrongControlsObject
from rios_batch.gdalapi import gdal_exceptions
from rios_batch.jobmanagers import getJobManagerClassByType
from rios_batch.model.grid import BOUNDS_FROM_REFERENCE, INTERSECTION, UNION
from rios_batch.model.spec import RunOptions
from rios_batch.model.statistics import merged
from rios_batch.model.statitems import finished
from rios_batch.plan.outputs import DEFAULT_CREATION_OPTIONS
from rios_batch.plan.outputs import DEFAULT_DRIVER as DEFAULTDRIVERNAME
from rios_batch.plan.prepare import prepare
from rios_batch.result import ApplierReturn, Timers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import TextIO

    from rios_batch.jobmanagers import JobManager
    from rios_batch.model.protocols import Progress
    from rios_batch.model.spec import Layout, RunSpec, UserFunction
    from rios_batch.model.statistics import PartialStatistics
    from rios_batch.model.tileresult import TileRecord, TileResult

log = logging.getLogger("rios_batch")

__all__ = [
    "BOUNDS_FROM_REFERENCE",
    "CW_AWSBATCH",
    "CW_ECS",
    "CW_NONE",
    "CW_PBS",
    "CW_SLURM",
    "CW_SUBPROC",
    "CW_THREADS",
    "DEFAULTCREATIONOPTIONS",
    "DEFAULTDRIVERNAME",
    "DEFAULTFOOTPRINT",
    "DEFAULTLOGGINGSTREAM",
    "DEFAULTOVERLAP",
    "DEFAULTWINDOWXSIZE",
    "DEFAULTWINDOWYSIZE",
    "DEFAULT_AUTOCOLORTABLETYPE",
    "DEFAULT_MINOVERVIEWDIM",
    "DEFAULT_OVERVIEWAGGREGRATIONTYPE",
    "DEFAULT_OVERVIEWLEVELS",
    "DEFAULT_RESAMPLEMETHOD",
    "INTERSECTION",
    "UNION",
    "ApplierControls",
    "ApplierReturn",
    "BlockAssociations",
    "ConcurrencyStyle",
    "FilenameAssociations",
    "OtherInputs",
    "apply",
    "dfltDriverOptions",
]

# What scripts take from RIOS's applier besides. Environment variables do not change them.
dfltDriverOptions = {driver: list(options) for driver, options in DEFAULT_CREATION_OPTIONS.items()}  # noqa: N816
DEFAULTCREATIONOPTIONS = dfltDriverOptions[DEFAULTDRIVERNAME]
DEFAULTLOGGINGSTREAM = sys.stdout
DEFAULT_OVERVIEWAGGREGRATIONTYPE = None
DEFAULT_AUTOCOLORTABLETYPE = None


def apply(
    userFunction: UserFunction,
    infiles: FilenameAssociations,
    outfiles: FilenameAssociations,
    otherArgs: Any = None,
    controls: ApplierControls | None = None,
) -> ApplierReturn:
    """Run ``userFunction`` on every block of the inputs and write what it returns.

    Parameters
    ----------
    userFunction : called as ``f(info, inputs, outputs)``, or ``f(info, inputs, outputs, otherArgs)`` if
        otherArgs is given. ``inputs.<name>`` is an array of shape (bands, rows, cols), or a list of them
        for a list of files; it sets ``outputs.<name>`` to arrays of the same rows and columns.
    infiles, outfiles : symbolic names for files. No outputs is legal: a function may only change otherArgs.
    otherArgs : anything the function needs or changes. With one worker it is the object itself; with more,
        each tile has a fresh copy, and ``controls.setOtherArgsMerge`` says how changes become one value.
    controls : settings; default ``ApplierControls()``.

    Returns
    -------
    Timings, working grid, one record per tile, and otherArgs.

    Raises
    ------
    UserFunctionError : the function raised; its own exception is the cause.
    RiosBatchError : anything else, see :mod:`rios_batch.errors`. Whatever goes wrong while tiles are computed and
        written, nothing is at the outputs' paths, and what stood there before is still there; outputs are moved
        there one after the other when all are complete.
    """
    started = time.perf_counter()
    controls = controls or ApplierControls()
    if not isinstance(controls, ApplierControls):
        raise WrongControlsObject(f"controls is a {type(controls).__name__}, not an ApplierControls")
    if isinstance(otherArgs, ApplierControls):
        raise WrongControlsObject("the fourth argument of apply is otherArgs; give controls as controls=...")
    manager = _manager(controls)
    with _messages_to(controls.loggingstream), gdal_exceptions():
        spec = prepare(
            userFunction,
            infiles,
            outfiles,
            controls,
            takes_other_args=otherArgs is not None,
            num_workers=manager.num_processes,
        )
        spec = manager.adopt(spec, otherArgs)
        done, copies = _run(spec, manager, otherArgs, controls)
    records = tuple(tile.record for tile in done)
    timings = Timers(
        {
            "walltime": (time.perf_counter() - started,),
            "reading": tuple(record.reading_s for record in records),
            "userfunction": tuple(record.function_s for record in records),
            "encoding": tuple(record.encoding_s for record in records),
            "basicstats": tuple(record.statistics_s for record in records),
            "writing": tuple(tile.writing_s for tile in done),
        }
    )
    return ApplierReturn(
        timings=timings,
        workinggrid=spec.grid,
        outputs=tuple(output.path for output in spec.outputs),
        tiles=records,
        otherArgs=otherArgs,
        otherArgsList=copies,
        jobManagerType=manager.jobMgrType,
    )


@dataclass(frozen=True)
class _Done:
    """What is kept of a tile once its pixels are written."""

    record: TileRecord
    other_args: Mapping[str, bytes | None]
    writing_s: float


def _manager(controls: ApplierControls) -> JobManager:
    """Return the job manager that the controls ask for; one thread needs none, as in RIOS 1.4."""
    style = controls.concurrency
    if style is not None:
        options = RunOptions(controls.resume, coordinate_only=True)
        return getJobManagerClassByType(style.jobMgrType)(style.numThreads, options)
    if controls.numThreads == 1:
        return getJobManagerClassByType("in-process")(1)
    cls = getJobManagerClassByType(controls.jobManagerType or DEFAULT_JOB_MANAGER)
    manager = cls(1 if cls.jobMgrType == "in-process" else controls.numThreads)
    manager.options = RunOptions(controls.resume, controls.coordinateOnly)
    return manager


def _run(
    spec: RunSpec, manager: JobManager, other_args: Any, controls: ApplierControls
) -> tuple[list[_Done], list[Any]]:
    """Run all tiles, write the outputs, merge otherArgs; return the tiles and their copies of otherArgs.

    On any exception nothing is left of the outputs.
    """
    done: list[_Done] = []
    layouts: list[Layout] = []
    statistics: list[list[PartialStatistics]] = []
    with contextlib.ExitStack() as cleanup:
        sinks = []
        for output in spec.outputs:
            before_close = controls.getOptionForImagename("callBeforeClose", output.name)
            sinks.append(open_sink(output, spec.grid, before_close))
            cleanup.callback(sinks[-1].abort)
        report = cleanup.enter_context(_ProgressReport(controls.progress, len(spec.plan)))
        # Last in, first out: workers have stopped before their outputs are removed.
        results = cleanup.enter_context(contextlib.closing(manager.run_tiles(spec, other_args)))
        for result in itertools.islice(in_tile_order(results), len(spec.plan)):
            started = time.perf_counter()
            tile_layouts = [part.layout for part in result.outputs]
            if not layouts:
                layouts = tile_layouts
                _warn_of_missing_colours(spec, layouts)
            check_layouts(spec.outputs, tile_layouts, layouts, result.record.window)
            for sink, part in zip(sinks, result.outputs, strict=True):
                sink.write(spec.plan.tile(result.record.tile), part)
            statistics = merge_tile_statistics(result, statistics)
            done.append(_Done(result.record, result.other_args, time.perf_counter() - started))
            report.tile_done()
        bands = itertools.starmap(finished, zip(spec.outputs, layouts, statistics, strict=False))
        for sink in sinks:
            sink.finish(next(bands, ()))  # without any tile there are none, which the sink says
        copies = [other_args]
        if not manager.shares_other_args:
            copies = _merged(other_args, [tile.other_args for tile in done], controls)
        for sink in sinks:
            sink.commit()
        next(results, None)  # the manager may let go of what the outputs were made from
    return done, copies


def _warn_of_missing_colours(spec: RunSpec, layouts: Sequence[Layout]) -> None:
    for output, layout in zip(spec.outputs, layouts, strict=True):
        if reason := why_no_colours(output, layout):
            log.warning("%s gets no colour table: %s", output.path, reason)


def merge_tile_statistics(
    result: TileResult, so_far: list[list[PartialStatistics]]
) -> list[list[PartialStatistics]]:
    """Return the statistics of each output's bands after one more tile."""
    found = [list(output.statistics) for output in result.outputs]
    if not so_far:
        return found
    return [[merged(band) for band in zip(*bands, strict=True)] for bands in zip(so_far, found, strict=True)]


@contextlib.contextmanager
def _messages_to(stream: TextIO | None) -> Iterator[None]:
    """Have the project's messages written to a stream as well."""
    if stream is None:
        yield
        return
    handler = logging.StreamHandler(stream)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)


def in_tile_order(results: Iterable[TileResult]) -> Iterator[TileResult]:
    """Yield results by tile number, keeping those that come early until their turn.

    Everything that depends on order (the file's bytes, merged lists) is then the same whichever worker was
    quicker.
    """
    early: dict[int, TileResult] = {}
    turn = 0
    for result in results:
        early[result.record.tile] = result
        while turn in early:
            yield early.pop(turn)
            turn += 1


class _ProgressReport:
    """Tells a RIOS progress object about finished tiles, in per cent, when that changes."""

    def __init__(self, progress: Progress | None, ntiles: int) -> None:
        self._progress, self._ntiles, self._done, self._percent = progress, ntiles, 0, 0
        if progress is not None:
            progress.setTotalSteps(100)
            progress.setProgress(0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error is not None and self._progress is not None:
            self._progress.reset()  # a bar must not be drawn once more after the message

    def tile_done(self) -> None:
        """Count a tile.

        Raises
        ------
        ProcessCancelledError : the progress object says that the user cancelled.
        """
        self._done += 1
        if self._progress is None:
            return
        percent = 100 * self._done // self._ntiles
        if percent != self._percent:
            self._percent = percent
            self._progress.setProgress(percent)
        if self._progress.wasCancelled():
            raise ProcessCancelledError(
                f"cancelled after {self._done} of {self._ntiles} tiles; nothing was written"
            )


def _merged(
    other_args: Any, changes: list[Mapping[str, bytes | None]], controls: ApplierControls
) -> list[Any]:
    copies, unmerged = merge(other_args, changes, controls.otherArgsMergeRules)
    if unmerged and controls.concurrency is None:  # RIOS 2's scripts merge the copies themselves
        names = ", ".join(f"otherArgs.{name}" for name in unmerged)
        warnings.warn(
            f"{names} changed in blocks, but {'have' if len(unmerged) > 1 else 'has'} no merge rule, so the "
            "caller's object is unchanged; use controls.setOtherArgsMerge(name, rule), or merge the tiles' copies "
            "in the result's otherArgsList",
            RiosBatchWarning,
            stacklevel=4,
        )
    return copies
