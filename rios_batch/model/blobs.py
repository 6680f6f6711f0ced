"""Encoded blocks that lie in S3: where they are, and who can read them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rios_batch.model.protocols import BlobStore


@dataclass(frozen=True)
class Blob:
    """A run of bytes inside an S3 object: ``size`` bytes from ``start`` of the version that ``etag`` names."""

    bucket: str
    key: str
    etag: str
    start: int
    size: int


@dataclass(frozen=True)
class StoredBlocks:
    """Encoded blocks that a worker left in S3; ``byte_counts`` as in EncodedBlocks.

    ``blob_store`` reads and merges blobs; it lives as long as the run.
    """

    blob: Blob
    byte_counts: NDArray[np.uint64] = field(repr=False)
    blob_store: BlobStore = field(repr=False, compare=False)

    @property
    def nbytes(self) -> int:
        return self.blob.size
