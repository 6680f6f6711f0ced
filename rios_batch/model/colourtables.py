"""Colours for the values of outputs."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable, Mapping
from random import Random
from typing import Any

from rios_batch.errors import ColorTableGenerationError
from rios_batch.model.settings import whole_number

Colour = tuple[int, int, int, int]  # red, green, blue and alpha, 0 to 255

_OPAQUE = 255

KINDS = ("rainbow", "gray", "random")
# The types whose values a colour table can have entries for, and its largest size.
ENTRIES = {"uint8": 256, "uint16": 65_536}


def named_colours(table: Any) -> dict[int, Colour]:
    """Return the colours of values that a script gives in one of the ways that are common.

    Parameters
    ----------
    table : see ``ApplierControls.setColorTable``.

    Raises
    ------
    ColorTableGenerationError : it is none of these ways, or a value or a colour is out of range.
    """
    try:
        rows = [(value, tuple(colour)) for value, colour in _pairs(table)]
    except (TypeError, ValueError):  # not a table at all, or rows of other lengths
        raise ColorTableGenerationError(
            "a colour table is a dict such as {1: (0, 0, 255)}, a gdal.ColorTable, or rows of value, red, green, blue "
            f"and alpha, not {table!r}"
        ) from None
    colours = {_value(value): _colour(value, colour) for value, colour in rows}
    if not colours:
        raise ColorTableGenerationError("the colour table is empty; give None for no colour table")
    return colours


def _pairs(table: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(table, Mapping):
        return table.items()
    if hasattr(table, "GetColorEntry"):  # a gdal.ColorTable
        return [(value, table.GetColorEntry(value)) for value in range(table.GetCount())]
    return [(value, (red, green, blue, alpha)) for value, red, green, blue, alpha in table]


def _value(value: Any) -> int:
    if (whole := whole_number(value, "value in a colour table", at_least=0)) < max(ENTRIES.values()):
        return whole
    raise ColorTableGenerationError(f"the colour table has a colour for {value}; the largest value is 65535")


def _colour(value: Any, colour: tuple[Any, ...]) -> Colour:
    parts = [whole_number(part, f"colour of value {value}", at_least=0) for part in colour]
    if len(parts) not in (3, 4) or max(parts) > _OPAQUE:
        raise ColorTableGenerationError(
            f"colour {colour} of value {value}: a colour is red, green, blue and perhaps alpha, 0 to 255 each"
        )
    red, green, blue, alpha = (*parts, _OPAQUE)[:4]
    return red, green, blue, alpha


def entries_of(colours: Mapping[int, Colour]) -> list[Colour]:
    """Return the colour of every value from 0 to the highest that has one; values without a colour are transparent."""
    return [colours.get(value, (0, 0, 0, 0)) for value in range(max(colours) + 1)]


def colour_entries(kind: str, dtype: str, highest: float | None, nodata: float | None) -> list[Colour]:
    """Return the colour of every value from 0.

    Parameters
    ----------
    kind : one of `KINDS`. 'rainbow' goes from blue to red and 'gray' from black to white; by 'random' a value has
        the same colour in every file.
    dtype : one of those in `ENTRIES`.
    highest : the last value with an entry; None for the largest of the type.
    nodata : has no colour: alpha is 0.
    """
    count = ENTRIES[dtype] if highest is None else int(highest) + 1
    last = max(1, count - 1)
    if kind == "random":
        source = Random(0)  # noqa: S311 - it is not a secret  # nosec B311
        colours = [(*source.getrandbits(24).to_bytes(3),) for _ in range(count)]
    elif kind == "gray":
        colours = [(round(255 * i / last),) * 3 for i in range(count)]
    else:
        colours = [_rainbow(i / last) for i in range(count)]
    return [(*colour, 255 if i != nodata else 0) for i, colour in enumerate(colours)]


def _rainbow(position: float) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb((1 - position) * 2 / 3, 1, 1)  # hue 2/3 is blue
    return round(255 * red), round(255 * green), round(255 * blue)
