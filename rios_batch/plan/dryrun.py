"""What a run would take, without running it: one tile is computed, and everything else is reckoned from it."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osgeo import gdal

from rios_batch.compute.otherargs import check_rules
from rios_batch.errors import MemoryLimitError, ParameterError, PicklingFailedError, WorkerLostError
from rios_batch.jobmanagers.children import Death, TileFailure, WorkOrder
from rios_batch.jobmanagers.environment import environment_with, warn_of_variables_left_behind
from rios_batch.jobmanagers.measuring import compute_one_tile, resident_bytes
from rios_batch.jobmanagers.pickling import dump_other_args, dump_spec
from rios_batch.jobmanagers.shownlines import lines_shown
from rios_batch.model.costs import Prices
from rios_batch.model.forecast import (
    ENV_DRY_RUN,
    MIB,
    Forecast,
    MeasuredTile,
    numbers_of_workers,
    scenario,
    total_of,
    worker_bytes,
)
from rios_batch.model.forecasttext import forecast_lines
from rios_batch.plan.prepare import prepare_for_any
from rios_batch.plan.traffic import traffic_of
from rios_batch.plan.typicaltile import typical_tile
from rios_batch.read.network import check_no_memory_files, path_options

if TYPE_CHECKING:
    from rios_batch.associations import FilenameAssociations
    from rios_batch.controls import ApplierControls
    from rios_batch.jobmanagers.base import JobManager
    from rios_batch.model.forecast import Scenario, Traffic, Workforce
    from rios_batch.model.spec import RunSpec, UserFunction
    from rios_batch.plan.prepare import Prepared

log = logging.getLogger("rios_batch")

_BLOCKS_PER_PIXELS = 1.2  # measured


def dry_run(
    function: UserFunction,
    infiles: FilenameAssociations,
    outfiles: FilenameAssociations,
    other_args: Any,
    controls: ApplierControls,
    manager: JobManager,
) -> tuple[RunSpec, Forecast]:
    """Return a run that was only planned, and what it would take; the latter is said or written, too.

    GDAL's exceptions must be on.

    Raises
    ------
    MemoryLimitError : a worker on AWS Batch would take more memory than it may.
    RiosBatchError : what the run itself would end by before it begins, or at its first tile.
    """
    workforce = manager.workforce()
    prepared = prepare_for_any(
        function,
        infiles,
        outfiles,
        controls,
        takes_other_args=other_args is not None,
        num_workers=workforce.at_once(workforce.workers),
    )
    spec = prepared.spec
    with lines_shown(), environment_with(spec.environment):
        measured, why_not = _measured(spec, other_args, controls, manager, workforce)
        forecast = _forecast(prepared, manager.jobMgrType, workforce, measured, why_not)
        _tell(forecast)
    if forecast.refused:
        raise MemoryLimitError(forecast.refused)
    return spec, forecast


def _measured(
    spec: RunSpec, other_args: Any, controls: ApplierControls, manager: JobManager, workforce: Workforce
) -> tuple[MeasuredTile | None, str]:
    """Compute one tile; where main itself would do all, and nothing can be sent elsewhere, say so."""
    try:
        check_no_memory_files(spec)
        order = WorkOrder(
            dump_spec(spec, same_machine=not workforce.on_batch),
            dump_other_args(other_args),
            num_workers=workforce.processes if workforce.on_batch else workforce.workers,
            cloud_options=path_options(spec),
        )
    except (PicklingFailedError, ParameterError) as error:
        if not workforce.in_main:
            raise
        return None, str(error)
    if workforce.on_batch:
        warn_of_variables_left_behind(spec.function, spec.environment)
    tile = typical_tile(spec)
    log.info(
        "dry run: tile %d of %d (%s) is computed here, to measure it; nothing is written",
        *(tile.index, len(spec.plan), tile.window),
    )
    found = compute_one_tile(order, tile)
    if isinstance(found.reply, Death):
        raise WorkerLostError(
            f"tile {tile.index} ({tile.window}), which was computed here to measure it, ended its process by "
            f"{found.reply.explained('if memory ran out, use a smaller window or smaller tiles (setTileSize)')}"
        )
    result = found.reply.unwrap() if isinstance(found.reply, TileFailure) else found.reply
    if not manager.shares_other_args and controls.concurrency is None:
        check_rules(result.other_args, controls.otherArgsMergeRules)
    record = result.record
    layouts = {
        output.label: str(part.layout) for output, part in zip(spec.outputs, result.outputs, strict=True)
    }
    return MeasuredTile(
        tile.index,
        tile.window,
        record.reading_s,
        record.function_s,
        record.encoding_s,
        record.statistics_s,
        record.bytes_out,
        layouts,
        found.memory,
    ), ""


def _forecast(
    prepared: Prepared, manager_type: str, workforce: Workforce, measured: MeasuredTile | None, why_not: str
) -> Forecast:
    spec, prices = prepared.spec, Prices.read(os.environ) if workforce.on_batch else None
    grid, first = spec.grid, spec.plan.tile(0).window
    traffic = traffic_of(spec, copies=workforce.on_batch)
    memory_mib = None
    if measured is not None:
        pixels = grid.ncols * grid.nrows
        traffic = replace(traffic, written_bytes=total_of(measured.bytes_out, measured.window, pixels))
        memory_mib = _memory_mib(measured, workforce, traffic)
    return Forecast(
        function=getattr(spec.function, "__name__", repr(spec.function)),
        job_manager=manager_type,
        ncols=grid.ncols,
        nrows=grid.nrows,
        xres=grid.xRes,
        yres=grid.yRes,
        bounds=(grid.xMin, grid.yMin, grid.xMax, grid.yMax),
        tiles=len(spec.plan),
        tile_cols=first.width,
        tile_rows=first.height,
        outputs=tuple(output.path for output in spec.outputs),
        traffic=traffic,
        measured=measured,
        not_measured=why_not,
        memory_mib=memory_mib,
        workforce=workforce,
        scenarios=_scenarios(prepared, workforce, measured, traffic, prices) if measured else (),
        prices=f"{prices.date}, {prices.describes}" if prices else "",
        refused=_refusal(memory_mib, workforce),
    )


def _memory_mib(measured: MeasuredTile, workforce: Workforce, traffic: Traffic) -> int | None:
    if measured.memory is None:
        return None
    # In main nobody limits GDAL's cache, which fills with the blocks that are read: whole ones at the edges, too.
    main = resident_bytes() + min(gdal.GetCacheMax(), round(traffic.pixels_read_bytes * _BLOCKS_PER_PIXELS))
    return -(-worker_bytes(workforce, measured.memory, measured.bytes_out, main) // MIB)


def _refusal(memory_mib: int | None, workforce: Workforce) -> str:
    if memory_mib is None or workforce.memory_mib is None or memory_mib <= workforce.memory_mib:
        return ""
    return (
        f"a worker is predicted to take {memory_mib:,} MiB for {workforce.processes} tiles at a time, and may take "
        f"{workforce.memory_mib:,} MiB (memory_mib of {workforce.place}); use a smaller window or smaller tiles "
        f"(setWindowSize, setTileSize), or deploy with `-c memory_mib={-(-memory_mib * 5 // 4)}`"
    )


def _scenarios(
    prepared: Prepared,
    workforce: Workforce,
    measured: MeasuredTile,
    traffic: Traffic,
    prices: Prices | None,
) -> tuple[Scenario, ...]:
    spec, cores = prepared.spec, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    cores = cores or os.cpu_count() or 1
    travels = not all(output.stays_in_s3 for output in spec.outputs)
    gb_out = (traffic.written_bytes or 0) / 1e9 if travels else 0.0
    return tuple(
        scenario(
            workers,
            prepared.plan_for(num_workers=workforce.at_once(workers)),
            workforce,
            measured,
            cores=cores,
            prices=prices,
            gb_out=gb_out,
        )
        for workers in numbers_of_workers(workforce, cores)
    )


def _tell(forecast: Forecast) -> None:
    lines = list(forecast_lines(forecast))
    if file := os.environ.get(ENV_DRY_RUN):
        with Path(file).open("a") as opened:  # a line at once: the reader may be looking
            opened.write(json.dumps({"forecast": asdict(forecast), "lines": lines}) + "\n")
        return
    for line in lines:
        log.info("%s", line)
