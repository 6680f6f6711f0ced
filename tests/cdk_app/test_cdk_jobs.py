from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cdk_app.settings import DeploySettings
from tests.cdk_app.variants import synthesize

if TYPE_CHECKING:
    from tests.cdk_app.synthesized import Stack

JOBS = ["Worker", "Main", "Script"]


def definition(stack: Stack, job: str) -> dict[str, Any]:
    return stack.properties("AWS::Batch::JobDefinition", f"Jobs/{job}/")


def container(stack: Stack, job: str) -> dict[str, Any]:
    found: dict[str, Any] = definition(stack, job)["ContainerProperties"]
    return found


def requirements(stack: Stack, job: str) -> dict[str, str]:
    return {item["Type"]: item["Value"] for item in container(stack, job)["ResourceRequirements"]}


def environment(stack: Stack, job: str) -> dict[str, str]:
    return {item["Name"]: stack.value(item["Value"]) for item in container(stack, job)["Environment"]}


@pytest.mark.parametrize("job", JOBS)
def test_only_lost_machines_sigterm_and_pulls_are_tried_again(default: Stack, job: str) -> None:
    rules = definition(default, job)["RetryStrategy"]["EvaluateOnExit"]
    assert rules[:-1] == [
        {"Action": "RETRY", "OnStatusReason": "Host EC2*"},
        {"Action": "RETRY", "OnStatusReason": "Your Spot Task was interrupted*"},
        {"Action": "RETRY", "OnExitCode": "143"},
        {"Action": "RETRY", "OnReason": "CannotPullContainer*"},
    ]


@pytest.mark.parametrize("job", JOBS)
def test_anything_else_ends_the_job(default: Stack, job: str) -> None:
    rules = definition(default, job)["RetryStrategy"]["EvaluateOnExit"]
    assert rules[-1] == {"Action": "EXIT", "OnReason": "*"}
    assert len(rules) <= 5, "AWS Batch takes five"


@pytest.mark.parametrize(("stack_name", "attempts"), [("default", 5), ("everything", 3)])
def test_attempts(request: pytest.FixtureRequest, stack_name: str, attempts: int) -> None:
    stack = request.getfixturevalue(stack_name)
    assert definition(stack, "Worker")["RetryStrategy"]["Attempts"] == attempts


@pytest.mark.parametrize(("job", "hours"), [("Worker", 24), ("Main", 72), ("Script", 72)])
def test_timeouts_by_default(default: Stack, job: str, hours: int) -> None:
    assert definition(default, job)["Timeout"] == {"AttemptDurationSeconds": hours * 3600}


def test_timeout_setting(everything: Stack) -> None:
    assert definition(everything, "Worker")["Timeout"] == {"AttemptDurationSeconds": 2 * 3600}


def test_size_by_default(default: Stack) -> None:
    assert requirements(default, "Worker") == {"VCPU": "2", "MEMORY": "6144"}


def test_size_settings(everything: Stack) -> None:
    assert requirements(everything, "Worker") == {"VCPU": "4", "MEMORY": "12000"}


def test_worker_computes_as_many_tiles_as_it_has_vcpus(everything: Stack) -> None:
    assert environment(everything, "Worker")["RIOS_BATCH_PROCESSES"] == "4"


@pytest.mark.parametrize("job", ["Main", "Script"])
def test_main_knows_its_stack(everything: Stack, job: str) -> None:
    assert environment(everything, job)["RIOS_AWSBATCH_STACK"] == "Everything"
    assert environment(everything, job)["RIOS_AWSBATCH_REGION"] == "us-west-2"


def test_worker_and_script_run_the_workers_image(default: Stack) -> None:
    image = default.outputs()["WorkerImageUri"]
    assert default.value(container(default, "Worker")["Image"]) == image
    assert default.value(container(default, "Script")["Image"]) == image


def test_main_runs_what_the_user_pushed_as_latest(default: Stack) -> None:
    image = default.value(container(default, "Main")["Image"])
    assert image == default.outputs()["BatchECRMain"] + ":latest"


@pytest.mark.parametrize("job", ["Main", "Script"])
def test_main_leaves_the_command_to_image_or_submission(default: Stack, job: str) -> None:
    assert "Command" not in container(default, job)


