"""What the stack makes is what the runtime reads: the join that no other test would notice breaking."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rios_batch import __version__
from rios_batch.aws.stackoutputs import StackOutputs
from rios_batch.awsbatch.configuration import WorkerConfig, argument_parser
from rios_batch.contract import WORKER_COMMAND, StackOutput, export_name

if TYPE_CHECKING:
    import argparse

    from tests.cdk_app.conftest import Assembly
    from tests.cdk_app.synthesized import Stack

STACKS = ["RiosBatch", "Everything", "Fargate"]


@pytest.fixture(params=STACKS)
def stack(request: pytest.FixtureRequest, assembly: Assembly) -> Stack:
    return assembly.stacks[request.param]


def test_outputs_parse(stack: Stack) -> None:
    StackOutputs.from_outputs("Any", stack.outputs())


def test_outputs_are_those_of_the_contract(stack: Stack) -> None:
    assert set(stack.template["Outputs"]) == {key.value for key in StackOutput}


@pytest.mark.parametrize("name", STACKS)
def test_every_output_is_exported_under_its_name(assembly: Assembly, name: str) -> None:
    outputs = assembly.stacks[name].template["Outputs"]
    for key in StackOutput:
        assert outputs[key.value]["Export"] == {"Name": export_name(name, key)}


def test_outputs_name_the_resources(default: Stack) -> None:
    outputs = default.outputs()
    read = StackOutputs.from_outputs("RiosBatch", outputs)
    assert read.worker_queue == default.named("AWS::Batch::JobQueue", "Workers/")[0].lower()
    assert read.main_queue == default.named("AWS::Batch::JobQueue", "Mains/")[0].lower()
    for job, name in [
        ("Worker", read.worker_definition),
        ("Main", outputs[StackOutput.MAIN_DEFINITION]),
        ("Script", read.script_definition),
    ]:
        assert name == default.named("AWS::Batch::JobDefinition", f"Jobs/{job}/")[0].lower()
    assert read.bucket == next(iter(default.of_type("AWS::S3::Bucket"))).lower()
    assert read.log_group == default.named("AWS::Logs::LogGroup", "Jobs/")[0].lower()
    for policy, path in [
        (StackOutput.SUBMITTER_POLICY, "SubmitterPolicy"),
        (StackOutput.PUBLISHER_POLICY, "ImagePublisherPolicy"),
    ]:
        assert outputs[policy].endswith("/" + default.named("AWS::IAM::ManagedPolicy", path)[0].lower())
    repository = next(iter(default.of_type("AWS::ECR::Repository"))).lower()
    uri = f"123456789012.dkr.ecr.us-west-2.amazonaws.com/{repository}"
    assert outputs[StackOutput.MAIN_REPOSITORY] == uri
    assert read.version == __version__


def test_sizes_are_those_of_the_settings(everything: Stack) -> None:
    outputs = everything.outputs()
    read = StackOutputs.from_outputs("Everything", outputs)
    assert (read.worker_vcpus, read.max_vcpus) == (4, 64)
    assert outputs[StackOutput.WORKER_MEMORY_MIB] == "12000"
    assert (outputs[StackOutput.MAIN_VCPUS], outputs[StackOutput.MAIN_MEMORY_MIB]) == ("2", "6144")


def worker(stack: Stack) -> tuple[dict[str, str], list[str]]:
    properties = stack.properties("AWS::Batch::JobDefinition", "Jobs/Worker/")
    container: dict[str, Any] = properties["ContainerProperties"]
    env = {item["Name"]: stack.value(item["Value"]) for item in container["Environment"]}
    return env, container["Command"]


def parse_command(command: list[str]) -> argparse.Namespace:
    """Read a job definition's whole command as the worker would."""
    length = len(WORKER_COMMAND)
    assert tuple(command[:length]) == WORKER_COMMAND
    return argument_parser().parse_args(command[length:])


def test_workers_command_parses(stack: Stack) -> None:
    arguments = parse_command(worker(stack)[1])
    assert arguments.processes is None


def test_workers_environment_and_that_of_a_run_parse(stack: Stack) -> None:
    env, command = worker(stack)
    read_outputs = StackOutputs.from_outputs("Any", stack.outputs())
    submitted = WorkerConfig(
        bucket=read_outputs.bucket,
        region="us-west-2",
        processes=read_outputs.worker_processes,
        run_id="run-1",
        job_sha256="0" * 64,
        queue_url=f"https://sqs.us-west-2.amazonaws.com/123456789012/{read_outputs.run_queue_prefix}run-1",
        lease_seconds=300,
    )
    read = WorkerConfig.from_env(env | submitted.run_env()).with_arguments(parse_command(command))
    assert read == submitted


def test_stack_sets_nothing_that_belongs_to_a_run_or_to_batch(stack: Stack) -> None:
    assert set(worker(stack)[0]) == {"RIOS_BATCH_BUCKET", "AWS_DEFAULT_REGION", "RIOS_BATCH_PROCESSES"}


def test_queue_names_fit_into_80_characters(default: Stack) -> None:
    assert len(default.outputs()["RunQueuePrefix"]) + 60 <= 80
