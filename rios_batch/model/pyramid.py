"""Overviews of an output: which there are, who makes them, from which pixels. Arithmetic only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rios_batch.model.tiles import TilePlan

OVERVIEW_BLOCK_PX = 128  # a side of an overview's TIFF blocks; GDAL's own default
# Every tile begins at a multiple of this, since TIFF blocks do; so a tile's pixels reduced by it, or by a divisor
# of it, do not depend on its neighbours.
TILE_FACTOR = 16

# GDAL's names of how pixels are reduced. The methods that look at neighbours cannot be used tile by tile.
METHODS_WITHIN_TILES = ("NEAREST", "AVERAGE", "RMS", "MODE")
METHODS = (*METHODS_WITHIN_TILES, "GAUSS", "BILINEAR", "CUBIC", "CUBICSPLINE", "LANCZOS")
DEFAULT_METHOD = "NEAREST"


@dataclass(frozen=True)
class Pyramid:
    """The overviews of an output: how many times smaller each is, ascending, and GDAL's name of how pixels are reduced.

    Each pixel of an overview is made of ``factor`` x ``factor`` pixels, fewer at the right and bottom edge, and of
    no others. Each overview is made from the one before it.
    """

    factors: tuple[int, ...]
    method: str

    @property
    def first_factor(self) -> int:
        """Return how many times smaller the pixels are that everything else is made from."""
        return math.gcd(self.factors[0], TILE_FACTOR)

    @property
    def fits_tiles(self) -> bool:
        """Say whether each overview can be made from the one before it, and the first one tile by tile."""
        steps = zip(self.factors, self.factors[1:], strict=False)
        # Only NEAREST may take a detour: it gives the same pixels in one step and in two.
        first_fits = self.method == "NEAREST" or self.first_factor == self.factors[0]
        return first_fits and self.first_factor > 1 and all(coarse % fine == 0 for fine, coarse in steps)

    @property
    def factors_in_tiles(self) -> tuple[int, ...]:
        """Return the overviews that tiles could hold whole blocks of, if they are large enough."""
        return tuple(factor for factor in self.factors if TILE_FACTOR % factor == 0)

    def encoded_in_tiles(self, plan: TilePlan) -> tuple[int, ...]:
        """Return the overviews that workers encode, because tiles of this plan are whole TIFF blocks of them."""
        blocks = plan.blocks
        sides = []
        if plan.ntiles_x > 1:
            sides.append(plan.tile_xblocks * blocks.window_xsize)
        if plan.ntiles_y > 1:
            sides.append(plan.tile_yblocks * blocks.window_ysize)
        return tuple(
            factor
            for factor in self.factors_in_tiles
            if all(side % (factor * OVERVIEW_BLOCK_PX) == 0 for side in sides)
        )

    def top_factor(self, encoded_in_tiles: tuple[int, ...]) -> int:
        """Return how many times smaller the pixels are that workers hand over, for main to make the rest from."""
        return (encoded_in_tiles or (self.first_factor,))[-1]
