# ruff: noqa: N802, N803, N815 - RIOS's names
"""What ``apply`` returns."""

from __future__ import annotations

import base64
import html
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rios_batch.errors import ParameterError
from rios_batch.gdalapi import reason
from rios_batch.model.s3names import SCHEME
from rios_batch.read.quicklook import quicklook_png

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xarray import DataArray

    from rios_batch.model.forecast import Forecast
    from rios_batch.model.grid import PixelGridDefn
    from rios_batch.model.tileresult import TileRecord


# What RIOS 2 times and scripts look up. Some parts are not measured here, and some do not exist here.
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

_SPREAD = ("tot", "min", "lower", "median", "upper", "max")


@dataclass(frozen=True, repr=False)
class Timers:
    """How long the parts of a run took, in wall-clock seconds.

    ``walltime`` is the whole run. ``reading``, ``userfunction``, ``encoding`` and ``basicstats`` (with histograms) have
    one value for each tile, which the workers measure. Their totals exceed ``walltime`` if several workers work at the
    same time. ``writing`` has one value for each tile too, which main measures.
    """

    seconds: Mapping[str, tuple[float, ...]]

    def getDurationsForName(self, intervalName: str) -> list[float] | None:
        """Return all values of one part, in seconds; None if the part was not measured."""
        return list(self.seconds.get(intervalName, ())) or None

    def makeSummaryDict(self) -> dict[str, dict[str, float]]:
        """Return, for each part, ``tot``, ``min``, ``lower``, ``median``, ``upper``, ``max`` and ``N``.

        ``N`` is the number of values. All others are seconds. ``lower`` and ``upper`` are quartiles. All names of RIOS
        2 are there. A part that was not measured is 0 and has an ``N`` of 0. Waiting for buffers is such a part, since
        there are no buffers here.
        """
        names = dict.fromkeys([*_RIOS_NAMES, *self.seconds])
        return {name: _summary(self.seconds.get(name, ())) for name in names}

    def formatReport(self, level: int = 0) -> str:
        """Return a table to print, in seconds.

        Parameters
        ----------
        level : 0 (default) for the totals only; 1 or more for the spread over tiles as well.
        """
        columns = ("tot",) if level == 0 else _SPREAD
        lines = [f"{'seconds':<14}" + "".join(f"{column:>10}" for column in columns)]
        for name, values in self.seconds.items():
            if values:
                summary = _summary(values)
                lines.append(f"{name:<14}" + "".join(f"{summary[column]:>10.3f}" for column in columns))
        return "\n".join(lines)

    def __repr__(self) -> str:
        totals = (f"{name} {sum(values):.3f} s" for name, values in self.seconds.items() if values)
        return f"Timers({', '.join(totals)})"

    def _repr_html_(self) -> str:
        """Return the table of all parts for a notebook."""
        heading = "".join(f"<th>{column}</th>" for column in ("seconds", *_SPREAD))
        rows = "".join(
            f"<tr><td>{name}</td>"
            + "".join(f"<td>{_summary(values)[column]:.3f}</td>" for column in _SPREAD)
            + "</tr>"
            for name, values in self.seconds.items()
            if values
        )
        return f"<table><tr>{heading}</tr>{rows}</table>"


def _summary(values: tuple[float, ...]) -> dict[str, float]:
    import statistics  # noqa: PLC0415 - with it come decimal and fractions, which no run needs

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


