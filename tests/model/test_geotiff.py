from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rios_batch.model import geotiff
from rios_batch.model.encodedblocks import take_blocks
from rios_batch.model.geotiff import (
    TILE_BYTE_COUNTS,
    TILE_OFFSETS,
    Field,
    TiffFormatError,
    TiledTiff,
    parse_tiled_tiff,
)


def directory(*arguments: Any) -> bytes:
    return b"".join(geotiff.directory(*arguments))


LONG, LONG8, SHORT, ASCII, DOUBLE = 4, 16, 3, 2, 12
TYPE_BYTES = {SHORT: 2, LONG: 4, ASCII: 1, DOUBLE: 8, LONG8: 8}


@st.composite
def other_fields(draw: st.DrawFn, *, big: bool) -> dict[int, Field]:
    """Return fields as a GeoTIFF has them, of every length: inline, exactly inline, and beyond."""
    kinds = [SHORT, LONG, ASCII, DOUBLE, *([LONG8] if big else [])]
    tags = draw(st.sets(st.integers(254, 65000).filter(lambda t: t not in {324, 325}), max_size=8))
    fields = {}
    for tag in tags:
        kind, count = draw(st.sampled_from(kinds)), draw(st.integers(1, 9))
        fields[tag] = Field(
            kind, count, draw(st.binary(min_size=(n := TYPE_BYTES[kind] * count), max_size=n))
        )
    return fields


@st.composite
def tiffs(draw: st.DrawFn) -> tuple[TiledTiff, list[bytes]]:
    """Return a template, and the bytes of its blocks (empty: sparse)."""
    order, big = draw(st.sampled_from("<>")), draw(st.booleans())
    blocks = draw(st.lists(st.binary(max_size=12), min_size=1, max_size=6))
    nothing = np.zeros(len(blocks), np.uint64)
    return TiledTiff(order, big, draw(other_fields(big=big)), nothing, nothing), blocks


def assemble(template: TiledTiff, blocks: list[bytes]) -> bytes:
    """Put blocks and directory into a file, the way an assembler does."""
    body = b"".join(blocks)
    counts = np.array([len(block) for block in blocks], np.uint64)
    starts = geotiff.header_size(template) + np.cumsum(counts) - counts
    offsets = np.where(counts > 0, starts, 0).astype(np.uint64)
    position = geotiff.header_size(template) + len(body)
    padding = -position % 8
    index = directory(template, offsets, counts, position + padding)
    return geotiff.header(template, position + padding) + body + bytes(padding) + index


@given(tiffs())
def test_a_directory_that_was_written_reads_back_the_same(case: tuple[TiledTiff, list[bytes]]) -> None:
    template, blocks = case

    parsed = parse_tiled_tiff(assemble(template, blocks))

    assert (parsed.order, parsed.big) == (template.order, template.big)
    index_tags = {TILE_OFFSETS, TILE_BYTE_COUNTS}
    assert {t: f for t, f in parsed.fields.items() if t not in index_tags} == dict(template.fields)
    assert parsed.byte_counts.tolist() == [len(block) for block in blocks]
    assert [bool(offset) for offset in parsed.offsets] == [bool(block) for block in blocks]


@given(tiffs())
def test_blocks_that_were_placed_are_taken_out_the_same(case: tuple[TiledTiff, list[bytes]]) -> None:
    template, blocks = case

    taken = take_blocks(assemble(template, blocks))

    assert taken.data.tobytes() == b"".join(blocks)
    assert taken.byte_counts.tolist() == [len(block) for block in blocks]
    assert taken.nbytes == sum(map(len, blocks))


@given(tiffs())
def test_tags_ascend_and_values_are_aligned(case: tuple[TiledTiff, list[bytes]]) -> None:
    template, blocks = case
    counts = np.array([len(block) for block in blocks], np.uint64)

    data = directory(template, counts, counts, 64)

    head, entry, inline = (8, 20, 8) if template.big else (2, 12, 4)
    tags = []
    for at in range(head, head + (len(template.fields) + 2) * entry, entry):
        tag, kind, count = struct.unpack_from(template.order + ("HHQ" if template.big else "HHL"), data, at)
        tags.append(tag)
        if TYPE_BYTES[kind] * count > inline:
            where = struct.unpack_from(
                template.order + ("Q" if template.big else "L"), data, at + entry - inline
            )
            assert where[0] % 8 == 0
    assert tags == sorted(tags)


@given(tiffs(), st.data())
def test_a_file_that_is_cut_short_is_refused_and_nothing_else_happens(
    case: tuple[TiledTiff, list[bytes]], data: st.DataObject
) -> None:
    whole = assemble(*case)
    length = data.draw(st.integers(0, len(whole) - 1))

    try:
        taken = take_blocks(whole[:length])
    except TiffFormatError:
        return
    # Only what is not part of the directory may be missing: the pointer to a next one, or nothing at all.
    assert taken.data.tobytes() == b"".join(case[1])


def bigtiff_that_points_to(directory: int) -> bytes:
    return b"II+\0" + struct.pack("<HHQ", 8, 0, directory) + bytes(40)


def tiff_with_index(noffsets: int, ncounts: int) -> bytes:
    """Return a classic TIFF whose two index fields have different lengths."""
    nothing = np.zeros(0, np.uint64)
    template = TiledTiff("<", big=False, fields={}, offsets=nothing, byte_counts=nothing)
    index = directory(template, np.zeros(noffsets, np.uint64), np.zeros(ncounts, np.uint64), 8)
    return geotiff.header(template, 8) + index


@given(st.binary(max_size=200))
@example(b"")
@example(b"II*\0")
@example(b"II*\0\xff\xff\xff\xff")
@example(bigtiff_that_points_to(2**63))
@example(tiff_with_index(1, 2))
def test_garbage_gives_a_format_error_and_nothing_else(data: bytes) -> None:
    with pytest.raises(TiffFormatError):
        take_blocks(data)


@settings(max_examples=200)
@given(tiffs(), st.data())
def test_a_damaged_file_gives_blocks_or_a_format_error_and_nothing_else(
    case: tuple[TiledTiff, list[bytes]], data: st.DataObject
) -> None:
    damaged = bytearray(assemble(*case))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))

    try:  # noqa: SIM105 - the point is that nothing else is raised
        take_blocks(damaged)
    except TiffFormatError:
        pass


def test_a_tiff_in_strips_is_named_as_such() -> None:
    data = b"II*\0" + struct.pack("<LH", 8, 1) + struct.pack("<HHLL", 256, 4, 1, 10) + bytes(4)

    with pytest.raises(TiffFormatError, match="not tiled"):
        parse_tiled_tiff(data)


def test_another_format_of_the_same_byte_order_is_refused() -> None:
    with pytest.raises(TiffFormatError, match="version 44"):
        parse_tiled_tiff(b"II" + struct.pack("<H", 44) + bytes(50))


def test_a_block_index_past_the_end_of_the_file_is_refused() -> None:
    nothing = np.zeros(1, np.uint64)
    template = TiledTiff("<", big=False, fields={}, offsets=nothing, byte_counts=nothing)
    index = directory(template, np.array([8], np.uint64), np.array([10_000], np.uint64), 8)

    with pytest.raises(TiffFormatError, match="past the end"):
        take_blocks(geotiff.header(template, 8) + index)
