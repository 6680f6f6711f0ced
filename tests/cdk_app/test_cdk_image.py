from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from aws_cdk import App

from cdk_app.settings import DeploySettings
from cdk_app.stack import RiosBatchStack

if TYPE_CHECKING:
    from tests.cdk_app.synthesized import Stack


def source(stack: Stack) -> dict[str, Any]:
    (image,) = stack.assets["dockerImages"].values()
    found: dict[str, Any] = image["source"]
    return found


def test_default_image_is_plain_debian_13(default: Stack) -> None:
    arguments = source(default)["dockerBuildArgs"]
    assert arguments.pop("BASE_IMAGE").startswith("public.ecr.aws/docker/library/debian:trixie-2")
    assert arguments == {"EXTRA_PACKAGES": "", "PIP_PACKAGES": "", "RIOS_ARCHIVE": ""}


def test_packages_and_base_are_build_arguments(everything: Stack) -> None:
    assert source(everything)["dockerBuildArgs"] == {
        "BASE_IMAGE": "ubuntu:24.04",
        "EXTRA_PACKAGES": "python3-sklearn python3-skimage",
        "PIP_PACKAGES": "pydantic>=2,<3 python-dateutil",
        "RIOS_ARCHIVE": "https://example.org/rios.tar.gz",
    }


def test_arch_drives_the_platform(default: Stack, everything: Stack) -> None:
    assert source(default)["platform"] == "linux/amd64"
    assert source(everything)["platform"] == "linux/arm64"


def test_context_has_only_what_the_dockerfile_copies(default: Stack) -> None:
    context = default.path.parent / source(default)["directory"]
    files = {str(path.relative_to(context)) for path in context.rglob("*") if path.is_file()}
    docker = {name for name in files if not name.startswith("rios_batch/")}
    docker.remove(".dockerignore")  # CDK adds it
    assert docker == {"docker/Dockerfile", "docker/check_image.py", "docker/requirements.txt"}
    package = Path(__file__).parents[2] / "rios_batch"
    wanted = {
        f"rios_batch/{path.relative_to(package)}"
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in files if name.startswith("rios_batch/")} == wanted


def image_tag(settings: DeploySettings) -> str:
    stack = RiosBatchStack(App(analytics_reporting=False), "Any", settings=settings)
    uri: str = stack.resolve(stack.node.find_child("WorkerImageUri").value)["Fn::Sub"]  # type: ignore[attr-defined]
    return uri.rpartition(":")[2]


def test_hash_is_of_the_stack_so_that_its_twin_keeps_its_image() -> None:
    one, other = (image_tag(DeploySettings(stack_name=name)) for name in ("One", "Other"))
    assert one != other


def test_hash_is_steady_and_changes_with_the_packages() -> None:
    plain = image_tag(DeploySettings())
    assert plain == image_tag(DeploySettings())
    assert plain != image_tag(DeploySettings(extra_packages=("python3-sklearn",)))
    assert plain != image_tag(DeploySettings(pip_packages=("pydantic",)))


def test_given_image_is_neither_built_nor_deleted(fargate: Stack) -> None:
    assert not fargate.assets["dockerImages"]
    assert not fargate.of_type("Custom::PushedImage")
    assert fargate.outputs()["WorkerImageUri"] == "123456789012.dkr.ecr.us-west-2.amazonaws.com/mine:1.2"
