from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cdk_app.settings import DeploySettings
from tests.cdk_app.variants import synthesize

if TYPE_CHECKING:
    from tests.cdk_app.conftest import Assembly
    from tests.cdk_app.synthesized import Stack


def resources(stack: Stack, pool: str) -> dict[str, Any]:
    found: dict[str, Any] = stack.properties("AWS::Batch::ComputeEnvironment", f"{pool}/")["ComputeResources"]
    return found


def launch_template(stack: Stack, pool: str) -> dict[str, Any]:
    found: dict[str, Any] = stack.properties("AWS::EC2::LaunchTemplate", f"{pool}/")["LaunchTemplateData"]
    return found


def root_volume(stack: Stack, pool: str) -> dict[str, Any]:
    (mapping,) = launch_template(stack, pool)["BlockDeviceMappings"]
    assert mapping["DeviceName"] == "/dev/xvda"
    volume: dict[str, Any] = mapping["Ebs"]
    return volume


@pytest.mark.parametrize("pool", ["Workers", "Mains"])
def test_no_machine_stays_when_no_job_waits(default: Stack, pool: str) -> None:
    assert resources(default, pool)["MinvCpus"] == 0


def test_workers_run_on_spot_by_default(default: Stack) -> None:
    assert resources(default, "Workers")["Type"] == "SPOT"


def test_spot_workers_go_where_capacity_is(default: Stack) -> None:
    assert resources(default, "Workers")["AllocationStrategy"] == "SPOT_PRICE_CAPACITY_OPTIMIZED"


def test_main_is_never_on_spot(default: Stack, fargate: Stack) -> None:
    assert resources(default, "Mains")["Type"] == "EC2"
    assert resources(fargate, "Mains")["Type"] == "FARGATE"


@pytest.mark.parametrize("pool", ["Workers", "Mains"])
def test_on_demand_machines_have_an_explicit_strategy(everything: Stack, pool: str) -> None:
    assert resources(everything, pool)["Type"] == "EC2"
    assert resources(everything, pool)["AllocationStrategy"] == "BEST_FIT_PROGRESSIVE"


def test_fargate_spot_workers(fargate: Stack) -> None:
    assert resources(fargate, "Workers")["Type"] == "FARGATE_SPOT"


def test_fargate_spot_workers_on_arm() -> None:
    resources = synthesize(DeploySettings(capacity="fargate-spot", arch="arm64"))["Resources"].values()
    kinds = [
        part["Properties"]["ComputeResources"]["Type"]
        for part in resources
        if part["Type"] == "AWS::Batch::ComputeEnvironment"
    ]
    platforms = [
        part["Properties"]["ContainerProperties"]["RuntimePlatform"]["CpuArchitecture"]
        for part in resources
        if part["Type"] == "AWS::Batch::JobDefinition"
    ]
    assert sorted(kinds) == ["FARGATE", "FARGATE_SPOT"]
    assert platforms == ["ARM64"] * 3


def test_fargate_has_no_launch_template(fargate: Stack) -> None:
    assert not fargate.of_type("AWS::EC2::LaunchTemplate")


@pytest.mark.parametrize("pool", ["Workers", "Mains"])
def test_fargate_is_replaced_because_nothing_there_can_be_updated(fargate: Stack, pool: str) -> None:
    environment = fargate.properties("AWS::Batch::ComputeEnvironment", f"{pool}/")
    assert environment["ReplaceComputeEnvironment"] is True
    assert "UpdatePolicy" not in environment


@pytest.mark.parametrize("kind", ["AWS::Batch::ComputeEnvironment", "AWS::Batch::JobQueue"])
@pytest.mark.parametrize("other", [{"capacity": "fargate"}, {"arch": "arm64"}])
def test_what_batch_cannot_change_is_made_anew(default: Stack, other: dict[str, Any], kind: str) -> None:
    resources = synthesize(DeploySettings(**other))["Resources"]
    after = {name for name, resource in resources.items() if resource["Type"] == kind}
    assert len(after) == 2
    assert not after & set(default.of_type(kind))


def test_change_from_spot_to_on_demand_stays_in_place(default: Stack) -> None:
    after = synthesize(DeploySettings(capacity="on-demand"))["Resources"]
    assert set(default.of_type("AWS::Batch::JobQueue")) <= set(after)


@pytest.mark.parametrize(("pool", "vcpus"), [("Workers", 128), ("Mains", 16)])
def test_max_vcpus_by_default(default: Stack, pool: str, vcpus: int) -> None:
    assert resources(default, pool)["MaxvCpus"] == vcpus


