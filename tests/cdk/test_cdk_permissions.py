from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from rios_batch.aws.calls import CALLS, Call, On, Role, actions
from rios_batch.contract import JOB_TAG
from tests.cdk.synthesized import allowed

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cdk.conftest import Assembly
    from tests.cdk.synthesized import Stack

PATHS = {
    Role.WORKER: ("AWS::IAM::Role", "Jobs/WorkerRole"),
    Role.MAIN: ("AWS::IAM::Role", "Jobs/MainRole"),
    Role.SUBMITTER: ("AWS::IAM::ManagedPolicy", "SubmitterPolicy"),
}
# What the stack's own helpers may do, and for what.
HELPERS = {
    "Jobs/ExecutionRole": {
        "ecr:GetAuthorizationToken",  # pull the image
        "ecr:BatchCheckLayerAvailability",
        "ecr:GetDownloadUrlForLayer",
        "ecr:BatchGetImage",
        "logs:CreateLogStream",  # write the jobs' log
        "logs:PutLogEvents",
    },
    "Cleanup/Role": {
        "logs:CreateLogStream",  # write its own log
        "logs:PutLogEvents",
        "s3:ListBucketVersions",  # empty the bucket
        "s3:DeleteObject",
        "s3:DeleteObjectVersion",
        "sqs:ListQueues",  # delete queues of dead runs
        "sqs:DeleteQueue",
        "ecr:BatchGetImage",  # delete the pushed image, with the parts of an index
        "ecr:BatchDeleteImage",
    },
}
WITHOUT_RESOURCE = {"batch:DescribeJobs", "batch:ListJobs", "ecr:GetAuthorizationToken", "sqs:ListQueues"}


def granted(stack: Stack, role: Role) -> list[dict[str, Any]]:
    return stack.statements(stack.named(*PATHS[role])[0])


@pytest.mark.parametrize("role", Role)
def test_every_action_is_one_that_the_runtime_needs(everything: Stack, role: Role) -> None:
    needed = {action for call in CALLS if role in call.roles for action in call.actions}
    assert {action for action, _ in allowed(granted(everything, role))} == needed


@pytest.mark.parametrize("path", HELPERS)
def test_helpers_may_do_their_work_and_no_more(default: Stack, path: str) -> None:
    name, _ = default.named("AWS::IAM::Role", path)
    assert {action for action, _ in allowed(default.statements(name))} == HELPERS[path]


def test_no_role_is_left_out_here(default: Stack) -> None:
    known = {path for _, path in PATHS.values()} | set(HELPERS)
    for resource in default.of_type("AWS::IAM::Policy").values():
        path = resource["Metadata"]["aws:cdk:path"].partition("/")[2]
        assert any(path.startswith(f"{name}/") for name in known), f"{path} is not judged by any test"


@pytest.mark.parametrize("stack_name", ["RiosBatch", "Everything", "Fargate"])
def test_no_statement_allows_actions_by_wildcard(assembly: Assembly, stack_name: str) -> None:
    stack = assembly.stacks[stack_name]
    documents = [
        stack.value(resource["Properties"]["PolicyDocument"])
        for resource in stack.template["Resources"].values()
        if "PolicyDocument" in resource.get("Properties", {})
    ]
    # Policies of log groups are text.
    documents = [json.loads(item) if isinstance(item, str) else item for item in documents]
    statements = [statement for document in documents for statement in document["Statement"]]
    assert len(statements) > 10
    for statement in statements:
        if statement["Effect"] == "Allow":
            assert "*" not in str(statement["Action"])
            assert "NotAction" not in statement


@pytest.mark.parametrize("stack_name", ["RiosBatch", "Everything", "Fargate"])
def test_only_actions_without_resources_are_allowed_on_everything(
    assembly: Assembly, stack_name: str
) -> None:
    stack = assembly.stacks[stack_name]
    names = [*stack.of_type("AWS::IAM::Role"), *stack.of_type("AWS::IAM::ManagedPolicy")]
    wide = {
        action for name in names for action, resource in allowed(stack.statements(name)) if resource == "*"
    }
    assert wide <= WITHOUT_RESOURCE


@pytest.mark.parametrize(
    "action",
    ["sqs:CreateQueue", "sqs:SendMessage", "batch:SubmitJob", "batch:TerminateJob", "s3:DeleteObject"],
)
def test_worker_cannot(everything: Stack, action: str) -> None:
    assert action not in {name for name, _ in allowed(granted(everything, Role.WORKER))}


@pytest.mark.parametrize("role", Role)
def test_queues_are_those_of_the_stack(default: Stack, role: Role) -> None:
    found = {resource for action, resource in allowed(granted(default, role)) if action.startswith("sqs:")}
    assert found == {"arn:aws:sqs:us-west-2:123456789012:rios-batch-1a2b3c4d-*"}


@pytest.mark.parametrize("role", Role)
def test_objects_are_those_of_the_exchange_bucket_by_default(default: Stack, role: Role) -> None:
    (bucket,) = default.of_type("AWS::S3::Bucket")
    arn = f"arn:aws:s3:::{bucket.lower()}"
    found = {resource for action, resource in allowed(granted(default, role)) if action.startswith("s3:")}
    assert found == {arn, f"{arn}/*"}


