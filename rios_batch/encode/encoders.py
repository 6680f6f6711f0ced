"""Which encoder makes an output's blocks: GDAL, which can all, or a faster one for what is written by default."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from rios_batch.encode.fastdeflate import FastDeflate, can_encode
from rios_batch.encode.smalltiff import SmallTiff
from rios_batch.model.spec import Layout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rios_batch.model.encodedblocks import EncodedBlocks
    from rios_batch.model.spec import Array, OutputSpec


class Encoder(Protocol):
    """Encodes a part of an output that begins at a TIFF block."""

    def write(self, block: Array, col: int, row: int) -> None:
        """Take pixels of shape (bands, rows, cols), which are whole TIFF blocks but at the part's edges."""

    def finish(self, leading: Sequence[EncodedBlocks] = ()) -> EncodedBlocks:
        """Return all blocks, in TIFF order, behind blocks of others."""

    def abort(self) -> None:
        """Free what it holds; harmless after ``finish``."""


def encoder(output_spec: OutputSpec, layout: Layout, rows: int, cols: int) -> Encoder:
    """Return an encoder for a part of so many rows and columns.

    Raises
    ------
    OutputError : GDAL refuses the output's options.
    """
    options = output_spec.creation_options.for_type(layout.dtype)
    if can_encode(options, layout):
        return FastDeflate(options, layout, rows, cols)
    return SmallTiff(output_spec, layout, rows, cols)


def encode(output_spec: OutputSpec, pixels: Array) -> EncodedBlocks:
    """Encode all pixels of a part of an output at once.

    Parameters
    ----------
    pixels : of shape (bands, rows, cols), beginning at a TIFF block.
    """
    part = encoder(output_spec, Layout(pixels.dtype.name, pixels.shape[0]), *pixels.shape[1:])
    try:
        part.write(pixels, 0, 0)
        return part.finish()
    finally:
        part.abort()
