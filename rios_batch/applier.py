# ruff: noqa: N803 - RIOS's names
"""Run a function over rasters, block by block: the public API, with RIOS's names.

from rios_batch import applier

def ndvi(info, inputs, outputs):
    image = np.ma.masked_equal(inputs.image, info.getNoDataValueFor(inputs.image)).astype("f4")
    red, nir = image[2], image[3]
    outputs.ndvi = ((nir - red) / (nir + red))[None]  # masked pixels become nodata

infiles = applier.FilenameAssociations()
outfiles = applier.FilenameAssociations()
infiles.image = "scene.tif"
outfiles.ndvi = "ndvi.tif"
controls = applier.ApplierControls()
controls.setStatsIgnore(-2)  # without it 0 is nodata, as in RIOS
applier.apply(ndvi, infiles, outfiles, controls=controls)
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import rios_batch.model.requirements  # noqa: F401 - before all that needs what it looks for
from rios_batch.assemble.order import in_tile_order
from rios_batch.assemble.outputs import Outputs
from rios_batch.assemble.progress import ProgressReport
from rios_batch.assemble.reporting import Reporter
from rios_batch.associations import BlockAssociations, FilenameAssociations, OtherInputs
from rios_batch.awsbatch.kepttiles import KeptRun, KeptTiles
from rios_batch.compute.otherargs import check_rules, merge
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
from rios_batch.errors import WrongControlsObject, short_when_interrupted
from rios_batch.gdalapi import gdal_exceptions
from rios_batch.jobmanagers import getJobManagerClassByType
from rios_batch.jobmanagers.base import WITH_WORKERS_AT_HAND
from rios_batch.jobmanagers.environment import environment_with
from rios_batch.jobmanagers.watchdog import Watchdog
from rios_batch.model.concurrency import (
    CW_AWSBATCH,
    CW_ECS,
    CW_NONE,
    CW_PBS,
    CW_SLURM,
    CW_SUBPROC,
    CW_THREADS,
    ConcurrencyStyle,
)
from rios_batch.model.forecast import ENV_DRY_RUN
from rios_batch.model.grid import BOUNDS_FROM_REFERENCE, INTERSECTION, UNION
from rios_batch.model.spec import RunOptions
from rios_batch.pixelgrid import PixelGridDefn, findCommonRegion, pixelGridFromFile
from rios_batch.plan.outputs import DEFAULT_CREATION_OPTIONS
from rios_batch.plan.outputs import DEFAULT_DRIVER as DEFAULTDRIVERNAME
from rios_batch.plan.prepare import prepare
from rios_batch.read.unchanged import InputsAsTheyWere
from rios_batch.result import ApplierReturn, Timers
from rios_batch.structures import TempfileManager

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import TextIO

    from rios_batch.compute.dataarrays import Date
    from rios_batch.jobmanagers import JobManager, Run
    from rios_batch.model.mergerules import MergeRule
    from rios_batch.model.spec import RunSpec, UserFunction
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
    "PixelGridDefn",
    "TempfileManager",
    "apply",
    "dataarrays",
    "dfltDriverOptions",
    "findCommonRegion",
    "pixelGridFromFile",
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
        each tile has a fresh copy, and ``controls.setOtherArgsMerge`` says how changes become one value. Without such
        a rule a change ends the run.
    controls : settings; default ``ApplierControls()``.

    Returns
    -------
    Timings, working grid, one record per tile, and otherArgs. After a dry run (``controls.setDryRun``) there are no
    tiles and no outputs, and ``forecast`` has what the run would take.

    Raises
    ------
    UserFunctionError : the function raised; its own exception is the cause.
    RiosBatchError : anything else, see :mod:`rios_batch.errors`. Whatever goes wrong while tiles are computed and
        written, nothing is at the outputs' paths, and what stood there before is still there; outputs are moved
        there one after the other when all are complete.
    """
    with short_when_interrupted():
        return _applied(userFunction, infiles, outfiles, otherArgs, controls)


