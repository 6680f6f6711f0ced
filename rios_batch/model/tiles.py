"""The blocks and tiles that the working grid is cut into. Arithmetic only.

A *block* is what the user function sees: one window of RIOS's window size, clipped at the right and
bottom edge, never padded. A *tile* is the unit of work and of output: a rectangle of whole blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rios_batch.model.grid import PixelWindow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rios_batch.model.creationoptions import Compression


@dataclass(frozen=True)
class BlockGrid:
    """The blocks of a working grid, all sizes in pixels."""

    ncols: int
    nrows: int
    window_xsize: int
    window_ysize: int

    @property
    def nblocks_x(self) -> int:
        return -(-self.ncols // self.window_xsize)

    @property
    def nblocks_y(self) -> int:
        return -(-self.nrows // self.window_ysize)

    def window(self, xblock: int, yblock: int) -> PixelWindow:
        """Return the pixels of one block, clipped to the grid."""
        return PixelWindow(
            xblock * self.window_xsize, yblock * self.window_ysize, self.window_xsize, self.window_ysize
        ).clipped(self.ncols, self.nrows)


@dataclass(frozen=True)
class Tile:
    """A rectangle of whole blocks; ``index`` counts tiles row by row from 0.

    ``compressions`` is how each output is to be compressed, as far as that was chosen when the tile was handed out.
    """

    index: int
    xblocks: range
    yblocks: range
    window: PixelWindow
    compressions: tuple[Compression | None, ...] = ()

    def blocks(self) -> Iterator[tuple[int, int]]:
        """Yield ``(xblock, yblock)`` row by row."""
        return ((x, y) for y in self.yblocks for x in self.xblocks)


@dataclass(frozen=True)
class TilePlan:
    """How the blocks are grouped into tiles of ``tile_xblocks`` x ``tile_yblocks`` blocks."""

    blocks: BlockGrid
    tile_xblocks: int
    tile_yblocks: int

    @property
    def ntiles_x(self) -> int:
        return -(-self.blocks.nblocks_x // self.tile_xblocks)

    @property
    def ntiles_y(self) -> int:
        return -(-self.blocks.nblocks_y // self.tile_yblocks)

    @classmethod
    def from_description(cls, description: dict[str, Any]) -> TilePlan:
        """Return the plan that ``dataclasses.asdict`` described."""
        return cls(**{**description, "blocks": BlockGrid(**description["blocks"])})

    def __len__(self) -> int:
        return self.ntiles_x * self.ntiles_y

    def __iter__(self) -> Iterator[Tile]:
        return (self.tile(index) for index in range(len(self)))

    def tile(self, index: int) -> Tile:
        """Return one tile; tiles cover every block exactly once."""
        ytile, xtile = divmod(index, self.ntiles_x)
        grid = self.blocks
        xblocks = range(xtile * self.tile_xblocks, min((xtile + 1) * self.tile_xblocks, grid.nblocks_x))
        yblocks = range(ytile * self.tile_yblocks, min((ytile + 1) * self.tile_yblocks, grid.nblocks_y))
        first, last = grid.window(xblocks[0], yblocks[0]), grid.window(xblocks[-1], yblocks[-1])
        window = PixelWindow(first.col, first.row, last.end_col - first.col, last.end_row - first.row)
        return Tile(index, xblocks, yblocks, window)
