"""Blocks that ISA-L encodes: GDAL reads the same pixels, and would have compressed the same bytes."""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from rios_batch.encode import fastdeflate
from rios_batch.encode.encoders import encode, encoder
from rios_batch.encode.fastdeflate import FastDeflate, can_encode
from rios_batch.encode.recompression import pixels_of
from rios_batch.encode.smalltiff import SmallTiff
from rios_batch.model.grid import PixelWindow
from rios_batch.model.spec import Layout
from tests.support import output_spec

if TYPE_CHECKING:
    from rios_batch.model.encodedblocks import EncodedBlocks
    from rios_batch.model.spec import Array, OutputSpec

INTEGERS = ["uint8", "uint16", "int16", "uint32", "int32"]
FLOATS = ["float32", "float64"]
OTHERS = ["int64", "complex64"]


def spec_of(*more: str) -> OutputSpec:
    return output_spec("TILED=YES", "COMPRESS=DEFLATE", "BLOCKXSIZE=32", "BLOCKYSIZE=16", "ZLEVEL=1", *more)


def pixels(dtype: str, rows: int, cols: int) -> Array:
    rng = np.random.default_rng(1)
    return rng.integers(0, 2**8, (3, rows, cols * np.dtype(dtype).itemsize), np.uint8).view(dtype)


def layout_of(array: Array) -> Layout:
    return Layout(array.dtype.name, array.shape[0])


def blocks_of(encoded: EncodedBlocks) -> list[bytes]:
    ends = np.cumsum(encoded.byte_counts).tolist()
    starts = [0, *ends[:-1]]
    return [
        zlib.decompress(encoded.data[start:end].tobytes()) for start, end in zip(starts, ends, strict=True)
    ]


@pytest.mark.parametrize("interleave", ["BAND", "PIXEL"])
@pytest.mark.parametrize(
    ("dtype", "predictor"),
    [(dtype, "1") for dtype in INTEGERS + FLOATS + OTHERS]
    + [(dtype, "2") for dtype in INTEGERS]
    + [(dtype, "3") for dtype in FLOATS],
)
class TestFastDeflate:
    def test_gdal_reads_the_pixels(self, dtype: str, predictor: str, interleave: str) -> None:
        spec = spec_of(f"INTERLEAVE={interleave}", f"PREDICTOR={predictor}")
        array = pixels(dtype, 40, 70)  # cut at the right and at the bottom
        layout, window = layout_of(array), PixelWindow(0, 0, 70, 40)
        assert isinstance(encoder(spec, layout, 40, 70), FastDeflate)
        encoded = encode(spec, array)
        found = pixels_of(spec, layout, window, encoded, window)
        assert found.tobytes() == array.tobytes()

    def test_what_is_compressed_is_what_gdal_compresses(
        self, dtype: str, predictor: str, interleave: str
    ) -> None:
        spec = spec_of(f"INTERLEAVE={interleave}", f"PREDICTOR={predictor}")
        array = pixels(dtype, 32, 64)
        tiff = SmallTiff(spec, layout_of(array), 32, 64)
        tiff.write(array, 0, 0)
        assert blocks_of(encode(spec, array)) == blocks_of(tiff.finish())


def test_blocks_may_come_in_any_order() -> None:
    spec, array = spec_of("INTERLEAVE=BAND", "PREDICTOR=2"), pixels("int16", 40, 70)
    part = encoder(spec, layout_of(array), 40, 70)
    for row, col in ((16, 32), (0, 0), (0, 32), (16, 0)):
        part.write(
            array[:, row : row + (16 if row == 0 else 24), col : col + (32 if col == 0 else 38)], col, row
        )
    assert blocks_of(part.finish()) == blocks_of(encode(spec, array))


def test_a_block_that_was_not_written_is_an_error() -> None:
    array = pixels("int16", 16, 64)
    part = encoder(spec_of("INTERLEAVE=BAND"), layout_of(array), 32, 64)
    part.write(array, 0, 0)
    with pytest.raises(RuntimeError, match="not written"):
        part.finish()


def test_numbers_of_the_other_byte_order_are_the_same_numbers() -> None:
    array = np.arange(32 * 16, dtype=np.uint16).reshape(1, 16, 32)
    spec = spec_of("PREDICTOR=2")
    assert blocks_of(encode(spec, array.astype(">u2"))) == blocks_of(encode(spec, array))


@pytest.mark.parametrize(
    ("more", "dtype"),
    [
        ({"ZLEVEL": "6"}, "int16"),
        ({"ZLEVEL": None}, "int16"),
        ({"COMPRESS": "ZSTD"}, "int16"),
        ({"SPARSE_OK": "TRUE"}, "int16"),
        ({"NBITS": "12"}, "uint16"),
        ({"DISCARD_LSB": "2"}, "float32"),
        ({"ENDIANNESS": "BIG"}, "int16"),
        ({"PREDICTOR": "2"}, "float32"),
        ({"PREDICTOR": "3"}, "int16"),
        ({"PREDICTOR": "2"}, "int64"),
        ({}, "float16"),  # which GDAL says that it cannot write
    ],
)
def test_gdal_encodes_what_else_a_script_asks_for(more: dict[str, str | None], dtype: str) -> None:
    spec = spec_of()
    spec = replace(spec, creation_options=spec.creation_options.but(**more))
    assert not can_encode(spec.creation_options, Layout(dtype, 1))


def test_gdal_encodes_where_isal_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastdeflate, "HAS_ISAL", False)
    spec, array = spec_of("INTERLEAVE=BAND", "PREDICTOR=2"), pixels("int16", 40, 70)
    layout, window = layout_of(array), PixelWindow(0, 0, 70, 40)
    assert isinstance(encoder(spec, layout, 40, 70), SmallTiff)
    assert (pixels_of(spec, layout, window, encode(spec, array), window) == array).all()
