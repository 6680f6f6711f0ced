from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.stub import Stubber

from cdk_app import cleanup_handler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def stubs(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Stubber]]:
    """Clients that check their calls against AWS's service models and answer what a test says."""
    make: Callable[..., Any] = boto3.client
    credentials = {"aws_access_key_id": "none", "aws_secret_access_key": "none", "region_name": "us-west-2"}
    clients = {name: make(name, **credentials) for name in ("s3", "sqs", "ecr", "iam")}
    stubbers = {name: Stubber(client) for name, client in clients.items()}
    for stubber in stubbers.values():
        stubber.activate()
    monkeypatch.setattr(cleanup_handler, "boto3", SimpleNamespace(client=clients.__getitem__))
    yield stubbers
    for stubber in stubbers.values():
        stubber.assert_no_pending_responses()


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What CloudFormation is told."""
    told: list[dict[str, Any]] = []

    def take(request: Any, timeout: int) -> Any:
        assert request.get_method() == "PUT"
        assert request.full_url == "https://cloudformation.example/answer"
        assert timeout < cleanup_handler.SPARE_MS / 1000 + 1
        told.append(json.loads(request.data))
        return SimpleNamespace(close=lambda: None)

    monkeypatch.setattr(cleanup_handler, "urlopen", take)
    return told


def ask(request_type: str, properties: dict[str, str], *, left_ms: int = 900_000) -> None:
    event = {
        "RequestType": request_type,
        "ResponseURL": "https://cloudformation.example/answer",
        "StackId": "stack",
        "RequestId": "request",
        "LogicalResourceId": "resource",
        "PhysicalResourceId": "as it was",
        "ResourceProperties": {"ServiceToken": "arn"} | properties,
    }
    cleanup_handler.handler(event, SimpleNamespace(get_remaining_time_in_millis=lambda: left_ms))


BUCKET = {"Kind": "bucket", "Bucket": "exchange-bucket"}
QUEUES = {"Kind": "queues", "Prefix": "rios-batch-1a2b3c4d-"}
IMAGE = {"Kind": "image", "Repository": "assets", "Tag": "abc"}
ARN = "arn:aws:iam::123456789012:policy/RiosBatch-SubmitterPolicy"
POLICY = {"Kind": "policy", "Policy": ARN}


@pytest.mark.parametrize("properties", [BUCKET, QUEUES, IMAGE, POLICY])
@pytest.mark.parametrize("request_type", ["Create", "Update"])
@pytest.mark.usefixtures("stubs")
def test_nothing_is_deleted_while_the_stack_stays(
    answers: list[dict[str, Any]], request_type: str, properties: dict[str, str]
) -> None:
    ask(request_type, properties)
    (answer,) = answers
    assert answer["Status"] == "SUCCESS"
    assert [answer[key] for key in ("StackId", "RequestId", "LogicalResourceId")] == [
        "stack",
        "request",
        "resource",
    ]


@pytest.mark.usefixtures("stubs")
def test_a_new_tag_is_a_new_resource_so_that_the_old_image_goes(answers: list[dict[str, Any]]) -> None:
    ask("Update", IMAGE)
    ask("Update", {**IMAGE, "Tag": "def"})
    assert answers[0]["PhysicalResourceId"] != answers[1]["PhysicalResourceId"]


def test_bucket_is_emptied_until_nothing_is_listed(
    stubs: dict[str, Stubber], answers: list[dict[str, Any]]
) -> None:
    version = {"Key": "runs/a", "VersionId": "null"}
    marker = {"Key": "runs/b", "VersionId": "7"}
    listing = {"Bucket": "exchange-bucket"}
    for page, item in (
        ({"Versions": [version], "IsTruncated": True}, version),
        ({"DeleteMarkers": [marker]}, marker),
    ):
        stubs["s3"].add_response("list_object_versions", page, listing)
        stubs["s3"].add_response("delete_objects", {}, {**listing, "Delete": {"Objects": [item]}})
    stubs["s3"].add_response("list_object_versions", {}, listing)
    ask("Delete", BUCKET)
    assert answers[0]["Status"] == "SUCCESS"
    assert answers[0]["PhysicalResourceId"] == "as it was"


def test_bucket_deleted_by_hand_is_no_failure(
    stubs: dict[str, Stubber], answers: list[dict[str, Any]]
) -> None:
    stubs["s3"].add_client_error("list_object_versions", "NoSuchBucket", http_status_code=404)
    ask("Delete", BUCKET)
    assert answers[0]["Status"] == "SUCCESS"


def test_object_that_cannot_be_deleted_is_a_failure_that_says_so(
    stubs: dict[str, Stubber], answers: list[dict[str, Any]]
) -> None:
    stubs["s3"].add_response("list_object_versions", {"Versions": [{"Key": "k", "VersionId": "v"}]})
    stubs["s3"].add_response("delete_objects", {"Errors": [{"Key": "k", "Code": "AccessDenied"}]})
    ask("Delete", BUCKET)
    assert answers[0]["Status"] == "FAILED"
    assert "AccessDenied" in answers[0]["Reason"]


def test_a_full_bucket_says_how_to_go_on_before_time_is_up(
    stubs: dict[str, Stubber], answers: list[dict[str, Any]]
) -> None:
    stubs["s3"].add_response("list_object_versions", {"Versions": [{"Key": "k", "VersionId": "v"}]})
    stubs["s3"].add_response("delete_objects", {})
    ask("Delete", BUCKET, left_ms=29_000)
    assert answers[0]["Status"] == "FAILED"
    assert "run `cdk destroy` again" in answers[0]["Reason"]


def test_queues_of_dead_runs_are_deleted(stubs: dict[str, Stubber], answers: list[dict[str, Any]]) -> None:
    urls = ["https://sqs.example/1/rios-batch-1a2b3c4d-a", "https://sqs.example/1/rios-batch-1a2b3c4d-b"]
    listing = {"QueueNamePrefix": "rios-batch-1a2b3c4d-", "MaxResults": 1000}
    stubs["sqs"].add_response("list_queues", {"QueueUrls": urls}, listing)
    stubs["sqs"].add_response("delete_queue", {}, {"QueueUrl": urls[0]})
    stubs["sqs"].add_client_error("delete_queue", "QueueDoesNotExist")
    ask("Delete", QUEUES)
    assert answers[0]["Status"] == "SUCCESS"


PLAIN = {"images": [{"imageManifest": json.dumps({"config": {}, "layers": []})}]}
INDEX = {
    "images": [{"imageManifest": json.dumps({"manifests": [{"digest": "sha256:1"}, {"digest": "sha256:2"}]})}]
}
BY_TAG = {"repositoryName": "assets", "imageIds": [{"imageTag": "abc"}]}
PARTS = {"repositoryName": "assets", "imageIds": [{"imageDigest": "sha256:1"}, {"imageDigest": "sha256:2"}]}


def failing(code: str) -> dict[str, Any]:
    return {"failures": [{"failureCode": code, "imageId": {"imageTag": "abc"}}]}


def test_one_tag_is_deleted(stubs: dict[str, Stubber], answers: list[dict[str, Any]]) -> None:
    stubs["ecr"].add_response("batch_get_image", PLAIN, BY_TAG)
    stubs["ecr"].add_response("batch_delete_image", {"imageIds": [{"imageTag": "abc"}]}, BY_TAG)
    ask("Delete", IMAGE)
    assert answers[0]["Status"] == "SUCCESS"


@pytest.mark.parametrize("code", ["ImageReferencedByManifestList", "ImageNotFound"])
def test_parts_of_an_index_are_deleted_unless_a_twin_has_them(
    stubs: dict[str, Stubber], answers: list[dict[str, Any]], code: str
) -> None:
    stubs["ecr"].add_response("batch_get_image", INDEX, BY_TAG)
    stubs["ecr"].add_response("batch_delete_image", {}, BY_TAG)
    stubs["ecr"].add_response("batch_delete_image", failing(code), PARTS)
    ask("Delete", IMAGE)
    assert answers[0]["Status"] == "SUCCESS"


def test_image_deleted_by_hand_is_no_failure(
    stubs: dict[str, Stubber], answers: list[dict[str, Any]]
) -> None:
    stubs["ecr"].add_response("batch_get_image", {"images": [], **failing("ImageNotFound")})
    stubs["ecr"].add_response("batch_delete_image", failing("ImageNotFound"))
    ask("Delete", IMAGE)
    stubs["ecr"].add_client_error("batch_get_image", "RepositoryNotFoundException")
    ask("Delete", IMAGE)
    assert [answer["Status"] for answer in answers] == ["SUCCESS", "SUCCESS"]


@pytest.mark.parametrize("manifest", [PLAIN, INDEX])
def test_image_that_cannot_be_deleted_is_a_failure(
    stubs: dict[str, Stubber], answers: list[dict[str, Any]], manifest: dict[str, Any]
) -> None:
    stubs["ecr"].add_response("batch_get_image", manifest)
    if manifest is INDEX:
        stubs["ecr"].add_response("batch_delete_image", {})
    stubs["ecr"].add_response("batch_delete_image", failing("KmsError"))
    ask("Delete", IMAGE)
    assert answers[0]["Status"] == "FAILED"
    assert "KmsError" in answers[0]["Reason"]


def held_by(stub: Stubber, **holders: list[str]) -> None:
    """Have IAM say who a policy is attached to, on two pages."""
    named: dict[str, Any] = {
        f"Policy{kind}s": [{f"{kind}Name": name} for name in holders.get(kind, [])]
        for kind in ("User", "Group", "Role")
    }
    roles = {"PolicyRoles": named.pop("PolicyRoles")}
    stub.add_response(
        "list_entities_for_policy", {**named, "IsTruncated": True, "Marker": "next"}, {"PolicyArn": ARN}
    )
    stub.add_response("list_entities_for_policy", roles, {"PolicyArn": ARN, "Marker": "next"})


def test_policy_is_detached_from_all_who_hold_it(
    stubs: dict[str, Stubber], answers: list[dict[str, Any]]
) -> None:
    held_by(stubs["iam"], User=["ann", "bob"], Group=["eo"], Role=["ci"])
    stubs["iam"].add_response("detach_user_policy", {}, {"PolicyArn": ARN, "UserName": "ann"})
    stubs["iam"].add_response("detach_user_policy", {}, {"PolicyArn": ARN, "UserName": "bob"})
    stubs["iam"].add_response("detach_group_policy", {}, {"PolicyArn": ARN, "GroupName": "eo"})
    stubs["iam"].add_response("detach_role_policy", {}, {"PolicyArn": ARN, "RoleName": "ci"})
    ask("Delete", POLICY)
    assert answers[0]["Status"] == "SUCCESS"


def test_policy_or_holder_gone_meanwhile_is_no_failure(
    stubs: dict[str, Stubber], answers: list[dict[str, Any]]
) -> None:
    stubs["iam"].add_client_error("list_entities_for_policy", "NoSuchEntity")
    ask("Delete", POLICY)
    held_by(stubs["iam"], User=["ann"], Role=["ci"])
    stubs["iam"].add_client_error("detach_user_policy", "NoSuchEntity")
    stubs["iam"].add_response("detach_role_policy", {}, {"PolicyArn": ARN, "RoleName": "ci"})
    ask("Delete", POLICY)
    assert [answer["Status"] for answer in answers] == ["SUCCESS", "SUCCESS"]


def test_policy_of_a_permission_set_says_where_to_remove_it_when_all_others_are_detached(
    stubs: dict[str, Stubber], answers: list[dict[str, Any]]
) -> None:
    held_by(stubs["iam"], Role=["AWSReservedSSO_Scientists_0123456789abcdef", "ci"])
    stubs["iam"].add_client_error("detach_role_policy", "UnmodifiableEntity")
    stubs["iam"].add_response("detach_role_policy", {}, {"PolicyArn": ARN, "RoleName": "ci"})
    ask("Delete", POLICY)
    assert answers[0]["Status"] == "FAILED"
    assert ARN in answers[0]["Reason"]
    assert "AWSReservedSSO_Scientists_0123456789abcdef" in answers[0]["Reason"]
    assert "remove the policy from the permission set in IAM Identity Center" in answers[0]["Reason"]


def test_denied_call_is_answered_too(stubs: dict[str, Stubber], answers: list[dict[str, Any]]) -> None:
    stubs["sqs"].add_client_error("list_queues", "AccessDenied")
    ask("Delete", QUEUES)
    assert answers[0]["Status"] == "FAILED"
