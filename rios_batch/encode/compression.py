"""How an output is compressed whose script set no creation options: chosen by encoding a few of its pixels.

Level 1 of DEFLATE takes a third to a twentieth of the time of level 6, which is the default of GDAL and RIOS. With a
predictor integers are smaller at level 1 than without one at level 6. With floats that depends on where the values come
from (docs/compression.md has the numbers).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from rios_batch.encode.encoders import encode
from rios_batch.model.grid import PixelWindow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rios_batch.model.creationoptions import Compression
    from rios_batch.model.spec import Array, OutputSpec

_SQUARE_PX = 128
ENOUGH_SQUARES = 4
# Squares stand at these distances in the first rows and columns of a raster; further on nobody looks, lest main hold
# many tiles until a pixel is found that is not nodata.
_COL_STEP_PX, _ROW_STEP_PX = 512, 256
_FIRST_COLS, _FIRST_ROWS = 16_384, 1024
_MOST_BANDS = 4

DEFAULT: Compression = ()
_FAST: Compression = ("ZLEVEL=1",)
# What integers may be larger than without predictor at level 6. Classes and masks are a fifth to a half larger.
_INTEGERS_MAY_GROW = 1.1


def sample_windows(ncols: int, nrows: int) -> Iterator[PixelWindow]:
    """Yield the squares of a raster that are looked at, in this order, until enough of them tell something."""
    for row in range(0, min(nrows, _FIRST_ROWS), _ROW_STEP_PX):
        for col in range(0, min(ncols, _FIRST_COLS), _COL_STEP_PX):
            yield PixelWindow(col, row, _SQUARE_PX, _SQUARE_PX).clipped(ncols, nrows)


def is_telling(square: Array) -> bool:
    """Say whether pixels of shape (bands, rows, cols) are not all the same, as those without data are."""
    first = square[:, :1, :1]
    same = (square == first) | ((square != square) & (first != first))  # noqa: PLR0124 - NaN
    return not same.all()


def telling_squares(pixels: Array) -> list[Array]:
    """Return squares of an array of shape (bands, rows, cols), as many as are enough or as there are."""
    squares: list[Array] = []
    for window in sample_windows(pixels.shape[2], pixels.shape[1]):
        square = pixels[:, window.row : window.end_row, window.col : window.end_col]
        if is_telling(square):
            squares.append(square)
        if len(squares) == ENOUGH_SQUARES:
            break
    return squares


def choose_compression(output_spec: OutputSpec, dtype: str, squares: Iterable[Array]) -> Compression:
    """Return the fastest compression that makes no more bytes than RIOS's default options.

    The same squares give the same answer.

    Parameters
    ----------
    dtype : numpy's name of the output's type.
    squares : telling pixels of shape (bands, rows, cols).
    """
    squares = [square[:_MOST_BANDS] for square in squares]
    predicted = _predicted(output_spec, dtype)
    is_integer = np.dtype(dtype).kind in "iu"
    if not squares:
        return predicted if predicted is not None and is_integer else DEFAULT
    limit = _encoded_bytes(output_spec, DEFAULT, squares)
    fast_bytes = _encoded_bytes(output_spec, _FAST, squares)
    if predicted is not None:
        most = _INTEGERS_MAY_GROW * limit if is_integer else min(limit, fast_bytes)
        if _encoded_bytes(output_spec, predicted, squares) <= most:
            return predicted
    return _FAST if fast_bytes <= limit else DEFAULT


def _predicted(output_spec: OutputSpec, dtype: str) -> Compression | None:
    """Return the compression with a predictor. Neighbouring classes have nothing to do with each other."""
    kind = np.dtype(dtype).kind
    if output_spec.thematic or kind not in "iuf":
        return None
    return (*_FAST, f"PREDICTOR={3 if kind == 'f' else 2}")


def _encoded_bytes(output_spec: OutputSpec, compression: Compression, squares: list[Array]) -> int:
    side = str(_SQUARE_PX)
    spec = output_spec.compressed(compression)
    spec = replace(spec, creation_options=spec.creation_options.but(BLOCKXSIZE=side, BLOCKYSIZE=side))
    return sum(encode(spec, square).nbytes for square in squares)
