"""Colours for the values of thematic outputs."""

from __future__ import annotations

import colorsys
from random import Random

KINDS = ("rainbow", "gray", "random")
# The types whose values a colour table can have entries for, and its largest size.
ENTRIES = {"uint8": 256, "uint16": 65_536}


def colour_entries(
    kind: str, dtype: str, highest: float | None, nodata: float | None
) -> list[tuple[int, int, int, int]]:
    """Return red, green, blue and alpha, 0 to 255 each, of every value from 0.

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
        source = Random(0)  # noqa: S311 - it is not a secret
        colours = [(*source.getrandbits(24).to_bytes(3),) for _ in range(count)]
    elif kind == "gray":
        colours = [(round(255 * i / last),) * 3 for i in range(count)]
    else:
        colours = [_rainbow(i / last) for i in range(count)]
    return [(*colour, 255 if i != nodata else 0) for i, colour in enumerate(colours)]


def _rainbow(position: float) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb((1 - position) * 2 / 3, 1, 1)  # hue 2/3 is blue
    return round(255 * red), round(255 * green), round(255 * blue)
