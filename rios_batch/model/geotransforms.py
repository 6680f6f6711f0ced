"""Checks of the six numbers that say where a raster lies, before a grid is made of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rios_batch.errors import GridError

if TYPE_CHECKING:
    from collections.abc import Sequence


def check_finite(numbers: Sequence[float], what: str) -> None:
    """Refuse NaN and infinity in the numbers that say where a raster lies.

    Raises
    ------
    GridError : naming ``what``.
    """
    if not all(map(math.isfinite, numbers)):
        given = ", ".join(f"{number:.10g}" for number in numbers)
        raise GridError(
            f"{what} has an origin, a bound or a pixel size that is no finite number ({given}); give it true ones "
            "(gdal_edit -a_ullr, for a file)"
        )


def check_north_up(geotransform: Sequence[float], what: str) -> None:
    """Refuse rotated and south-up geotransforms: their pixels would land in the wrong place.

    Raises
    ------
    GridError : naming ``what`` and the command that makes it north-up.
    """
    _, x_res, x_skew, _, y_skew, y_res = geotransform
    if x_skew != 0 or y_skew != 0:
        raise GridError(
            f"{what} is rotated (terms {x_skew:g}, {y_skew:g}); make it north-up with gdalwarp first"
        )
    if x_res <= 0 or y_res >= 0:
        raise GridError(
            f"{what} is not north-up (pixel size {x_res:g}, {y_res:g}); make it so with gdalwarp first"
        )
