"""What a message of a run's queue asks a worker to do."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass

from rios_batch.awsbatch.decoding import RecordError


@dataclass(frozen=True)
class ComputeTile:
    """Compute a tile and leave the tile's record. ``again`` says that the tile was asked for before."""

    tile: int
    again: bool = False


@dataclass(frozen=True)
class MergeBlobs:
    """Put blobs end to end into one object: each is too small to be a part of a multipart upload.

    The list of blobs lies in S3 (`rios_batch.awsbatch.runstore.RunStore.put_merge`): there may be thousands. ``sha256``
    is the list's.
    """

    number: int
    sha256: str


Message = ComputeTile | MergeBlobs


def encode_message(message: Message) -> str:
    """Return the text that travels through the queue."""
    match message:
        case ComputeTile(tile, again):
            return json.dumps({"tile": tile, "again": again})
        case MergeBlobs(number, sha256):
            return json.dumps({"merge": number, "sha256": sha256})


def decode_message(text: str) -> Message:
    """Read the text that came through the queue.

    Raises
    ------
    RecordError : the text is no message of a run.
    """
    with contextlib.suppress(ValueError, RecursionError):
        match json.loads(text):
            case {"tile": int(tile), "again": bool(again)} if tile >= 0:
                return ComputeTile(int(tile), again)
            case {"merge": int(number), "sha256": str(sha256)} if number >= 0:
                return MergeBlobs(int(number), sha256)
    raise RecordError(f"the queue holds a message that is not of this run: {text[:100]!r}")
