"""Messages that got lost: SQS may lose a message, and a worker may finish the wrong one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rios_batch.awsbatch.messages import ComputeTile, encode_message

if TYPE_CHECKING:
    from rios_batch.aws.queue import WorkQueue
    from rios_batch.awsbatch.blobstore import S3BlobStore
    from rios_batch.awsbatch.finished import FinishedTiles
    from rios_batch.awsbatch.messages import Message

# Without news before main looks whether work has been lost; SQS's counts need up to a minute to be right.
STALL_SECONDS = 90.0


class LostMessages:
    """Puts missing work into the queue again, if nobody has the work.

    Parameters
    ----------
    queue : the run's queue.
    tiles : which tiles are finished.
    blob_store : which merges are done.
    """

    def __init__(self, queue: WorkQueue, tiles: FinishedTiles, blob_store: S3BlobStore) -> None:
        self._queue, self._tiles, self._blob_store = queue, tiles, blob_store
        self._done = self._count_done()
        self._next_at = time.monotonic() + STALL_SECONDS
        self._was_empty = False

    def look(self) -> None:
        """Send what is missing, if nothing was finished for long and the queue was empty twice.

        Raises
        ------
        AWSError : SQS refuses.
        """
        now, done = time.monotonic(), self._count_done()
        if done != self._done:
            self._done, self._was_empty = done, False
            self._next_at = now + STALL_SECONDS
        if now < self._next_at:
            return
        self._next_at = now + STALL_SECONDS
        empty = self._queue.sizes() == (0, 0)
        if empty and self._was_empty:
            self._tiles.look_everywhere()
            messages: list[Message] = [ComputeTile(index, again=True) for index in self._tiles.missing()]
            messages += self._blob_store.pending
            self._queue.send([encode_message(message) for message in messages])
        self._was_empty = empty

    def _count_done(self) -> int:
        return len(self._tiles) + self._blob_store.merges_done