@dataclass(frozen=True, repr=False)
class ApplierReturn:
    """The outcome of a finished run. A notebook shows the timings and a small picture of the first output.

    Attributes
    ----------
    timings : how long the parts of the run took, a :class:`Timers`. ``timings.formatReport()`` is for printing.
    workinggrid : the grid that the run worked on, a ``PixelGridDefn``.
    outputs : names of the files that were written.
    tiles : one record for each tile, in tile order: window in pixels, worker, times in seconds, size in bytes.
    otherArgs : the caller's object. The object has the changes of all blocks to attributes that have a merge rule.
    otherArgsList : ``[otherArgs]`` where main computes; else each tile's copy, in tile order. Each copy began as
        otherArgs was before the run. RIOS 2's scripts merge all copies, whoever computed them.
    jobManagerType : name of the job manager that ran the tiles.
    skippedInputs : why input files were taken for nodata, by the files' names (``controls.setInputErrors``).
    forecast : what the run would take, after a dry run (``controls.setDryRun``); None after a run.
    outputsByName : the outputs' names by their symbolic names; a list of names where the script gave a list.
    """

    timings: Timers
    workinggrid: PixelGridDefn
    outputs: tuple[str, ...]
    tiles: tuple[TileRecord, ...]
    otherArgs: Any
    otherArgsList: list[Any]
    jobManagerType: str
    skippedInputs: Mapping[str, str] = field(default_factory=dict)
    forecast: Forecast | None = None
    outputsByName: Mapping[str, str | list[str]] = field(default_factory=dict)

    def to_xarray(self, *, masked: bool = False) -> dict[str, DataArray | list[DataArray]]:
        """Return the outputs as xarray's DataArrays, by symbolic name; a list where the script gave a list.

        Nothing is read but headers until pixels are looked at, and then only these are read. ``.chunk()`` makes dask
        arrays of them. Dimensions are (band, y, x); ``band`` has the layers' names where each has one of its own, else
        numbers from 1. ``.rio`` has projection and grid. Outputs in S3 are read with the credentials of the run.
        ``xarray.Dataset(result.to_xarray())`` is a dataset, if no output is a list and all have the same bands. This
        needs ``pip install 'rios_batch[xarray]'``.

        Parameters
        ----------
        masked : whether nodata becomes NaN, and integers therefore floats. Otherwise pixels are as they are in the
            file, and the attribute ``_FillValue`` is the nodata value.

        Raises
        ------
        ModuleNotFoundError : xarray or rioxarray is not installed.
        ParameterError : it was a dry run, which writes nothing.
        FileOpenError, S3Error : an output is gone since, or cannot be read.
        """
        if self.forecast is not None:
            raise ParameterError("a dry run writes no outputs to open; call apply without setDryRun")
        from rios_batch.read.xarrays import open_dataarray  # noqa: PLC0415 - an extra

        return {
            name: [open_dataarray(path, masked=masked) for path in paths]
            if isinstance(paths, list)
            else open_dataarray(paths, masked=masked)
            for name, paths in self.outputsByName.items()
        }

    def __repr__(self) -> str:
        """Say in one line what was done. All details are in the attributes."""
        grid = f"{self.workinggrid.ncols} columns x {self.workinggrid.nrows} rows"
        seconds = sum(self.timings.seconds.get("walltime", ()))
        if self.forecast is not None:
            return f"{type(self).__name__}(dry run: {grid}, {self.forecast.tiles} tiles for {self.jobManagerType!r})"
        return (
            f"{type(self).__name__}({grid}, {len(self.tiles)} tiles by {self.jobManagerType!r} in {seconds:.1f} s, "
            f"{self._named_outputs()})"
        )

    def _named_outputs(self) -> str:
        if not self.outputs:
            return "no outputs"
        count = len(self.outputs)
        return f"{count} output{'s' * (count > 1)}: {self.outputs[0]!r}{', ...' * (count > 1)}"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the line of ``repr``, the timings, and a picture of the first output."""
        return f"<p>{html.escape(repr(self))}</p>{self.timings._repr_html_()}{self._picture()}"

    def _picture(self) -> str:
        if not self.outputs or self.outputs[0].startswith(SCHEME):  # looking must not fetch anything
            return ""
        path = self.outputs[0]
        try:
            encoded = base64.b64encode(quicklook_png(path)).decode()
        except RuntimeError as error:  # moved or removed since
            return f"<p>No picture: {html.escape(reason(error))}</p>"
        return f'<img src="data:image/png;base64,{encoded}" alt="{html.escape(path)}">'