def _applied(
    userFunction: UserFunction,
    infiles: FilenameAssociations,
    outfiles: FilenameAssociations,
    otherArgs: Any,
    controls: ApplierControls | None,
) -> ApplierReturn:
    started = time.perf_counter()
    controls = _checked(controls, otherArgs)
    manager = _manager(controls)
    if controls.dryRun or os.environ.get(ENV_DRY_RUN):
        return _plan_only(userFunction, infiles, outfiles, otherArgs, controls, manager)
    with contextlib.ExitStack() as stack, _messages_to(controls.loggingstream), gdal_exceptions():
        spec = prepare(
            userFunction,
            infiles,
            outfiles,
            controls,
            takes_other_args=otherArgs is not None,
            num_workers=manager.num_processes,
        )
        inputs = InputsAsTheyWere(spec)
        stack.enter_context(environment_with(spec.environment))
        run = _start(manager, spec, otherArgs, stack)
        before_close = functools.partial(controls.getOptionForImagename, "callBeforeClose")
        reporter = stack.enter_context(Reporter(controls.report, run, manager.jobMgrType))
        report = ProgressReport(controls.progress, len(run.spec.plan))
        # Last in, first out: workers have stopped before their outputs are removed.
        watchdog = Watchdog(controls.waitLimit)
        with Outputs(run.spec, before_close, watchdog, run.compressions_chosen) as outputs, report, run:
            # RIOS 2's scripts merge the copies themselves.
            rules = controls.otherArgsMergeRules if controls.concurrency is None else None
            tiles = [
                _take_in(result, outputs, report, rules)
                for result in reporter.noted(in_tile_order(run, run.spec))
            ]
            outputs.finish()
            copies = [otherArgs]
            if not manager.shares_other_args:
                changes = [tile.other_args for tile in tiles]
                copies = merge(otherArgs, changes, controls.otherArgsMergeRules)
            inputs.check()
            outputs.commit()
            run.outputs_committed()
    return ApplierReturn(
        timings=_timings(time.perf_counter() - started, tiles),
        workinggrid=run.spec.grid,
        outputs=tuple(output.path for output in run.spec.outputs),
        outputsByName=_by_name(run.spec),
        tiles=tuple(tile.record for tile in tiles),
        otherArgs=otherArgs,
        otherArgsList=copies,
        jobManagerType=manager.jobMgrType,
        skippedInputs=_skipped(run.spec, tiles),
    )


def dataarrays(
    function: Callable[..., object],
    dates: Mapping[str, Sequence[Date]] | None = None,
    *,
    masked: bool = False,
) -> UserFunction:
    """Return a user function for ``apply`` that calls ``function`` with xarray's DataArrays in place of arrays.

    ``applier.apply(applier.dataarrays(function), ...)`` needs ``pip install 'rios_batch[xarray]'``, also where workers
    are. ``info`` and otherArgs are as without. The methods of ``info`` that take an input's array take its DataArray.

    Parameters
    ----------
    function : called as ``f(info, inputs, outputs)``, with otherArgs as the fourth argument if they are given.
        ``inputs.<name>`` is a DataArray with the dimensions (band, y, x), or a list of them for a list of files. ``y``
        and ``x`` are centres of pixels, those in the margin of ``setOverlap`` included; ``band`` has the layers' names
        where each has one of its own, else numbers from 1. Attributes are ``nodata`` and ``crs``; rioxarray finds both.
        The function sets ``outputs.<name>`` to a DataArray (band, y, x) or (y, x), or to an array. NaN in a DataArray
        becomes the output's nodata value, if the output has one.
    dates : for names of lists of files, a date for each file, in the files' order: ``datetime.date``, ``datetime``,
        numpy's ``datetime64``, or a text such as ``'2024-07-01'``. The function gets a DataArray (time, band, y, x) in
        place of a list. Files that are None in a block (``setOutsideAsNone``) have no date there.
    masked : whether nodata in inputs becomes NaN, so that ``.mean()`` and the like skip it. Integers become floats.

    Raises
    ------
    ParameterError : ``function`` is no function, or a date is none. ``apply`` raises one if dates do not fit the files.
    ModuleNotFoundError : xarray is not installed.
    """
    from rios_batch.compute.dataarrays import on_dataarrays  # noqa: PLC0415 - few scripts want it

    return on_dataarrays(function, dates, masked=masked)


def _start(manager: JobManager, spec: RunSpec, other_args: Any, stack: contextlib.ExitStack) -> Run:
    """Return the run, which goes on from the tiles of an earlier process if the script wants that.

    Parameters
    ----------
    stack : closed when the run has ended.
    """
    if manager.keeps_tiles:
        return manager.start(spec, other_args)
    kept = KeptTiles.open(spec, other_args, resume=manager.options.resume is True)
    if kept is None:
        return manager.start(spec, other_args)
    stack.callback(kept.close)
    manager.finished = kept.finished
    shared = other_args if manager.shares_other_args else None
    return KeptRun(manager.start(kept.spec, other_args), kept, shared)


