"""Tiles decoded again: a few of their pixels, or all of them to be compressed otherwise; here and in S3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rios_batch.encode.blocks import tile_sink
from rios_batch.encode.recompression import pixels_of, recompressed
from rios_batch.model.blobs import Blob, StoredBlocks
from rios_batch.model.encodedblocks import EncodedBlocks
from rios_batch.model.grid import PixelWindow
from rios_batch.model.pyramid import Pyramid
from rios_batch.model.spec import Layout, OutputSpec
from tests.support import output_spec, ramp

if TYPE_CHECKING:
    from rios_batch.model.creationoptions import Compression
    from rios_batch.model.spec import Array

SIZE = PixelWindow(512, 1024, 700, 600)
BEFORE: Compression = ("ZLEVEL=1", "PREDICTOR=2")


class Store:
    """Blobs of one object; what is read of it is counted."""

    def __init__(self, blocks: EncodedBlocks) -> None:
        self._content = b"before" + blocks.data.tobytes() + b"after"
        self.blocks = StoredBlocks(Blob("bucket", "key", "tag", 6, blocks.nbytes), blocks.byte_counts, self)
        self.read_bytes = 0

    def read(self, blob: Blob) -> bytes:
        self.read_bytes += blob.size
        return self._content[blob.start : blob.start + blob.size]

    def merge(self, blobs: Any) -> Any:
        raise NotImplementedError


def spec_of(interleave: str, compression: Compression) -> OutputSpec:
    spec = output_spec(
        "TILED=YES",
        f"INTERLEAVE={interleave}",
        "COMPRESS=DEFLATE",
        "BLOCKXSIZE=256",
        "BLOCKYSIZE=128",
        nodata=0,
        blocks_are_whole=False,
        pyramid=Pyramid((4, 8), "NEAREST"),
        encoded_overviews=(4, 8),
    )
    return spec.compressed(compression)


def encoded(spec: OutputSpec, pixels: Array) -> EncodedBlocks:
    sink = tile_sink(spec, Layout(pixels.dtype.name, pixels.shape[0]), SIZE)
    sink.write(pixels, 0, 0)
    payload = sink.finish().payload
    assert isinstance(payload, EncodedBlocks)
    return payload


@pytest.mark.parametrize("interleave", ["BAND", "PIXEL"])
@pytest.mark.parametrize(
    "part", [SIZE.shifted(-512, -1024), PixelWindow(300, 250, 128, 128), PixelWindow(699, 599, 1, 1)]
)
def test_a_part_of_a_tile_is_decoded(interleave: str, part: PixelWindow) -> None:
    pixels = ramp(3, SIZE.height, SIZE.width, "int16")
    spec = spec_of(interleave, BEFORE)
    store = Store(encoded(spec, pixels))

    found = pixels_of(spec, Layout("int16", 3), SIZE, store.blocks, part)

    np.testing.assert_array_equal(found, pixels[:, part.row : part.end_row, part.col : part.end_col])


def test_no_more_of_an_object_is_read_than_holds_the_part() -> None:
    spec = spec_of("PIXEL", BEFORE)
    store = Store(encoded(spec, ramp(3, SIZE.height, SIZE.width, "int16")))

    pixels_of(spec, Layout("int16", 3), SIZE, store.blocks, PixelWindow(0, 0, 128, 128))

    assert (
        store.read_bytes == store.blocks.byte_counts[-3 * 5]
    )  # the first of 3 x 5 blocks of full resolution


@pytest.mark.parametrize("interleave", ["BAND", "PIXEL"])
@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("compression", [(), ("ZLEVEL=1",)])
def test_a_tile_compressed_again_is_what_it_would_have_been(
    interleave: str, stored: bool, compression: Compression
) -> None:
    pixels = ramp(3, SIZE.height, SIZE.width, "int16")
    before, wanted = spec_of(interleave, BEFORE), spec_of(interleave, compression)
    blocks = encoded(before, pixels)
    given = Store(blocks).blocks if stored else blocks

    made = recompressed(before, wanted, Layout("int16", 3), SIZE, given)

    expected = encoded(wanted, pixels)
    np.testing.assert_array_equal(made.byte_counts, expected.byte_counts)
    assert made.data.tobytes() == expected.data.tobytes()
