"""Encoding the blocks of overviews."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rios_batch.encode.smalltiff import SmallTiff
from rios_batch.model.pyramid import OVERVIEW_BLOCK_PX
from rios_batch.model.spec import Layout

if TYPE_CHECKING:
    from rios_batch.model.encodedblocks import EncodedBlocks
    from rios_batch.model.spec import Array, OutputSpec


def encode_overview(output_spec: OutputSpec, pixels: Array) -> EncodedBlocks:
    """Encode a part of an overview, pixels of shape (bands, rows, cols), that begins at a TIFF block."""
    tiff = SmallTiff(as_overview(output_spec), Layout(pixels.dtype.name, pixels.shape[0]), *pixels.shape[1:])
    try:
        tiff.write(pixels, 0, 0)
        return tiff.finish()
    finally:
        tiff.abort()


def as_overview(output_spec: OutputSpec) -> OutputSpec:
    """Return the output as its overviews are written: with blocks of their own size."""
    side = str(OVERVIEW_BLOCK_PX)
    return replace(
        output_spec, creation_options=output_spec.creation_options.but(BLOCKXSIZE=side, BLOCKYSIZE=side)
    )
