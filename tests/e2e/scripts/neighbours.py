"""A module of the user's own, which workers do not have: it has to travel with the function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def maximum_around(pixels: NDArray[Any], distance: int) -> NDArray[Any]:
    """Return the greatest value within a distance of each pixel; the margin of the result means nothing."""
    shifts = range(-distance, distance + 1)
    shifted = [np.roll(pixels, (down, right), axis=(1, 2)) for down in shifts for right in shifts]
    greatest: NDArray[Any] = np.max(shifted, axis=0)
    return greatest
