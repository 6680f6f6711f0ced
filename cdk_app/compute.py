"""Machines that appear when jobs wait and go when none is left, and the queue in front of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aws_cdk import Duration, Fn
from aws_cdk import aws_batch as batch
from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from cdk_app.acknowledged import acknowledge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from constructs import IDependable

# The 10 minutes are AWS's minimum: waiting does not cure these two.
_HOPELESS = (
    batch.JobStateTimeLimitActionsReason.JOB_RESOURCE_REQUIREMENT,
    batch.JobStateTimeLimitActionsReason.COMPUTE_ENVIRONMENT_MAX_RESOURCE,
)
_AGENT_POLICY = "service-role/AmazonEC2ContainerServiceforEC2Role"
# AWS Batch's names for its choice of current families. "optimal" means families of 2014, and x86 only.
_BATCH_CHOOSES = {"x86_64": "default_x86_64", "arm64": "default_arm64"}
# Those choices have no GPUs. These families have what one tile at a time needs, and several sizes for Spot.
_GPU_FAMILIES = ("g4dn", "g5", "g6")


@dataclass(frozen=True, kw_only=True)
class Machines:
    """What a pool's jobs run on.

    Attributes
    ----------
    fargate : no instances at all; the next three then mean nothing.
    arch : ``x86_64`` or ``arm64``.
    instance_types : types or families; empty for AWS Batch's current ones.
    volume_gib : root volume of an instance.
    spot : spare capacity, which AWS may take back.
    max_vcpus : most vCPUs at a time.
    gpus : jobs want GPUs.
    """

    fargate: bool
    arch: str
    instance_types: Sequence[str]
    volume_gib: int
    spot: bool
    max_vcpus: int
    gpus: bool = False


class BatchPool(Construct):
    """A compute environment and its queue.

    Parameters
    ----------
    vpc, subnets, security_group : where jobs run.
    connectivity : what machines need to reach AWS as long as they live.
    machines : what they run on.
    runnable_limit : how long the first job in the queue may wait for capacity.

    Attributes
    ----------
    environment : the compute environment.
    queue : the job queue.
    queue_name : its name.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        vpc: ec2.IVpc,
        subnets: ec2.SubnetSelection,
        security_group: ec2.ISecurityGroup,
        connectivity: IDependable,
        machines: Machines,
        runnable_limit: Duration,
    ) -> None:
        super().__init__(scope, construct_id)
        make = self._fargate if machines.fargate else self._instances
        environment = make(vpc, subnets, security_group, machines)
        resource = environment.node.default_child
        assert isinstance(resource, batch.CfnComputeEnvironment)
        # It refers to subnets only: without this CloudFormation takes routes and gateway from under its machines.
        resource.node.add_dependency(connectivity)
        self.environment = resource
        self.queue = batch.JobQueue(
            self,
            f"{_kind(machines)}Queue",
            compute_environments=[batch.OrderedComputeEnvironment(compute_environment=environment, order=1)],
            job_state_time_limit_actions=[
                _cancel(batch.JobStateTimeLimitActionsReason.INSUFFICIENT_INSTANCE_CAPACITY, runnable_limit),
                *(_cancel(reason, Duration.minutes(10)) for reason in _HOPELESS),
            ],
        )

        self.queue_name = Fn.select(1, Fn.split("/", self.queue.job_queue_arn))

    def _fargate(
        self,
        vpc: ec2.IVpc,
        subnets: ec2.SubnetSelection,
        security_group: ec2.ISecurityGroup,
        machines: Machines,
    ) -> batch.FargateComputeEnvironment:
        environment = batch.FargateComputeEnvironment(
            self,
            _kind(machines),
            vpc=vpc,
            vpc_subnets=subnets,
            security_groups=[security_group],
            spot=machines.spot,
            maxv_cpus=machines.max_vcpus,
            replace_compute_environment=True,  # there are no instances to update in place
        )
        resource = environment.node.default_child
        assert isinstance(resource, batch.CfnComputeEnvironment)
        resource.add_property_deletion_override("UpdatePolicy")  # says how to treat running instances
        return environment

    def _instances(
        self,
        vpc: ec2.IVpc,
        subnets: ec2.SubnetSelection,
        security_group: ec2.ISecurityGroup,
        machines: Machines,
    ) -> batch.ManagedEc2EcsComputeEnvironment:
        strategy = batch.AllocationStrategy
        template = self._launch_template(machines.volume_gib)
        environment = batch.ManagedEc2EcsComputeEnvironment(
            self,
            _kind(machines),
            vpc=vpc,
            vpc_subnets=subnets,
            security_groups=[security_group],
            spot=machines.spot,
            allocation_strategy=(
                strategy.SPOT_PRICE_CAPACITY_OPTIMIZED if machines.spot else strategy.BEST_FIT_PROGRESSIVE
            ),
            minv_cpus=0,
            maxv_cpus=machines.max_vcpus,
            images=[batch.EcsMachineImage(image_type=_image_type(machines))],
            launch_template=template,
            update_to_latest_image_version=True,  # whenever an update replaces the machines anyway
        )
        resource = environment.node.default_child
        assert isinstance(resource, batch.CfnComputeEnvironment)
        # The construct takes no families by name, and refuses its own default classes without "optimal".
        types = list(machines.instance_types) or _chosen_types(machines)
        resource.add_property_override("ComputeResources.InstanceTypes", types)
        # Without a version an environment stays with the first: a changed volume would never arrive.
        resource.add_property_override(
            "ComputeResources.LaunchTemplate.Version", template.latest_version_number
        )
        acknowledge(
            environment,
            f"IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/{_AGENT_POLICY}]",
            "The ECS agent on the instance needs it; AWS keeps it in step with the agent.",
        )
        return environment

    def _launch_template(self, volume_gib: int) -> ec2.LaunchTemplate:
        agent = ec2.UserData.for_linux()
        # Off by default. It keeps new jobs away from a machine that has its notice. Those running there are no
        # tasks of a service and get no signal: their leases lapse.
        agent.add_commands("echo ECS_ENABLE_SPOT_INSTANCE_DRAINING=true >> /etc/ecs/ecs.config")
        user_data = ec2.MultipartUserData()  # AWS Batch merges its own part and takes nothing else
        user_data.add_part(ec2.MultipartBody.from_user_data(agent))
        return ec2.LaunchTemplate(
            self,
            "LaunchTemplate",
            user_data=user_data,
            require_imdsv2=True,
            block_devices=[
                ec2.BlockDevice(
                    device_name="/dev/xvda",  # root of Amazon Linux
                    volume=ec2.BlockDeviceVolume.ebs(
                        volume_gib,
                        volume_type=ec2.EbsDeviceVolumeType.GP3,
                        encrypted=True,
                        delete_on_termination=True,
                    ),
                )
            ],
        )


def _image_type(machines: Machines) -> batch.EcsMachineImageType:
    kinds = batch.EcsMachineImageType
    return kinds.ECS_AL2023_NVIDIA if machines.gpus else kinds.ECS_AL2023


def _chosen_types(machines: Machines) -> list[str]:
    return list(_GPU_FAMILIES) if machines.gpus else [_BATCH_CHOOSES[machines.arch]]


def _kind(machines: Machines) -> str:
    """Name what a queue stays with for life: AWS Batch moves none between Fargate, x86 and ARM.

    It is part of construct ids, so that CloudFormation makes a new queue where it could not change the old.
    """
    if machines.fargate:
        return "Fargate"
    return "Instances" if machines.arch == "x86_64" else "ArmInstances"


def _cancel(
    reason: batch.JobStateTimeLimitActionsReason, max_time: Duration
) -> batch.JobStateTimeLimitAction:
    return batch.JobStateTimeLimitAction(
        action=batch.JobStateTimeLimitActionsAction.CANCEL,
        state=batch.JobStateTimeLimitActionsState.RUNNABLE,
        reason=reason,
        max_time=max_time,
    )
