"""A stack whose policies are enforced, and those who act under them."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import TYPE_CHECKING

import boto3

from cdk_app.settings import DeploySettings
from rios_batch.aws.calls import On, Role
from rios_batch.contract import ENV_STACK, StackOutput
from rios_batch.testing.emulation.template import pushed_tags
from tests.cdk_app.variants import synthesize

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from rios_batch.testing.emulation.cloud import Emulator

STACK = "Guarded"
SCENES, MAPS = "somebodys-scenes", "somebodys-maps"
USER = "somebody"


@dataclass(frozen=True)
class Guarded:
    """The stack.

    Attributes
    ----------
    holders : name of each job role, and ARN of the submitters' policy.
    credentials : variables with those of each role; a submitter is a user who has that policy and no other.
    sessions : boto3's for each role.
    """

    cloud: Emulator
    outputs: dict[str, str]
    holders: dict[Role, str]
    credentials: dict[Role, dict[str, str]]
    sessions: dict[Role, boto3.session.Session] = field(default_factory=dict)

    @classmethod
    @contextlib.contextmanager
    def deployed(cls, cloud: Emulator) -> Iterator[Guarded]:
        """Deploy it, with a bucket to read and one to write, and take everything away again."""
        settings = DeploySettings(stack_name=STACK, input_buckets=(SCENES,), output_buckets=(MAPS,))
        template = synthesize(settings)
        s3 = cloud.client("s3")
        for bucket in (SCENES, MAPS):
            s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": cloud.region})
        outputs = cloud.deploy(template, STACK, image_tags=pushed_tags(template))
        names = [role["RoleName"] for role in cloud.client("iam").list_roles()["Roles"]]
        worker, main = (
            next(name for name in names if name.startswith(f"{STACK}-Jobs{kind}Role"))
            for kind in ("Worker", "Main")
        )
        submitter = outputs[StackOutput.SUBMITTER_POLICY]
        holders = {Role.WORKER: worker, Role.MAIN: main, Role.SUBMITTER: submitter}
        with cloud.user_with(submitter, name=USER) as user:
            credentials = {role: cloud.assume_role(holders[role]) for role in (Role.WORKER, Role.MAIN)}
            yield cls(cloud, outputs, holders, {**credentials, Role.SUBMITTER: user})
        for bucket in (SCENES, MAPS):
            for item in s3.list_objects_v2(Bucket=bucket).get("Contents", []):
                s3.delete_object(Bucket=bucket, Key=item["Key"])
            s3.delete_bucket(Bucket=bucket)
        cloud.destroy(STACK)

    @property
    def bucket(self) -> str:
        return self.outputs[StackOutput.BUCKET]

    def keys(self, prefix: str) -> list[str]:
        """Give the keys in the exchange bucket that begin so."""
        reply = self.cloud.client("s3").list_objects_v2(Bucket=self.bucket, Prefix=prefix)
        return [item["Key"] for item in reply.get("Contents", [])]

    def caller(self, role: Role) -> str:
        """How the emulation calls whoever acts in a role."""
        return f"user/{USER}" if role is Role.SUBMITTER else f"role/{self.holders[role]}"

    @contextlib.contextmanager
    def acting_as(self, role: Role, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """Have this process, and those that it starts, hold a role's credentials and no others."""
        with monkeypatch.context() as context:
            for name, value in {**self.credentials[role], ENV_STACK: STACK}.items():
                context.setenv(name, value)
            # boto3's own keeps the credentials that it has found once; one for each role also keeps what it has loaded.
            context.setattr(boto3, "DEFAULT_SESSION", self.sessions.setdefault(role, boto3.session.Session()))
            yield

    def without(self, role: Role, on: On, action: str) -> contextlib.AbstractContextManager[None]:
        """Take away one action on one kind of thing."""
        return self.cloud.without_action(self.holders[role], action, self._arns[on])

    def on(self, action: str, resource: str, known: set[tuple[On, str]]) -> On | None:
        """What a recorded request acted upon."""
        fitting = (
            on for on, pattern in self._arns.items() if (on, action) in known and fnmatch(resource, pattern)
        )
        return next(fitting, None)

    @property
    def _arns(self) -> dict[On, str]:
        return {
            On.STACK: f"arn:aws:cloudformation:*:stack/{STACK}/*",
            On.EXCHANGE_BUCKET: f"arn:aws:s3:::{self.bucket}",
            On.RUN_OBJECTS: f"arn:aws:s3:::{self.bucket}/runs/*",
            On.RUN_RESULTS: f"arn:aws:s3:::{self.bucket}/runs/*/*/*",
            On.SCRIPTS: f"arn:aws:s3:::{self.bucket}/scripts/*",
            On.IMAGES: f"arn:aws:s3:::{self.bucket}/images/*",
            On.INPUT_BUCKETS: f"arn:aws:s3:::{SCENES}",
            On.INPUT_OBJECTS: f"arn:aws:s3:::{SCENES}/*",
            On.OUTPUT_BUCKETS: f"arn:aws:s3:::{MAPS}",
            On.OUTPUT_OBJECTS: f"arn:aws:s3:::{MAPS}/*",
            On.RUN_QUEUES: f"arn:aws:sqs:*:{self.outputs[StackOutput.RUN_QUEUE_PREFIX]}*",
            On.JOB_QUEUES_AND_DEFINITIONS: "arn:aws:batch:*:job*",
            On.OWN_JOBS: "arn:aws:batch:*:job/*",
            On.NEW_JOBS: "arn:aws:batch:*:job*",
            On.JOB_LOG: f"arn:aws:logs:*:log-group:{self.outputs[StackOutput.LOG_GROUP]}:*",
            On.EVERYTHING: "*",
        }
