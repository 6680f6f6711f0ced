"""DEFLATE of level 1 by Intel's ISA-L: nearly as few bytes as GDAL's libdeflate makes, in less than half of the time.

docs/compression.md has the numbers, docs/decisions/0024-deflate-by-isal.md the reasons.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np

from rios_batch.encode.predictors import NONE, predicted, predictors_of
from rios_batch.gdalapi import GDAL_TYPES
from rios_batch.model.encodedblocks import BlockLayout, EncodedBlocks

try:
    from isal import isal_zlib
except ImportError:  # there is no wheel for this machine: GDAL encodes these blocks, too
    HAS_ISAL = False
else:
    HAS_ISAL = True

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rios_batch.model.creationoptions import CreationOptions
    from rios_batch.model.spec import Array, Layout

# ISA-L counts its levels otherwise: its 1 is a little larger at the same speed, its 3 no smaller and slower.
_ISAL_LEVEL = 2
# Options that say nothing else of blocks than what is encoded here. SPARSE_OK, NBITS and DISCARD_LSB do.
_UNDERSTOOD = frozenset(
    {
        "BIGTIFF",
        "BLOCKXSIZE",
        "BLOCKYSIZE",
        "COMPRESS",
        "INTERLEAVE",
        "NUM_THREADS",
        "PREDICTOR",
        "TILED",
        "ZLEVEL",
    }
)


def can_encode(options: CreationOptions, layout: Layout) -> bool:
    """Say whether blocks with these creation options, which name the blocks' sides, can be encoded by `FastDeflate`."""
    return (
        HAS_ISAL
        and sys.byteorder == "little"
        and layout.dtype in GDAL_TYPES
        and options.names <= _UNDERSTOOD
        and (options.get("COMPRESS") or "").upper() == "DEFLATE"
        and options.get("ZLEVEL") == "1"
        and (options.get("PREDICTOR") or NONE) in predictors_of(layout.dtype)
    )


class FastDeflate:
    """Encodes the blocks of a part of an output, each when it is written.

    Parameters
    ----------
    options : creation options that ``can_encode`` says yes to.
    rows, cols : of the part, which begins at a TIFF block.
    """

    def __init__(self, options: CreationOptions, layout: Layout, rows: int, cols: int) -> None:
        self._dtype = np.dtype(layout.dtype)
        self._predictor = options.get("PREDICTOR") or NONE
        self._is_planar = (options.get("INTERLEAVE") or "PIXEL").upper() == "BAND"
        xsize, ysize = int(options.get("BLOCKXSIZE") or 0), int(options.get("BLOCKYSIZE") or 0)
        nplanes = layout.nbands if self._is_planar else 1
        self._places = BlockLayout(xsize, ysize, -(-cols // xsize), -(-rows // ysize), nplanes)
        self._encoded: list[bytes] = [b""] * self._places.nblocks

    def write(self, block: Array, col: int, row: int) -> None:
        """Encode pixels of shape (bands, rows, cols): whole TIFF blocks, which only the part's edges cut."""
        places = self._places
        _, rows, cols = block.shape
        index = iter(places.index_of(col, row, cols, rows).tolist())
        planes = block[:, None] if self._is_planar else block[None]
        for plane in planes:  # of shape (bands of a plane, rows, cols), as index_of goes
            for top in range(0, rows, places.block_ysize):
                for left in range(0, cols, places.block_xsize):
                    part = plane[:, top : top + places.block_ysize, left : left + places.block_xsize]
                    self._encoded[next(index)] = self._compressed(part)

    def _compressed(self, part: Array) -> bytes:
        """Encode the pixels of one TIFF block; what is cut of it is filled with its last row and column."""
        nbands, rows, cols = part.shape
        if (rows, cols) != (self._places.block_ysize, self._places.block_xsize):
            rest = (0, self._places.block_ysize - rows), (0, self._places.block_xsize - cols)
            part = np.pad(part, ((0, 0), *rest), mode="edge")
        samples = np.ascontiguousarray(part.transpose(1, 2, 0), self._dtype)
        samples = samples.reshape(self._places.block_ysize, -1)
        compressed: bytes = isal_zlib.compress(predicted(samples, self._predictor, nbands), _ISAL_LEVEL)
        return compressed

    def finish(self, leading: Sequence[EncodedBlocks] = ()) -> EncodedBlocks:
        """Return the blocks, behind blocks of others."""
        byte_counts = np.fromiter(map(len, self._encoded), np.uint64, len(self._encoded))
        if not byte_counts.all():
            raise RuntimeError("a block was not written")
        data = b"".join([*(blocks.data.data for blocks in leading), *self._encoded])
        return EncodedBlocks(
            np.frombuffer(data, np.uint8),
            np.concatenate([*(blocks.byte_counts for blocks in leading), byte_counts]),
        )

    def abort(self) -> None:
        """Free what it holds; harmless after ``finish``."""
        self._encoded = []
