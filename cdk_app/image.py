"""The image that workers run: built from docker/ at deploy, or somebody's own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aws_cdk import Stack
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_ecr_assets as assets
from aws_cdk import aws_ecs as ecs
from constructs import Construct

if TYPE_CHECKING:
    from collections.abc import Sequence

_ROOT = Path(__file__).resolve().parents[1]
_PLATFORMS = {"x86_64": assets.Platform.LINUX_AMD64, "arm64": assets.Platform.LINUX_ARM64}
_ECR_URI = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com/(?P<name>[^:@]+)(?P<sep>[:@])(?P<version>.+)"
)


@dataclass(frozen=True, kw_only=True)
class ImageBuild:
    """What goes into a built image.

    Attributes
    ----------
    arch : ``x86_64`` or ``arm64``.
    base_image : image to start from.
    extra_packages : Debian or Ubuntu packages to add.
    pip_packages : PyPI requirements to add.
    rios_archive : address of RIOS's release archive; empty for none.
    """

    arch: str
    base_image: str
    extra_packages: Sequence[str]
    pip_packages: Sequence[str]
    rios_archive: str


class BuiltImage(Construct):
    """An image that `cdk deploy` builds and pushes.

    Attributes
    ----------
    image : for job definitions.
    uri : for people who write ``FROM`` it.
    repository, tag : where it is, for the clean-up.
    """

    def __init__(self, scope: Construct, construct_id: str, *, build: ImageBuild) -> None:
        super().__init__(scope, construct_id)
        asset = assets.DockerImageAsset(
            self,
            "Asset",
            directory=str(_ROOT),
            file="docker/Dockerfile",
            platform=_PLATFORMS[build.arch],
            build_args={
                "BASE_IMAGE": build.base_image,
                "EXTRA_PACKAGES": " ".join(build.extra_packages),
                "PIP_PACKAGES": " ".join(build.pip_packages),
                "RIOS_ARCHIVE": build.rios_archive,
            },
            # The tag is the hash, and the bootstrap repository is shared: without the name in it, a stack's
            # clean-up would take the image of its twin.
            extra_hash=Stack.of(self).stack_name,
        )
        self.image: ecs.ContainerImage = ecs.ContainerImage.from_docker_image_asset(asset)
        self.uri = asset.image_uri
        self.repository: ecr.IRepository = asset.repository
        self.tag = asset.image_tag


def given_image(scope: Construct, uri: str) -> ecs.ContainerImage:
    """Use an image that exists; one in ECR gets the permission to pull it along."""
    match = _ECR_URI.fullmatch(uri)
    if match is None:
        return ecs.ContainerImage.from_registry(uri)
    repository = ecr.Repository.from_repository_attributes(
        scope,
        "WorkerRepository",
        repository_name=match["name"],
        repository_arn=Stack.of(scope).format_arn(
            service="ecr",
            region=match["region"],
            account=match["account"],
            resource="repository",
            resource_name=match["name"],
        ),
    )
    return ecs.ContainerImage.from_ecr_repository(repository, match["version"])
