"""What a message of a run's queue asks a worker to do."""

from __future__ import annotations

import json
from dataclasses import astuple, dataclass

from rios_batch.errors import RiosBatchError
from rios_batch.jobspec import Blob


@dataclass(frozen=True)
class ComputeTile:
    """Compute a tile and leave its record."""

    tile: int


@dataclass(frozen=True)
class MergeBlobs:
    """Put blobs end to end into one object: what is too small to be a part of a multipart upload."""

    number: int
    blobs: tuple[Blob, ...]


@dataclass(frozen=True)
class Stay:
    """Nothing to do. Main holds this one while more work may come; when main has died it falls to a worker."""


Work = ComputeTile | MergeBlobs | Stay


def encode_work(work: Work) -> str:
    """Return the text of a message."""
    match work:
        case ComputeTile(tile):
            return json.dumps({"tile": tile})
        case MergeBlobs(number, blobs):
            return json.dumps({"merge": number, "blobs": [astuple(blob) for blob in blobs]})
        case Stay():
            return json.dumps({"stay": True})


def decode_work(text: str) -> Work:
    """Read the text of a message.

    Raises
    ------
    RiosBatchError : it is none of ours.
    """
    try:
        match json.loads(text):
            case {"tile": int(tile)}:
                return ComputeTile(tile)
            case {"merge": int(number), "blobs": [*blobs]}:
                return MergeBlobs(number, tuple(Blob(*blob) for blob in blobs))
            case {"stay": True}:
                return Stay()
    except (ValueError, TypeError):
        pass
    raise RiosBatchError(f"the queue holds a message that is not of this run: {text[:100]!r}")
