"""Finding the stack and checking that it can be used, before anything is submitted."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import NoRegionError

from rios_batch import __version__
from rios_batch.aws.clients import make_client
from rios_batch.aws.credentials import configured_region
from rios_batch.aws.faults import explained
from rios_batch.aws.objects import Bucket
from rios_batch.aws.stackoutputs import StackOutputs, read_stack_outputs
from rios_batch.contract import DEFAULT_STACK_NAME, ENV_STACK, ENV_STACK_REGION
from rios_batch.errors import JobMgrError, StackExportsError

if TYPE_CHECKING:
    from mypy_boto3_batch import BatchClient
    from mypy_boto3_sqs import SQSClient


@dataclass(frozen=True)
class Cloud:
    """A stack that can be used, and clients in the stack's region.

    Attributes
    ----------
    stack_outputs : the stack's outputs.
    region : AWS region of the stack.
    bucket : the exchange bucket.
    sqs, batch : boto3's clients.
    """

    stack_outputs: StackOutputs
    region: str
    bucket: Bucket
    sqs: SQSClient
    batch: BatchClient

    @classmethod
    def connect(cls) -> Cloud:
        """Find the stack that the environment names, and check all that a run needs of it.

        Raises
        ------
        JobMgrError : region or credentials are missing, or something of the stack cannot be used.
        """
        stack_name = os.environ.get(ENV_STACK) or DEFAULT_STACK_NAME
        with explained(f"stack {stack_name}"):
            region = os.environ.get(ENV_STACK_REGION) or configured_region()
            if not region:
                raise NoRegionError
            with contextlib.closing(make_client("sts", region=region)) as client:
                client.get_caller_identity()
            with contextlib.closing(make_client("cloudformation", region=region)) as client:
                stack_outputs = read_stack_outputs(client, stack_name=stack_name)
            cloud = cls.of_stack(stack_outputs, region)
            cloud.check_version()
            cloud.bucket.check()
            cloud.check_queue(stack_outputs.worker_queue)
        return cloud

    @classmethod
    def of_stack(cls, stack_outputs: StackOutputs, region: str) -> Cloud:
        """Make the clients of a stack; nothing is checked."""
        return cls(
            stack_outputs,
            region,
            Bucket(stack_outputs.bucket, make_client("s3", region=region)),
            make_client("sqs", region=region),
            make_client("batch", region=region),
        )

    def check_version(self) -> None:
        """See that the stack was deployed from this version.

        Raises
        ------
        StackExportsError : it was deployed from another one.
        """
        name, version = self.stack_outputs.stack_name, self.stack_outputs.version
        if version != __version__:
            raise StackExportsError(
                f"stack {name} runs rios_batch {version}, this is {__version__}: deploy it again from this version "
                "(`npx cdk deploy`), or install that one here"
            )

    def close(self) -> None:
        """Close all connections. A client that is used again opens new ones."""
        for client in (self.bucket.client, self.sqs, self.batch):
            client.close()

    def check_queue(self, name: str) -> None:
        """See that a Batch queue takes jobs.

        Raises
        ------
        JobMgrError : the queue does not exist, or is disabled or invalid.
        """
        found = self.batch.describe_job_queues(jobQueues=[name])["jobQueues"]
        advice = "deploy the stack again"
        if not found:
            raise JobMgrError(f"there is no Batch job queue {name} in {self.region}; {advice}")
        state, status = found[0]["state"], found[0].get("status", "")
        if state != "ENABLED" or status not in ("VALID", "UPDATING", ""):
            reason = found[0].get("statusReason", "")
            raise JobMgrError(
                f"Batch job queue {name} takes no jobs, it is {state} and {status}{f' ({reason})' if reason else ''}; "
                f"enable it, or {advice}"
            )
