"""What the S3 layer does beyond boto3, and what it says when S3 refuses."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import botocore.endpoint
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError
from botocore.stub import Stubber

from rios_batch.aws.clients import TOTAL_TRIES, make_client
from rios_batch.aws.multipart import MIB
from rios_batch.aws.objects import Bucket
from rios_batch.errors import MissingObjectError, S3Error
from rios_batch.model.blobs import Blob
from tests.s3server import ON_LOOPBACK, SLOW_DOWN, unfinished_uploads

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.s3server import S3Server

pytestmark = ON_LOOPBACK


def test_only_the_first_of_two_new_objects_wins(bucket: Bucket) -> None:
    assert bucket.put_new("k", b"first") is not None
    assert bucket.put_new("k", b"second") is None
    assert bucket.get("k") == b"first"


def test_a_conflict_is_tried_again_as_s3_asks(bucket: Bucket, s3_server: S3Server) -> None:
    conflict = b"<Error><Code>ConditionalRequestConflict</Code></Error>"
    s3_server.answers[:] = [("409 Conflict", conflict)] * 2

    assert bucket.put_new("k", b"first") is not None
    assert s3_server.count("PUT", key="k") == 3


def test_a_busy_s3_is_asked_again(bucket: Bucket, s3_server: S3Server) -> None:
    s3_server.answers[:] = [("503 Slow Down", SLOW_DOWN)]

    bucket.put("k", b"data")

    assert s3_server.count("PUT", key="k") == 2


@pytest.mark.parametrize(
    ("service", "method", "call"),
    [
        ("s3", "PUT", lambda s3: s3.put_object(Bucket="b", Key="k", Body=b"data")),
        ("sqs", "POST", lambda sqs: sqs.delete_queue(QueueUrl="https://sqs.example/q")),
    ],
)
def test_every_service_is_asked_the_same_number_of_times(
    s3_server: S3Server,
    monkeypatch: pytest.MonkeyPatch,
    service: str,
    method: str,
    call: Callable[[Any], Any],
) -> None:
    monkeypatch.setattr(botocore.endpoint, "time", SimpleNamespace(sleep=lambda _: None))
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "3")  # what a profile says does not count
    s3_server.answers[:] = [("503 Slow Down", SLOW_DOWN)] * (2 * TOTAL_TRIES)

    with pytest.raises(ClientError):
        call(make_client(service, region="eu-west-1"))

    assert s3_server.count(method) == len(s3_server.requests) == TOTAL_TRIES


def test_ranges_and_versions_are_checked(bucket: Bucket) -> None:
    etag = bucket.put("k", b"0123456789")
    assert bucket.get("k", start=2, size=3, etag=etag) == b"234"
    assert bucket.get("k", start=8) == b"89"
    assert bucket.get("k", size=0) == b""
    with pytest.raises(S3Error, match=r"s3://.*/k ends 5 bytes too early"):
        bucket.get("k", start=5, size=10)
    bucket.put("k", b"another")
    with pytest.raises(S3Error, match=r"s3://.*/k is no longer what it was"):
        bucket.get("k", etag=etag)


def test_a_missing_object_is_none_for_head_and_an_error_for_get(bucket: Bucket) -> None:
    assert bucket.head("none") is None
    with pytest.raises(MissingObjectError, match=r"s3://.*/none does not exist"):
        bucket.get("none")


def test_more_objects_than_fit_into_one_reply_are_listed_and_deleted(
    bucket: Bucket, s3_server: S3Server
) -> None:
    for number in range(3):
        bucket.put(f"a/{number}", b"")
    bucket.put("b", b"")

    assert [entry.key for entry in bucket.list_objects("a/", start_after="a/0")] == ["a/1", "a/2"]
    bucket.delete([*(f"none/{number}" for number in range(1500)), "a/0", "a/1", "a/2"])

    assert [entry.key for entry in bucket.list_objects()] == ["b"]
    assert s3_server.count("POST", query="delete") == 2


def test_parts_in_any_order_make_one_object(bucket: Bucket) -> None:
    source = bytes(range(256)) * (6 * MIB // 256)
    etag = bucket.put("source", source)
    upload = bucket.multipart("out")
    upload.put_part(3, b"end")
    upload.copy_part(2, Blob(bucket.name, "source", etag, 100, 5 * MIB + 1))
    upload.put_part(1, source)
    assert bucket.head("out") is None

    upload.complete()
    upload.abort()

    assert bucket.get("out") == source + source[100 : 5 * MIB + 101] + b"end"


def test_an_aborted_upload_leaves_nothing(bucket: Bucket) -> None:
    upload = bucket.multipart("out")
    upload.put_part(1, b"data")

    upload.abort()

    assert unfinished_uploads(bucket) == []


def test_a_missing_file_to_upload_is_the_systems_error(bucket: Bucket, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        bucket.upload(tmp_path / "none", "k")


@pytest.mark.usefixtures("s3_server")
def test_an_upload_to_a_missing_bucket_is_told_like_any_other(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"data")

    with pytest.raises(S3Error, match="there is no bucket 'nowhere'; check its name in s3://nowhere/k"):
        Bucket("nowhere").upload(tmp_path / "file", "k")


REFUSALS = [
    ("NoSuchBucket", 404, "there is no bucket 'bucket'; check its name in s3://bucket/k"),
    (
        "AccessDenied",
        403,
        "s3://bucket/k may not be used with these credentials: they need s3:GetObject.*said so",
    ),
    ("ExpiredToken", 400, "AWS credentials are wrong or have expired .*said so.*aws sso login"),
    ("InvalidAccessKeyId", 403, "AWS credentials are wrong"),
    ("AuthorizationHeaderMalformed", 400, "s3://bucket/k is in another region; set AWS_REGION"),
    (
        "InternalError",
        500,
        "s3://bucket/k cannot be used: S3 answered get_object with InternalError .*said so",
    ),
]


@pytest.mark.parametrize(("code", "status", "sentence"), REFUSALS)
def test_a_refusal_is_one_sentence_that_names_object_and_cure(code: str, status: int, sentence: str) -> None:
    client = make_client("s3", region="eu-west-1")
    with Stubber(client) as stub:
        stub.add_client_error("get_object", code, "said so", status)
        with pytest.raises(S3Error, match=sentence):
            Bucket("bucket", client).get("k")


HEADS: list[tuple[Callable[[Bucket], Any], str, int, str]] = [
    (lambda bucket: bucket.check(), "head_bucket", 404, "there is no bucket 'bucket'; check its name$"),
    (lambda bucket: bucket.check(), "head_bucket", 403, "bucket 'bucket' may not .* need s3:ListBucket"),
    (lambda bucket: bucket.head("k"), "head_object", 403, "s3://bucket/k may not .* need s3:GetObject"),
    (lambda bucket: bucket.head("k"), "head_object", 400, "credentials are wrong or have expired"),
]


@pytest.mark.parametrize(("call", "operation", "status", "sentence"), HEADS)
def test_a_refusal_without_body_is_told_by_its_status(
    call: Callable[[Bucket], Any], operation: str, status: int, sentence: str
) -> None:
    client = make_client("s3", region="eu-west-1")
    with Stubber(client) as stub:
        stub.add_client_error(operation, str(status), "", status)
        with pytest.raises(S3Error, match=sentence):
            call(Bucket("bucket", client))


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (NoCredentialsError(), "s3://bucket/k cannot be used without AWS credentials .*aws configure"),
        (
            EndpointConnectionError(endpoint_url="https://s3"),
            "S3 cannot be reached for s3://bucket/k: .*https://s3",
        ),
    ],
)
def test_what_goes_wrong_before_s3_answers_is_told_too(error: Exception, sentence: str) -> None:
    client = make_client("s3", region="eu-west-1")

    def fail(**_: Any) -> None:
        raise error

    # Before the loop that tries again.
    client.meta.events.register("provide-client-params.s3.GetObject", fail)
    with pytest.raises(S3Error, match=sentence):
        Bucket("bucket", client).get("k")


def test_objects_that_could_not_be_deleted_are_counted() -> None:
    client = make_client("s3", region="eu-west-1")
    with Stubber(client) as stub:
        stub.add_response("delete_objects", {"Errors": [{"Key": "a", "Message": "no"}, {"Key": "b"}]})
        with pytest.raises(S3Error, match="2 objects could not be deleted, the first is s3://bucket/a: no"):
            Bucket("bucket", client).delete(["a", "b"])
