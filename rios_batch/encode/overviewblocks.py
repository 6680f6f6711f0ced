"""Encoding the blocks of overviews."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rios_batch.encode.encoders import encode
from rios_batch.model.pyramid import OVERVIEW_BLOCK_PX

if TYPE_CHECKING:
    from rios_batch.model.encodedblocks import EncodedBlocks
    from rios_batch.model.spec import Array, OutputSpec


def encode_overview(output_spec: OutputSpec, pixels: Array) -> EncodedBlocks:
    """Encode a part of an overview, pixels of shape (bands, rows, cols), that begins at a TIFF block."""
    return encode(as_overview(output_spec), pixels)


def as_overview(output_spec: OutputSpec) -> OutputSpec:
    """Return the output as its overviews are written: with blocks of their own size."""
    side = str(OVERVIEW_BLOCK_PX)
    return replace(
        output_spec, creation_options=output_spec.creation_options.but(BLOCKXSIZE=side, BLOCKYSIZE=side)
    )
