"""Cutting a stream of bytes and blobs into the parts of an S3 upload."""

from __future__ import annotations

import zlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rios_batch.aws.multipart import MIB, MOST_PARTS, SMALLEST_PART_BYTES
from rios_batch.errors import RiosBatchError
from rios_batch.jobmanagers.watchdog import Watchdog
from rios_batch.model.checksums import rest_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from rios_batch.aws.multipart import MultipartUpload
    from rios_batch.model.blobs import Blob, BlobStore, PendingBlob

# Larger parts are fewer requests, smaller ones less memory.
_PART_BYTES = 8 * MIB
# Requests under way, and bytes that they hold in memory. A copied part takes S3 about as long as an uploaded one.
_MOST_REQUESTS = 16
_MOST_BYTES = 8 * _PART_BYTES
# An encoder may make noise larger than it was, LZW by half.
_WORST_ENCODING = 2
# How much worse the rest may be encoded than what came so far. Where it is even worse, later parts are larger.
_CAUTION = 1.5


@dataclass(frozen=True)
class _StoredPiece:
    """A blob, and who reads and merges it."""

    blob: Blob
    blob_store: BlobStore

    @property
    def nbytes(self) -> int:
        return self.blob.size

    def split(self, size: int) -> tuple[bytes, _StoredPiece]:
        """Fetch the first bytes; return these and the rest, whose checksum is right only if these are undamaged."""
        whole, rest_bytes = self.blob, self.blob.size - size
        first = _read(self.blob_store, whole if not rest_bytes else whole.part(0, size))
        rest = whole.part(size, rest_bytes)
        if whole.crc32 is not None:
            rest = replace(rest, crc32=rest_of(whole.crc32, zlib.crc32(first), rest_bytes))
        return first, replace(self, blob=rest)

    def read(self) -> bytes:
        return _read(self.blob_store, self.blob)


def _read(blob_store: BlobStore, blob: Blob) -> bytes:
    data = blob_store.read(blob)
    if len(data) != blob.size:
        raise RiosBatchError(f"blob {blob.key!r} has {len(data):,} bytes, not {blob.size:,}")
    return data


_Piece = memoryview | _StoredPiece


class PartStream:
    """Takes the pieces of a file in order, and makes parts of them, from part 2 on; part 1 is the caller's.

    Blobs are copied from S3 to S3. Those that are too small to be a part are merged with their neighbours by
    whoever keeps them; only the stream's first bytes, and a short rest at its end, are fetched.

    Parameters
    ----------
    lead_bytes : how many bytes at the beginning are kept for part 1.
    most_bytes : what the stream may have at most before encoding. Parts are large enough for 10,000 to hold what is to
        be expected of the rest, as it is encoded so far.
    watchdog : counts the waiting for S3; None for one without a limit.

    Attributes
    ----------
    lead : the first bytes.
    """

    def __init__(
        self,
        upload: MultipartUpload,
        *,
        lead_bytes: int,
        most_bytes: int,
        watchdog: Watchdog | None = None,
    ) -> None:
        self._upload, self._lead_bytes = upload, lead_bytes
        self._most_bytes = most_bytes
        self._raw_bytes = self._encoded_bytes = 0
        self._smallest = SMALLEST_PART_BYTES
        self._pieces: list[_Piece] = []
        self._pieces_bytes = 0
        self._merges: list[tuple[int, PendingBlob, int]] = []
        self._number = 1
        self._requests = _Requests(watchdog or Watchdog())
        self.lead = bytearray()

    @property
    def is_all_lead(self) -> bool:
        """Say whether nothing came after the lead."""
        return self._number == 1 and not self._pieces

    def add(self, data: memoryview, raw_bytes: int = 0) -> None:
        """Take the next bytes, which were ``raw_bytes`` before encoding, 0 if nobody knows."""
        self._add(data, raw_bytes)

    def add_blob(self, blob: Blob, blob_store: BlobStore, raw_bytes: int = 0) -> None:
        """Take a blob of a blob store as the next bytes; ``raw_bytes`` as for `add`."""
        self._add(_StoredPiece(blob, blob_store), raw_bytes)

    def _expect(self, nbytes: int, raw_bytes: int) -> None:
        """Find how large a part must be at least, so that the parts that are left hold what is still to come."""
        self._raw_bytes, self._encoded_bytes = self._raw_bytes + raw_bytes, self._encoded_bytes + nbytes
        to_come: float = max(self._most_bytes - self._raw_bytes, 0) * _WORST_ENCODING
        if self._raw_bytes:
            to_come *= min(1.0, _CAUTION * self._encoded_bytes / self._raw_bytes / _WORST_ENCODING)
        parts_left = max(MOST_PARTS - 1 - self._number, 1)
        self._smallest = max(SMALLEST_PART_BYTES, int((self._pieces_bytes + to_come) / parts_left))

    def _add(self, piece: _Piece, raw_bytes: int) -> None:
        self._expect(piece.nbytes, raw_bytes)
        missing = min(self._lead_bytes - len(self.lead), piece.nbytes)
        if missing > 0:
            first, piece = piece.split(missing) if isinstance(piece, _StoredPiece) else _cut(piece, missing)
            self.lead += first
        if piece.nbytes == 0:
            return
        if self._is_part(piece) and self._pieces_bytes > self._smallest:
            self._flush()
        self._pieces.append(piece)
        self._pieces_bytes += piece.nbytes
        if self._pieces_bytes >= max(_PART_BYTES, self._smallest) or (
            len(self._pieces) == 1 and self._is_part(piece)
        ):
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

    def _is_part(self, piece: _Piece) -> bool:
        # Exactly 5 MiB may be a part, but S3 copies a range only out of an object that is larger.
        return isinstance(piece, _StoredPiece) and piece.nbytes > self._smallest

    def _flush(self, *, fetch: bool = False) -> None:
        """Make the next part of the pieces."""
        pieces, size = self._pieces, self._pieces_bytes
        self._pieces, self._pieces_bytes = [], 0
        self._number += 1
        stored = [piece for piece in pieces if isinstance(piece, _StoredPiece)]
        if fetch or len(stored) < len(pieces):
            data = b"".join(map(_content, pieces))
            self._requests.start(self._upload.put_part, self._number, data, holds=size)
        elif len(stored) == 1:
            self._requests.start(self._upload.copy_part, self._number, stored[0].blob)
        else:
            merge = stored[0].blob_store.merge([piece.blob for piece in stored])
            self._merges.append((self._number, merge, size))


def _content(piece: _Piece) -> bytes | memoryview:
    return piece.read() if isinstance(piece, _StoredPiece) else piece


def _cut(piece: memoryview, size: int) -> tuple[memoryview, memoryview]:
    return piece[:size], piece[size:]


class _Requests:
    """Requests that run in threads, so many at a time that neither memory nor sockets run out."""

    def __init__(self, watchdog: Watchdog) -> None:
        self._watchdog = watchdog
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
        self._watchdog.until(
            lambda seconds: wait([future], seconds).done,
            lambda: "S3 to take parts of an output",
        )
        self._watchdog.heard("S3 took a part of an output")
        future.result()
        self._held_bytes -= holds
