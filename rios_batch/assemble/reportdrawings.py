"""The drawings of a run's report, as inline SVG. Nothing in them comes from outside but names, which are escaped."""

from __future__ import annotations

import colorsys
import html
import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from rios_batch.model.runreport import RunReport
    from rios_batch.model.tileresult import TileRecord

MOST_SHAPES = 4000
"""Of more tiles a map shows every so many, and a timeline puts neighbours together: a page has to open."""
MOST_TIMELINES = 400
_BINS = 60  # of the drawing of speed
_LANE = 1000  # units across a worker's timeline
# From early or quick to late or slow; read in grey as well, and seen on white and on black.
_RAMP = ((68, 57, 131), (49, 104, 142), (33, 145, 140), (90, 200, 100), (240, 215, 60))
STAGES = (
    ("reading", "#3b7dd8", lambda record: record.reading_s),
    ("user function", "#d9822b", lambda record: record.function_s),
    ("encoding", "#3a9d5d", lambda record: record.encoding_s),
    ("statistics", "#9b59b6", lambda record: record.statistics_s),
)


def escaped(text: object) -> str:
    """Return text for a page, also where the text is a part of an attribute."""
    return html.escape(str(text), quote=True)


def duration(seconds: float) -> str:
    """Return a time such as ``1:02:05``, ``2:05``, ``3.2 s`` or ``40 ms``."""
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 60:  # noqa: PLR2004
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def ramp(share: float) -> str:
    """Return the colour of a share from 0 to 1."""
    place = min(max(share, 0.0), 1.0) * (len(_RAMP) - 1)
    low = min(int(place), len(_RAMP) - 2)
    mixed = (round(a + (b - a) * (place - low)) for a, b in zip(_RAMP[low], _RAMP[low + 1], strict=True))
    return "#" + "".join(f"{one:02x}" for one in mixed)


def short(worker: str) -> str:
    """Return a worker's name without its job, for where there is little room."""
    return re.sub(r" \(job [^)]*\)", "", worker)


def worker_of(record: TileRecord) -> str:
    """Return the machine of a record's worker: a worker program has several processes."""
    return record.worker.partition(",")[0]


def worker_colours(report: RunReport) -> dict[str, str]:
    """Return a colour for each worker; neighbours in number have colours far from each other."""
    workers = dict.fromkeys(worker.partition(",")[0] for worker in report.timelines)
    return {worker: _hue(number * 0.381966) for number, worker in enumerate(workers)}


def _hue(share: float) -> str:
    red, green, blue = colorsys.hls_to_rgb((0.58 + share) % 1, 0.5, 0.5)
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"


