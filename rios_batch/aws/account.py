"""What an account allows beyond the stack: its plan, its quotas, the environments behind a queue.

The submitter policy does not cover these questions. Whoever may not ask gets a DeniedError.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rios_batch.aws.clients import make_client
from rios_batch.aws.faults import explained

if TYPE_CHECKING:
    from mypy_boto3_batch import BatchClient

SPOT_QUOTA, ON_DEMAND_QUOTA = "L-34B43A08", "L-1216C47A"
_PLANS_REGION = "us-east-1"  # the only one that knows plans


@dataclass(frozen=True)
class Environment:
    """A compute environment of AWS Batch.

    Attributes
    ----------
    name : of the environment.
    state, status, reason : AWS Batch's; ``ENABLED`` and ``VALID`` are good ones.
    kind : ``SPOT``, ``EC2``, ``FARGATE`` or ``FARGATE_SPOT``.
    max_vcpus : most vCPUs of all its machines.
    num_subnets : subnets in which machines may start, one for each availability zone.
    """

    name: str
    state: str
    status: str
    reason: str
    kind: str
    max_vcpus: int
    num_subnets: int


def environments_of(client: BatchClient, queue: str) -> list[Environment]:
    """Return the compute environments of a job queue.

    Raises
    ------
    DeniedError : the caller may not ask.
    AWSError : AWS Batch refuses otherwise.
    """
    with explained("the compute environments"):
        queues = client.describe_job_queues(jobQueues=[queue])["jobQueues"]
        names = [
            order["computeEnvironment"] for found in queues for order in found["computeEnvironmentOrder"]
        ]
        found = client.describe_compute_environments(computeEnvironments=names)["computeEnvironments"]
    return [
        Environment(
            name=one["computeEnvironmentName"],
            state=one.get("state", ""),
            status=one.get("status", ""),
            reason=one.get("statusReason", ""),
            kind=one.get("computeResources", {}).get("type", ""),
            max_vcpus=one.get("computeResources", {}).get("maxvCpus", 0),
            num_subnets=len(one.get("computeResources", {}).get("subnets", [])),
        )
        for one in found
    ]


def vcpu_quota(region: str, code: str) -> int:
    """Return how many vCPUs of EC2 the account may use at a time.

    Parameters
    ----------
    code : `SPOT_QUOTA` or `ON_DEMAND_QUOTA`.

    Raises
    ------
    DeniedError : the caller may not ask.
    AWSError : Service Quotas refuses otherwise.
    """
    with (
        explained(f"quota {code}"),
        contextlib.closing(make_client("service-quotas", region=region)) as client,
    ):
        return int(client.get_service_quota(ServiceCode="ec2", QuotaCode=code)["Quota"]["Value"])


def account_plan() -> str:
    """Return the account's plan: ``FREE`` or ``PAID``.

    Raises
    ------
    DeniedError : the caller may not ask.
    AWSError : AWS refuses otherwise.
    """
    with (
        explained("the account's plan"),
        contextlib.closing(make_client("freetier", region=_PLANS_REGION)) as client,
    ):
        plan: str = client.get_account_plan_state()["accountPlanType"]
        return plan
