from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.cdk_app.synthesized import Stack


def rule(stack: Stack) -> dict[str, Any]:
    (found,) = stack.only("AWS::S3::Bucket")["LifecycleConfiguration"]["Rules"]
    assert found["Status"] == "Enabled"
    result: dict[str, Any] = found
    return result


@pytest.mark.parametrize(("stack_name", "days"), [("default", 14), ("everything", 4)])
def test_objects_expire(request: pytest.FixtureRequest, stack_name: str, days: int) -> None:
    assert rule(request.getfixturevalue(stack_name))["ExpirationInDays"] == days


def test_unfinished_uploads_are_aborted_after_a_day(default: Stack) -> None:
    assert rule(default)["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}


def test_expiry_covers_the_whole_bucket(default: Stack) -> None:
    assert not {"Prefix", "TagFilters"} & rule(default).keys()


def test_bucket_blocks_public_access(default: Stack) -> None:
    blocked = default.only("AWS::S3::Bucket")["PublicAccessBlockConfiguration"]
    assert set(blocked) == {
        "BlockPublicAcls",
        "BlockPublicPolicy",
        "IgnorePublicAcls",
        "RestrictPublicBuckets",
    }
    assert set(blocked.values()) == {True}


def test_bucket_is_encrypted_without_a_key_to_pay_for(default: Stack) -> None:
    (found,) = default.only("AWS::S3::Bucket")["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert found == {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}


def test_bucket_owner_owns_what_others_write(default: Stack) -> None:
    (found,) = default.only("AWS::S3::Bucket")["OwnershipControls"]["Rules"]
    assert found == {"ObjectOwnership": "BucketOwnerEnforced"}


def test_bucket_refuses_plain_http(default: Stack) -> None:
    (statement,) = default.only("AWS::S3::BucketPolicy")["PolicyDocument"]["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert statement["Action"] == "s3:*"


def test_bucket_is_deleted_with_the_stack(default: Stack) -> None:
    (bucket,) = default.of_type("AWS::S3::Bucket").values()
    assert bucket["DeletionPolicy"] == "Delete"


def test_repository_is_emptied_and_deleted_with_the_stack(default: Stack) -> None:
    (repository,) = default.of_type("AWS::ECR::Repository").values()
    assert repository["DeletionPolicy"] == "Delete"
    assert repository["Properties"]["EmptyOnDelete"] is True


def test_repository_drops_images_that_lost_their_tag(default: Stack) -> None:
    policy = json.loads(default.only("AWS::ECR::Repository")["LifecyclePolicy"]["LifecyclePolicyText"])
    (only,) = policy["rules"]
    assert only["selection"]["tagStatus"] == "untagged"
    assert (only["selection"]["countUnit"], only["selection"]["countNumber"]) == ("days", 1)


def test_pushed_images_are_scanned(default: Stack) -> None:
    scanning = default.only("AWS::ECR::Repository")["ImageScanningConfiguration"]
    assert scanning == {"ScanOnPush": True}


def test_repository_name_setting(everything: Stack) -> None:
    assert everything.only("AWS::ECR::Repository")["RepositoryName"] == "wetlands/main"


def test_run_queue_prefix_is_of_this_stack_alone(default: Stack) -> None:
    assert default.outputs()["RunQueuePrefix"] == "rios-batch-1a2b3c4d-"
