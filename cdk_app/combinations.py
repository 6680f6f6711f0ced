"""Settings that are each allowed but do not go together.

Every check yields one sentence for each problem: the values, what is allowed, the keys to change.
Each of them would otherwise show up minutes after a deploy: as a job that waits for ever, or a stack
that rolls back.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cdk_app.pythons import BASE_IMAGES, workers_python

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cdk_app.fields import SettingFields

# Fargate sells fixed sizes: vCPUs -> (least, most, step) of memory in MiB.
FARGATE_MEMORY_MIB = {
    1: (2048, 8192, 1024),
    2: (4096, 16_384, 1024),
    4: (8192, 30_720, 1024),
    8: (16_384, 61_440, 4096),
    16: (32_768, 122_880, 8192),
}
FARGATE_VOLUME_GIB = (21, 200)

# A budget is the whole account's, but CloudFormation does not make one everywhere; a test compares with its schemas.
WITHOUT_BUDGETS = frozenset(
    [
        *(
            "af-south-1",
            "ap-east-1",
            "ap-east-2",
            "ap-northeast-3",
            "ap-south-2",
            "ap-southeast-3",
            "ap-southeast-4",
        ),
        *("ap-southeast-5", "ap-southeast-6", "ap-southeast-7", "ca-west-1", "eu-central-2", "eu-north-1"),
        *("eu-south-1", "eu-south-2", "il-central-1", "me-central-1", "mx-central-1", "us-gov-east-1"),
        *("us-gov-west-1",),
    ]
)

# IAM takes managed policies of 6,144 characters, blanks not counted. What the submitter's says without users'
# buckets is less than this, in the region with the longest name; a test renders it.
_POLICY_CHARACTERS = 6144
POLICY_WITHOUT_BUCKETS = 4000
_LONGEST_S3_ARN = len("arn:aws-us-gov:s3:::")

# Graviton families have a g behind the generation (m7g, c6gn, im4gn, is4gen); a1 is the one before that rule.
_ARM_FAMILY = re.compile(r"a1|[a-z]+\d+[a-z]*g[a-z]*")


def problems(settings: SettingFields) -> Iterator[str]:
    """Say everything that is wrong with a combination of settings."""
    yield from _sizes(settings)
    yield from (_fargate(settings) if settings.fargate else _instances(settings))
    yield from _gpus(settings)
    yield from _network(settings)
    yield from _image(settings)
    yield from _policy(settings)
    yield from _ages(settings)
    yield from _budget(settings)
    yield from region_problems(settings, settings.region)


def region_problems(settings: SettingFields, region: str) -> Iterator[str]:
    """Say what settings want that a region does not have; an empty region has everything."""
    if settings.budget_usd and region in WITHOUT_BUDGETS:
        yield (
            f"budget_usd is {settings.budget_usd} but CloudFormation makes no budgets in {region}; set budget_usd to 0"
            " and make the budget, which is the whole account's, by hand"
        )


def _budget(settings: SettingFields) -> Iterator[str]:
    if settings.budget_usd and not settings.budget_email:
        yield f"budget_usd is {settings.budget_usd} but budget_email is empty; say who is to be warned"
    if settings.budget_email and not settings.budget_usd:
        yield f"budget_email is {settings.budget_email} but budget_usd is 0; say what to warn about"


def _sizes(settings: SettingFields) -> Iterator[str]:
    if settings.vcpus > settings.max_vcpus:
        yield (
            f"vcpus is {settings.vcpus} but max_vcpus is {settings.max_vcpus}: not one worker could start;"
            " lower vcpus or raise max_vcpus"
        )
    if settings.main_vcpus > settings.main_max_vcpus:
        yield (
            f"main_vcpus is {settings.main_vcpus} but main_max_vcpus is {settings.main_max_vcpus}:"
            " no main job could start; lower main_vcpus or raise main_max_vcpus"
        )


def _ages(settings: SettingFields) -> Iterator[str]:
    if settings.exchange_days * 24 < settings.main_timeout_hours:
        yield (
            f"exchange_days is {settings.exchange_days} but main_timeout_hours is"
            f" {settings.main_timeout_hours}: data of a run would expire under it; raise exchange_days or lower"
            " main_timeout_hours"
        )


def _fargate(settings: SettingFields) -> Iterator[str]:
    yield from _fargate_size("vcpus", settings.vcpus, "memory_mib", settings.memory_mib)
    yield from _fargate_size("main_vcpus", settings.main_vcpus, "main_memory_mib", settings.main_memory_mib)
    low, high = FARGATE_VOLUME_GIB
    for key, size in (("volume_gib", settings.volume_gib), ("main_volume_gib", settings.main_volume_gib)):
        if not low <= size <= high:
            yield f"{key} is {size} but Fargate allows {low} to {high} GiB"
    for key, types in _typed(settings):
        if types:
            yield (
                f"{key} is {', '.join(types)} but capacity is {settings.capacity}, which has no instances;"
                " leave it out, or set capacity to spot or on-demand"
            )


def _fargate_size(vcpus_key: str, vcpus: int, memory_key: str, memory_mib: int) -> Iterator[str]:
    if vcpus not in FARGATE_MEMORY_MIB:
        sizes = ", ".join(str(size) for size in FARGATE_MEMORY_MIB)
        yield f"{vcpus_key} is {vcpus} but Fargate sells {sizes} vCPUs"
        return
    low, high, step = FARGATE_MEMORY_MIB[vcpus]
    if not low <= memory_mib <= high or memory_mib % step:
        yield (
            f"{memory_key} is {memory_mib} but Fargate sells {low} to {high} MiB in steps of {step} with"
            f" {vcpus_key}={vcpus}"
        )


def _typed(settings: SettingFields) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return (
        ("instance_types", settings.instance_types),
        ("main_instance_types", settings.main_instance_types),
    )


def _instances(settings: SettingFields) -> Iterator[str]:
    for key, types in _typed(settings):
        for name in types:
            if name.partition(".")[0] == "a1":
                yield f"{key} has {name}, which Amazon Linux 2023 does not run on; choose a newer family"
            arch = architecture(name)
            if arch != settings.arch:
                yield (
                    f"{key} has {name}, which is {arch}, but arch is {settings.arch}: the image would not"
                    f" start; set arch to {arch} or choose other types"
                )
    yield from _fits("vcpus", settings.vcpus, "instance_types", settings.instance_types)
    yield from _fits("main_vcpus", settings.main_vcpus, "main_instance_types", settings.main_instance_types)


def _fits(vcpus_key: str, vcpus: int, types_key: str, types: Sequence[str]) -> Iterator[str]:
    sizes = [instance_vcpus(name) for name in types]
    largest = max((size for size in sizes if size is not None), default=None)
    if largest is not None and None not in sizes and vcpus > largest:
        yield (
            f"{vcpus_key} is {vcpus} but the largest of {types_key} ({', '.join(types)}) has {largest} vCPUs:"
            f" jobs would wait for ever; lower {vcpus_key} or choose larger types"
        )


def architecture(instance_type: str) -> str:
    """Tell the processor of an instance type or family, by AWS's naming rule."""
    family = instance_type.partition(".")[0]
    return "arm64" if _ARM_FAMILY.fullmatch(family) else "x86_64"


