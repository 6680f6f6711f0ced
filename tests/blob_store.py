"""A blob store for tests, which merges here and now; ``tests/awsbatch/test_blob_stores.py`` tests the blob store."""

from __future__ import annotations

import itertools
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rios_batch.model.blobs import Blob

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rios_batch.aws.objects import Bucket


class BucketBlobStore:
    """Keeps blobs in a bucket, and counts what passes through it.

    Attributes
    ----------
    merged : how many blobs went into each merge.
    read_bytes : bytes that were read by the user of the blob store; those of merges are not.
    """

    def __init__(self, bucket: Bucket) -> None:
        self._bucket, self._numbers = bucket, itertools.count()
        self.merged: list[int] = []
        self.read_bytes = 0

    def put(self, data: bytes, *, start: int = 0, size: int | None = None) -> Blob:
        """Store an object, as a worker would, and return a blob inside it."""
        key = f"blobs/{next(self._numbers)}"
        etag = self._bucket.put(key, data)
        blob = data[start:] if size is None else data[start : start + size]
        return Blob(self._bucket.name, key, etag, start, len(blob), zlib.crc32(blob))

    def read(self, blob: Blob) -> bytes:
        self.read_bytes += blob.size
        return self._bucket.read(blob)

    def merge(self, blobs: Sequence[Blob]) -> _Merge:
        self.merged.append(len(blobs))
        return _Merge(self, tuple(blobs))


@dataclass(frozen=True)
class _Merge:
    blob_store: BucketBlobStore
    blobs: tuple[Blob, ...]

    def result(self) -> Blob:
        return self.blob_store.put(b"".join(map(self.blob_store._bucket.read, self.blobs)))
