"""What a message of a run's queue asks a worker to do."""

from __future__ import annotations

import json
from dataclasses import dataclass

from rios_batch.errors import RiosBatchError


@dataclass(frozen=True)
class ComputeTile:
    """Compute a tile and leave its record; ``again`` if the tile was asked for before."""

    tile: int
    again: bool = False


@dataclass(frozen=True)
class MergeBlobs:
    """Put blobs end to end into one object: what is too small to be a part of a multipart upload.

    Which blobs is written in S3 (`rios_batch.awsbatch.runstore.RunStore.put_merge`): there may be thousands.
    """

    number: int


Message = ComputeTile | MergeBlobs


def encode_message(message: Message) -> str:
    """Return the text that travels through the queue."""
    match message:
        case ComputeTile(tile, again):
            return json.dumps({"tile": tile, "again": again})
        case MergeBlobs(number):
            return json.dumps({"merge": number})


def decode_message(text: str) -> Message:
    """Read the text that came through the queue.

    Raises
    ------
    RiosBatchError : the text is no message of a run.
    """
    try:
        match json.loads(text):
            case {"tile": int(tile), "again": bool(again)}:
                return ComputeTile(tile, again)
            case {"merge": int(number)}:
                return MergeBlobs(number)
    except ValueError:
        pass
    raise RiosBatchError(f"the queue holds a message that is not of this run: {text[:100]!r}")