def instance_vcpus(instance_type: str) -> int | None:
    """Tell the vCPUs of an instance type by its size; None for families, metal and the odd T2s."""
    family, _, size = instance_type.partition(".")
    match = re.fullmatch(r"(\d*)xlarge", size)
    if match:
        return 4 * int(match[1] or 1)
    return {"medium": 1 if architecture(family) == "arm64" else None, "large": 2}.get(size)


# With drivers in the image that AWS Batch takes for GPUs. By size the GPUs of each machine, where they differ; the
# other sizes have one.
GPU_FAMILIES: dict[str, dict[str, int]] = {
    "g4dn": {"12xlarge": 4},
    "g5": {"12xlarge": 4, "24xlarge": 4, "48xlarge": 8},
    "g6": {"12xlarge": 4, "24xlarge": 4, "48xlarge": 8},
    "g6e": {"12xlarge": 4, "24xlarge": 4, "48xlarge": 8},
    "gr6": {},
    "p3": {"8xlarge": 4, "16xlarge": 8},
    "p3dn": {"24xlarge": 8},
    "p4d": {"24xlarge": 8},
    "p4de": {"24xlarge": 8},
    "p5": {"48xlarge": 8},
    "p5e": {"48xlarge": 8},
    "p5en": {"48xlarge": 8},
}


