"""What every blob store does; another one takes part by a row in the table."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING

import pytest

from rios_batch.aws.clients import make_client
from rios_batch.aws.faults import QueueGoneError
from rios_batch.aws.queue import WorkQueue
from rios_batch.awsbatch.blobstore import S3BlobStore
from rios_batch.awsbatch.failurerecord import error_of
from rios_batch.awsbatch.messages import MergeBlobs, decode_message
from rios_batch.awsbatch.runstore import RunStore
from rios_batch.awsbatch.supervisor import merge_or_record
from rios_batch.errors import RiosBatchError
from rios_batch.model.blobs import Blob
from tests.blob_store import BucketBlobStore
from tests.s3server import ON_LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from rios_batch.aws.objects import Bucket
    from rios_batch.model.blobs import BlobStore

pytestmark = ON_LOOPBACK


@contextmanager
def blob_store_of_a_run(bucket: Bucket) -> Iterator[BlobStore]:
    """Give the blob store of AWSBatch, and have a thread do what a worker does."""
    store = RunStore(bucket, "a-run")
    with closing(make_client("sqs")) as client:
        queue = WorkQueue.create(client, "a-run", lease_seconds=10)

        def work() -> None:
            with suppress(QueueGoneError):
                while True:
                    for lease in queue.receive(1, wait_seconds=1):
                        message = decode_message(lease.body)
                        assert isinstance(message, MergeBlobs)
                        merge_or_record(store, message, "a worker", last_try=True)
                        queue.finish(lease)

        def wait() -> None:
            time.sleep(0.02)
            own.look()
            for key in store.failures():
                raise error_of(store.failure(key))

        own = S3BlobStore(store, queue, wait)
        with ThreadPoolExecutor(1) as executor:
            worker = executor.submit(work)
            yield own
            queue.delete()
            worker.result()


# From a bucket to a blob store whose merges are done by somebody while the context lasts.
BLOB_STORES: dict[str, Callable[[Bucket], AbstractContextManager[BlobStore]]] = {
    "the tests' own": lambda bucket: nullcontext(BucketBlobStore(bucket)),
    "that of a run": blob_store_of_a_run,
}


@pytest.fixture(params=BLOB_STORES)
def blob_store(request: pytest.FixtureRequest, bucket: Bucket) -> Iterator[BlobStore]:
    with BLOB_STORES[request.param](bucket) as blob_store:
        yield blob_store


def put(bucket: Bucket, key: str, data: bytes, start: int = 0, size: int | None = None) -> Blob:
    etag = bucket.put(key, data)
    return Blob(bucket.name, key, etag, start, len(data) if size is None else size)


def test_a_blob_is_read_from_its_start_for_its_size(bucket: Bucket, blob_store: BlobStore) -> None:
    assert blob_store.read(put(bucket, "b", b"0123456789", 2, 5)) == b"23456"


def test_a_blob_that_was_replaced_is_not_read(bucket: Bucket, blob_store: BlobStore) -> None:
    blob = put(bucket, "b", b"old")
    bucket.put("b", b"new")

    with pytest.raises(RiosBatchError):
        blob_store.read(blob)


def test_merged_blobs_stand_end_to_end_in_the_order_asked_for(bucket: Bucket, blob_store: BlobStore) -> None:
    blobs = [put(bucket, "z", b"first"), put(bucket, "a", b"--second--", 2, 6), put(bucket, "m", b"third")]

    merged = blob_store.merge(blobs).result()

    assert merged.size == 16
    assert bucket.read(merged) == b"firstsecondthird"


def test_parts_of_one_object_are_merged(bucket: Bucket, blob_store: BlobStore) -> None:
    whole = put(bucket, "o", b"abcdef")
    parts = [Blob(whole.bucket, whole.key, whole.etag, start, 2) for start in (4, 0)]

    assert bucket.read(blob_store.merge(parts).result()) == b"efab"


def test_several_merges_wait_for_each_other_in_any_order(bucket: Bucket, blob_store: BlobStore) -> None:
    pending = [blob_store.merge([put(bucket, f"{i}{j}", f"{i}{j}".encode()) for j in "ab"]) for i in range(5)]

    results = [merge.result() for merge in reversed(pending)]

    assert [bucket.read(blob) for blob in reversed(results)] == [f"{i}a{i}b".encode() for i in range(5)]
    assert len({(blob.key, blob.start) for blob in results}) == 5


def test_a_result_may_be_asked_for_again(bucket: Bucket, blob_store: BlobStore) -> None:
    pending = blob_store.merge([put(bucket, "a", b"a"), put(bucket, "b", b"b")])

    assert bucket.read(pending.result()) == bucket.read(pending.result()) == b"ab"


def test_a_merge_of_a_blob_that_is_gone_fails_when_its_result_is_wanted(
    bucket: Bucket, blob_store: BlobStore
) -> None:
    blobs = [put(bucket, "a", b"a"), put(bucket, "b", b"b")]
    bucket.delete(["b"])

    pending = blob_store.merge(blobs)

    with pytest.raises(RiosBatchError):
        pending.result()


def test_sources_are_left_as_they_are(bucket: Bucket, blob_store: BlobStore) -> None:
    blobs = [put(bucket, "a", b"a"), put(bucket, "b", b"b")]

    blob_store.merge(blobs).result()

    assert [blob_store.read(blob) for blob in blobs] == [b"a", b"b"]
