"""Turns the runtime's table of AWS calls into policy statements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aws_cdk import aws_iam as iam
from constructs import Construct

from cdk_app.acknowledged import acknowledge_wildcards
from rios_batch.aws.calls import On, Role, actions
from rios_batch.contract import IMAGES_PREFIX, JOB_TAG, RESULT_FOLDERS, RUNS_PREFIX, SCRIPTS_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aws_cdk import Stack
    from aws_cdk import aws_logs as logs
    from aws_cdk import aws_s3 as s3


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Within what the runtime's calls stay.

    Attributes
    ----------
    stack : the stack; also the value of the tag on its jobs.
    bucket : exchange bucket.
    run_queue_prefix : names of per-run queues begin with it.
    job_queues : ARNs of the job queues.
    job_definitions : ARNs of the job definitions.
    log_group : log of all jobs.
    inputs, outputs : users' buckets, as ``bucket`` or ``bucket/prefix``; ``*`` is every bucket.
    """

    stack: Stack
    bucket: s3.IBucket
    run_queue_prefix: str
    job_queues: Sequence[str]
    job_definitions: Sequence[str]
    log_group: logs.ILogGroup
    inputs: Sequence[str]
    outputs: Sequence[str]

    def arns(self) -> dict[On, list[str]]:
        """Give the ARNs of each thing that calls act upon; no buckets, no ARNs."""
        own, name = self.stack.format_arn, self.stack.stack_name
        job = own(service="batch", resource="job", resource_name="*")
        # AWS's reference names the job, queue and definition for SubmitJob, and for the tags that it takes along.
        submission = [job, *self.job_queues, *self.job_definitions]
        return {
            # Described by name, and a name says nothing of the id behind the slash.
            On.STACK: [own(service="cloudformation", resource="stack", resource_name=f"{name}/*")],
            On.EXCHANGE_BUCKET: [self.bucket.bucket_arn],
            On.RUN_OBJECTS: [self.bucket.arn_for_objects(f"{RUNS_PREFIX}*")],
            # IAM's star stands for slashes, too.
            On.RUN_RESULTS: [
                self.bucket.arn_for_objects(f"{RUNS_PREFIX}*/{folder}*") for folder in RESULT_FOLDERS
            ],
            On.SCRIPTS: [self.bucket.arn_for_objects(f"{SCRIPTS_PREFIX}*")],
            On.IMAGES: [self.bucket.arn_for_objects(f"{IMAGES_PREFIX}*")],
            On.INPUT_BUCKETS: self._buckets(self.inputs),
            On.INPUT_OBJECTS: self._objects(self.inputs),
            On.OUTPUT_BUCKETS: self._buckets(self.outputs),
            On.OUTPUT_OBJECTS: self._objects(self.outputs),
            On.RUN_QUEUES: [own(service="sqs", resource=f"{self.run_queue_prefix}*")],
            On.JOB_QUEUES_AND_DEFINITIONS: submission,
            On.OWN_JOBS: [job],
            On.NEW_JOBS: submission,
            On.JOB_LOG: [self.log_group.log_group_arn],
            On.EVERYTHING: ["*"],
        }

    def _buckets(self, names: Sequence[str]) -> list[str]:
        return [f"arn:{self.stack.partition}:s3:::{name.partition('/')[0]}" for name in names]

    def _objects(self, names: Sequence[str]) -> list[str]:
        # A slash before the star: the prefix 2026 is not to cover 2026-private.
        return [f"arn:{self.stack.partition}:s3:::{name.rstrip('/')}/*" for name in names]


_ON_QUEUES = (On.JOB_QUEUES_AND_DEFINITIONS, On.NEW_JOBS)

# Where a resource ends in a star, and why it is no wider than the thing itself.
_WILDCARDS = {
    On.STACK: "The stack is described by name; its ARN ends in an id that is unknown then.",
    On.RUN_OBJECTS: "Keys are made during a run; the bucket is the stack's own.",
    On.RUN_RESULTS: "Keys are made during a run; the bucket is the stack's own.",
    On.SCRIPTS: "Keys are made at submission; the bucket is the stack's own.",
    On.IMAGES: "Keys are made from the names of images; the bucket is the stack's own.",
    On.INPUT_BUCKETS: "The setting input_buckets says so.",
    On.INPUT_OBJECTS: "The setting input_buckets says so.",
    On.OUTPUT_OBJECTS: "The setting output_buckets says so.",
    On.RUN_QUEUES: "Queues are made for each run; the prefix holds the stack's unique id.",
    On.JOB_QUEUES_AND_DEFINITIONS: "A job has no id before; queue and definition narrow it.",
    On.OWN_JOBS: "Job ids are random; the condition on the stack's tag narrows them.",
    On.NEW_JOBS: "Job ids are random; the condition on the stack's tag narrows them.",
    On.EVERYTHING: "AWS has no narrower resource for DescribeJobs and ListJobs.",
    On.JOB_LOG: "Log streams of the stack's own log group.",
}


def _statements(role: Role, bounds: Bounds) -> Iterator[tuple[On, list[str], iam.PolicyStatement]]:
    arns = bounds.arns()
    for on, names in actions(role).items():
        if arns[on]:
            yield (
                on,
                arns[on],
                iam.PolicyStatement(
                    actions=list(names),
                    resources=arns[on],
                    conditions=_conditions(on, bounds.stack.stack_name),
                ),
            )


def _conditions(on: On, stack_name: str) -> dict[str, dict[str, str]] | None:
    # A job's ARN is a random id; its tag is all that tells whose it is.
    if on is On.OWN_JOBS:
        return {"StringEquals": {f"aws:ResourceTag/{JOB_TAG}": stack_name}}
    if on is On.NEW_JOBS:
        # Without the second one, a job of another stack could be tagged as this one's and then terminated.
        return {
            "StringEquals": {f"aws:RequestTag/{JOB_TAG}": stack_name},
            "StringEqualsIfExists": {f"aws:ResourceTag/{JOB_TAG}": stack_name},
        }
    return None


def grant(to: iam.Role | iam.ManagedPolicy, role: Role, bounds: Bounds) -> None:
    """Allow what the table says that a role calls, and nothing else."""
    for on, arns, statement in _statements(role, bounds):
        policy = _submitting(to) if isinstance(to, iam.Role) and on in _ON_QUEUES else to
        if isinstance(policy, iam.Role):
            policy.add_to_policy(statement)
        else:
            policy.add_statements(statement)
        acknowledge_wildcards(policy, arns, _WILDCARDS.get(on, ""))


def _submitting(role: iam.Role) -> iam.Policy:
    """Give a role's policy for what names queues: these wait for its other one, so that jobs keep it to their end."""
    scope, construct_id = role.node.scope, f"{role.node.id}Submitting"
    assert isinstance(scope, Construct)
    found = scope.node.try_find_child(construct_id) or iam.Policy(scope, construct_id, roles=[role])
    assert isinstance(found, iam.Policy)
    return found
