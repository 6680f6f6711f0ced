"""The fields of the deployment settings: name, unit, default, allowed values and effect of each.

Each value is checked here for itself. ``combinations`` says which values do not go together.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, field_validator

from cdk_app.options import every, option, split_list, split_pairs, split_words, whole
from rios_batch.contract import DEFAULT_STACK_NAME

_NAMES = Annotated[tuple[str, ...], BeforeValidator(split_list)]
_WORDS = Annotated[tuple[str, ...], BeforeValidator(split_words)]
_OPTIONAL_NUMBER = Annotated[int | None, BeforeValidator(lambda value: None if value == "" else value)]
_PAIRS = Annotated[dict[str, str], BeforeValidator(split_pairs)]

# CloudWatch Logs knows only these.
_RETENTION_DAYS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557)


class SettingFields(BaseModel):
    """All fields of ``DeploySettings``; docs/infrastructure.md shows them as a table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # The stack.
    stack_name: str = option(
        DEFAULT_STACK_NAME,
        "Name of the stack. Several stacks can stand side by side; scripts choose one with"
        " `RIOS_AWSBATCH_STACK`.",
        allowed="a letter, then letters, digits and hyphens, 128 at most",
        pattern=r"^[A-Za-z][A-Za-z0-9-]{0,127}$",
    )
    region: str = option(
        "",
        "AWS region; empty takes that of the AWS profile or of `AWS_REGION`.",
        allowed="a region's code such as us-west-2, or empty",
        pattern=r"^([a-z]{2}(-[a-z]+)+-\d)?$",
    )
    tags: _PAIRS = option(
        {},
        "Tags on everything but the compute environments, which AWS would replace; on instances and volumes too.",
        allowed="key=value pairs",
    )
    ecr_name: str = option(
        "",
        "Name of the repository for your own main images; empty lets CloudFormation choose one. A fixed name"
        " can exist once per account and region.",
        allowed="lower-case letters, digits and ._-/, 2 to 200, or empty",
        pattern=r"^([a-z0-9][a-z0-9._/-]{1,199})?$",
    )

    # Network.
    zones: int = whole(
        2,
        "Availability zones of the stack's own VPC. Every region has 2; more zones find more Spot capacity.",
        low=1,
        high=6,
        unit="zones",
    )
    network: Literal["public", "private"] = option(
        "public",
        "`public`: jobs have public addresses and no open port, nothing costs while idle. `private`: no"
        " public addresses; egress through NAT gateways, which cost by the hour.",
        allowed="public, private",
    )
    nat_gateways: _OPTIONAL_NUMBER = option(
        None,
        "NAT gateways of a private network, one in a zone at most; empty means 1 there and none otherwise.",
        allowed="0 to 6, or empty",
        ge=0,
        le=6,
    )
    vpc_id: str = option(
        "",
        "Existing VPC to use instead of an own one. Say `network=private` if its subnets give no public"
        " addresses (Fargate needs to know); egress is the VPC's affair.",
        allowed="vpc-..., or empty",
        pattern=r"^(vpc-[0-9a-f]{8,17})?$",
    )
    subnet_ids: _NAMES = option((), "Subnets of that VPC for the jobs.", allowed="subnet-... items")

    # Machines.
    arch: Literal["x86_64", "arm64"] = option(
        "x86_64", "Processor of the image and of the machines, both together.", allowed="x86_64, arm64"
    )
    capacity: Literal["spot", "on-demand", "fargate", "fargate-spot"] = option(
        "spot",
        "What workers run on. Main jobs never run on Spot: they are on-demand, or on Fargate with either of"
        " the last two.",
        allowed="spot, on-demand, fargate, fargate-spot",
    )
    instance_types: _NAMES = option(
        (),
        "Instance types or families of workers; empty lets AWS Batch choose among current families of `arch`."
        " Many choices mean more Spot capacity.",
        allowed="items such as m7i.xlarge, c6g or optimal",
    )
    main_instance_types: _NAMES = option((), "The same for main jobs.", allowed="items as instance_types")
    vcpus: int = whole(
        2,
        "vCPUs of one worker job; without GPUs it computes as many tiles at a time.",
        low=1,
        high=192,
        unit="vCPUs",
    )
    gpus: int = whole(
        0,
        "GPUs of one worker job; it computes one tile on each at a time. Needs `capacity` spot or on-demand and"
        " x86_64; 0 for none.",
        low=0,
        high=8,
        unit="GPUs",
    )
    memory_mib: int = whole(
        6144,
        "Memory of one worker job, for all its vCPUs together. A worker above it is killed. Leave a tenth of"
        " the instance's memory to its own system.",
        low=512,
        high=3_145_728,
        unit="MiB",
    )
    max_vcpus: int = whole(
        128,
        "Most vCPUs of all workers of the stack together; the limit of what a run can cost per hour.",
        low=1,
        high=100_000,
        unit="vCPUs",
    )
    volume_gib: int = whole(
        30, "Root volume of worker machines, shared by the jobs on one.", low=30, high=16_384, unit="GiB"
    )
    main_vcpus: int = whole(2, "vCPUs of one main job.", low=1, high=192, unit="vCPUs")
    main_memory_mib: int = whole(6144, "Memory of one main job.", low=512, high=3_145_728, unit="MiB")
    main_max_vcpus: int = whole(
        16, "Most vCPUs of all main jobs of the stack together.", low=1, high=100_000, unit="vCPUs"
    )
    main_volume_gib: int = whole(
        100,
        "Root volume of main's machines; outputs that main assembles on local disk have to fit.",
        low=30,
        high=16_384,
        unit="GiB",
    )

    # Jobs.
    attempts: int = whole(
        5,
        "Starts of a job before it counts as failed. Only lost machines, SIGTERM and failing image pulls"
        " start again.",
        low=1,
        high=10,
        unit="attempts",
    )
    timeout_hours: int = whole(
        24,
        "A worker is stopped after this time; its tile goes back to the queue.",
        low=1,
        high=336,
        unit="hours",
    )
    main_timeout_hours: int = whole(
        72, "A main job is stopped after this time; the run can be resumed.", low=1, high=336, unit="hours"
    )
    runnable_limit_minutes: int = whole(
        720,
        "How long the first job of a queue may wait for machines before it is cancelled. Jobs that no machine"
        " could ever fit are cancelled after 10 minutes.",
        low=10,
        high=1440,
        unit="minutes",
    )
    log_retention_days: int = option(
        30,
        "Age at which log lines of jobs are deleted.",
        allowed=", ".join(str(days) for days in _RETENTION_DAYS),
        unit="days",
    )

    # Data.
    exchange_days: int = whole(
        14,
        "Age at which anything in the exchange bucket is deleted; also how long an interrupted run can be"
        " resumed.",
        low=1,
        high=365,
        unit="days",
    )
    input_buckets: _NAMES = option(
        (),
        "Buckets that jobs and submitters may read, with a folder in it if you like; `*` for all. Buckets read"
        " unsigned need no entry.",
        allowed="bucket or bucket/prefix items, or *",
    )
    output_buckets: _NAMES = option(
        (),
        "Buckets that main and submitters may write, with a folder in it if you like.",
        allowed="bucket or bucket/prefix items",
    )

    # Image.
    extra_packages: _WORDS = option(
        (),
        "Debian or Ubuntu packages to add to the image.",
        allowed="package names, such as python3-sklearn",
        env="EXTRA_PACKAGES",
    )
    pip_packages: _WORDS = option(
        (),
        "PyPI packages to add to the image.",
        allowed="requirements without spaces, such as pydantic>=2",
        env="PIP_PACKAGES",
    )
    python: Literal["", "3.11", "3.12", "3.13"] = option(
        "",
        "Python of the scripts, which workers need too; empty takes that of the `python3` that runs the app.",
        allowed="3.11, 3.12, 3.13, or empty",
    )
    base_image: str = option(
        "",
        "Image that docker/Dockerfile starts from; empty chooses by `python`: Debian 12, Ubuntu 24.04, Debian 13.",
        allowed="an image's name, or empty",
        pattern=r"^\S*$",
    )
    rios_archive: str = option(
        "",
        "Address of a release archive of RIOS to install beside rios_batch; empty installs none.",
        allowed="an https address, or empty",
        pattern=r"^(https://\S+)?$",
    )
    worker_image: str = option(
        "",
        "Your own image for workers, used as it is: no build, no clean-up. It must contain rios_batch.",
        allowed="an image's name with a tag or digest, or empty",
        pattern=r"^(\S+(:[\w.-]+|@sha256:[0-9a-f]{64}))?$",
    )

    # Costs a little, so off.
    dashboard: bool = option(
        False, "CloudWatch dashboard with job states, and a log of state changes.", allowed="true, false"
    )
    budget_usd: int = whole(
        0, "Monthly budget of the whole account to warn about; 0 for none.", low=0, high=1_000_000, unit="USD"
    )
    budget_email: str = option(
        "",
        "Address that is warned at 80 % of the budget, and when the forecast exceeds it.",
        allowed="an e-mail address, or empty",
        pattern=r"^([^@\s]+@[^@\s]+)?$",
    )

    @field_validator("tags")
    @classmethod
    def _check_tags(cls, value: dict[str, str]) -> dict[str, str]:
        every(value, r"(?i)(?!aws:).+", "a key for a tag: aws: is AWS's own")
        return value

    @field_validator("subnet_ids")
    @classmethod
    def _check_subnets(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return every(value, r"subnet-[0-9a-f]{8,17}", "a subnet")

    @field_validator("instance_types", "main_instance_types")
    @classmethod
    def _check_types(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return every(
            value, r"optimal|[a-z][a-z0-9-]*\d[a-z0-9-]*(\.[a-z0-9-]+)?", "an instance type or family"
        )

    @field_validator("log_retention_days")
    @classmethod
    def _check_retention(cls, value: int) -> int:
        if value not in _RETENTION_DAYS:
            raise ValueError(f"{value} is not one of them")
        return value

    @field_validator("input_buckets")
    @classmethod
    def _check_inputs(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return every(
            value, r"\*|[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^*?]*)?", "a bucket, with a prefix or without"
        )

    @field_validator("output_buckets")
    @classmethod
    def _check_outputs(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return every(
            value, r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^*?]*)?", "a bucket, with a prefix or without"
        )

    @field_validator("extra_packages")
    @classmethod
    def _check_apt(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return every(value, r"[a-z0-9][a-z0-9+.-]+(=[\w.+:~-]+)?", "a package name")

    @field_validator("pip_packages")
    @classmethod
    def _check_pip(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return every(value, r"[A-Za-z0-9][^\s;&|$`'\"\\]*", "a requirement")

    @property
    def fargate(self) -> bool:
        """Whether jobs run on Fargate, that is, without instances."""
        return self.capacity.startswith("fargate")

    @property
    def spot(self) -> bool:
        """Whether workers run on spare capacity."""
        return self.capacity.endswith("spot")