@pytest.mark.parametrize(("pool", "vcpus"), [("Workers", 128), ("Mains", 16)])
def test_max_vcpus_on_fargate(fargate: Stack, pool: str, vcpus: int) -> None:
    assert resources(fargate, pool)["MaxvCpus"] == vcpus


def test_max_vcpus_setting(everything: Stack) -> None:
    assert resources(everything, "Workers")["MaxvCpus"] == 64


def test_batch_chooses_current_x86_families_by_default(default: Stack) -> None:
    assert resources(default, "Workers")["InstanceTypes"] == ["default_x86_64"]


def test_arch_chooses_families_where_no_types_are_named(everything: Stack) -> None:
    assert resources(everything, "Mains")["InstanceTypes"] == ["default_arm64"]


def test_instance_types_and_families_setting(everything: Stack) -> None:
    assert resources(everything, "Workers")["InstanceTypes"] == ["m7g.xlarge", "c7g"]


@pytest.mark.parametrize("pool", ["Workers", "Mains"])
def test_machines_run_amazon_linux_2023(default: Stack, pool: str) -> None:
    assert resources(default, pool)["Ec2Configuration"] == [{"ImageType": "ECS_AL2023"}]


def test_service_role_is_the_linked_one_so_that_updates_work_in_place(default: Stack) -> None:
    environment = default.properties("AWS::Batch::ComputeEnvironment", "Workers/")
    assert "ServiceRole" not in environment
    assert environment["ReplaceComputeEnvironment"] is False


@pytest.mark.parametrize("pool", ["Workers", "Mains"])
def test_update_brings_the_newest_machine_image(default: Stack, pool: str) -> None:
    assert resources(default, pool)["UpdateToLatestImageVersion"] is True


@pytest.mark.parametrize("pool", ["Workers", "Mains"])
def test_changed_launch_template_reaches_the_environment(default: Stack, pool: str) -> None:
    name, _ = default.named("AWS::EC2::LaunchTemplate", f"{pool}/")
    assert resources(default, pool)["LaunchTemplate"] == {
        "LaunchTemplateId": {"Ref": name},
        "Version": {"Fn::GetAtt": [name, "LatestVersionNumber"]},
    }


def test_agent_takes_no_new_jobs_on_a_machine_that_is_being_reclaimed(default: Stack) -> None:
    user_data = default.value(launch_template(default, "Workers")["UserData"])
    assert user_data.startswith("Content-Type: multipart/mixed;")
    assert "echo ECS_ENABLE_SPOT_INSTANCE_DRAINING=true >> /etc/ecs/ecs.config" in user_data


@pytest.mark.parametrize("pool", ["Workers", "Mains"])
def test_instance_metadata_needs_a_token(default: Stack, pool: str) -> None:
    assert launch_template(default, pool)["MetadataOptions"]["HttpTokens"] == "required"


@pytest.mark.parametrize(("pool", "gib"), [("Workers", 30), ("Mains", 100)])
def test_volumes_by_default(default: Stack, pool: str, gib: int) -> None:
    assert root_volume(default, pool)["VolumeSize"] == gib


@pytest.mark.parametrize(("pool", "gib"), [("Workers", 60), ("Mains", 300)])
def test_volume_settings(everything: Stack, pool: str, gib: int) -> None:
    assert root_volume(everything, pool)["VolumeSize"] == gib


@pytest.mark.parametrize("pool", ["Workers", "Mains"])
def test_volumes_are_of_the_cheaper_kind(default: Stack, pool: str) -> None:
    assert root_volume(default, pool)["VolumeType"] == "gp3"


@pytest.mark.parametrize("pool", ["Workers", "Mains"])
def test_volumes_are_encrypted_and_go_with_the_machine(default: Stack, pool: str) -> None:
    volume = root_volume(default, pool)
    assert volume["Encrypted"] is True
    assert volume["DeleteOnTermination"] is True


def limits(stack: Stack, pool: str) -> dict[str, int]:
    actions = stack.properties("AWS::Batch::JobQueue", f"{pool}/")["JobStateTimeLimitActions"]
    assert all((action["State"], action["Action"]) == ("RUNNABLE", "CANCEL") for action in actions)
    return {action["Reason"]: action["MaxTimeSeconds"] for action in actions}


@pytest.mark.parametrize("pool", ["Workers", "Mains"])
def test_jobs_that_no_machine_fits_are_cancelled_soon(default: Stack, pool: str) -> None:
    found = limits(default, pool)
    assert found["MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT"] == 600
    assert found["MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE"] == 600


