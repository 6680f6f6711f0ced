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
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?/"
    r"(?P<name>[^:@]+)[:@](?P<version>.+)"
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


@dataclass(frozen=True, kw_only=True)
class PushedImage:
    """Where `cdk deploy` pushes an image: a repository that the stack does not own."""

    repository: ecr.IRepository
    tag: str


class WorkerImage(Construct):
    """The image of workers.

    Parameters
    ----------
    build : what goes into an image that `cdk deploy` builds and pushes; None builds none.
    given : name of an image to use as it is instead.

    Attributes
    ----------
    image : for job definitions.
    uri : for people who write ``FROM`` it.
    repository : where in ECR it is; None if it is elsewhere.
    pushed : what has to be deleted when the stack goes; None for a given image.
    """

    def __init__(self, scope: Construct, construct_id: str, *, build: ImageBuild | None, given: str) -> None:
        super().__init__(scope, construct_id)
        self.pushed: PushedImage | None = None
        self.repository: ecr.IRepository | None = None
        if build is None:
            self.image, self.uri = self._given(given), given
            return
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
        self.image = ecs.ContainerImage.from_docker_image_asset(asset)
        self.uri = asset.image_uri
        self.repository = asset.repository
        self.pushed = PushedImage(repository=asset.repository, tag=asset.image_tag)

    def _given(self, uri: str) -> ecs.ContainerImage:
        match = _ECR_URI.fullmatch(uri)
        if match is None:
            return ecs.ContainerImage.from_registry(uri)
        # One in ECR gets the permission to pull it along.
        arn = Stack.of(self).format_arn(
            service="ecr",
            region=match["region"],
            account=match["account"],
            resource="repository",
            resource_name=match["name"],
        )
        self.repository = ecr.Repository.from_repository_attributes(
            self, "Given", repository_name=match["name"], repository_arn=arn
        )
        return ecs.ContainerImage.from_ecr_repository(self.repository, match["version"])
