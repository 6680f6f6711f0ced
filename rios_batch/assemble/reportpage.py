"""A run's report as one HTML page that needs nothing else: no script, no font, no picture from a network."""

from __future__ import annotations

import base64
import datetime as dt
from typing import TYPE_CHECKING

from rios_batch.assemble.reportdrawings import (
    MOST_SHAPES,
    duration,
    escaped,
    ramp,
    scale,
    shares,
    short,
    speed,
    tile_map,
    timeline,
    worker_colours,
    worker_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rios_batch.model.runreport import RunReport
    from rios_batch.model.tileresult import TileRecord

_MOST_ROWS = 200
_MOST_IN_LEGEND = 16
_SLOWEST = 8

# Nothing may be loaded or run, whatever a file's name or an error's text may hold.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #5b6570; --page: #f6f7f9; --card: #fff; --line: #d9dee4;
  --empty: #e6e9ed; --bar: #3b7dd8; --good: #1d7a43; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --soft: #9aa5b1; --page: #14171a; --card: #1d2126;
  --line: #343b43; --empty: #2b3138; --bar: #6aa3ee; --good: #5fc98a; --bad: #f2857c; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.25rem; max-width: 76rem; background: var(--page); color: var(--ink);
  font: 15px/1.45 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.3rem; margin: 0 0 .2rem; } h2 { font-size: 1rem; margin: 0 0 .6rem; }
h3 { font-size: .85rem; font-weight: 500; margin: 1.1rem 0 .35rem; color: var(--soft); }
p { margin: .2rem 0; } .note, .axis, .scale { color: var(--soft); font-size: .8rem; }
.good { color: var(--good); } .bad { color: var(--bad); } .state { font-weight: 600; white-space: pre-wrap; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 1rem; margin-top: 1rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: .75rem; margin-top: 1rem; }
.figures div { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: .6rem .8rem; }
.figures b { display: block; font-size: 1.25rem; font-variant-numeric: tabular-nums; }
.figures span { color: var(--soft); font-size: .8rem; }
.maps h3 { margin-top: 0; } .maps > div { min-width: 0; }
.maps { display: grid; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); gap: 1rem; }
.map { display: block; width: 100%; max-height: 22rem; } .map .empty { fill: var(--empty); }
.picture { max-width: 100%; max-height: 22rem; image-rendering: pixelated; border: 1px solid var(--line); }
.timeline { display: grid; grid-template-columns: min(14rem, 28%) 1fr; gap: .6rem; align-items: center; }
.timeline span { font-size: .75rem; color: var(--soft); overflow: hidden; text-overflow: ellipsis; }
.timeline span { white-space: nowrap; }
.timeline svg { width: 100%; height: 14px; background: var(--empty); border-radius: 2px; margin: 1px 0; }
.many .timeline svg { height: 4px; margin: 0; } .many .timeline span { font-size: 0; height: 4px; }
.axis div, .scale { display: flex; justify-content: space-between; gap: .5rem; align-items: center; }
.scale i { flex: 1; height: 8px; border-radius: 4px; }
.speed { width: 100%; height: 7rem; fill: var(--bar); border-bottom: 1px solid var(--line); }
.shares { width: 100%; height: 22px; border-radius: 4px; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; padding: 0;
  margin: .5rem 0 0; font-size: .85rem; }
