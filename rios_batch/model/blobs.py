"""Encoded blocks that lie in S3: where they are, and who can read them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Blob:
    """A run of bytes inside an S3 object: ``size`` bytes from ``start`` of the version that ``etag`` names.

    ``crc32`` is what whoever stored the bytes says of them; None for a part of a blob, of which nobody says anything.
    """

    bucket: str
    key: str
    etag: str
    start: int
    size: int
    crc32: int | None = None

    def part(self, start: int, size: int) -> Blob:
        """Return a part of the blob; ``start`` counts from the blob's."""
        return replace(self, start=self.start + start, size=size, crc32=None)


class PendingBlob(Protocol):
    """A blob that is being made."""

    def result(self) -> Blob:
        """Wait until the blob is there."""


class BlobStore(Protocol):
    """The encoded blocks of a run that lie in S3, as the writer of an output sees them."""

    def read(self, blob: Blob) -> bytes:
        """Fetch a blob; the caller counts what passes through it.

        Raises
        ------
        DamagedObjectError : the blob has another checksum than it should have.
        """

    def merge(self, blobs: Sequence[Blob]) -> PendingBlob:
        """Have a worker put blobs end to end into one, so that they need not pass through main."""


@dataclass(frozen=True)
class StoredBlocks:
    """Encoded blocks that a worker left in S3.

    Attributes
    ----------
    blob : the blocks' bytes, end to end.
    byte_counts : one value for each block, in TIFF order.
    blob_store : reads and merges blobs. The blob store lives as long as the run.
    """

    blob: Blob
    byte_counts: NDArray[np.uint64] = field(repr=False)
    blob_store: BlobStore = field(repr=False, compare=False)

    @property
    def nbytes(self) -> int:
        return self.blob.size
