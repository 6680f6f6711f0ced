"""Encoded blocks of a tiled TIFF, outside of any file: their bytes, and their places in the index."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from rios_batch.model.geotiff import TiffFormatError, parse_tiled_tiff

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class EncodedBlocks:
    """The blocks of one tile: their bytes end to end, and how many bytes each has.

    ``byte_counts`` is in TIFF order (plane, block row, block column); 0 is a sparse block. ``data`` is an
    array, not bytes, so that it can travel between processes without being copied into a pickle.
    """

    data: NDArray[np.uint8] = field(repr=False)
    byte_counts: NDArray[np.uint64] = field(repr=False)

    @property
    def nbytes(self) -> int:
        return self.data.nbytes


def joined(parts: Sequence[EncodedBlocks]) -> EncodedBlocks:
    """Put blocks end to end."""
    if len(parts) == 1:
        return parts[0]
    return EncodedBlocks(
        np.concatenate([part.data for part in parts]), np.concatenate([part.byte_counts for part in parts])
    )


def take_blocks(data: bytes | bytearray | memoryview) -> EncodedBlocks:
    """Take all blocks out of a tiled TIFF in memory, end to end in TIFF order.

    Where they stand so in the file already, as GDAL writes a small file, the result looks into ``data``
    and nothing is copied.

    Raises
    ------
    TiffFormatError : not a complete tiled TIFF.
    """
    tiff = parse_tiled_tiff(data)
    stored = tiff.byte_counts > 0
    starts = tiff.offsets[stored]
    ends = starts + tiff.byte_counts[stored]
    # An end before its start has wrapped around 2**64.
    if len(starts) and (int(ends.max()) > len(data) or (ends < starts).any()):
        raise TiffFormatError("the block index points past the end of the file")
    if (starts[1:] == ends[:-1]).all():
        first, size = (int(starts[0]), int(ends[-1] - starts[0])) if len(starts) else (0, 0)
        return EncodedBlocks(np.frombuffer(data, np.uint8, size, first), tiff.byte_counts)
    view = memoryview(data)
    pieces = [view[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
    return EncodedBlocks(np.frombuffer(b"".join(pieces), np.uint8), tiff.byte_counts)


@dataclass(frozen=True)
class BlockLayout:
    """Where blocks stand in a tiled TIFF's index.

    ``nplanes`` is the number of separately stored planes: the band count for INTERLEAVE=BAND, else 1.
    """

    block_xsize: int
    block_ysize: int
    nblocks_x: int
    nblocks_y: int
    nplanes: int

    @property
    def nblocks(self) -> int:
        return self.nplanes * self.nblocks_y * self.nblocks_x

    def index_of(self, col: int, row: int, width: int, height: int) -> NDArray[np.intp]:
        """Return the index positions of a rectangle of pixels, in TIFF order.

        ``col`` and ``row`` must start a block; the right and bottom edge may be cut.
        """
        xs = np.arange(col // self.block_xsize, -(-(col + width) // self.block_xsize))
        ys = np.arange(row // self.block_ysize, -(-(row + height) // self.block_ysize))
        planes = np.arange(self.nplanes) * (self.nblocks_x * self.nblocks_y)
        index: NDArray[np.intp] = (
            planes[:, None, None] + (ys * self.nblocks_x)[None, :, None] + xs[None, None, :]
        )
        return index.ravel()
