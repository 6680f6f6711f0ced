"""A deployed stack's outputs, checked and typed: what the stack tells the runtime."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from rios_batch.aws.faults import error_code
from rios_batch.contract import CONTRACT_VERSION, ENV_STACK, ENV_STACK_REGION, StackOutput
from rios_batch.errors import StackExportsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import StackTypeDef

_USABLE = frozenset(
    {
        "CREATE_COMPLETE",
        "UPDATE_COMPLETE",
        "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",  # the new resources are in place
        "UPDATE_ROLLBACK_COMPLETE",  # as it was before the update
        "IMPORT_COMPLETE",
        "IMPORT_ROLLBACK_COMPLETE",
    }
)


@dataclass(frozen=True, kw_only=True)
class StackOutputs:
    """What the runtime reads of a deployed stack's outputs: names and sizes.

    Attributes
    ----------
    stack_name : the stack; also the value of the tag on its jobs.
    worker_queue, main_queue : Batch job queues.
    worker_definition : runs a worker.
    script_definition : runs a command given at submission in the worker's image, with main's rights.
    worker_vcpus, worker_gpus : vCPUs and GPUs of one worker.
    main_vcpus : vCPUs of one main.
    worker_memory_mib : what one worker may take, in MiB.
    max_vcpus : most vCPUs that all workers together can have.
    bucket : exchange bucket.
    run_queue_prefix : names of per-run SQS queues begin with it.
    log_group : CloudWatch log group of all jobs.
    worker_image : name of the workers' image.
    python : Python of the workers, such as 3.13; ``unknown`` for an image that nobody described.
    version : version of rios_batch that the stack was deployed from.
    """

    stack_name: str
    worker_queue: str
    worker_definition: str
    main_queue: str
    script_definition: str
    worker_vcpus: int
    worker_gpus: int
    main_vcpus: int
    worker_memory_mib: int
    max_vcpus: int
    bucket: str
    run_queue_prefix: str
    log_group: str
    worker_image: str
    python: str
    version: str

    @property
    def worker_processes(self) -> int:
        """Return how many tiles a worker computes at a time: one on each GPU, or else one on each vCPU."""
        return self.worker_gpus or self.worker_vcpus

    @classmethod
    def from_outputs(cls, stack_name: str, outputs: Mapping[str, str]) -> StackOutputs:
        """Build from a stack's outputs as key-value pairs.

        Raises
        ------
        StackExportsError : an output is missing, empty or not a number, or the contract is another one.
        """
        missing = [key.value for key in StackOutput if not outputs.get(key)]
        if missing:
            raise StackExportsError(
                f"stack {stack_name} has no output {', '.join(missing)}; it was not made by this project, or"
                f" by another version of it: deploy it again, or name another one with {ENV_STACK}"
            )
        read = _Reader(stack_name, outputs)
        contract = read.number(StackOutput.CONTRACT)
        if contract != CONTRACT_VERSION:
            raise StackExportsError(
                f"stack {stack_name} follows contract {contract} (rios_batch {outputs[StackOutput.VERSION]}),"
                f" this rios_batch follows {CONTRACT_VERSION}: install that version, or deploy again"
            )
        return cls(
            stack_name=stack_name,
            worker_queue=outputs[StackOutput.WORKER_QUEUE],
            worker_definition=outputs[StackOutput.WORKER_DEFINITION],
            main_queue=outputs[StackOutput.MAIN_QUEUE],
            script_definition=outputs[StackOutput.SCRIPT_DEFINITION],
            worker_vcpus=read.number(StackOutput.WORKER_VCPUS),
            worker_gpus=read.number(StackOutput.WORKER_GPUS),
            main_vcpus=read.number(StackOutput.MAIN_VCPUS),
            worker_memory_mib=read.number(StackOutput.WORKER_MEMORY_MIB),
            max_vcpus=read.number(StackOutput.MAX_VCPUS),
            bucket=outputs[StackOutput.BUCKET],
            run_queue_prefix=outputs[StackOutput.RUN_QUEUE_PREFIX],
            log_group=outputs[StackOutput.LOG_GROUP],
            worker_image=outputs[StackOutput.WORKER_IMAGE],
            python=outputs[StackOutput.PYTHON],
            version=outputs[StackOutput.VERSION],
        )

    @classmethod
    def from_description(cls, description: StackTypeDef) -> StackOutputs:
        """Build from one element of ``Stacks`` in a DescribeStacks reply.

        Raises
        ------
        StackExportsError : the stack is being changed, failed, or lacks outputs.
        """
        name, status = description["StackName"], description["StackStatus"]
        if status not in _USABLE:
            cure = (
                "wait until it is done"
                if status.endswith("_IN_PROGRESS")
                else "look at its events, deploy again"
            )
            raise StackExportsError(f"stack {name} cannot be used, its status is {status}: {cure}")
        outputs = {
            output["OutputKey"]: output["OutputValue"]
            for output in description.get("Outputs", [])
            if "OutputKey" in output and "OutputValue" in output
        }
        return cls.from_outputs(name, outputs)


@dataclass(frozen=True)
class _Reader:
    stack_name: str
    outputs: Mapping[str, str]

    def number(self, key: StackOutput) -> int:
        text = self.outputs[key]
        try:
            return int(text)
        except ValueError as error:
            raise StackExportsError(
                f"output {key.value} of stack {self.stack_name} is {text!r}, not a whole number:"
                " deploy it again"
            ) from error


def read_stack_outputs(client: CloudFormationClient, *, stack_name: str) -> StackOutputs:
    """Look up a stack and read its outputs.

    Raises
    ------
    StackExportsError : there is no such stack in the client's region, or it cannot be used.
    """
    try:
        reply = client.describe_stacks(StackName=stack_name)
    except ClientError as error:
        if error_code(error) != "ValidationError":
            raise
        raise StackExportsError(
            f"there is no stack {stack_name} in {client.meta.region_name}; make it with `npx cdk deploy`,"
            f" or name the stack and region with {ENV_STACK} and {ENV_STACK_REGION}"
        ) from error
    return StackOutputs.from_description(reply["Stacks"][0])
