"""What others may have written is decoded with care: it is read within bounds, or it is a `RecordError`."""

from __future__ import annotations

import contextlib
import json
import math
import zlib
from typing import TYPE_CHECKING, Any

from rios_batch.errors import RiosBatchError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Buffer

_BEST_DEFLATE = 1032  # a byte of zlib's stands for at most so many
_SAID_CHARS = 200


class RecordError(RiosBatchError, ValueError):
    """An object that should be a worker's or main's record is something else, is cut short, or is damaged."""


@contextlib.contextmanager
def decoding(what: str) -> Iterator[None]:
    """Turn whatever decoding foreign bytes raises in the body into one sentence.

    Raises
    ------
    RecordError : the body has failed.
    """
    try:
        yield
    except RecordError:
        raise
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
        zlib.error,
    ) as error:
        raise RecordError(f"{what} cannot be read: {repr(error)[:_SAID_CHARS]}") from error


def json_object(data: bytes | str) -> dict[str, Any]:
    """Return the object that is the whole of a JSON text.

    Raises
    ------
    ValueError, RecursionError : the text is none.
    """
    content = json.loads(data)
    if not isinstance(content, dict):
        raise TypeError(f"not an object but a {type(content).__name__}")
    return content


def whole(value: Any, least: int = 0, most: int = 2**63 - 1) -> int:
    """Return a value that must be a whole number between limits.

    Raises
    ------
    ValueError : it is not.
    """
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{_short(value)} is not a whole number from {least} to {most}")
    return value


def finite(value: Any) -> float:
    """Return a value that must be a number, and stay what it is.

    Raises
    ------
    ValueError : it is not.
    """
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError(f"{_short(value)} is not a number")
    return value  # type: ignore[no-any-return]


def text(value: Any) -> str:
    """Return a value that must be text.

    Raises
    ------
    ValueError : it is not.
    """
    if not isinstance(value, str):
        raise ValueError(f"{_short(value)} is not text")  # noqa: TRY004 - the data is wrong, not the program
    return value


def inflated(data: Buffer, most_bytes: int) -> bytes:
    """Return what zlib has compressed, unless it is more than expected.

    Raises
    ------
    ValueError, zlib.error : it is more, or no whole stream.
    """
    stream = zlib.decompressobj()
    # What nobody can have compressed so well needs no memory either.
    content = stream.decompress(data, min(most_bytes, _BEST_DEFLATE * memoryview(data).nbytes) + 1)
    if len(content) > most_bytes or not stream.eof or stream.unused_data:
        raise ValueError(f"compressed data is not what it should be, at most {most_bytes} bytes")
    return content


def _short(value: Any) -> str:
    return (
        repr(value)[:_SAID_CHARS]
        if not isinstance(value, int) or abs(value) < 10**_SAID_CHARS
        else "a huge number"
    )
