"""Cutting a stream of bytes and blobs into the parts of an S3 upload."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rios_batch.aws.multipart import MIB, MOST_PARTS, SMALLEST_PART_BYTES
from rios_batch.errors import RiosBatchError
from rios_batch.model.blobs import Blob

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from rios_batch.aws.multipart import MultipartUpload
    from rios_batch.model.protocols import BlobStore, PendingBlob

    Piece = memoryview | Blob

# Larger parts are fewer requests, smaller ones less memory.
_PART_BYTES = 8 * MIB
# Requests under way, and bytes that they hold in memory. A copied part takes S3 about as long as an uploaded one.
_MOST_REQUESTS = 16
_MOST_BYTES = 8 * _PART_BYTES
# An encoder may make noise larger than it was, LZW by half.
_WORST_ENCODING = 2


class PartStream:
    """Takes the pieces of a file in order, and makes parts of them, from part 2 on; part 1 is the caller's.

    Blobs are copied from S3 to S3. Those that are too small to be a part are merged with their neighbours by
    whoever keeps them; only the stream's first bytes, and a short rest at its end, are fetched.

    Parameters
    ----------
    lead_bytes : how many bytes at the beginning are kept for part 1.
    most_bytes : what the stream may have at most before encoding. Parts are large enough for 10,000 to hold it.

    Attributes
    ----------
    lead : the first bytes.
    relayed_bytes : bytes of blobs that were fetched, to be sent again.
    """

    def __init__(self, upload: MultipartUpload, *, lead_bytes: int, most_bytes: int) -> None:
        self._upload, self._lead_bytes = upload, lead_bytes
        self._smallest = max(SMALLEST_PART_BYTES, _WORST_ENCODING * most_bytes // (MOST_PARTS - 2))
        self._target = max(_PART_BYTES, self._smallest)
        self._pieces: list[Piece] = []
        self._pieces_bytes = 0
        self._merges: list[tuple[int, PendingBlob, int]] = []
        self._number = 1
        self._blob_store: BlobStore | None = None
        self._requests = _Requests()
        self.lead = bytearray()
        self.relayed_bytes = 0

    @property
    def is_all_lead(self) -> bool:
        """Say whether nothing came after the lead."""
        return self._number == 1 and not self._pieces

    def add(self, piece: Piece, blob_store: BlobStore | None = None) -> None:
        """Take the next bytes; ``blob_store`` keeps them if they are a blob."""
        self._blob_store = blob_store or self._blob_store
        missing = min(self._lead_bytes - len(self.lead), _size(piece))
        if missing > 0:
            self.lead += self._content(_cut(piece, 0, missing))
            piece = _cut(piece, missing, _size(piece) - missing)
        if _size(piece) == 0:
            return
        if self._is_part(piece) and self._pieces_bytes > self._smallest:
            self._flush()
        self._pieces.append(piece)
        self._pieces_bytes += _size(piece)
        if self._pieces_bytes >= self._target or (len(self._pieces) == 1 and self._is_part(piece)):
            self._flush()

    def finish(self) -> None:
        """Send the rest, and wait until every part is there."""
        if self._pieces:
            # The last part may be as small as it likes; a worker would take longer than it takes to fetch it.
            self._flush(fetch=self._pieces_bytes <= SMALLEST_PART_BYTES)
        for number, pending, size in self._merges:
            blob = pending.result()
            if blob.size != size:
                raise RiosBatchError(
                    f"blobs of {size:,} bytes became one of {blob.size:,} bytes, {blob.key!r}"
                )
            self._requests.start(self._upload.copy_part, number, blob)
        self._requests.wait()

    def abort(self) -> None:
        """Start nothing more, and wait for what is under way: S3 would keep a part that comes after the end."""
        self._requests.stop()

    def _is_part(self, piece: Piece) -> bool:
        # Exactly 5 MiB may be a part, but S3 copies a range only out of an object that is larger.
        return isinstance(piece, Blob) and piece.size > self._smallest

    def _flush(self, *, fetch: bool = False) -> None:
        """Make the next part of the pieces."""
        pieces, size = self._pieces, self._pieces_bytes
        self._pieces, self._pieces_bytes = [], 0
        self._number += 1
        blobs = [piece for piece in pieces if isinstance(piece, Blob)]
        if fetch or len(blobs) < len(pieces):
            data = b"".join(map(self._content, pieces))
            self._requests.start(self._upload.put_part, self._number, data, holds=size)
        elif len(blobs) == 1:
            self._requests.start(self._upload.copy_part, self._number, blobs[0])
        else:
            assert self._blob_store is not None
            self._merges.append((self._number, self._blob_store.merge(blobs), size))

    def _content(self, piece: Piece) -> bytes | memoryview:
        if not isinstance(piece, Blob):
            return piece
        assert self._blob_store is not None
        data = self._blob_store.read(piece)
        if len(data) != piece.size:
            raise RiosBatchError(f"blob {piece.key!r} has {len(data):,} bytes, not {piece.size:,}")
        self.relayed_bytes += len(data)
        return data


def _size(piece: Piece) -> int:
    return piece.size if isinstance(piece, Blob) else piece.nbytes


def _cut(piece: Piece, start: int, size: int) -> Piece:
    if isinstance(piece, Blob):
        return replace(piece, start=piece.start + start, size=size)
    return piece[start : start + size]


class _Requests:
    """Requests that run in threads, so many at a time that neither memory nor sockets run out."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_MOST_REQUESTS, thread_name_prefix="rios_batch-s3")
        self._running: deque[tuple[Future[None], int]] = deque()
        self._held_bytes = 0

    def start(self, request: Callable[..., None], *arguments: Any, holds: int = 0) -> None:
        """Run a request that holds so many bytes, when there is room for it.

        Raises
        ------
        S3Error : an earlier request failed.
        """
        while self._running and (
            len(self._running) >= _MOST_REQUESTS or self._held_bytes + holds > _MOST_BYTES
        ):
            self._wait_for_oldest()
        self._running.append((self._pool.submit(request, *arguments), holds))
        self._held_bytes += holds

    def wait(self) -> None:
        """Wait for all, and raise what the first that failed raised."""
        while self._running:
            self._wait_for_oldest()
        self._pool.shutdown()

    def stop(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _wait_for_oldest(self) -> None:
        future, holds = self._running.popleft()
        future.result()
        self._held_bytes -= holds
