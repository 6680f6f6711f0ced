"""Turns settings into the narrow arguments that constructs take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import aws_logs as logs

from cdk_app.compute import Machines
from cdk_app.image import ImageBuild
from cdk_app.jobs import FargateTask, JobKind, JobSize
from cdk_app.network import ExistingVpc
from cdk_app.pythons import base_image, workers_python
from rios_batch import __version__
from rios_batch.contract import CONTRACT_VERSION, ENV_STACK, ENV_STACK_REGION, Env, StackOutput

if TYPE_CHECKING:
    from cdk_app.settings import DeploySettings

_RETENTION = {
    1: logs.RetentionDays.ONE_DAY,
    3: logs.RetentionDays.THREE_DAYS,
    5: logs.RetentionDays.FIVE_DAYS,
    7: logs.RetentionDays.ONE_WEEK,
    14: logs.RetentionDays.TWO_WEEKS,
    30: logs.RetentionDays.ONE_MONTH,
    60: logs.RetentionDays.TWO_MONTHS,
    90: logs.RetentionDays.THREE_MONTHS,
    120: logs.RetentionDays.FOUR_MONTHS,
    150: logs.RetentionDays.FIVE_MONTHS,
    180: logs.RetentionDays.SIX_MONTHS,
    365: logs.RetentionDays.ONE_YEAR,
    400: logs.RetentionDays.THIRTEEN_MONTHS,
    545: logs.RetentionDays.EIGHTEEN_MONTHS,
    731: logs.RetentionDays.TWO_YEARS,
    1096: logs.RetentionDays.THREE_YEARS,
    1827: logs.RetentionDays.FIVE_YEARS,
    2192: logs.RetentionDays.SIX_YEARS,
    2557: logs.RetentionDays.SEVEN_YEARS,
}


def retention(settings: DeploySettings) -> logs.RetentionDays:
    """Give the retention of job logs as CDK names it."""
    return _RETENTION[settings.log_retention_days]


def existing_vpc(settings: DeploySettings) -> ExistingVpc | None:
    """Give the VPC to use, if there is to be none of our own."""
    if not settings.vpc_id:
        return None
    return ExistingVpc(vpc_id=settings.vpc_id, subnet_ids=settings.subnet_ids)


def nat_gateways(settings: DeploySettings) -> int:
    """Give the number of NAT gateways: one in a private network unless said otherwise."""
    if settings.nat_gateways is not None:
        return settings.nat_gateways
    return 1 if settings.network == "private" else 0


def image_build(settings: DeploySettings) -> ImageBuild | None:
    """Give what goes into the image, if one is built."""
    if settings.worker_image:
        return None
    return ImageBuild(
        arch=settings.arch,
        base_image=base_image(settings),
        extra_packages=settings.extra_packages,
        pip_packages=settings.pip_packages,
        rios_archive=settings.rios_archive,
    )


def worker_machines(settings: DeploySettings) -> Machines:
    """Give what workers run on."""
    return Machines(
        fargate=settings.fargate,
        arch=settings.arch,
        instance_types=settings.instance_types,
        volume_gib=settings.volume_gib,
        spot=settings.spot,
        max_vcpus=settings.max_vcpus,
        gpus=settings.gpus > 0,
    )


def main_machines(settings: DeploySettings) -> Machines:
    """Give what main runs on: never Spot, because main holds the run together."""
    return Machines(
        fargate=settings.fargate,
        arch=settings.arch,
        instance_types=settings.main_instance_types,
        volume_gib=settings.main_volume_gib,
        spot=False,
        max_vcpus=settings.main_max_vcpus,
    )


def worker_kind(settings: DeploySettings, *, bucket_name: str, region: str) -> JobKind:
    """Give what is particular to workers."""
    return JobKind(
        environment={
            Env.BUCKET.value: bucket_name,
            Env.REGION.value: region,
            Env.PROCESSES.value: str(settings.gpus or settings.vcpus),
            **({Env.GPUS.value: str(settings.gpus)} if settings.gpus else {}),
        },
        size=JobSize(
            vcpus=settings.vcpus,
            memory_mib=settings.memory_mib,
            timeout_hours=settings.timeout_hours,
            attempts=settings.attempts,
            gpus=settings.gpus,
        ),
        fargate=_fargate_task(settings, settings.volume_gib),
    )


def main_kind(settings: DeploySettings, *, region: str) -> JobKind:
    """Give what is particular to main: it finds the rest in the stack's outputs."""
    return JobKind(
        environment={
            ENV_STACK: settings.stack_name,
            ENV_STACK_REGION: region,
            Env.REGION.value: region,
        },
        size=JobSize(
            vcpus=settings.main_vcpus,
            memory_mib=settings.main_memory_mib,
            timeout_hours=settings.main_timeout_hours,
            attempts=settings.attempts,
        ),
        fargate=_fargate_task(settings, settings.main_volume_gib),
    )


def _fargate_task(settings: DeploySettings, volume_gib: int) -> FargateTask | None:
    if not settings.fargate:
        return None
    public = settings.network == "public"
    return FargateTask(arch=settings.arch, public_address=public, volume_gib=volume_gib)


def known_outputs(settings: DeploySettings) -> dict[StackOutput, str]:
    """Give the outputs that are known before the stack is."""
    return {
        StackOutput.WORKER_VCPUS: str(settings.vcpus),
        StackOutput.WORKER_GPUS: str(settings.gpus),
        StackOutput.WORKER_MEMORY_MIB: str(settings.memory_mib),
        StackOutput.MAX_VCPUS: str(settings.max_vcpus),
        StackOutput.MAIN_VCPUS: str(settings.main_vcpus),
        StackOutput.MAIN_MEMORY_MIB: str(settings.main_memory_mib),
        StackOutput.PYTHON: workers_python(settings),
        StackOutput.VERSION: __version__,
        StackOutput.CONTRACT: str(CONTRACT_VERSION),
    }
