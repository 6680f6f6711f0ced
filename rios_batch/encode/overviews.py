"""The reduced pixels of a tile, in a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rios_batch.encode.reducing import decimate, methods_within_tiles, reduced_shape
from rios_batch.errors import ParameterError

if TYPE_CHECKING:
    from rios_batch.model.grid import PixelWindow
    from rios_batch.model.pyramid import Pyramid
    from rios_batch.model.spec import Array, Layout, OutputSpec


class TileOverviews:
    """The reduced pixels of one tile.

    Parameters
    ----------
    pyramid : the overviews of the output; ``output_spec.encoded_overviews`` are those that the worker encodes.
    window : the tile's.

    Raises
    ------
    ParameterError : pixels of this type cannot be reduced so.
    """

    def __init__(
        self, output_spec: OutputSpec, pyramid: Pyramid, layout: Layout, window: PixelWindow
    ) -> None:
        self._pyramid, self._nodata = pyramid, output_spec.nodata
        if pyramid.method not in methods_within_tiles(layout.dtype):
            raise ParameterError(
                f"{output_spec.label} has {layout}, whose overviews cannot be made by {pyramid.method}; use "
                "setOverviewAggregationType('NEAREST') or setOmitPyramids(True)"
            )
        self._encoded = output_spec.encoded_overviews
        self._factors = self._encoded or (pyramid.first_factor,)
        shape = (layout.nbands, *reduced_shape(window.height, window.width, self._factors[0]))
        self._finest: Array = np.empty(shape, layout.dtype)

    def add(self, block: Array, col: int, row: int) -> None:
        """Take a block of shape (bands, rows, cols) at a column and row of the tile that are multiples of 16."""
        factor = self._factors[0]
        part = self._decimated(block, factor)
        row, col = row // factor, col // factor
        self._finest[:, row : row + part.shape[1], col : col + part.shape[2]] = part

    def finish(self) -> tuple[list[Array], Array | None]:
        """Return the tile's part of each overview that the worker encodes, and what main makes coarser ones of.

        The finest overview comes first. What main makes coarser overviews of is None where there are no coarser ones.
        """
        arrays = [self._finest]
        for finer, factor in zip(self._factors, self._factors[1:], strict=False):
            arrays.append(self._decimated(arrays[-1], factor // finer))
        main_makes_more = len(self._encoded) < len(self._pyramid.factors)
        return arrays[: len(self._encoded)], arrays[-1] if main_makes_more else None

    def _decimated(self, pixels: Array, factor: int) -> Array:
        return decimate(pixels, factor, self._pyramid.method, self._nodata)
