"""The blob store of a run: encoded blocks in S3, for those who write outputs there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rios_batch.awsbatch.messages import MergeBlobs, encode_message

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rios_batch.aws.queue import WorkQueue
    from rios_batch.awsbatch.runstore import RunStore
    from rios_batch.model.blobs import Blob


class S3BlobStore:
    """Reads blobs, and has workers merge blobs; a `rios_batch.model.blobs.BlobStore`.

    Parameters
    ----------
    wait : lets a moment pass, in which `look` is called, or raises what has ended the run.
    """

    def __init__(self, store: RunStore, queue: WorkQueue, wait: Callable[[], None]) -> None:
        self._store, self._queue, self._wait = store, queue, wait
        self._asked = 0
        self._pending: dict[int, MergeBlobs] = {}
        self._merged: dict[int, Blob] = {}

    @property
    def merges_done(self) -> int:
        """Return how many merges are done."""
        return len(self._merged)

    @property
    def pending(self) -> tuple[MergeBlobs, ...]:
        """What workers have been asked for and have not done yet."""
        return tuple(self._pending.values())

    def read(self, blob: Blob) -> bytes:
        """Fetch a blob."""
        return self._store.bucket.read(blob)

    def merge(self, blobs: Sequence[Blob]) -> _PendingMerge:
        """Ask for blobs to be put end to end."""
        message = MergeBlobs(self._asked)
        self._asked += 1
        self._store.put_merge(message.number, blobs)
        self._pending[message.number] = message
        self._queue.send([encode_message(message)])
        return _PendingMerge(self, message.number)

    def look(self) -> None:
        """See what has been merged since the last look."""
        found = self._store.merged() if self._pending else {}
        done = found.keys() & self._pending.keys()
        for number in done:
            self._merged[number] = found[number]
            del self._pending[number]

    def wait_for(self, number: int) -> Blob:
        """Wait until a merged blob is there."""
        while number not in self._merged:
            self._wait()
        return self._merged[number]


@dataclass(frozen=True)
class _PendingMerge:
    blob_store: S3BlobStore
    number: int

    def result(self) -> Blob:
        return self.blob_store.wait_for(self.number)
