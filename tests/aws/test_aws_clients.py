"""Clients refuse what the stack's policies were not made for, and what arrives broken."""

from __future__ import annotations

import contextlib
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from botocore.stub import Stubber

from rios_batch import cli
from rios_batch.aws import cloud
from rios_batch.aws.calls import CALLS, Call
from rios_batch.aws.clients import make_client
from rios_batch.errors import AWSError, UnlistedCallError

if TYPE_CHECKING:
    from collections.abc import Iterator

KEYS = {"aws_access_key_id": "none", "aws_secret_access_key": "none"}


def client(service: str) -> Any:
    return make_client(service, region="us-west-2", **KEYS)


def test_call_in_the_table_is_made() -> None:
    sqs = client("sqs")
    with Stubber(sqs) as stub:
        stub.add_response("create_queue", {"QueueUrl": "https://sqs.example/q"}, {"QueueName": "q"})
        assert sqs.create_queue(QueueName="q")["QueueUrl"] == "https://sqs.example/q"
        stub.assert_no_pending_responses()


@pytest.mark.parametrize(
    ("service", "operation", "arguments"),
    [
        ("sqs", "purge_queue", {"QueueUrl": "https://sqs.example/q"}),
        ("s3", "delete_bucket", {"Bucket": "b"}),
        ("ec2", "describe_instances", {}),
    ],
)
def test_any_other_call_is_refused_by_name(service: str, operation: str, arguments: dict[str, Any]) -> None:
    made = client(service)
    with Stubber(made) as stub:
        stub.add_response(operation, {})
        with pytest.raises(UnlistedCallError, match=rf"{service}\.{operation} is not in .*aws/calls\.py"):
            getattr(made, operation)(**arguments)
        with pytest.raises(AssertionError, match="responses remaining in queue"):
            stub.assert_no_pending_responses()


def test_call_that_a_paginator_makes_is_refused_too() -> None:
    pages = client("sqs").get_paginator("list_queues").paginate()
    with pytest.raises(UnlistedCallError, match="list_queues"):
        list(pages)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.service}.{call.operation}-{call.on.name}")
def test_no_call_in_the_table_is_refused(call: Call) -> None:
    made = client(call.service)
    name = made.meta.method_to_api_mapping[call.operation]
    model = made.meta.service_model.operation_model(name)
    made.meta.events.emit(f"provide-client-params.{call.service}.{name}", params={}, model=model, context={})


def test_region_is_the_one_asked_for() -> None:
    assert make_client("sqs", region="eu-west-1", **KEYS).meta.region_name == "eu-west-1"


@pytest.mark.parametrize(
    ("variables", "region"),
    [
        ({"AWS_REGION": "ap-southeast-2"}, "ap-southeast-2"),
        ({"AWS_REGION": "ap-southeast-2", "AWS_DEFAULT_REGION": "us-west-2"}, "ap-southeast-2"),
        ({"AWS_DEFAULT_REGION": "us-west-2"}, "us-west-2"),
    ],
)
def test_the_region_is_that_of_the_environment_as_for_the_aws_command_line(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], region: str
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert make_client("s3", **KEYS).meta.region_name == region


def test_a_region_that_is_given_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "ap-southeast-2")

    assert client("s3").meta.region_name == "us-west-2"


def test_the_stack_is_looked_for_in_the_region_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_REGION", "ap-southeast-2")
    asked: list[str | None] = []

    def make(_service: str, *, region: str | None) -> Any:
        asked.append(region)
        raise AWSError("far enough")

    monkeypatch.setattr(cloud, "make_client", make)

    assert cli.main(["follow", "job"]) == 1

    assert asked == ["ap-southeast-2"]
    assert "far enough" in capsys.readouterr().err


@contextlib.contextmanager
def answering(*answers: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Give the address of a server that gives one answer to each connection, then closes it, and what it was asked."""
    asked: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        for answer in answers:
            connection, _ = listener.accept()
            with connection:
                asked.append(connection.recv(65536))
                connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as executor:
        listener.settimeout(5)  # a client that does not come back fails the test
        serving = executor.submit(serve, listener)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked
        serving.result()


def http(body: bytes, *, cut: int = 0, headers: str = "ETag: x\r\n", promised: int | None = None) -> bytes:
    """Return an answer whose last ``cut`` bytes are missing."""
    length = len(body) if promised is None else promised
    whole = f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{headers}\r\n".encode() + body
    return whole[: len(whole) - cut]


SIZES = json.dumps({"Attributes": {"ApproximateNumberOfMessages": "3"}}).encode()


@pytest.mark.allow_hosts(["127.0.0.1"])
@pytest.mark.parametrize("cut", [1, 20, len(SIZES), len(SIZES) + 4, len(SIZES) + 25])
def test_an_answer_that_was_cut_is_asked_for_again(monkeypatch: pytest.MonkeyPatch, cut: int) -> None:
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    with answering(http(SIZES, cut=cut), http(SIZES)) as (url, asked):
        sqs = make_client("sqs", region="us-west-2", endpoint_url=url, **KEYS)

        reply = sqs.get_queue_attributes(QueueUrl=f"{url}/q", AttributeNames=["All"])

    assert reply["Attributes"] == {"ApproximateNumberOfMessages": "3"}
    assert len(asked) == 2


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_answers_without_a_body_are_whole() -> None:
    for answer in (b"HTTP/1.1 204 No Content\r\n\r\n", http(b"", headers="", promised=17)):
        with answering(answer) as (url, asked):
            s3 = make_client("s3", region="us-west-2", endpoint_url=url, **KEYS)
            if b"204" in answer:
                s3.abort_multipart_upload(Bucket="bbb", Key="k", UploadId="u")
            else:
                assert s3.head_object(Bucket="bbb", Key="k")["ContentLength"] == 17
        assert len(asked) == 1


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_a_connection_that_breaks_while_s3_says_whether_it_takes_a_body_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    with answering(b"HTTP/1.1 100 Continue\r\n", http(b"")) as (url, asked):
        s3 = make_client("s3", region="us-west-2", endpoint_url=url, **KEYS)

        assert s3.put_object(Bucket="bbb", Key="k", Body=b"data")["ETag"] == "x"

    assert len(asked) == 2
    assert all(b"Expect" not in request for request in asked)
