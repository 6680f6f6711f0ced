"""Job definitions: image, size, command, role, log and what is tried again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aws_cdk import Duration, Fn, RemovalPolicy, Size, Stack
from aws_cdk import aws_batch as batch
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from cdk_app.acknowledged import acknowledge_wildcards

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_FARGATE_ARCH = {"x86_64": ecs.CpuArchitecture.X86_64, "arm64": ecs.CpuArchitecture.ARM64}


@dataclass(frozen=True, kw_only=True)
class JobSize:
    """How much a job gets and how long it may take.

    Attributes
    ----------
    vcpus : vCPUs.
    memory_mib : memory in MiB; a job above it is killed.
    timeout_hours : time of one attempt, in hours.
    attempts : starts before it counts as failed.
    gpus : GPUs; 0 for none.
    """

    vcpus: int
    memory_mib: int
    timeout_hours: int
    attempts: int
    gpus: int = 0


@dataclass(frozen=True, kw_only=True)
class FargateTask:
    """What only a job on Fargate has to say.

    Attributes
    ----------
    arch : ``x86_64`` or ``arm64``.
    public_address : give it an address, which it needs in a public subnet.
    volume_gib : its scratch volume.
    """

    arch: str
    public_address: bool
    volume_gib: int


def retry_strategies() -> list[batch.RetryStrategy]:
    """Say what is tried again: a lost machine, a SIGTERM, a failed image pull, and nothing else.

    AWS Batch takes five rules and tries again whatever none of them matches; hence the last one.
    """
    again = [
        batch.Reason.custom(on_status_reason="Host EC2*"),
        batch.Reason.custom(on_status_reason="Your Spot Task was interrupted*"),
        batch.Reason.custom(on_exit_code="143"),
        batch.Reason.custom(on_reason="CannotPullContainer*"),
    ]
    return [
        *(batch.RetryStrategy.of(batch.Action.RETRY, reason) for reason in again),
        batch.RetryStrategy.of(batch.Action.EXIT, batch.Reason.custom(on_reason="*")),
    ]


class BatchJob(Construct):
    """One job definition.

    Parameters
    ----------
    image : what it runs.
    command : replaces the image's command; empty leaves it.
    environment : its variables.
    size : vCPUs, memory, time and attempts.
    job_role : what its code may do.
    execution_role : what pulls its image and writes its log.
    log_group : where its output goes.
    fargate : set for Fargate, None for instances.

    Attributes
    ----------
    name : name of the definition, without revision; submitting by it takes the newest.
    arns : ARNs of the definition, of any revision.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        image: ecs.ContainerImage,
        command: Sequence[str],
        environment: Mapping[str, str],
        size: JobSize,
        job_role: iam.IRole,
        execution_role: iam.IRole,
        log_group: logs.ILogGroup,
        fargate: FargateTask | None,
    ) -> None:
        super().__init__(scope, construct_id)
        logging = ecs.LogDrivers.aws_logs(log_group=log_group, stream_prefix=construct_id.lower())
        # As process 1 Python would ignore SIGTERM and leave zombies; Docker's small init does neither.
        linux = batch.LinuxParameters(self, "Linux", init_process_enabled=True)
        container: batch.IEcsContainerDefinition
        if fargate is None:
            container = batch.EcsEc2ContainerDefinition(
                self,
                "Container",
                image=image,
                cpu=size.vcpus,
                gpu=size.gpus or None,
                memory=Size.mebibytes(size.memory_mib),
                command=list(command) or None,
                environment=environment,
                job_role=job_role,
                execution_role=execution_role,
                logging=logging,
                linux_parameters=linux,
            )
        else:
            container = batch.EcsFargateContainerDefinition(
                self,
                "Container",
                image=image,
                cpu=size.vcpus,
                memory=Size.mebibytes(size.memory_mib),
                command=list(command) or None,
                environment=environment,
                job_role=job_role,
                execution_role=execution_role,
                logging=logging,
                linux_parameters=linux,
                assign_public_ip=fargate.public_address,
                fargate_cpu_architecture=_FARGATE_ARCH[fargate.arch],
                ephemeral_storage_size=Size.gibibytes(fargate.volume_gib),
            )
        definition = batch.EcsJobDefinition(
            self,
            "Definition",
            container=container,
            propagate_tags=True,
            retry_attempts=size.attempts,
            retry_strategies=retry_strategies(),
            timeout=Duration.hours(size.timeout_hours),
        )
        revision = Fn.select(1, Fn.split("/", definition.job_definition_arn))
        self.name = Fn.select(0, Fn.split(":", revision))
        arn = Stack.of(self).format_arn(service="batch", resource="job-definition", resource_name=self.name)
        self.arns = (arn, f"{arn}:*")


@dataclass(frozen=True, kw_only=True)
class JobKind:
    """What differs between a worker and main.

    Attributes
    ----------
    environment : variables of the container.
    size : vCPUs, memory, time and attempts.
    fargate : set for Fargate, None for instances.
    """

    environment: Mapping[str, str]
    size: JobSize
    fargate: FargateTask | None


class BatchJobs(Construct):
    """The three job definitions of the stack, with their roles and their log.

    Parameters
    ----------
    worker_image : image of workers and of scripts.
    main_image : image that a user built for main.
    worker_command : command line of a worker.
    worker, main : what differs between the two.
    log_retention : how long log lines are kept.

    Attributes
    ----------
    worker : runs tiles.
    main : runs the user's main image with its own command.
    script : runs a command given at submission in the workers' image, with main's role.
    worker_role, main_role : what their code may do; the stack grants it.
    roles : these and the one that pulls images and writes the log.
    log_group : output of all of them.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        worker_image: ecs.ContainerImage,
        main_image: ecs.ContainerImage,
        worker_command: Sequence[str],
        worker: JobKind,
        main: JobKind,
        log_retention: logs.RetentionDays,
    ) -> None:
        super().__init__(scope, construct_id)
        self.log_group = logs.LogGroup(
            self, "Log", retention=log_retention, removal_policy=RemovalPolicy.DESTROY
        )
        tasks = iam.ServicePrincipal("ecs-tasks.amazonaws.com")
        self.worker_role = iam.Role(self, "WorkerRole", assumed_by=tasks)
        self.main_role = iam.Role(self, "MainRole", assumed_by=tasks)
        self._execution_role = iam.Role(self, "ExecutionRole", assumed_by=tasks)
        acknowledge_wildcards(
            self._execution_role, ["*"], "ecr:GetAuthorizationToken has no narrower resource."
        )
        self.roles = (self.worker_role, self.main_role, self._execution_role)
        self.worker = self._job("Worker", worker, worker_image, self.worker_role, command=worker_command)
        self.main = self._job("Main", main, main_image, self.main_role)
        self.script = self._job("Script", main, worker_image, self.main_role)

    def _job(
        self,
        construct_id: str,
        kind: JobKind,
        image: ecs.ContainerImage,
        role: iam.IRole,
        *,
        command: Sequence[str] = (),
    ) -> BatchJob:
        return BatchJob(
            self,
            construct_id,
            image=image,
            command=command,
            environment=kind.environment,
            size=kind.size,
            job_role=role,
            execution_role=self._execution_role,
            log_group=self.log_group,
            fargate=kind.fargate,
        )
