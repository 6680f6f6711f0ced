"""A forecast as text for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rios_batch.model.forecast import START_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rios_batch.model.forecast import Forecast, MeasuredTile, Scenario, Traffic, Workforce

_STEP = 1000
_UNITS = ("bytes", "KB", "MB", "GB", "TB", "PB")


def forecast_lines(forecast: Forecast) -> Iterator[str]:
    """Yield what a run would take, a fact a line, and a table of times and costs."""
    workforce, measured = forecast.workforce, forecast.measured
    yield f"plan of {forecast.function}, which was not run, with job manager {forecast.job_manager!r}"
    for output in forecast.outputs:
        yield f"output    {output} (not written)"
    yield f"grid      {forecast.ncols} x {forecast.nrows} pixels of {forecast.xres:g} x {forecast.yres:g}"
    yield f"tiles     {forecast.tiles} of {forecast.tile_cols} x {forecast.tile_rows} pixels"
    yield from _traffic(forecast.traffic)
    if measured is None:
        yield f"measured  nothing, so that memory and time are not known: {forecast.not_measured}"
    else:
        yield from _measured(measured)
        yield f"memory    {_memory(forecast.memory_mib, workforce)}"
    yield from (f"assumed   {sentence}" for sentence in workforce.assumed)
    yield from _table(forecast)
    if forecast.refused:
        yield f"REFUSED   {forecast.refused}"


def _traffic(traffic: Traffic) -> Iterator[str]:
    unknown = (
        f"; the files of {traffic.files_without_size} more inputs have no known size"
        if traffic.files_without_size
        else ""
    )
    yield (
        f"read      about {size_text(traffic.read_bytes)} of files (stored sizes times the share of pixels in use), "
        f"{size_text(traffic.pixels_read_bytes)} of pixels{unknown}"
    )
    if traffic.copied_bytes:
        yield f"copied    {size_text(traffic.copied_bytes)} of local inputs to S3 first, which is not in the times"
    if traffic.written_bytes is not None:
        yield f"written   about {size_text(traffic.written_bytes)} (what the measured tile has, for all pixels)"


def _measured(measured: MeasuredTile) -> Iterator[str]:
    layouts = ", ".join(f"{label} is {layout}" for label, layout in measured.layouts.items())
    yield (
        f"measured  tile {measured.tile} ({measured.window}), computed here: {measured.reading_s:.2f} s reading, "
        f"{measured.function_s:.2f} s in the function, {measured.encoding_s + measured.statistics_s:.2f} s encoding"
        f"{'; ' if layouts else ''}{layouts}"
    )


def _memory(memory_mib: int | None, workforce: Workforce) -> str:
    if memory_mib is None:
        return "not known: this system does not tell what a process takes"
    if workforce.on_batch:
        allowed = (
            f"it may take {workforce.memory_mib:,} MiB ({workforce.place})"
            if workforce.memory_mib
            else "what a worker may take is not known"
        )
        return f"{memory_mib:,} MiB at most in a worker of {workforce.processes} vCPUs; {allowed}"
    if workforce.in_main:
        return f"{memory_mib:,} MiB at most in the script's own process"
    return f"{memory_mib:,} MiB at most in each of {workforce.workers} worker processes"


def _table(forecast: Forecast) -> Iterator[str]:
    if not forecast.scenarios:
        return
    paid = forecast.workforce.on_batch
    yield f"workers   tiles      time{'       USD' if paid else ''}"
    for one in forecast.scenarios:
        usd = f"{one.usd:10.2f}" if one.usd is not None else ""
        yield f"{one.workers:7,} {one.tiles:7,} {duration_text(one.wall_s):>9}{usd}{_remarks(one, forecast.workforce)}"
    if paid:
        yield (
            f"          workers on AWS Batch, {'and' if forecast.workforce.own_processes else 'without'} main's own; "
            f"machines come after {duration_text(START_SECONDS)}, as fast as this one; prices of {forecast.prices}"
        )


def _remarks(one: Scenario, workforce: Workforce) -> str:
    remarks = [
        "as the script asks" * (one.workers == workforce.workers),
        f"{one.busy:,} of them have work" * (one.busy < one.workers and not one.too_late),
        "main's own worker is done before a machine comes" * one.too_late,
        f"{workforce.place} may have {workforce.most}" * (not one.possible),
        f"would be stopped at {workforce.max_usd} USD (setMaxCost)" * _too_dear(one, workforce),
    ]
    said = "; ".join(filter(None, remarks))
    return f"   {said}" if said else ""


def _too_dear(one: Scenario, workforce: Workforce) -> bool:
    return workforce.max_usd is not None and one.usd is not None and one.usd > workforce.max_usd


def size_text(number: int) -> str:
    """Return a number of bytes in the unit that suits it: 1000 bytes are 1 KB."""
    value, unit = float(number), 0
    while value >= _STEP and unit < len(_UNITS) - 1:
        value, unit = value / _STEP, unit + 1
    return f"{value:.0f} {_UNITS[unit]}" if unit == 0 else f"{value:.3g} {_UNITS[unit]}"


def duration_text(seconds: float) -> str:
    """Return a time such as ``0:03:20``; below ten seconds with tenths."""
    if seconds < 10:  # noqa: PLR2004 - tenths matter below
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
