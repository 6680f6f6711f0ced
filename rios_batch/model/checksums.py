"""CRC-32 of bytes that nobody has in one place: of blobs end to end, and of what is left behind a blob's beginning.

A CRC-32 is the remainder of a polynomial, so the remainder of a whole follows from those of its parts.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_POLYNOMIAL = 0xEDB88320  # of zlib and of S3, the highest power in the lowest bit
_ONE = 1 << 31
_X = 1 << 30


def joined(parts: Iterable[tuple[int, int]]) -> int:
    """Return the CRC-32 of parts end to end.

    Parameters
    ----------
    parts : CRC-32 and bytes of each.
    """
    whole = 0
    for crc32, size in parts:
        whole = _shifted(whole, size) ^ crc32
    return whole


def rest_of(whole: int, beginning: int, size: int) -> int:
    """Return the CRC-32 of the last ``size`` bytes.

    Parameters
    ----------
    whole, beginning : CRC-32 of all bytes, and of those before the last ``size``.
    """
    return _shifted(beginning, size) ^ whole


def _shifted(crc32: int, size: int) -> int:
    """Return what a CRC-32 adds to that of a whole in which ``size`` bytes follow."""
    bits, doublings = 8 * size, 0
    while bits and crc32:
        if bits & 1:
            crc32 = _times(_power(doublings), crc32)
        bits, doublings = bits >> 1, doublings + 1
    return crc32


@functools.cache
def _power(doublings: int) -> int:
    """Return x to the power of ``2**doublings``; there are no more than 64 of them."""
    if doublings == 0:
        return _X
    half = _power(doublings - 1)
    return _times(half, half)


def _times(one: int, other: int) -> int:
    product, bit = 0, _ONE
    while one:
        if one & bit:
            product ^= other
            one ^= bit
        bit >>= 1
        other = other >> 1 ^ (_POLYNOMIAL if other & 1 else 0)
    return product
