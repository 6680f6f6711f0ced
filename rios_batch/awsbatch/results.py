"""From a tile's object in S3 to the result that a local worker would have handed over."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING

from rios_batch import errors
from rios_batch.awsbatch.records import PREAMBLE_BYTES, decode_head, head_size
from rios_batch.compute.otherargs import pickle_or_none
from rios_batch.errors import RiosBatchError, UserFunctionError
from rios_batch.model.blobs import Blob, StoredBlocks
from rios_batch.model.tileresult import TileOutput, TileResult

if TYPE_CHECKING:
    from rios_batch.aws.objects import Bucket, ObjectInfo
    from rios_batch.awsbatch.records import Failure, OutputPart, TileHead
    from rios_batch.model.blobs import BlobStore
    from rios_batch.model.spec import RunSpec

# Holds the head of nearly every tile: some 600 bytes, eight for each TIFF block, and about 6,000 for the statistics of
# each band.
_FIRST_BYTES = 64 * 1024


def fetch(bucket: Bucket, found: ObjectInfo, spec: RunSpec, blob_store: BlobStore) -> TileResult:
    """Fetch a tile: the pixels of outputs that main writes, and of all others where they are.

    One request if main writes all of them or none.
    """
    here = [not output.stays_in_s3 for output in spec.outputs]
    whole = bucket.get(found.key, etag=found.etag) if here and all(here) else None
    head = decode_head(_beginning(bucket, found) if whole is None else whole)
    outputs = []
    for output, part in zip(spec.outputs, head.parts, strict=True):
        if output.stays_in_s3:
            outputs.append(_left_there(bucket, found, part, blob_store))
            continue
        data = (
            bucket.get(found.key, start=part.start, size=part.size, etag=found.etag)
            if whole is None
            else memoryview(whole)[part.start : part.start + part.size]
        )
        outputs.append(part.output(data, head.record.window))
    return TileResult(head.record, tuple(outputs), _pickled(head))


def _beginning(bucket: Bucket, found: ObjectInfo) -> bytes:
    beginning = bucket.get(found.key, size=min(_FIRST_BYTES, found.size), etag=found.etag)
    size = head_size(beginning[:PREAMBLE_BYTES])
    return beginning if size <= len(beginning) else bucket.get(found.key, size=size, etag=found.etag)


def _left_there(bucket: Bucket, found: ObjectInfo, part: OutputPart, blob_store: BlobStore) -> TileOutput:
    assert part.byte_counts is not None
    blob = Blob(bucket.name, found.key, found.etag, part.start, part.size)
    blocks = StoredBlocks(blob, part.byte_counts, blob_store)
    return TileOutput(part.layout, blocks, part.coarsest, part.statistics)


def _pickled(head: TileHead) -> dict[str, bytes | None]:
    """Return changed otherArgs in the form that local workers give; here the pickles are main's own."""
    return {name: pickle_or_none(value) for name, value in head.other_args.items()}


def error_of(failure: Failure) -> BaseException:
    """Return the exception that a failure's record describes, as a local worker would have raised it."""
    module, _, name = failure.kind.rpartition(".")
    if name == UserFunctionError.__name__:
        error = UserFunctionError(
            failure.message, exception_type=failure.exception_type, traceback_text=failure.traceback_text
        )
        error.add_note(f"The traceback in the worker was:\n{failure.traceback_text}")
        return error
    home = {errors.__name__: errors, builtins.__name__: builtins}.get(module)
    kind = getattr(home, name, None)
    if isinstance(kind, type) and issubclass(kind, RiosBatchError | SystemExit | KeyboardInterrupt):
        return kind(failure.message)
    return RiosBatchError(f"{name}: {failure.message} (on {failure.worker})")