@pytest.mark.parametrize("job", JOBS)
def test_an_init_process_forwards_sigterm(default: Stack, job: str) -> None:
    assert container(default, job)["LinuxParameters"]["InitProcessEnabled"] is True


@pytest.mark.parametrize("job", JOBS)
def test_output_goes_to_the_stacks_own_log_group(default: Stack, job: str) -> None:
    log = container(default, job)["LogConfiguration"]
    assert log["LogDriver"] == "awslogs"
    assert default.value(log["Options"]["awslogs-group"]) == default.outputs()["LogGroupName"]
    assert log["Options"]["awslogs-stream-prefix"] == job.lower()


@pytest.mark.parametrize(("stack_name", "days"), [("default", 30), ("everything", 7)])
def test_log_retention(request: pytest.FixtureRequest, stack_name: str, days: int) -> None:
    stack = request.getfixturevalue(stack_name)
    assert stack.properties("AWS::Logs::LogGroup", "Jobs/")["RetentionInDays"] == days


def test_main_and_script_share_a_role_that_workers_do_not_have(default: Stack) -> None:
    roles = {job: container(default, job)["JobRoleArn"]["Fn::GetAtt"][0] for job in JOBS}
    assert roles["Main"] == roles["Script"] != roles["Worker"]


@pytest.mark.parametrize("job", JOBS)
def test_instances_run_jobs_by_default(default: Stack, job: str) -> None:
    assert definition(default, job)["PlatformCapabilities"] == ["EC2"]


@pytest.mark.parametrize("job", JOBS)
def test_fargate_runs_jobs_if_asked(fargate: Stack, job: str) -> None:
    assert definition(fargate, job)["PlatformCapabilities"] == ["FARGATE"]
    assert container(fargate, job)["RuntimePlatform"] == {"CpuArchitecture": "X86_64"}


def test_fargate_in_a_public_network_has_an_address(fargate: Stack) -> None:
    assert container(fargate, "Worker")["NetworkConfiguration"] == {"AssignPublicIp": "ENABLED"}


def test_fargate_in_a_private_network_has_none() -> None:
    template = synthesize(DeploySettings(capacity="fargate", network="private"))
    jobs = [item for item in template["Resources"].values() if item["Type"] == "AWS::Batch::JobDefinition"]
    found = [job["Properties"]["ContainerProperties"]["NetworkConfiguration"] for job in jobs]
    assert found == [{"AssignPublicIp": "DISABLED"}] * len(JOBS)


@pytest.mark.parametrize("job", JOBS)
def test_tags_of_a_job_reach_its_task(default: Stack, job: str) -> None:
    assert definition(default, job)["PropagateTags"] is True


def test_fargate_volumes(fargate: Stack) -> None:
    assert container(fargate, "Worker")["EphemeralStorage"] == {"SizeInGiB": 30}
    assert container(fargate, "Main")["EphemeralStorage"] == {"SizeInGiB": 100}


def test_given_image_in_ecr_can_be_pulled(fargate: Stack) -> None:
    role, _ = fargate.named("AWS::IAM::Role", "Jobs/ExecutionRole")
    pulls = [
        statement["Resource"]
        for statement in fargate.statements(role)
        if "ecr:BatchGetImage" in statement["Action"]
    ]
    assert "arn:aws:ecr:us-west-2:123456789012:repository/mine" in pulls[0]


def test_workers_with_gpus_ask_for_them_and_compute_a_tile_on_each() -> None:
    template = synthesize(DeploySettings(gpus=2, vcpus=8))
    definitions = [
        resource["Properties"]["ContainerProperties"]
        for resource in template["Resources"].values()
        if resource["Type"] == "AWS::Batch::JobDefinition"
    ]
    with_gpus = [one for one in definitions if {"Type": "GPU", "Value": "2"} in one["ResourceRequirements"]]

    (worker,) = with_gpus
    variables = {item["Name"]: item["Value"] for item in worker["Environment"]}
    assert (variables["RIOS_BATCH_PROCESSES"], variables["RIOS_BATCH_GPUS"]) == ("2", "2")
    assert len(definitions) == 3
    outputs = template["Outputs"]
    assert (outputs["BatchGPUs"]["Value"], outputs["BatchVCPUS"]["Value"]) == ("2", "8")