def _gpus(settings: SettingFields) -> Iterator[str]:
    wanted = settings.gpus
    if not wanted:
        return
    if settings.fargate:
        yield (
            f"gpus is {wanted} but capacity is {settings.capacity}, which has no GPUs; set capacity to spot or"
            " on-demand"
        )
        return
    if settings.arch == "arm64":
        yield (
            f"gpus is {wanted} but arch is arm64: AWS Batch's image with drivers for GPUs is for x86_64; set arch to"
            " x86_64"
        )
        return
    for name in settings.instance_types:
        if name.partition(".")[0] not in GPU_FAMILIES:
            yield (
                f"gpus is {wanted} but instance_types has {name}, which has no GPU that AWS Batch's image has drivers"
                f" for; choose among {', '.join(GPU_FAMILIES)}"
            )
    most = max((_gpus_of(name) for name in settings.instance_types), default=wanted)
    if most < wanted:
        yield (
            f"gpus is {wanted} but the largest of instance_types ({', '.join(settings.instance_types)}) has {most}:"
            " jobs would wait for ever; lower gpus or choose larger types"
        )
    if wanted > settings.vcpus:
        yield f"gpus is {wanted} but vcpus is {settings.vcpus}: each GPU needs a vCPU for its process; raise vcpus"


def _gpus_of(name: str) -> int:
    """Tell the most GPUs of an instance type or family; 1 for families that are not known, which are refused anyway."""
    family, _, size = name.partition(".")
    known = GPU_FAMILIES.get(family, {})
    return known.get(size, 1) if size else max(known.values(), default=1)


def _network(settings: SettingFields) -> Iterator[str]:
    if bool(settings.vpc_id) != bool(settings.subnet_ids):
        yield (
            f"vpc_id is {settings.vpc_id or 'empty'} and subnet_ids"
            f" {' '.join(settings.subnet_ids) or 'empty'}; an existing VPC needs both, an own one neither"
        )
    gateways = settings.nat_gateways
    if settings.vpc_id and gateways is not None:
        yield (
            f"nat_gateways is {gateways} but vpc_id is {settings.vpc_id}: an existing VPC is not changed;"
            " leave it out"
        )
    elif settings.network == "public" and gateways:
        yield (
            f"nat_gateways is {gateways} but network is public: they would cost money and carry nothing;"
            " set network to private or leave it out"
        )
    elif gateways and gateways > settings.zones:
        yield (
            f"nat_gateways is {gateways} but zones is {settings.zones}: there is at most one in a zone;"
            " lower nat_gateways or raise zones"
        )
    elif settings.network == "private" and gateways == 0:
        yield (
            "network is private without egress (nat_gateways is 0): jobs could not reach ECR, SQS or Batch;"
            " set nat_gateways to 1 or more, or network to public"
        )


def _image(settings: SettingFields) -> Iterator[str]:
    if not settings.worker_image:
        version = workers_python(settings)
        if not settings.base_image and version not in BASE_IMAGES:
            yield (
                f"the python3 that runs this is {version}, but there are base images for {', '.join(BASE_IMAGES)}:"
                f" set python to what scripts use, or base_image to a Debian or Ubuntu image that has {version}"
            )
        return
    for key in ("extra_packages", "pip_packages", "rios_archive", "base_image"):
        if key in settings.model_fields_set and getattr(settings, key):
            yield (
                f"{key} is set, but worker_image is {settings.worker_image}, which is used as it is;"
                " leave out one of the two"
            )


def _policy(settings: SettingFields) -> Iterator[str]:
    entries = [*settings.input_buckets, *settings.output_buckets]
    # Each is there as a bucket and as its objects, in quotes, with commas, slash and star.
    used = sum(2 * _LONGEST_S3_ARN + len(name.partition("/")[0]) + len(name) + 8 for name in entries)
    left = _POLICY_CHARACTERS - POLICY_WITHOUT_BUCKETS
    if used > left:
        yield (
            f"input_buckets and output_buckets have {len(entries)} entries, which take about {used} characters"
            f" in the submitters' policy, but IAM leaves {left}: name fewer, for instance a bucket once"
            " without prefixes"
        )