INPUTS = {"arn:aws:s3:::sentinel-cogs/*", "arn:aws:s3:::field-data/2026/*"}
OUTPUTS = {"arn:aws:s3:::results/maps/*"}


def objects(stack: Stack, role: Role, action: str) -> set[str]:
    (bucket,) = stack.of_type("AWS::S3::Bucket")
    found = {resource for name, resource in allowed(granted(stack, role)) if name == action}
    return {arn for arn in found if bucket.lower() not in arn}


def test_workers_read_inputs_and_not_outputs(everything: Stack) -> None:
    assert objects(everything, Role.WORKER, "s3:GetObject") == INPUTS
    assert objects(everything, Role.WORKER, "s3:PutObject") == set()


@pytest.mark.parametrize("role", [Role.MAIN, Role.SUBMITTER])
def test_mains_read_inputs_and_write_outputs(everything: Stack, role: Role) -> None:
    assert objects(everything, role, "s3:GetObject") == INPUTS | OUTPUTS
    assert objects(everything, role, "s3:PutObject") == OUTPUTS


def test_output_objects_cannot_be_deleted(everything: Stack) -> None:
    assert objects(everything, Role.MAIN, "s3:DeleteObject") == set()


@pytest.mark.parametrize("role", [Role.MAIN, Role.SUBMITTER])
def test_only_the_stacks_own_jobs_can_be_terminated(default: Stack, role: Role) -> None:
    (statement,) = [found for found in granted(default, role) if "batch:TerminateJob" in found["Action"]]
    assert statement["Condition"] == {"StringEquals": {f"aws:ResourceTag/{JOB_TAG}": "RiosBatch"}}


@pytest.mark.parametrize("role", [Role.MAIN, Role.SUBMITTER])
def test_jobs_can_be_tagged_as_the_stacks_own_and_nothing_else(default: Stack, role: Role) -> None:
    (statement,) = [found for found in granted(default, role) if "batch:TagResource" in found["Action"]]
    assert statement["Condition"]["StringEquals"] == {f"aws:RequestTag/{JOB_TAG}": "RiosBatch"}


@pytest.mark.parametrize("role", [Role.MAIN, Role.SUBMITTER])
def test_jobs_of_another_stack_cannot_be_tagged_over(default: Stack, role: Role) -> None:
    (statement,) = [found for found in granted(default, role) if "batch:TagResource" in found["Action"]]
    assert statement["Condition"]["StringEqualsIfExists"] == {f"aws:ResourceTag/{JOB_TAG}": "RiosBatch"}


@pytest.mark.parametrize("role", [Role.MAIN, Role.SUBMITTER])
def test_jobs_are_submitted_to_the_stacks_queues_with_its_definitions(default: Stack, role: Role) -> None:
    outputs = default.outputs()
    queues = {f"job-queue/{outputs[key]}" for key in outputs if key.startswith("BatchProcessingJobQueue")}
    names = [outputs[key] for key in outputs if "JobDefinition" in key]
    assert len(names) == 3
    definitions = {f"job-definition/{name}{revision}" for name in names for revision in ("", ":*")}
    found = {resource for action, resource in allowed(granted(default, role)) if action == "batch:SubmitJob"}
    assert {arn.rpartition("123456789012:")[2] for arn in found} == queues | definitions


@pytest.mark.parametrize("role", [Role.MAIN, Role.SUBMITTER])
def test_only_the_own_stack_is_described(default: Stack, role: Role) -> None:
    found = {arn for action, arn in allowed(granted(default, role)) if action.startswith("cloudformation:")}
    assert found == {"arn:aws:cloudformation:us-west-2:123456789012:stack/RiosBatch/*"}


# The table itself, against AWS's service models.


@functools.cache
def operations(service: str) -> dict[str, str]:
    """Operation behind each method of a boto3 client."""
    make: Callable[..., Any] = boto3.client
    client = make(service, region_name="us-west-2", aws_access_key_id="none", aws_secret_access_key="none")
    mapping: dict[str, str] = client.meta.method_to_api_mapping
    return mapping


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.service}.{call.operation}-{call.on.name}")
def test_every_call_exists_and_its_action_is_named_after_it(call: Call) -> None:
    operation = operations(call.service)[call.operation]
    for action in call.actions:
        service, _, name = action.partition(":")
        assert service == call.service
        # S3's actions are coarser than its operations, and tagging on submission is an action of its own.
        if call.service != "s3" and name != "TagResource":
            assert name == operation.removesuffix("Batch")


def test_no_call_is_listed_twice() -> None:
    keys = [(call.service, call.operation, call.on, call.actions) for call in CALLS]
    assert len(keys) == len(set(keys))


def test_actions_of_a_role_are_grouped_by_what_they_act_upon() -> None:
    assert actions(Role.WORKER)[On.EXCHANGE_BUCKET] == ("s3:ListBucket",)
    assert On.OWN_JOBS not in actions(Role.WORKER)
