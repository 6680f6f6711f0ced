"""The emulated CloudFormation makes, changes and deletes what the template says, in its order."""

from __future__ import annotations

import copy
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from rios_batch.testing.emulation import EmulationError
from rios_batch.testing.emulation.refusals import IDENTITY_CENTER_PATH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rios_batch.testing.emulation import Emulator


@pytest.fixture
def template(default_template: dict[str, Any], cloud: Emulator) -> Iterator[dict[str, Any]]:
    """The default stack for a second deployment: with exports and an image of its own."""
    other = copy.deepcopy(default_template)
    for output in other["Outputs"].values():
        output["Export"]["Name"] = output["Export"]["Name"].replace("RiosBatch-", "Second-")
    of_type(other, "Custom::PushedImage")[0]["Tag"] = "old"
    yield other
    cloud.enforce_iam(False)
    cloud.client("cloudformation").delete_stack(StackName="Second")  # where a test has not


def of_type(template: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [part["Properties"] for part in template["Resources"].values() if part["Type"] == kind]


def run_job(cloud: Emulator, outputs: dict[str, str]) -> None:
    """Have a job running, that is, a machine living."""
    batch = cloud.client("batch")
    job = batch.submit_job(
        jobName="running",
        jobQueue=outputs["BatchProcessingJobQueueName"],
        jobDefinition=outputs["BatchProcessingJobDefinitionName"],
        containerOverrides={"command": ["sleep", "600"]},
    )["jobId"]
    while batch.describe_jobs(jobs=[job])["jobs"][0]["status"] != "RUNNING":
        time.sleep(0.05)


@pytest.fixture
def people(cloud: Emulator) -> Iterator[None]:
    """Have a user, a group and a role."""
    iam = cloud.client("iam")
    iam.create_user(UserName="ann")
    iam.create_group(GroupName="eo")
    iam.create_role(RoleName="scientists", AssumeRolePolicyDocument="{}")
    yield
    cloud.enforce_iam(False)
    iam.delete_user(UserName="ann")
    iam.delete_group(GroupName="eo")
    iam.delete_role(RoleName="scientists")


def test_a_destroyed_stack_leaves_nothing_though_its_bucket_queues_and_image_were_in_use(
    cloud: Emulator, template: dict[str, Any]
) -> None:
    before = cloud.inventory()
    outputs = cloud.deploy(template, "Second", image_tags=["old"])
    cloud.client("s3").put_object(Bucket=outputs["BatchBucket"], Key="runs/1/blob", Body=b"x")
    cloud.client("sqs").create_queue(QueueName=f"{outputs['RunQueuePrefix']}dead")
    cloud.push_image(outputs["BatchECRMain"].rpartition("/")[2], "latest")
    run_job(cloud, outputs)
    assert cloud.inventory() != before
    cloud.enforce_iam(True)  # the clean-up function has its role's permissions and no others
    cloud.destroy("Second")
    assert cloud.inventory() == before


@pytest.mark.usefixtures("people")
def test_a_stack_whose_policies_people_hold_is_destroyed_and_they_stay(
    cloud: Emulator, template: dict[str, Any]
) -> None:
    before, iam = cloud.inventory(), cloud.client("iam")
    outputs = cloud.deploy(template, "Second", image_tags=["old"])
    for arn in (outputs["SubmitterPolicyArn"], outputs["ImagePublisherPolicyArn"]):
        iam.attach_user_policy(UserName="ann", PolicyArn=arn)
        iam.attach_group_policy(GroupName="eo", PolicyArn=arn)
        iam.attach_role_policy(RoleName="scientists", PolicyArn=arn)
    cloud.enforce_iam(True)
    cloud.destroy("Second")
    assert cloud.inventory() == before


def test_a_user_outlives_a_policy_that_went_with_its_stack(cloud: Emulator, template: dict[str, Any]) -> None:
    before = cloud.inventory()
    outputs = cloud.deploy(template, "Second", image_tags=["old"])
    with cloud.user_with(outputs["SubmitterPolicyArn"]):
        cloud.destroy("Second")
    assert cloud.inventory() == before


def test_a_policy_of_a_permission_set_fails_the_deletion_with_what_to_do(
    cloud: Emulator, template: dict[str, Any]
) -> None:
    outputs, iam = cloud.deploy(template, "Second"), cloud.client("iam")
    role = "AWSReservedSSO_Scientists_0123456789abcdef"
    iam.create_role(RoleName=role, Path=IDENTITY_CENTER_PATH, AssumeRolePolicyDocument="{}")
    iam.attach_role_policy(RoleName=role, PolicyArn=outputs["SubmitterPolicyArn"])
    with pytest.raises(EmulationError, match=rf"{role}: remove the policy .* run `cdk destroy` again"):
        cloud.destroy("Second")
    cloud.take_role_back(role)
    cloud.destroy("Second")


def test_an_attached_policy_is_not_deleted(cloud: Emulator) -> None:
    iam, arn = cloud.client("iam"), cloud.outputs()["SubmitterPolicyArn"]
    with cloud.user_with(arn), pytest.raises(ClientError, match="DeleteConflict"):
        iam.delete_policy(PolicyArn=arn)


def test_a_network_is_not_taken_from_under_a_machine(cloud: Emulator, template: dict[str, Any]) -> None:
    outputs, ec2 = cloud.deploy(template, "Second"), cloud.client("ec2")
    listed = cloud.client("cloudformation").describe_stack_resources(StackName="Second")["StackResources"]
    ids = {one["ResourceType"]: one["PhysicalResourceId"] for one in listed}
    run_job(cloud, outputs)
    calls: list[tuple[Callable[..., Any], dict[str, str]]] = [
        (
            ec2.detach_internet_gateway,
            {"InternetGatewayId": ids["AWS::EC2::InternetGateway"], "VpcId": ids["AWS::EC2::VPC"]},
        ),
        (ec2.delete_subnet, {"SubnetId": ids["AWS::EC2::Subnet"]}),
        (ec2.delete_security_group, {"GroupId": ids["AWS::EC2::SecurityGroup"]}),
    ]
    for call, arguments in calls:
        with pytest.raises(ClientError, match="DependencyViolation"):
            call(**arguments)
    cloud.destroy("Second")


def test_a_template_that_lets_go_of_its_network_too_early_cannot_be_destroyed_under_a_machine(
    cloud: Emulator, template: dict[str, Any]
) -> None:
    for part in template["Resources"].values():
        if part["Type"] == "AWS::Batch::ComputeEnvironment":
            part["DependsOn"] = [name for name in part["DependsOn"] if not name.startswith("Network")]
    run_job(cloud, cloud.deploy(template, "Second"))
    with pytest.raises(EmulationError, match="DELETE_FAILED.*mapped public address"):
        cloud.destroy("Second")
    cloud.destroy("Second")  # by now the machine has left


def test_a_clean_up_that_is_denied_fails_the_deletion_and_can_be_repeated(
    cloud: Emulator, template: dict[str, Any]
) -> None:
    cloud.deploy(template, "Second")
    roles = cloud.client("iam").list_roles()["Roles"]
    role = next(role["RoleName"] for role in roles if role["RoleName"].startswith("Second-CleanupRole"))
    cloud.enforce_iam(True)
    with (
        cloud.without_action(role, "sqs:ListQueues"),
        pytest.raises(EmulationError, match="DELETE_FAILED.*AccessDenied"),
    ):
        cloud.destroy("Second")
    cloud.destroy("Second")
    with pytest.raises(ClientError, match="does not exist"):
        cloud.outputs("Second")


def test_an_update_changes_in_place_what_aws_does_and_has_the_old_image_deleted(
    cloud: Emulator, template: dict[str, Any]
) -> None:
    before = cloud.deploy(template, "Second", image_tags=["old"])
    changed = copy.deepcopy(template)
    changed["Outputs"]["BatchVCPUS"]["Value"] = "4"
    of_type(changed, "Custom::PushedImage")[0]["Tag"] = "new"
    for definition in of_type(changed, "AWS::Batch::JobDefinition"):
        definition["ContainerProperties"]["ResourceRequirements"][1]["Value"] = "4"
    cloud.push_image(cloud.asset_repository, "new")
    cloud.client("cloudformation").update_stack(StackName="Second", TemplateBody=json.dumps(changed))
    after = cloud.outputs("Second")
    assert {key for key in after if after[key] != before[key]} == {"BatchVCPUS"}
    (definition,) = cloud.client("batch").describe_job_definitions(
        jobDefinitionName=after["BatchProcessingJobDefinitionName"], status="ACTIVE"
    )["jobDefinitions"]
    assert definition["revision"] == 2
    assert {"type": "VCPU", "value": "4"} in definition["containerProperties"]["resourceRequirements"]
    images = cloud.inventory()
    assert f"ecr image {cloud.asset_repository}:new" in images
    assert f"ecr image {cloud.asset_repository}:old" not in images


def test_a_stack_that_cannot_be_made_is_rolled_back_and_says_why(
    cloud: Emulator, template: dict[str, Any]
) -> None:
    of_type(template, "AWS::Batch::ComputeEnvironment")[0]["ComputeResources"]["InstanceTypes"] = ["c99"]
    before = cloud.inventory()
    with pytest.raises(EmulationError, match=r"ROLLBACK_COMPLETE.*c99 does not exist"):
        cloud.deploy(template, "Second")
    cloud.client("cloudformation").delete_stack(StackName="Second")
    assert cloud.inventory() == before


def test_an_update_that_fails_is_taken_back(cloud: Emulator, template: dict[str, Any]) -> None:
    before = cloud.deploy(template, "Second", image_tags=["old"])
    changed = copy.deepcopy(template)
    changed["Outputs"]["BatchVCPUS"]["Value"] = "4"
    of_type(changed, "Custom::PushedImage")[0]["Tag"] = "new"
    network = [name for name, part in changed["Resources"].items() if part["Type"] == "AWS::EC2::Subnet"]
    changed["Resources"]["Later"] = {"Type": "AWS::Logs::LogGroup", "DependsOn": network}
    for subnet in of_type(changed, "AWS::EC2::Subnet"):
        subnet["CidrBlock"] = "10.0.0.0/19"  # overlaps the one that it is to replace, as on AWS
    formation = cloud.client("cloudformation")
    formation.update_stack(StackName="Second", TemplateBody=json.dumps(changed))
    (stack,) = formation.describe_stacks(StackName="Second")["Stacks"]
    assert stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert cloud.outputs("Second") == before
    assert f"ecr image {cloud.asset_repository}:old" in cloud.inventory()
    cloud.destroy("Second")


@pytest.mark.parametrize(("region", "constraint"), [("us-east-1", None), ("us-west-2", "us-west-2")])
def test_only_us_east_1_has_no_location(cloud: Emulator, region: str, constraint: str | None) -> None:
    s3 = cloud.client("s3", region=region)
    configuration = {"CreateBucketConfiguration": {"LocationConstraint": constraint}} if constraint else {}
    s3.create_bucket(Bucket="somewhere", **configuration)
    assert s3.get_bucket_location(Bucket="somewhere")["LocationConstraint"] == constraint
    s3.delete_bucket(Bucket="somewhere")
