"""How the clean-up is wired; what it does is in test_cdk_cleanup_handler.py."""

from __future__ import annotations

import ast
import json
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cdk_app.synthesized import Stack

KINDS = {"bucket": "Custom::BucketContents", "queues": "Custom::RunQueues", "image": "Custom::PushedImage"}
# What detaches a policy, and which one.
DETACHED = {
    "Custom::SubmitterPolicyHolders": "SubmitterPolicy",
    "Custom::ImagePublisherPolicyHolders": "ImagePublisherPolicy",
}


@pytest.mark.parametrize("resource_type", [*KINDS.values(), *DETACHED])
def test_each_clean_up_calls_the_one_function(default: Stack, resource_type: str) -> None:
    (function,) = default.of_type("AWS::Lambda::Function")
    assert default.only(resource_type)["ServiceToken"] == {"Fn::GetAtt": [function, "Arn"]}


def test_image_clean_up_names_the_very_tag_that_is_pushed(default: Stack) -> None:
    (destination,) = next(iter(default.assets["dockerImages"].values()))["destinations"].values()
    properties = default.only("Custom::PushedImage")
    assert properties["Tag"] == destination["imageTag"]
    assert default.value(properties["Repository"]) == default.value(
        {"Fn::Sub": destination["repositoryName"]}
    )


def test_bucket_clean_up_names_the_exchange_bucket(default: Stack) -> None:
    (bucket,) = default.of_type("AWS::S3::Bucket")
    assert default.only("Custom::BucketContents")["Bucket"] == {"Ref": bucket}


def test_queue_clean_up_has_the_prefix_of_run_queues(default: Stack) -> None:
    prefix = default.value(default.only("Custom::RunQueues")["Prefix"])
    assert prefix == default.outputs()["RunQueuePrefix"]


@pytest.mark.parametrize("resource_type", KINDS.values())
def test_clean_up_keeps_its_permissions_until_it_is_done(default: Stack, resource_type: str) -> None:
    policy, _ = default.named("AWS::IAM::Policy", "Cleanup/Role/DefaultPolicy")
    (resource,) = default.of_type(resource_type).values()
    assert policy in resource["DependsOn"]


@pytest.mark.parametrize("resource_type", DETACHED)
def test_each_policy_for_people_is_detached_before_it_is_deleted(default: Stack, resource_type: str) -> None:
    policy, _ = default.named("AWS::IAM::ManagedPolicy", DETACHED[resource_type])
    properties = default.only(resource_type)
    assert properties["Kind"] == "policy"
    assert properties["Policy"] == {"Ref": policy}, "what refers to it is deleted first"


@pytest.mark.parametrize("resource_type", DETACHED)
def test_detaching_keeps_its_permissions_until_it_is_done(default: Stack, resource_type: str) -> None:
    policy, _ = default.named("AWS::IAM::Policy", "Cleanup/MayDetach")
    (resource,) = default.of_type(resource_type).values()
    assert policy in resource["DependsOn"]


def test_no_policy_for_people_is_left_out(default: Stack) -> None:
    assert len(default.of_type("AWS::IAM::ManagedPolicy")) == len(DETACHED)


@pytest.mark.parametrize("resource_type", ["AWS::Batch::ComputeEnvironment", "AWS::Batch::JobQueue"])
def test_machines_are_gone_before_bucket_and_queues_are_cleaned(default: Stack, resource_type: str) -> None:
    cleaners = {*default.of_type("Custom::BucketContents"), *default.of_type("Custom::RunQueues")}
    for name in default.of_type(resource_type):
        assert cleaners <= default.needs(name), "deletion goes against this order"


@pytest.mark.parametrize("stack_name", ["default", "everything"])
def test_image_clean_up_is_there_before_anything_that_can_fail(
    request: pytest.FixtureRequest, stack_name: str
) -> None:
    stack: Stack = request.getfixturevalue(stack_name)
    (cleaner,) = stack.of_type("Custom::PushedImage")
    early = {
        name for name in stack.template["Resources"] if name != cleaner and cleaner not in stack.needs(name)
    }
    # Its own needs, and what those that come first with it have: the bucket's policy, the other clean-ups.
    kinds = {stack.template["Resources"][name]["Type"] for name in early - stack.needs(cleaner)}
    assert kinds == {"AWS::S3::BucketPolicy", "Custom::BucketContents", "Custom::RunQueues"}
    assert {stack.template["Resources"][name]["Type"] for name in stack.needs(cleaner)} == {
        "AWS::IAM::Policy",
        "AWS::IAM::Role",
        "AWS::Lambda::Function",
        "AWS::Logs::LogGroup",
        "AWS::S3::Bucket",
    }


def test_function_has_all_the_time_that_lambda_gives(default: Stack) -> None:
    assert default.only("AWS::Lambda::Function")["Timeout"] == 15 * 60


@pytest.mark.parametrize("resource_type", [*KINDS.values(), *DETACHED])
def test_stack_does_not_wait_much_longer_than_the_function(default: Stack, resource_type: str) -> None:
    assert default.only(resource_type)["ServiceTimeout"] == "960"


def test_functions_log_group_goes_with_the_stack(default: Stack) -> None:
    name, log_group = default.named("AWS::Logs::LogGroup", "Cleanup/")
    assert default.only("AWS::Lambda::Function")["LoggingConfig"] == {"LogGroup": {"Ref": name}}
    assert log_group["DeletionPolicy"] == "Delete"


def test_function_cannot_make_its_log_group_again(default: Stack) -> None:
    role, resource = default.named("AWS::IAM::Role", "Cleanup/Role")
    assert default.only("AWS::Lambda::Function")["Role"] == {"Fn::GetAtt": [role, "Arn"]}
    assert "ManagedPolicyArns" not in resource["Properties"]
    assert "logs:CreateLogGroup" not in json.dumps(default.statements(role))


def test_there_is_no_other_function(default: Stack, everything: Stack, fargate: Stack) -> None:
    for stack in (default, everything, fargate):
        assert len(stack.of_type("AWS::Lambda::Function")) == 1


def test_code_is_in_the_template_and_needs_only_what_lambda_has(default: Stack) -> None:
    properties = default.only("AWS::Lambda::Function")
    tree = ast.parse(properties["Code"]["ZipFile"])
    modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    modules |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in modules} <= set(sys.stdlib_module_names) | {"boto3"}
    assert properties["Handler"] == "index.handler"
    assert "handler" in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_log_group_goes_with_the_stack(everything: Stack) -> None:
    policies = [group["DeletionPolicy"] for group in everything.of_type("AWS::Logs::LogGroup").values()]
    assert policies == ["Delete"] * 3
