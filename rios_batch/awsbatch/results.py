"""From a tile's object in S3 to the result that a local worker would have handed over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rios_batch.awsbatch.decoding import RecordError
from rios_batch.awsbatch.tileformat import PREAMBLE_BYTES, decode_head, head_size
from rios_batch.compute.otherargs import pickle_or_none
from rios_batch.model.blobs import Blob, StoredBlocks
from rios_batch.model.tileresult import TileOutput, TileResult

if TYPE_CHECKING:
    from rios_batch.aws.objects import Bucket, ObjectInfo
    from rios_batch.awsbatch.runstore import RunStore
    from rios_batch.awsbatch.tileformat import OutputPart, TileHead
    from rios_batch.model.blobs import BlobStore
    from rios_batch.model.spec import RunSpec
    from rios_batch.model.tileresult import TileRecord

# Until heads are known. A head has some 600 bytes, eight for each TIFF block, and 6,000 for statistics of each band.
_FIRST_BYTES = 64 * 1024
# A larger object is fetched in two requests, the second when the first has shown that it is a tile's.
_ONE_REQUEST_BYTES = 2**28


class TileFetcher:
    """Fetches tiles: the pixels of outputs that main writes, and of all other outputs where the pixels are.

    One request is enough if main writes all outputs or none. Threads may share it.

    Parameters
    ----------
    store : the run's objects.
    spec : the run.
    blob_store : who can read and merge pixels that stay in S3.
    """

    def __init__(self, store: RunStore, spec: RunSpec, blob_store: BlobStore) -> None:
        self._store, self._spec, self._blob_store = store, spec, blob_store
        here = [not output.stays_in_s3 for output in spec.outputs]
        self._takes_all = bool(here) and all(here)
        self._takes_heads = not any(here)
        self._largest_head_bytes = 0

    @property
    def _first_bytes(self) -> int:
        """Return what holds a tile's head, as far as one can know: heads of one run differ by some statistics."""
        return self._largest_head_bytes * 9 // 8 or _FIRST_BYTES

    def held_bytes(self, found: ObjectInfo) -> int:
        """Return how many bytes of a tile's object are in memory when the tile is fetched."""
        return min(found.size, self._first_bytes) if self._takes_heads else found.size

    def __call__(self, found: ObjectInfo) -> TileResult:
        """Fetch a tile.

        Parameters
        ----------
        found : the tile's object.

        Raises
        ------
        RecordError : the object is not a tile's, is cut short, is damaged, or is that of another tile or run.
        S3Error : the object cannot be read, or is no longer the one that was found.
        """
        bucket = self._store.bucket
        takes_whole = self._takes_all and found.size <= _ONE_REQUEST_BYTES
        whole = bucket.get(found.key, size=found.size, etag=found.etag) if takes_whole else None
        head = decode_head(self._beginning(found) if whole is None else whole, self._spec.plan)
        self._check(head, found)
        outputs = []
        for output, part in zip(self._spec.outputs, head.parts, strict=True):
            if output.stays_in_s3:
                outputs.append(_left_there(bucket, found, part, self._blob_store))
                continue
            data = (
                bucket.get(found.key, start=part.start, size=part.size, etag=found.etag)
                if whole is None
                else memoryview(whole)[part.start : part.start + part.size]
            )
            outputs.append(part.output(data, head.record.window))
        return TileResult(head.record, tuple(outputs), _pickled(head))

    def _check(self, head: TileHead, found: ObjectInfo) -> None:
        """See that the object holds the tile that its key says, and nothing but the run's outputs."""
        if (head.run_id, head.record.tile) != (self._store.run_id, self._store.tile_number(found)):
            raise RecordError(
                f"its object holds tile {head.record.tile} of run {head.run_id}, which somebody must have put there"
            )
        ends = [part.start + part.size for part in head.parts]
        encoded = [part.byte_counts is not None for part in head.parts]
        wanted = [output.encoded_by_workers for output in self._spec.outputs]
        if encoded != wanted or max(ends, default=found.size) != found.size:
            raise RecordError("its object holds other outputs than those of the run, or is cut short")

    def _beginning(self, found: ObjectInfo) -> bytes:
        beginning = _beginning(self._store.bucket, found, self._first_bytes)
        self._largest_head_bytes = max(self._largest_head_bytes, head_size(beginning[:PREAMBLE_BYTES]))
        return beginning


def record_of(store: RunStore, found: ObjectInfo) -> TileRecord:
    """Return the record of a finished tile; no pixel is fetched.

    Raises
    ------
    RecordError : the object is not a tile's.
    S3Error : the object cannot be read.
    """
    return decode_head(_beginning(store.bucket, found, _FIRST_BYTES), store.plan()).record


def _beginning(bucket: Bucket, found: ObjectInfo, first_bytes: int) -> bytes:
    beginning = bucket.get(found.key, size=min(first_bytes, found.size), etag=found.etag)
    size = head_size(beginning[:PREAMBLE_BYTES])
    if size > found.size:
        raise RecordError(f"a tile's record is cut short: {found.size} of {size} bytes")
    return beginning if size <= len(beginning) else bucket.get(found.key, size=size, etag=found.etag)


def _left_there(bucket: Bucket, found: ObjectInfo, part: OutputPart, blob_store: BlobStore) -> TileOutput:
    assert part.byte_counts is not None
    blob = Blob(bucket.name, found.key, found.etag, part.start, part.size, part.crc32)
    blocks = StoredBlocks(blob, part.byte_counts, blob_store)
    return TileOutput(
        part.layout, blocks, part.coarsest, part.statistics, part.lost_px, compression=part.compression
    )


def _pickled(head: TileHead) -> dict[str, bytes | None]:
    """Return changed otherArgs in the form that local workers give them. The pickles are main's own."""
    return {name: pickle_or_none(value) for name, value in head.other_args.items()}