def tile_map(
    report: RunReport, colour: Callable[[TileRecord], str], told: Callable[[TileRecord], str]
) -> str:
    """Return a map of the working grid with a rectangle for each finished tile.

    Parameters
    ----------
    colour : of a tile.
    told : what is said of a tile where the pointer is.
    """
    grid = report.plan.blocks
    each = -(-len(report.records) // MOST_SHAPES)
    shapes = "".join(
        f'<rect x="{one.window.col}" y="{one.window.row}" width="{one.window.width}" height="{one.window.height}" '
        f'fill="{colour(one)}"><title>{escaped(told(one))}</title></rect>'
        for one in report.records[:: max(each, 1)]
    )
    return (
        f'<svg class="map" viewBox="0 0 {grid.ncols} {grid.nrows}" preserveAspectRatio="xMidYMid meet" role="img">'
        f'<rect class="empty" width="{grid.ncols}" height="{grid.nrows}"/>{shapes}</svg>'
    )


def timeline(report: RunReport, colours: dict[str, str]) -> str:
    """Return a timeline for each worker process, with a bar where the process worked on a tile."""
    timelines = report.timelines
    gap_s = report.span_s / 400 if len(report.records) > MOST_SHAPES else 0.0
    rows = []
    for worker, records in itertools.islice(timelines.items(), MOST_TIMELINES):
        colour = colours[worker.partition(",")[0]]
        bars = "".join(_bar(report, bar, colour) for bar in _bars(records, gap_s))
        busy = sum(one.ended_at - one.began_at for one in records)
        what = f"{worker}: {len(records)} tiles, {busy / report.span_s:.0%} of the time at work"
        rows.append(
            f'<div class="timeline"><span title="{escaped(what)}">{escaped(short(worker))}</span>'
            f'<svg viewBox="0 0 {_LANE} 10" preserveAspectRatio="none" role="img">{bars}</svg></div>'
        )
    many = " many" if len(timelines) > 40 else ""  # noqa: PLR2004
    more = (
        f'<p class="note">and {len(timelines) - len(rows):,} more</p>' if len(timelines) > len(rows) else ""
    )
    return f'<div class="timelines{many}">{"".join(rows)}</div>{more}{_axis(report)}'


@dataclass(frozen=True)
class _Bar:
    """Tiles that one worker process did one right after the other."""

    tiles: tuple[int, ...]
    began_at: float
    ended_at: float

    def __str__(self) -> str:
        first, last = self.tiles[0], self.tiles[-1]
        whose = f"tile {first}" if len(self.tiles) == 1 else f"{len(self.tiles)} tiles, {first} to {last}"
        return f"{whose}: {duration(self.ended_at - self.began_at)}"


def _bars(records: Iterable[TileRecord], gap_s: float) -> Iterator[_Bar]:
    last: _Bar | None = None
    for one in records:
        if last is not None and gap_s and one.began_at - last.ended_at < gap_s:
            last = _Bar((*last.tiles, one.tile), last.began_at, one.ended_at)
            continue
        if last is not None:
            yield last
        last = _Bar((one.tile,), one.began_at, one.ended_at)
    if last is not None:
        yield last


def _bar(report: RunReport, bar: _Bar, colour: str) -> str:
    scale = _LANE / report.span_s
    start, width = (bar.began_at - report.began_at) * scale, (bar.ended_at - bar.began_at) * scale
    return (
        f'<rect x="{start:.2f}" y="0" width="{max(width - 0.7, 0.8):.2f}" height="10" fill="{colour}">'
        f"<title>{escaped(bar)}</title></rect>"
    )


def speed(report: RunReport) -> str:
    """Return how many tiles were finished in each piece of the time."""
    counts = [0] * _BINS
    for one in report.records:
        counts[min(int((one.ended_at - report.began_at) / report.span_s * _BINS), _BINS - 1)] += 1
    most = max(counts, default=0) or 1
    bars = "".join(
        f'<rect x="{number * 10}" y="{100 - 100 * count / most:.1f}" width="9" height="{100 * count / most:.1f}">'
        f"<title>{count} tiles, {duration(number * report.span_s / _BINS)} after the first began</title></rect>"
        for number, count in enumerate(counts)
        if count
    )
    per_minute = most * 60 * _BINS / report.span_s
    return (
        f'<p class="note">at most {per_minute:,.1f} tiles a minute</p>'
        f'<svg class="speed" viewBox="0 0 {_BINS * 10} 100" preserveAspectRatio="none" role="img">{bars}</svg>'
        f"{_axis(report, timelines=False)}"
    )


def shares(records: Sequence[TileRecord]) -> str:
    """Return what the workers' time went to: a bar, and the same in numbers."""
    totals = [(name, colour, sum(map(seconds, records))) for name, colour, seconds in STAGES]
    whole = sum(total for *_, total in totals) or 1.0
    start, bars = 0.0, []
    for name, colour, total in totals:
        width = _LANE * total / whole
        bars.append(
            f'<rect x="{start:.2f}" width="{width:.2f}" height="10" fill="{colour}"><title>{name}</title></rect>'
        )
        start += width
    legend = "".join(
        f'<li><i style="background:{colour}"></i>{name} <b>{total / whole:.0%}</b> {duration(total)}</li>'
        for name, colour, total in totals
    )
    return (
        f'<svg class="shares" viewBox="0 0 {_LANE} 10" preserveAspectRatio="none" role="img">{"".join(bars)}</svg>'
        f'<ul class="legend">{legend}</ul>'
    )


def scale(low: str, high: str) -> str:
    """Return the colours of a map with what they mean."""
    stops = ", ".join(ramp(number / 4) for number in range(5))
    return (
        f'<p class="scale"><span>{escaped(low)}</span><i style="background:linear-gradient(90deg, {stops})"></i>'
        f"<span>{escaped(high)}</span></p>"
    )


def _axis(report: RunReport, *, timelines: bool = True) -> str:
    marks = "".join(f"<span>{duration(report.span_s * quarter / 4)}</span>" for quarter in range(5))
    kind, before = (" timeline", "<span></span>") if timelines else ("", "")
    return f'<div class="axis{kind}">{before}<div>{marks}</div></div>'
