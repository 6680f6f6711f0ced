# ruff: noqa: N802, N803, N815 - RIOS's names
"""What ``apply`` returns."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rios_batch.model.grid import PixelGridDefn
    from rios_batch.model.tileresult import TileRecord


# What RIOS 2 times, and scripts look up: also the parts that are not measured here, or are not there at all.
_RIOS_NAMES = (
    "walltime",
    "reading",
    "startcomputeworkers",
    "userfunction",
    "writing",
    "pyramids",
    "basicstats",
    "histogram",
    "beforeclose",
    "insert_readbuffer",
    "pop_readbuffer",
    "insert_computebuffer",
    "pop_computebuffer",
)


@dataclass(frozen=True)
class Timers:
    """How long the parts of a run took, in wall-clock seconds.

    ``walltime`` is the whole run. ``reading``, ``userfunction``, ``encoding`` and ``basicstats`` (with histograms) have
    one value per tile, measured in the workers, so that their totals exceed ``walltime`` when several work at
    once; ``writing`` has one value per tile too, measured in main.
    """

    seconds: Mapping[str, tuple[float, ...]]

    def getDurationsForName(self, intervalName: str) -> list[float] | None:
        """Return all values of one part; None if it was not measured."""
        return list(self.seconds.get(intervalName, ())) or None

    def makeSummaryDict(self) -> dict[str, dict[str, float]]:
        """Return, for each part, ``tot``, ``min``, ``lower``, ``median``, ``upper``, ``max`` and ``N``.

        ``lower`` and ``upper`` are quartiles. All names of RIOS 2 are there; what was not measured, such as waiting
        for buffers, which do not exist here, is 0 with an ``N`` of 0.
        """
        names = dict.fromkeys([*_RIOS_NAMES, *self.seconds])
        return {name: _summary(self.seconds.get(name, ())) for name in names}

    def formatReport(self, level: int = 0) -> str:
        """Return a table to print: totals, and from level 1 on the spread over tiles."""
        columns = ["tot"] if level == 0 else ["tot", "min", "lower", "median", "upper", "max"]
        lines = [f"{'seconds':<14}" + "".join(f"{column:>10}" for column in columns)]
        for name, values in self.seconds.items():
            if values:
                summary = _summary(values)
                lines.append(f"{name:<14}" + "".join(f"{summary[column]:>10.3f}" for column in columns))
        return "\n".join(lines)


def _summary(values: tuple[float, ...]) -> dict[str, float]:
    values, count = values or (0.0,), len(values)
    lower, median, upper = (
        statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    )
    return {
        "tot": sum(values),
        "min": min(values),
        "lower": lower,
        "median": median,
        "upper": upper,
        "max": max(values),
        "N": count,
    }


@dataclass(frozen=True)
class ApplierReturn:
    """The outcome of a finished run.

    Attributes
    ----------
    timings : see :class:`Timers`; ``timings.formatReport()`` is for printing.
    workinggrid : the grid that was worked on.
    outputs : the files that were written.
    tiles : one record per tile, in order: window, worker, times and bytes.
    otherArgs : the caller's object, with the changes of all blocks that a merge rule covers.
    otherArgsList : where main computes ``[otherArgs]``; else each tile's copy, in tile order. Each began as otherArgs
        was before the run, so that merging all of them, whoever computed them, is what RIOS 2's scripts do.
    jobManagerType : who ran the tiles.
    """

    timings: Timers
    workinggrid: PixelGridDefn
    outputs: tuple[str, ...]
    tiles: tuple[TileRecord, ...]
    otherArgs: Any
    otherArgsList: list[Any]
    jobManagerType: str
