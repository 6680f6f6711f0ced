"""Several stacks stand in one account and region without getting into each other's way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.cdk_app.variants import VARIANTS, synthesize

if TYPE_CHECKING:
    from tests.cdk_app.synthesized import Stack

# Physical names are those properties that would make a second stack collide with the first.
NAMES = ("One", "Other")
NAMING = {
    "BucketName",
    "ComputeEnvironmentName",
    "DashboardName",
    "FunctionName",
    "GroupName",
    "InstanceProfileName",
    "JobDefinitionName",
    "JobQueueName",
    "LaunchTemplateName",
    "LogGroupName",
    "ManagedPolicyName",
    "Name",
    "PolicyName",
    "RepositoryName",
    "RoleName",
}


def test_nothing_has_a_physical_name_so_that_stacks_stand_side_by_side(default: Stack) -> None:
    named = {
        name: NAMING & resource.get("Properties", {}).keys()
        for name, resource in default.template["Resources"].items()
        if resource["Type"] != "AWS::IAM::Policy"  # its name is that within its role
    }
    assert not {name: keys for name, keys in named.items() if keys}


def physical_names(template: dict[str, Any]) -> set[tuple[str, str]]:
    """Type and name of whatever has a name that does not depend on the stack."""
    return {
        (resource["Type"], value)
        for resource in template["Resources"].values()
        if resource["Type"] != "AWS::IAM::Policy"  # its name is that within its role
        for key, value in resource.get("Properties", {}).items()
        if key in NAMING and isinstance(value, str)
    }


@pytest.fixture(scope="module")
def twins() -> list[dict[str, Any]]:
    settings = VARIANTS["Everything"]
    return [synthesize(settings.model_copy(update={"ecr_name": "", "stack_name": name})) for name in NAMES]


def test_two_stacks_with_everything_share_no_physical_name(twins: list[dict[str, Any]]) -> None:
    one, other = map(physical_names, twins)
    assert not one & other


def test_events_policy_of_each_stack_has_a_name_of_its_own(everything: Stack) -> None:
    name = everything.only("AWS::Logs::ResourcePolicy")["PolicyName"]
    assert name == {"Fn::Join": ["", [{"Ref": "AWS::StackName"}, "-job-state-changes"]]}


def test_physical_name_that_is_shared_is_seen(everything: Stack) -> None:
    assert ("AWS::ECR::Repository", "wetlands/main") in physical_names(everything.template)


def test_name_tags_say_which_stack(twins: list[dict[str, Any]]) -> None:
    def tags(template: dict[str, Any]) -> set[str]:
        (vpc,) = [item for item in template["Resources"].values() if item["Type"] == "AWS::EC2::VPC"]
        return {tag["Value"] for tag in vpc["Properties"]["Tags"] if tag["Key"] == "Name"}

    assert [tags(template) for template in twins] == [{"One/Network/Vpc"}, {"Other/Network/Vpc"}]