def test_jobs_may_wait_half_a_day_for_capacity(default: Stack) -> None:
    assert limits(default, "Workers")["CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY"] == 12 * 3600


def test_runnable_limit_setting(everything: Stack) -> None:
    assert limits(everything, "Workers")["CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY"] == 30 * 60


@pytest.mark.parametrize("pool", ["Workers", "Mains"])
def test_queue_has_its_own_environment(default: Stack, pool: str) -> None:
    name, _ = default.named("AWS::Batch::ComputeEnvironment", f"{pool}/")
    order = default.properties("AWS::Batch::JobQueue", f"{pool}/")["ComputeEnvironmentOrder"]
    assert order == [{"ComputeEnvironment": {"Fn::GetAtt": [name, "ComputeEnvironmentArn"]}, "Order": 1}]


def test_instances_have_only_the_agents_managed_policy(default: Stack) -> None:
    role = default.properties("AWS::IAM::Role", "Workers/")
    assert default.value(role["ManagedPolicyArns"]) == [
        "arn:aws:iam::aws:policy/service-role/AmazonEC2ContainerServiceforEC2Role"
    ]


# The order of deletion, which is that of the template's graph backwards.

CONNECTIVITY = {
    "AWS::EC2::EIP",
    "AWS::EC2::InternetGateway",
    "AWS::EC2::NatGateway",
    "AWS::EC2::Route",
    "AWS::EC2::RouteTable",
    "AWS::EC2::SecurityGroup",
    "AWS::EC2::Subnet",
    "AWS::EC2::SubnetRouteTableAssociation",
    "AWS::EC2::VPC",
    "AWS::EC2::VPCEndpoint",
    "AWS::EC2::VPCGatewayAttachment",
}


@pytest.mark.parametrize("pool", ["Workers", "Mains"])
@pytest.mark.parametrize("stack_name", ["RiosBatch", "Everything", "Fargate"])
def test_machines_are_gone_before_their_network_is_taken_away(
    assembly: Assembly, stack_name: str, pool: str
) -> None:
    stack = assembly.stacks[stack_name]
    environment, _ = stack.named("AWS::Batch::ComputeEnvironment", f"{pool}/")
    network = {name for kind in CONNECTIVITY for name in stack.of_type(kind)}
    assert network
    assert network <= stack.needs(environment)


@pytest.mark.parametrize("stack_name", ["RiosBatch", "Everything", "Fargate"])
def test_jobs_keep_their_permissions_until_their_queue_is_gone(assembly: Assembly, stack_name: str) -> None:
    stack = assembly.stacks[stack_name]
    queues = list(stack.of_type("AWS::Batch::JobQueue"))
    policies = {
        name
        for role in ("WorkerRole", "MainRole", "ExecutionRole")
        for name in [stack.named("AWS::IAM::Policy", f"Jobs/{role}/DefaultPolicy")[0]]
    }
    assert len(queues) == 2
    for queue in queues:
        assert policies <= stack.needs(queue)


@pytest.mark.parametrize("stack_name", ["RiosBatch", "Everything", "Fargate"])
def test_environments_are_made_one_after_the_other_so_that_one_makes_the_service_linked_role(
    assembly: Assembly, stack_name: str
) -> None:
    stack = assembly.stacks[stack_name]
    workers, mains = (
        stack.named("AWS::Batch::ComputeEnvironment", f"{pool}/")[0] for pool in ("Workers", "Mains")
    )
    assert workers in stack.needs(mains)


@pytest.mark.parametrize(
    ("instance_types", "expected"), [((), ["g4dn", "g5", "g6"]), (("g5.12xlarge",), ["g5.12xlarge"])]
)
def test_workers_with_gpus_run_on_machines_and_an_image_that_have_them(
    instance_types: tuple[str, ...], expected: list[str]
) -> None:
    settings = DeploySettings(gpus=2, vcpus=8, instance_types=instance_types)
    found = of_type(synthesize(settings), "AWS::Batch::ComputeEnvironment")
    workers, mains = (found[path]["ComputeResources"] for path in sorted(found, reverse=True))

    assert workers["InstanceTypes"] == expected
    assert workers["Ec2Configuration"] == [{"ImageType": "ECS_AL2023_NVIDIA"}]
    assert mains["InstanceTypes"] == ["default_x86_64"]
    assert mains["Ec2Configuration"] == [{"ImageType": "ECS_AL2023"}]


def of_type(template: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    resources = template["Resources"].items()
    return {name: resource["Properties"] for name, resource in resources if resource["Type"] == kind}
