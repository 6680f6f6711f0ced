"""Pixels that a function computed from data, and that are nodata because the script named no nodata value.

RIOS's default nodata value is 0, which is an ordinary value of many functions: a mask, a difference, a class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rios_batch.gdalapi import nodata_or_none

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from rios_batch.associations import BlockAssociations
    from rios_batch.compute.checks import Returned
    from rios_batch.model.grid import PixelWindow
    from rios_batch.model.spec import Array, InputFile, OutputSpec, RunSpec

    Mask = NDArray[np.bool_]


def without_data(spec: RunSpec, inputs: BlockAssociations, window: PixelWindow) -> Mask | None:
    """Return which pixels of a block an input has no data for: nodata in one of its bands, NaN, or outside the file.

    With an overlap a pixel counts if there is no data anywhere in its neighbourhood, since the function may look
    there.

    Parameters
    ----------
    inputs : the block's arrays, as they are before the user function may change them.
    window : the block, in pixels of the working grid, without margin.

    Returns
    -------
    Shape (rows, cols), without margin; None if no pixel counts, or if no output asks.
    """
    if not any(output.nodata_is_default for output in spec.outputs):
        return None
    wanted = window.grown(spec.overlap_px)
    found = np.zeros((wanted.height, wanted.width), bool)
    for file, array in _arrays(spec, inputs):
        _add_outside(found, file, wanted)
        if array is not None:  # as it may be where the whole block is outside
            for band, nodata in zip(array, file.nodata, strict=True):
                _add_nodata(found, band, nodata_or_none(nodata, file.dtype))
    if not found.any():
        return None
    return _within(found, spec.overlap_px) if spec.overlap_px else found


def _arrays(spec: RunSpec, inputs: BlockAssociations) -> Iterator[tuple[InputFile, Array | None]]:
    for input_spec in spec.inputs:
        value = getattr(inputs, input_spec.name)
        arrays = value if input_spec.is_list else [value]
        yield from zip(input_spec.files, arrays, strict=True)


def _add_outside(found: Mask, file: InputFile, wanted: PixelWindow) -> None:
    if file.burn is not None:  # a vector file has no edges
        return
    place = wanted.shifted(file.col_offset, file.row_offset)
    inside = place.clipped(file.ncols, file.nrows)
    if inside == place:
        return
    row, col = inside.row - place.row, inside.col - place.col
    outside = np.ones_like(found)
    outside[row : row + inside.height, col : col + inside.width] = False
    np.logical_or(found, outside, out=found)


def _add_nodata(found: Mask, band: Array, nodata: float | None) -> None:
    if band.dtype.kind in "fc":
        found |= np.isnan(band)
    if nodata is not None and not np.isnan(nodata):
        with np.errstate(
            over="ignore"
        ):  # a float64 that is too large for the band's float32 is infinite there
            found |= band == np.array(nodata).astype(band.dtype)


def _within(mask: Mask, radius_px: int) -> Mask:
    """Return which pixels have one of the mask's in their neighbourhood; the margin of that radius is cut off."""
    for _ in range(2):  # along the rows and, transposed, along the columns
        sums = np.cumsum(np.pad(mask, ((1, 0), (0, 0))), axis=0, dtype=np.intp)
        mask = (sums[2 * radius_px + 1 :] > sums[: -2 * radius_px - 1]).T
    return mask


def lost_pixels(output: OutputSpec, returned: Returned, missing: Mask | None) -> int:
    """Return how many pixels of a block have the default nodata value in a band, though there was data for them.

    Parameters
    ----------
    missing : what `without_data` has found.
    """
    if not output.nodata_is_default:
        return 0
    lost: Any = (returned.pixels == output.nodata).any(axis=0)
    if returned.masked is not None:
        lost &= ~returned.masked.any(axis=0)
    if missing is not None:
        lost &= ~missing
    return int(np.count_nonzero(lost))
