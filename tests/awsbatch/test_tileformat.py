from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rios_batch.awsbatch.decoding import RecordError
from rios_batch.awsbatch.failurerecord import Failure
from rios_batch.awsbatch.tileformat import (
    decode_head,
    encode_tile,
    head_size,
)
from rios_batch.model.encodedblocks import EncodedBlocks
from rios_batch.model.grid import PixelWindow
from rios_batch.model.spec import Layout, StatisticsSpec
from rios_batch.model.tileresult import TileOutput, TileRecord
from rios_batch.model.tiles import BlockGrid, TilePlan
from rios_batch.model.tilestatistics import TileStatistics

if TYPE_CHECKING:
    from rios_batch.model.statistics import PartialStatistics

Array = NDArray[Any]

RUN_ID = "0123456789-20260101T120000-abcd"
PLAN = TilePlan(BlockGrid(48, 80, 16, 8), 1, 1)
WINDOW = PixelWindow(32, 64, 16, 8)
RECORD = TileRecord(26, WINDOW, "worker 2", 4, 0.5, 1.25, 0.125, 0.25, 42)
BLOCKS = TileOutput(
    Layout("uint16", 2), EncodedBlocks(np.arange(42, dtype=np.uint8), np.array([20, 0, 22], np.uint64))
)
PIXELS = TileOutput(Layout("float32", 3), np.arange(3 * 8 * 16, dtype=np.float32).reshape(3, 8, 16))


def test_head_and_pixels_come_back() -> None:
    data = encode_tile(RUN_ID, RECORD, [BLOCKS, PIXELS], {"count": 3, "histogram": np.arange(4)})

    head = decode_head(data, PLAN)

    assert head.run_id == RUN_ID
    assert asdict(head.record) == asdict(RECORD)
    assert head.other_args["count"] == 3
    np.testing.assert_array_equal(head.other_args["histogram"], np.arange(4))
    blocks, pixels = (part.output(data[part.start : part.start + part.size], WINDOW) for part in head.parts)
    assert isinstance(blocks.payload, EncodedBlocks)
    np.testing.assert_array_equal(blocks.payload.data, np.arange(42))
    np.testing.assert_array_equal(blocks.payload.byte_counts, [20, 0, 22])
    assert isinstance(pixels.payload, np.ndarray)
    assert pixels.payload.tolist() == np.arange(3 * 8 * 16).reshape(3, 8, 16).tolist()
    assert (blocks.layout, pixels.layout) == (BLOCKS.layout, PIXELS.layout)
    assert head.parts[-1].start + head.parts[-1].size == len(data)


def test_the_head_is_read_without_the_pixels() -> None:
    data = encode_tile(RUN_ID, RECORD, [BLOCKS], {})

    assert decode_head(data[: head_size(data[:100])], PLAN).parts[0].size == 42


@pytest.mark.parametrize("length", [0, 7, 23, 60])
def test_what_is_cut_short_is_refused(length: int) -> None:
    data = encode_tile(RUN_ID, RECORD, [BLOCKS], {})

    with pytest.raises(RecordError):
        decode_head(data[:length], PLAN)


def test_something_else_is_refused() -> None:
    with pytest.raises(RecordError, match="not a tile's record"):
        decode_head(b"II*\0" + bytes(100), PLAN)


def test_a_flipped_bit_anywhere_in_a_head_is_noticed() -> None:
    data = encode_tile(RUN_ID, RECORD, [BLOCKS], {"count": 3})
    for place in range(head_size(data)):
        damaged = bytearray(data)
        damaged[place] ^= 1 << place % 8
        with pytest.raises(RecordError):
            decode_head(bytes(damaged), PLAN)


@pytest.mark.parametrize("output", [BLOCKS, PIXELS], ids=["blocks", "pixels"])
def test_damaged_pixels_are_noticed(output: TileOutput) -> None:
    data = encode_tile(RUN_ID, RECORD, [output], {})
    (part,) = decode_head(data, PLAN).parts
    pixels = bytearray(data[part.start :])
    pixels[-1] ^= 1

    for wrong in (bytes(pixels), bytes(pixels[:-1]), b""):
        with pytest.raises(RecordError, match="damaged"):
            part.output(wrong, WINDOW)


def test_a_failure_comes_back() -> None:
    failure = Failure(3, "builtins.OSError", "no", "worker 1", stops_run=False, traceback_text="Traceback")

    assert Failure.decode(failure.encode()) == failure
    with pytest.raises(RecordError):
        Failure.decode(b'{"tile": 3}')


def statistics_of(pixels: Array) -> tuple[PartialStatistics, ...]:
    layout = Layout(pixels.dtype.name, pixels.shape[0])
    collector = TileStatistics(StatisticsSpec(basic=True, histogram=True, step=1), layout, None)
    collector.add(pixels, PixelWindow(0, 0, pixels.shape[2], pixels.shape[1]))
    return collector.finish()


@pytest.mark.parametrize(
    "pixels",
    [
        np.random.default_rng(1).integers(0, 9, (3, 20, 30), np.uint8),
        np.random.default_rng(1).normal(0, 1, (1, 100, 100)),
        np.array([[[0, 1, 2**64 - 1]]], np.uint64),
        np.array([[[-(2**63), 2**63 - 1]]], np.int64),
        np.array([[[1.7e308, -1.7e308, 5e-324]]]),
        np.array([[[np.nan]], [[2.5]]], np.float32),
    ],
    ids=["bytes", "floats", "uint64", "int64", "extremes", "nothing"],
)
def test_statistics_come_back_to_the_last_bit(pixels: Array) -> None:
    sent = statistics_of(pixels)

    array = np.zeros((len(sent), 8, 16), np.float32)
    output = TileOutput(Layout("float32", len(sent)), array, statistics=sent)
    data = encode_tile(RUN_ID, RECORD, [output], {})

    part = decode_head(data[: head_size(data[:100])], PLAN).parts[0]
    (came, *_) = [part.output(data[part.start :], WINDOW).statistics]
    assert len(came) == len(sent) == pixels.shape[0]
    for one, other in zip(came, sent, strict=True):
        assert (one.count, one.lowest, one.highest) == (other.count, other.lowest, other.highest)
        assert (one.total, one.squares) == (other.total, other.squares)
        assert type(one.lowest) is type(other.lowest)
        if other.histogram is None:
            assert one.histogram is None
            continue
        assert one.histogram is not None
        assert one.histogram.exponent == other.histogram.exponent
        assert one.histogram.keys.dtype == other.histogram.keys.dtype
        assert one.histogram.keys.tolist() == other.histogram.keys.tolist()
        assert one.histogram.counts.tolist() == other.histogram.counts.tolist()
