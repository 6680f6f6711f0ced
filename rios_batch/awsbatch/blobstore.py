"""The blob store of a run: encoded blocks in S3, as the writers of outputs in S3 need them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rios_batch.awsbatch.messages import MergeBlobs, encode_message
from rios_batch.model.blobs import Blob
from rios_batch.model.checksums import joined

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from rios_batch.aws.queue import WorkQueue
    from rios_batch.awsbatch.runstore import RunStore

_ASKS = 8  # merges that are asked for at a time


class S3BlobStore:
    """Reads blobs, and has workers merge blobs; a `rios_batch.model.blobs.BlobStore`.

    Parameters
    ----------
    store : the run's objects.
    queue : the run's queue.
    wait : lets a moment pass, in which `look` is called, or raises what has ended the run.
    """

    def __init__(self, store: RunStore, queue: WorkQueue, wait: Callable[[], None]) -> None:
        self._store, self._queue, self._wait = store, queue, wait
        self._executor = ThreadPoolExecutor(_ASKS, "rios_batch merge")
        self._asking: set[Future[None]] = set()
        self._asked = 0
        self._pending: dict[int, MergeBlobs] = {}
        self._checksums: dict[int, int | None] = {}
        self._merged: dict[int, Blob] = {}

    @property
    def merges_done(self) -> int:
        """Return how many merges are done."""
        return len(self._merged)

    @property
    def pending(self) -> tuple[MergeBlobs, ...]:
        """Return the merges that workers have been asked for and have not done yet."""
        return tuple(self._pending.values())

    def read(self, blob: Blob) -> bytes:
        """Fetch a blob.

        Raises
        ------
        S3Error : the blob cannot be read.
        DamagedObjectError : the blob has another checksum than it should have.
        """
        return self._store.bucket.read(blob)

    def merge(self, blobs: Sequence[Blob]) -> _PendingMerge:
        """Ask a worker to put blobs end to end. The asking goes on while main does; `look` raises what goes wrong."""
        number = self._asked
        self._asked += 1
        self._checksums[number] = _checksum_of(blobs)
        self._asking.add(self._executor.submit(self._ask, number, tuple(blobs)))
        return _PendingMerge(self, number)

    def _ask(self, number: int, blobs: tuple[Blob, ...]) -> None:
        message = MergeBlobs(number, self._store.put_merge(number, blobs))
        self._pending[number] = message
        self._queue.send([encode_message(message)])

    def close(self) -> None:
        """Ask no more."""
        self._executor.shutdown(cancel_futures=True)

    def look(self) -> None:
        """See what has been merged since the last look.

        Raises
        ------
        S3Error : the merged blobs cannot be listed, or the question for some cannot be left in S3.
        AWSError : SQS has refused a message.
        """
        for asked in [asking for asking in list(self._asking) if asking.done()]:
            self._asking.remove(asked)
            asked.result()
        pending = list(self._pending)
        for number, found in self._store.merged(min(pending)) if pending else ():
            if number in self._pending:
                checksum = self._checksums.pop(number)
                self._merged[number] = Blob(
                    self._store.bucket.name, found.key, found.etag, 0, found.size, checksum
                )
                del self._pending[number]

    def wait_for(self, number: int) -> Blob:
        """Wait until a merged blob is there.

        Raises
        ------
        RiosBatchError : what ends the run.
        """
        while number not in self._merged:
            self._wait()
        return self._merged[number]


def _checksum_of(blobs: Sequence[Blob]) -> int | None:
    """Return the checksum that blobs have end to end; None if somebody has not said one of theirs."""
    known = [(blob.crc32, blob.size) for blob in blobs if blob.crc32 is not None]
    return joined(known) if len(known) == len(blobs) else None


@dataclass(frozen=True)
class _PendingMerge:
    blob_store: S3BlobStore
    number: int

    def result(self) -> Blob:
        return self.blob_store.wait_for(self.number)
