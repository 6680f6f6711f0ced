"""Clients refuse, before anything is sent, what the stack's policies were not made for."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.stub import Stubber

from rios_batch import cli
from rios_batch.aws import cloud
from rios_batch.aws.calls import CALLS, Call
from rios_batch.aws.clients import make_client
from rios_batch.errors import AWSError, UnlistedCallError

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
