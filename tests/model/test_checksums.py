from __future__ import annotations

import zlib

from hypothesis import given, settings
from hypothesis import strategies as st

from rios_batch.model.checksums import joined, rest_of


@settings(max_examples=50)
@given(st.lists(st.binary(max_size=300), max_size=5))
def test_the_checksum_of_parts_end_to_end_is_that_of_the_whole(parts: list[bytes]) -> None:
    assert joined((zlib.crc32(part), len(part)) for part in parts) == zlib.crc32(b"".join(parts))


@settings(max_examples=50)
@given(st.binary(max_size=300), st.binary(max_size=300))
def test_the_checksum_of_a_rest_follows(beginning: bytes, rest: bytes) -> None:
    whole = zlib.crc32(beginning + rest)

    assert rest_of(whole, zlib.crc32(beginning), len(rest)) == zlib.crc32(rest)


def test_gigabytes_need_not_be_touched() -> None:
    zeros = zlib.crc32(bytes(2**20))

    assert joined([(zeros, 2**20)] * 64) == zlib.crc32(bytes(2**26))
    assert joined([(1, 5 * 2**40)]) == 1