def _plan_only(
    function: UserFunction,
    infiles: FilenameAssociations,
    outfiles: FilenameAssociations,
    other_args: Any,
    controls: ApplierControls,
    manager: JobManager,
) -> ApplierReturn:
    from rios_batch.plan.dryrun import dry_run  # noqa: PLC0415 - few scripts want one

    started = time.perf_counter()
    with _messages_to(controls.loggingstream), gdal_exceptions():
        spec, forecast = dry_run(function, infiles, outfiles, other_args, controls, manager)
    return ApplierReturn(
        timings=_timings(time.perf_counter() - started, []),
        workinggrid=spec.grid,
        outputs=(),
        tiles=(),
        otherArgs=other_args,
        otherArgsList=[other_args],
        jobManagerType=manager.jobMgrType,
        skippedInputs=_skipped(spec, []),
        forecast=forecast,
    )


@dataclass(frozen=True)
class _FinishedTile:
    """What is kept of a tile once its pixels are written."""

    record: TileRecord
    other_args: Mapping[str, bytes | None]
    writing_s: float


def _checked(controls: ApplierControls | None, other_args: Any) -> ApplierControls:
    controls = controls or ApplierControls()
    if not isinstance(controls, ApplierControls):
        raise WrongControlsObject(f"controls is a {type(controls).__name__}, not an ApplierControls")
    if isinstance(other_args, ApplierControls):
        raise WrongControlsObject("the fourth argument of apply is otherArgs; give controls as controls=...")
    return controls


def _manager(controls: ApplierControls) -> JobManager:
    """Return the job manager that the controls ask for; one thread needs none, as in RIOS 1.4."""
    style = controls.concurrency
    if style is not None:
        options = RunOptions(
            controls.resume,
            coordinate_only=True,
            wait_limit_s=controls.waitLimit,
            max_cost_usd=controls.maxCost,
        )
        return getJobManagerClassByType(style.jobMgrType)(style.numThreads, options)
    alone = controls.numThreads == 1 and controls.jobManagerType not in WITH_WORKERS_AT_HAND
    wanted = "in-process" if alone else controls.jobManagerType or DEFAULT_JOB_MANAGER
    num_threads = 1 if wanted == "in-process" else controls.numThreads
    options = RunOptions(controls.resume, controls.coordinateOnly, controls.waitLimit, controls.maxCost)
    return getJobManagerClassByType(wanted)(num_threads, options)


def _take_in(
    result: TileResult, outputs: Outputs, report: ProgressReport, rules: Mapping[str, MergeRule] | None
) -> _FinishedTile:
    started = time.perf_counter()
    if rules is not None:
        check_rules(result.other_args, rules)
    outputs.write(result)
    tile = _FinishedTile(result.record, result.other_args, time.perf_counter() - started)
    report.tile_done()
    return tile


def _timings(walltime_s: float, tiles: Sequence[_FinishedTile]) -> Timers:
    records = [tile.record for tile in tiles]
    return Timers(
        {
            "walltime": (walltime_s,),
            "reading": tuple(record.reading_s for record in records),
            "userfunction": tuple(record.function_s for record in records),
            "encoding": tuple(record.encoding_s for record in records),
            "basicstats": tuple(record.statistics_s for record in records),
            "writing": tuple(tile.writing_s for tile in tiles),
        }
    )


def _by_name(spec: RunSpec) -> dict[str, str | list[str]]:
    """Return the outputs' paths by symbolic names; a list where the script gave a list."""
    named: dict[str, str | list[str]] = {}
    for output in spec.outputs:
        if output.sequence is None:
            named[output.name] = output.path
        else:
            named.setdefault(output.name, []).append(output.path)  # type: ignore[union-attr]
    return named


def _skipped(spec: RunSpec, tiles: Sequence[_FinishedTile]) -> dict[str, str]:
    """Return why inputs were taken for nodata, wholly or in some blocks."""
    files = (file for input_spec in spec.inputs for file in input_spec.files)
    skipped = {file.name: file.unreadable for file in files if file.unreadable}
    for name, why in (entry for tile in tiles for entry in tile.record.skipped):
        skipped.setdefault(name, why)
    return skipped


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
