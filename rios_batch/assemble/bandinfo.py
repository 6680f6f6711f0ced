"""What is known of an output only when all its pixels are: statistics, and the colour table that depends on them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from osgeo import gdal

from rios_batch.model.colourtables import ENTRIES, colour_entries, entries_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rios_batch.model.colourtables import Colour
    from rios_batch.model.spec import Layout, OutputSpec
    from rios_batch.model.statitems import BandStatistics

_HFA_LIMIT = 2**31  # GDAL keeps the bins' limits as 32-bit integers, and fails when it writes larger ones

log = logging.getLogger("rios_batch")

# Drivers that take a colour table without a word, and lose it.
KEEP_NO_COLOURS = frozenset({"ENVI", "EHdr"})


def describe(
    dataset: gdal.Dataset, output_spec: OutputSpec, layout: Layout, statistics: Sequence[BandStatistics]
) -> None:
    """Set the metadata and the colour table of each band of a dataset that is being written.

    Parameters
    ----------
    statistics : one for each band, or none at all.
    """
    for number, band_statistics in enumerate(statistics, 1):
        band = dataset.GetRasterBand(number)
        for name, text in _items(output_spec, band_statistics).items():
            band.SetMetadataItem(name, text)
    if output_spec.colour_table is None or why_no_colours(output_spec, layout):
        return
    for number in range(1, layout.nbands + 1):
        highest = statistics[number - 1].highest if statistics else None
        table = gdal.ColorTable()
        for value, entry in enumerate(_colours(output_spec, layout, highest)):
            table.SetColorEntry(value, entry)
        dataset.GetRasterBand(number).SetColorTable(table)


def _colours(output_spec: OutputSpec, layout: Layout, highest: float | None) -> list[Colour]:
    table = output_spec.colour_table
    if isinstance(table, str):
        return colour_entries(table, layout.dtype, highest, output_spec.nodata)
    return entries_of(dict(table or ()))


def _items(output_spec: OutputSpec, statistics: BandStatistics) -> dict[str, str]:
    """Return the items of a band, without the histogram where HFA has no room for its limits."""
    limits = [float(statistics.items.get(f"STATISTICS_HISTO{end}", 0)) for end in ("MIN", "MAX")]
    if output_spec.driver != "HFA" or all(abs(limit) < _HFA_LIMIT for limit in limits):
        return dict(statistics.items)
    log.warning("%s gets no histogram: HFA has none of values beyond 2**31", output_spec.path)
    return {name: text for name, text in statistics.items.items() if "_HISTO" not in name}


def why_no_colours(output_spec: OutputSpec, layout: Layout) -> str:
    """Return why an output cannot have the colour table that it should have; empty if it can, or should not."""
    if output_spec.colour_table is None:
        return ""
    if reason := _why_not_of_type(output_spec.colour_table, layout):
        return f"{reason}, and {output_spec.label} has {layout}"
    if (
        output_spec.driver == "GTiff"
        and (output_spec.creation_options.get("COMPRESS") or "").upper() == "JPEG"
    ):
        return f"JPEG compresses colours, and the values of {output_spec.label} are none"
    if output_spec.driver in KEEP_NO_COLOURS:
        return f"the {output_spec.driver} format keeps none"
    if output_spec.driver == "GTiff" and layout.nbands > 1:
        return f"a TIFF with a colour table has one band, and {output_spec.label} has {layout}"
    return ""


def _why_not_of_type(table: str | tuple[tuple[int, Colour], ...], layout: Layout) -> str:
    if layout.dtype not in ENTRIES:
        return f"a colour table is for {' and '.join(ENTRIES)}"
    highest = 0 if isinstance(table, str) else max(value for value, _ in table)
    return f"the colour table goes up to {highest}" if highest >= ENTRIES[layout.dtype] else ""