.legend i { display: inline-block; width: .75em; height: .75em; border-radius: 2px; margin-right: .4em; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: .85rem; }
td, th { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line); }
td { min-width: 8rem; overflow-wrap: break-word; }
td.number, th.number { min-width: 0; text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
pre { margin: 0; white-space: pre-wrap; font-size: .8rem; }
"""


def page(report: RunReport) -> str:
    """Return the page."""
    title = f"Run {report.facts.run_id}" if report.facts.run_id else "Run"
    body = "".join(
        [
            f"<h1>{escaped(title)}</h1>",
            f'<p class="state {"good" if report.good else "bad"}">{escaped(report.state)}</p>',
            *(f"<p>{escaped(output)}</p>" for output in report.outputs),
            _figures(report),
            *_sections(report),
        ]
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escaped(title)}</title><style>{_STYLE}</style></head><body>{body}</body></html>\n"
    )


def _section(heading: str, content: str) -> str:
    return f"<section><h2>{heading}</h2>{content}</section>"


def _figures(report: RunReport) -> str:
    grid, records = report.plan.blocks, report.records
    pixels = sum(one.window.width * one.window.height for one in records)
    wall_s = report.main_seconds.get("walltime", report.span_s)
    workers = {worker_of(one) for one in records}
    figures = {
        f"of {len(report.plan):,} tiles": f"{len(records):,}",
        f"{grid.ncols:,} x {grid.nrows:,} pixels": f"{grid.ncols * grid.nrows / 1e6:,.1f} M",
        f"worker{'s' * (len(workers) != 1)}, {len(report.timelines)} processes or threads": f"{len(workers):,}",
        "from begin to end": duration(wall_s) if records else "-",
        "pixels a second": f"{pixels / wall_s / 1e6:,.2f} M" if records else "-",
        "encoded": f"{sum(one.bytes_out for one in records) / 1e6:,.1f} MB",
        "tries that failed": f"{len(report.facts.failures):,}",
    }
    return (
        '<div class="figures">'
        + "".join(f"<div><b>{value}</b><span>{escaped(name)}</span></div>" for name, value in figures.items())
        + "</div>"
    )


def _maps(report: RunReport) -> str:
    colours = worker_colours(report)
    took = [one.ended_at - one.began_at for one in report.records]
    quickest, slowest = min(took), max(took)
    spread = (slowest - quickest) or 1.0

    def told(one: TileRecord) -> str:
        when = duration(one.ended_at - report.began_at)
        took_s = one.ended_at - one.began_at
        return f"tile {one.tile}, {one.window}: {duration(took_s)}, finished at {when}, {one.worker}"

    maps = {
        "when a tile was finished": (
            lambda one: ramp((one.ended_at - report.began_at) / report.span_s),
            scale("first", "last"),
        ),
        "how long a tile took": (
            lambda one: ramp((one.ended_at - one.began_at - quickest) / spread),
            scale(duration(quickest), duration(slowest)),
        ),
        "who computed it": (lambda one: colours[worker_of(one)], _worker_legend(colours)),
    }
    drawn = "".join(
        f"<div><h3>{name}</h3>{tile_map(report, colour, told)}{legend}</div>"
        for name, (colour, legend) in maps.items()
    )
    some = f'<p class="note">Of {len(report.records):,} tiles some are drawn.</p>'
    return f'<div class="maps">{drawn}</div>{some * (len(report.records) > MOST_SHAPES)}'


def _worker_legend(colours: dict[str, str]) -> str:
    named = list(colours.items())[:_MOST_IN_LEGEND]
    more = f"<li>and {len(colours) - len(named)} more</li>" if len(colours) > len(named) else ""
    items = "".join(
        f'<li><i style="background:{colour}"></i>{escaped(short(name))}</li>' for name, colour in named
    )
    return f'<ul class="legend">{items}{more}</ul>'


def _workers(report: RunReport) -> str:
    began = dt.datetime.fromtimestamp(report.began_at, dt.UTC)
    mains = ", ".join(f"{name} {duration(seconds)}" for name, seconds in report.main_seconds.items())
    return (
        f'<p class="note">The first tile was begun at {began:%Y-%m-%d %H:%M:%S} UTC. Tiles were computed by '
        f"{escaped(report.manager)}{f'; main: {escaped(mains)}' if mains else ''}.</p>"
        f"<h3>at work on tiles</h3>{timeline(report, worker_colours(report))}"
        f"<h3>tiles finished</h3>{speed(report)}<h3>what the workers' time went to</h3>{shares(report.records)}"
        f"<h3>the tiles that took longest</h3>{_slowest(report)}"
    )


def _slowest(report: RunReport) -> str:
    slowest = sorted(report.records, key=lambda one: one.began_at - one.ended_at)[:_SLOWEST]
    rows = "".join(
        f'<tr><td class="number">{one.tile}</td><td>{escaped(one.window)}</td><td>{escaped(one.worker)}</td>'
        + "".join(
            f'<td class="number">{duration(seconds)}</td>'
            for seconds in (one.ended_at - one.began_at, one.reading_s, one.function_s, one.encoding_s)
        )
        + "</tr>"
        for one in slowest
    )
    heading = '<th class="number">tile</th><th>window</th><th>worker</th>' + "".join(
        f'<th class="number">{name}</th>' for name in ("took", "reading", "function", "encoding")
    )
    return f'<div class="scroll"><table><tr>{heading}</tr>{rows}</table></div>'


def _sections(report: RunReport) -> Iterator[str]:
    if report.records:
        yield _section("Tiles", _maps(report))
        yield _section("Workers", _workers(report))
    if report.facts.failures:
        yield _section("Tries that failed", _failures(report))
    skipped = sorted({entry for record in report.records for entry in record.skipped})
    if skipped:
        rows = "".join(f"<tr><td>{escaped(name)}</td><td>{escaped(why)}</td></tr>" for name, why in skipped)
        yield _section("Inputs taken for nodata", f'<div class="scroll"><table>{rows}</table></div>')
    if report.picture:
        data = base64.b64encode(report.picture).decode()
        name = escaped(report.outputs[0])
        yield _section(
            "First output", f'<img class="picture" src="data:image/png;base64,{data}" alt="{name}">'
        )
    if report.facts.receipt:
        yield _section("Receipt", f"<p>{escaped(report.facts.receipt)}</p>")


def _failures(report: RunReport) -> str:
    shown = report.facts.failures[:_MOST_ROWS]
    rows = "".join(
        f'<tr><td class="number">{"-" if one.tile is None else one.tile}</td><td>{escaped(one.worker)}</td>'
        f"<td><pre>{escaped(one.message)}</pre></td></tr>"
        for one in shown
    )
    more = (
        f"<p>and {len(report.facts.failures) - len(shown)} more</p>"
        if len(report.facts.failures) > len(shown)
        else ""
    )
    return (
        f'<div class="scroll"><table><tr><th class="number">tile</th><th>worker</th><th>what went wrong</th></tr>'
        f"{rows}</table></div>{more}"
    )
