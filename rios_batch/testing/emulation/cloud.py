"""The asking side of the emulated AWS: starts the server, deploys into it, asks it and spoils it."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import boto3

from rios_batch.errors import RiosBatchError
from rios_batch.testing.emulation.environment import ACCOUNT, aws_environment
from rios_batch.testing.emulation.existence import missing
from rios_batch.testing.emulation.inventory import inventory
from rios_batch.testing.emulation.records import Call, Job

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

_PACKAGES = Path(__file__).resolve().parents[3]
BOOTSTRAP = "hnb659fds"  # CDK's qualifier


class EmulationError(RiosBatchError):
    """The emulation was asked for what it cannot do, or AWS would have failed."""


class Emulator:
    """A running server.

    Attributes
    ----------
    endpoint : its address.
    region : of the clients and jobs.
    server_pid : its process.
    """

    def __init__(self, process: subprocess.Popen[str], *, port: int, region: str) -> None:
        self.server_pid = process.pid
        self.endpoint = f"http://127.0.0.1:{port}"
        self.region = region
        self._clients: dict[str, Any] = {}  # each takes a moment to make

    @classmethod
    @contextmanager
    def start(
        cls,
        *,
        runner: str = "process",
        host: str = "127.0.0.1",
        port: int = 0,
        region: str = "us-west-2",
        grace_seconds: float = 30.0,
        image: str | None = None,
        code: Path | None = None,
        warm: bool = False,
    ) -> Iterator[Emulator]:
        """Start a server in a process of its own, and stop it with all its jobs at the end.

        Parameters
        ----------
        runner : ``process`` runs jobs as processes of this machine, ``container`` as containers.
        host : address to listen at.
        port : 0 takes a free one.
        grace_seconds : from a job's SIGTERM to its SIGKILL.
        image : a local image for ``container``, in place of those of job definitions.
        code : folder in which `docker_of_code.py` keeps what it builds; for ``process``.
        warm : jobs' processes begin with numpy, GDAL and boto3 loaded; for ``process``.
        """
        command = [sys.executable, "-m", "rios_batch.testing.emulation.server", "--until-stdin-closes"]
        command += ["--host", host, "--port", str(port), "--region", region, "--runner", runner]
        command += ["--grace-seconds", str(grace_seconds)]
        if image is not None:
            command += ["--image", image]
        if code is not None:
            command += ["--code", str(code)]
        if warm:
            command.append("--warm")
        process = subprocess.Popen(
            command,
            cwd=_PACKAGES,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            first = process.stdout.readline()
            if not first:
                raise EmulationError("the server did not start; its messages are above")
            yield cls(process, port=json.loads(first)["port"], region=region)
        finally:
            process.stdin.close()
            process.wait(60)
            process.stdout.close()

    def environment(self) -> dict[str, str]:
        """Variables that lead boto3, the CDK's command line and GDAL here, as the account's owner."""
        return aws_environment(self.endpoint, self.region)

    def client(
        self, service: str, credentials: Mapping[str, str] | None = None, *, region: str | None = None
    ) -> Any:
        """Give a boto3 client; as the account's owner and in the server's region unless given."""
        if credentials is not None or region is not None:
            return self._make_client(service, credentials or self.environment(), region or self.region)
        if service not in self._clients:
            self._clients[service] = self._make_client(service, self.environment(), self.region)
        return self._clients[service]

    def _make_client(self, service: str, values: Mapping[str, str], region: str) -> Any:
        make: Callable[..., Any] = boto3.client
        return make(
            service,
            endpoint_url=self.endpoint,
            region_name=region,
            aws_access_key_id=values["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=values["AWS_SECRET_ACCESS_KEY"],
            aws_session_token=values.get("AWS_SESSION_TOKEN"),
        )

    # Stacks.

    def bootstrap(self) -> None:
        """Make of what `cdk bootstrap` makes the parts that a template refers to; again does nothing."""
        ssm, ecr = self.client("ssm"), self.client("ecr")
        ssm.put_parameter(
            Name=f"/cdk-bootstrap/{BOOTSTRAP}/version", Value="30", Type="String", Overwrite=True
        )
        with suppress(ecr.exceptions.RepositoryAlreadyExistsException):
            ecr.create_repository(repositoryName=self.asset_repository)

    @property
    def asset_repository(self) -> str:
        """Name of the repository that `cdk deploy` pushes images to."""
        return f"cdk-{BOOTSTRAP}-container-assets-{ACCOUNT}-{self.region}"

    def push_image(self, repository: str, tag: str) -> None:
        """Have an image in a repository, as after a push."""
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": {"digest": f"sha256:{tag}"},
            "layers": [],
        }
        self.client("ecr").put_image(
            repositoryName=repository, imageTag=tag, imageManifest=json.dumps(manifest)
        )

    def deploy(
        self, template: dict[str, Any], stack_name: str = "RiosBatch", *, image_tags: Iterable[str] = ()
    ) -> dict[str, str]:
        """Create a stack from a synthesized template, and give its outputs.

        Parameters
        ----------
        image_tags : images that `cdk deploy` would have pushed to `asset_repository`.

        Raises
        ------
        EmulationError : the stack was rolled back, or a resource of the template is not there.
        """
        for tag in image_tags:
            self.push_image(self.asset_repository, tag)
        formation = self.client("cloudformation")
        formation.create_stack(
            StackName=stack_name, TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_IAM"]
        )
        self._expect(stack_name, "CREATE_COMPLETE")
        if absent := missing(self.client, template, stack_name):
            raise EmulationError(f"deployed, but not there: {absent}")
        return self.outputs(stack_name)

    def outputs(self, stack_name: str = "RiosBatch") -> dict[str, str]:
        """Outputs of a stack."""
        (stack,) = self.client("cloudformation").describe_stacks(StackName=stack_name)["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}

    def destroy(self, stack_name: str = "RiosBatch") -> None:
        """Delete a stack, clean-up functions included.

        Raises
        ------
        EmulationError : something could not be deleted.
        """
        formation = self.client("cloudformation")
        stack_id = formation.describe_stacks(StackName=stack_name)["Stacks"][0]["StackId"]
        formation.delete_stack(StackName=stack_name)
        self._expect(stack_id, "DELETE_COMPLETE")

    def _expect(self, stack: str, status: str) -> None:
        formation = self.client("cloudformation")
        found = formation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]
        if found != status:
            events = formation.describe_stack_events(StackName=stack)["StackEvents"]
            reasons = [event["ResourceStatusReason"] for event in events if event.get("ResourceStatusReason")]
            raise EmulationError(f"stack {stack} is {found}: {'; '.join(reasons)}")

    def inventory(self) -> list[str]:
        """Everything that exists, one line each, sorted; ended jobs and log events are no things."""
        return inventory(self.client)

    # What happened.

    def calls(self) -> list[Call]:
        """Every request answered since the start or the last `forget_calls`, in order, this class's too."""
        return [
            Call(**{**call, "actions": tuple(call["actions"]), "resources": tuple(call["resources"])})
            for call in self._ask("calls")
        ]

    def forget_calls(self) -> None:
        self._ask("forget_calls")

    def jobs(self) -> list[Job]:
        """All Batch jobs ever submitted: arrays, their children, and single ones."""
        return [Job(**job) for job in self._ask("jobs")]

    # What goes wrong.

    def slow_down(self, service: str = "s3", share: float = 0.1) -> None:
        """Refuse this share of a service's calls with 503 SlowDown or throttling, evenly spread; 0 ends it."""
        self._ask("slow_down", service=service, share=share)

    def limit_capacity(self, vcpus: float | None) -> None:
        """Give jobs at most so many vCPUs; with 0 they stay RUNNABLE, None lifts it."""
        self._ask("limit_capacity", vcpus=vcpus)

    def signal_job(
        self, job_id: str, number: int, *, group: bool = False, reason: str = "", status_reason: str = ""
    ) -> None:
        """Send a signal to a running job's first process, or to its whole process group.

        Parameters
        ----------
        number : SIGKILL for a lost machine: EC2's Spot notice reaches no job. Fargate Spot sends SIGTERM.
        reason, status_reason : what Batch says if the attempt ends of it, such as
            ``OutOfMemoryError: Container killed due to memory usage`` (`runners.OUT_OF_MEMORY`), and
            ``Host EC2 (instance i-0123456789abcdef0) terminated.``
        """
        self._ask(
            "signal_job",
            job_id=job_id,
            number=int(number),
            group=group,
            reason=reason,
            status_reason=status_reason,
        )

    def duplicate_messages(self, on: bool) -> None:
        """Have SQS deliver every message sent from now on twice."""
        self._ask("duplicate_messages", on=on)

    def be_late(self, *, queues_s: float = 0.0, jobs_s: float = 0.0) -> None:
        """Have queues and jobs that are made from now on be unknown for so many seconds, as AWS says they may be."""
        self._ask("be_late", queues_s=queues_s, jobs_s=jobs_s)

    def lose_message(self, queue_url: str) -> str:
        """Have SQS lose the oldest message that waits in a queue, and give its body."""
        body: str = self._ask("lose_message", region=self.region, queue=queue_url.rpartition("/")[2])
        return body

    def no_faults(self) -> None:
        """End all of these, and the checking of permissions."""
        self._ask("no_faults")

    # Who may do what.

    def enforce_iam(self, on: bool) -> None:
        """Refuse what the policies of users and roles do not allow; the account's owner may do everything."""
        self._ask("enforce_iam", on=on)

    def take_role_back(self, role: str) -> None:
        """Have IAM Identity Center delete one of its roles, with what is attached: nobody else can."""
        self._ask("take_role_back", role=role)

    def assume_role(self, role: str) -> dict[str, str]:
        """Environment variables with credentials of a role, given by name or ARN."""
        arn = role if role.startswith("arn:") else self.client("iam").get_role(RoleName=role)["Role"]["Arn"]
        reply = self.client("sts").assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
        return {
            "AWS_ACCESS_KEY_ID": reply["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": reply["SecretAccessKey"],
            "AWS_SESSION_TOKEN": reply["SessionToken"],
        }

    @contextmanager
    def user_with(self, *policy_arns: str, name: str = "somebody") -> Iterator[dict[str, str]]:
        """Environment variables with credentials of a new user who has these managed policies."""
        iam = self.client("iam")
        iam.create_user(UserName=name)
        for arn in policy_arns:
            iam.attach_user_policy(UserName=name, PolicyArn=arn)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        try:
            yield {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
        finally:
            iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
            for arn in policy_arns:
                with suppress(iam.exceptions.NoSuchEntityException):  # gone with its stack
                    iam.detach_user_policy(UserName=name, PolicyArn=arn)
            iam.delete_user(UserName=name)

    @contextmanager
    def without_action(self, holder: str, action: str, resources: str = "*") -> Iterator[None]:
        """Take one action out of a role's inline policies or a managed policy, and put it back.

        Parameters
        ----------
        holder : name of the role, or ARN of the policy.
        resources : on which it is not allowed any more: a pattern for ARNs as the policy writes them.

        Raises
        ------
        EmulationError : nothing there allows the action.
        """
        iam = self.client("iam")
        documents = _PolicyDocuments(iam, holder)
        before = documents.read()
        after = {name: _without(document, action, resources) for name, document in before.items()}
        if after == before:
            raise EmulationError(f"no policy of {holder} allows {action}")
        documents.write(after)
        try:
            yield
        finally:
            documents.write(before)

    def _ask(self, name: str, **arguments: Any) -> Any:
        request = Request(f"{self.endpoint}/_emulation/{name}", json.dumps(arguments).encode(), method="POST")
        try:
            with urlopen(request, timeout=60) as reply:
                return json.load(reply)
        except HTTPError as error:
            raise EmulationError(json.load(error)["error"]) from error


class _PolicyDocuments:
    """Inline policies of a role, or the one document of a managed policy."""

    def __init__(self, iam: Any, holder: str) -> None:
        self._iam, self._holder = iam, holder
        self._managed = holder.startswith("arn:")

    def read(self) -> dict[str, Any]:
        if self._managed:
            version = self._iam.get_policy(PolicyArn=self._holder)["Policy"]["DefaultVersionId"]
            found = self._iam.get_policy_version(PolicyArn=self._holder, VersionId=version)
            return {version: found["PolicyVersion"]["Document"]}
        names = self._iam.list_role_policies(RoleName=self._holder)["PolicyNames"]
        return {
            name: self._iam.get_role_policy(RoleName=self._holder, PolicyName=name)["PolicyDocument"]
            for name in names
        }

    def write(self, documents: dict[str, Any]) -> None:
        for name, document in documents.items():
            text = json.dumps(document)
            if self._managed:
                self._set_managed(text)
            else:
                self._iam.put_role_policy(RoleName=self._holder, PolicyName=name, PolicyDocument=text)

    def _set_managed(self, text: str) -> None:
        before = self._iam.get_policy(PolicyArn=self._holder)["Policy"]["DefaultVersionId"]
        self._iam.create_policy_version(PolicyArn=self._holder, PolicyDocument=text, SetAsDefault=True)
        self._iam.delete_policy_version(PolicyArn=self._holder, VersionId=before)


def _without(document: dict[str, Any], action: str, resources: str) -> dict[str, Any]:
    statements = []
    for statement in document["Statement"]:
        given, on = _list(statement["Action"]), _list(statement["Resource"])
        left = [one for one in on if not fnmatchcase(one, resources)]
        if action not in given or left == on:
            statements.append(statement)
            continue
        if others := [one for one in given if one != action]:
            statements.append({**statement, "Action": others})
        if left:
            statements.append({**statement, "Action": [action], "Resource": left})
    return {**document, "Statement": statements}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
