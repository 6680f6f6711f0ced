"""TIFF's predictors: differences of neighbouring samples, which compress better than the samples.

That of integers is in the TIFF 6.0 specification (section 14), that of floats in Adobe Photoshop TIFF Technical Note 3
(2005).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from rios_batch.model.spec import Array

NONE, INTEGERS, FLOATS = "1", "2", "3"  # as the creation option PREDICTOR names them


def predictors_of(dtype: str) -> tuple[str, ...]:
    """Return the predictors that `predicted` has for samples of a numpy type."""
    kind, itemsize = np.dtype(dtype).kind, np.dtype(dtype).itemsize
    if kind in "iu" and itemsize <= 4:  # noqa: PLR2004 - libtiff knows 8 bytes since 4.3 only
        return NONE, INTEGERS
    if kind == "f" and itemsize >= 4:  # noqa: PLR2004 - libtiff's smallest float has 2 bytes, GDAL's 4
        return NONE, FLOATS
    return (NONE,)


def predicted(samples: Array, predictor: str, stride: int) -> Array:
    """Return what is compressed instead of samples.

    Parameters
    ----------
    samples : of shape (rows, cols * stride), contiguous.
    predictor : one of `predictors_of` the samples' type.
    stride : how many samples a pixel has.
    """
    if predictor == INTEGERS:
        return _differences(samples.view(f"u{samples.itemsize}"), stride)
    if predictor == FLOATS:
        return _differences(_byte_planes(samples), stride)
    return samples


def _byte_planes(samples: Array) -> Array:
    """Return each row's most significant bytes, then its second ones, and so on, of shape (rows, bytes)."""
    rows, count = samples.shape
    source = samples.view(np.uint8).reshape(rows, count, samples.itemsize)
    planes = np.empty((rows, samples.itemsize, count), np.uint8)
    for number in range(
        samples.itemsize
    ):  # the last byte of a little-endian number is the most significant one
        planes[:, samples.itemsize - 1 - number] = source[..., number]
    return planes.reshape(rows, -1)


def _differences(samples: Array, stride: int) -> Array:
    differences = np.empty_like(samples)
    differences[:, :stride] = samples[:, :stride]
    np.subtract(samples[:, stride:], samples[:, :-stride], out=differences[:, stride:])
    return differences
