"""What a user function returned for a block: whether it can be written, and whether it is like the blocks before."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rios_batch.errors import (
    ArrayShapeError,
    BlockError,
    KeysMismatch,
    MismatchedListLengthsError,
    TypeConversionError,
)
from rios_batch.gdalapi import gdal_type, nodata_or_none
from rios_batch.model.spec import block_dtype_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rios_batch.associations import BlockAssociations
    from rios_batch.model.grid import PixelWindow
    from rios_batch.model.spec import Array, Layout, OutputSpec


@dataclass(frozen=True)
class Returned:
    """What a user function returned for one output and block, without margin: shape (bands, rows, cols).

    ``masked`` says which pixels were masked, and are the output's nodata value now; None if none were.
    """

    pixels: Array
    masked: Array | None = None


def collect_outputs(
    outputs: tuple[OutputSpec, ...],
    returned: BlockAssociations,
    window: PixelWindow,
    overlap_px: int,
    where: str,
) -> list[Returned]:
    """Check what the user function set, and cut the margin off.

    Parameters
    ----------
    returned : what the user function set, by symbolic name. Masked pixels become the output's nodata value.
    window : the block, in pixels of the working grid, without margin.
    where : "in" and the block, for messages.

    Returns
    -------
    One for each output, of a type that GDAL can write.

    Raises
    ------
    KeysMismatch, MismatchedListLengthsError : an output is missing, or a list has another length.
    ArrayShapeError, TypeConversionError : the array's shape or type is wrong.
    BlockError : an array has masked pixels, and the output has no nodata value that the array's type can hold.
    """
    return [
        _checked(output, _value_of(output, outputs, returned, where), window, overlap_px, where)
        for output in outputs
    ]


def _value_of(
    output: OutputSpec, outputs: tuple[OutputSpec, ...], returned: BlockAssociations, where: str
) -> Any:
    if output.name not in vars(returned):
        raise KeysMismatch(
            f"the user function did not set outputs.{output.name} {where}; "
            f"it set {', '.join(returned) or 'nothing'}"
        )
    value = getattr(returned, output.name)
    if output.sequence is None:
        return value
    wanted = sum(other.name == output.name for other in outputs)
    if not isinstance(value, list | tuple) or len(value) != wanted:
        got = f"{len(value)} arrays" if isinstance(value, list | tuple) else f"a {type(value).__name__}"
        raise MismatchedListLengthsError(
            f"outputs.{output.name} must be a list of {wanted} arrays, one for each file; {where} it is {got}"
        )
    return value[output.sequence]


def _checked(output: OutputSpec, value: Any, window: PixelWindow, overlap_px: int, where: str) -> Returned:
    rows, cols = window.height + 2 * overlap_px, window.width + 2 * overlap_px
    if "xarray" in sys.modules:  # few scripts have it, and no other can set a DataArray
        from rios_batch.compute.dataarrays import as_array  # noqa: PLC0415

        value = as_array(value, f"{output.label} {where}", has_nodata=output.nodata is not None)
    if not isinstance(value, np.ndarray):
        raise ArrayShapeError(
            f"{output.label} is a {type(value).__name__} {where}; "
            "it must be a numpy array of shape (bands, rows, cols)"
        )
    if value.ndim != 3 or value.shape[0] < 1 or value.shape[1:] != (rows, cols):  # noqa: PLR2004
        margin = f", the margin of {overlap_px} on every side included" if overlap_px else ""
        raise ArrayShapeError(
            f"{output.label} has shape {value.shape} {where}; it must be (bands, {rows}, {cols}) with "
            f"at least one band{margin}"
        )
    dtype = block_dtype_name(value.dtype)
    try:
        gdal_type(dtype)
    except TypeConversionError as error:
        raise TypeConversionError(f"{output.label} {where}: {error}") from None
    inner = value[:, overlap_px : rows - overlap_px, overlap_px : cols - overlap_px]
    array = np.asarray(inner).astype(dtype, copy=False)
    masked = None
    if isinstance(inner, np.ma.MaskedArray) and inner.mask.any():
        masked = np.broadcast_to(inner.mask, inner.shape)
        array = np.where(masked, _nodata_to_fill(output, dtype, where), array)
    # GDAL takes a stride of 0 (np.broadcast_to) for "as usual", and reads past the array's end.
    as_usual = all(stride > 0 for stride in array.strides)
    return Returned(array if as_usual else np.ascontiguousarray(array), masked)


def _nodata_to_fill(output: OutputSpec, dtype: str, where: str) -> Array:
    """Return what is written where an array is masked."""
    nodata = nodata_or_none(output.nodata, dtype)
    if nodata is None:
        why = (
            "the output has no nodata value"
            if output.nodata is None
            else f"the output's nodata value {output.nodata!r} is not one of {dtype}"
        )
        raise BlockError(
            f"{output.label} is masked {where}, but {why}; set one with setStatsIgnore, or fill the array with "
            "its method filled(value)"
        )
    return np.array(nodata, dtype)


def check_layouts(
    outputs: tuple[OutputSpec, ...],
    layouts: Sequence[Layout],
    wanted: Sequence[Layout],
    window: PixelWindow,
) -> None:
    """Refuse outputs whose type or band count is not that of an earlier block.

    GDAL would cast silently (300.7 becomes 255 in uint8), or leave bands out.

    Parameters
    ----------
    window : where ``layouts`` were found, for messages.

    Raises
    ------
    TypeConversionError, ArrayShapeError : names the layout that was found and the one of the earlier block.
    """
    for output, got, expected in zip(outputs, layouts, wanted, strict=True):
        if got != expected:
            kind = TypeConversionError if got.dtype != expected.dtype else ArrayShapeError
            raise kind(
                f"{output.label} has {got} at {window}, but {expected} in an earlier block; every block must "
                "have the same type and number of bands (use .astype)"
            )
