from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aws_cdk import App

from cdk_app import app, pythons
from cdk_app.loading import load_settings
from cdk_app.pythons import BASE_IMAGES, announcement, pythons_here
from cdk_app.settings import DeploySettings
from cdk_app.stack import RiosBatchStack
from cdk_app.translate import image_build, known_outputs
from rios_batch.contract import StackOutput
from tests.cdk_app.variants import refusal

if TYPE_CHECKING:
    from tests.cdk_app.synthesized import Stack


def source(stack: Stack) -> dict[str, Any]:
    (image,) = stack.assets["dockerImages"].values()
    found: dict[str, Any] = image["source"]
    return found


def test_default_image_has_the_python_that_runs_the_app_and_nothing_added(default: Stack) -> None:
    arguments = source(default)["dockerBuildArgs"]
    assert arguments.pop("BASE_IMAGE") == BASE_IMAGES[pythons_here()]
    assert default.outputs()[StackOutput.PYTHON] == pythons_here()
    assert arguments == {"EXTRA_PACKAGES": "", "PIP_PACKAGES": "", "RIOS_ARCHIVE": ""}


@pytest.mark.parametrize(
    ("python", "base"), [("3.11", "debian:bookworm-"), ("3.12", "ubuntu:24.04"), ("3.13", "debian:trixie-")]
)
def test_python_setting_chooses_the_base_and_is_exported(python: str, base: str) -> None:
    settings = load_settings({"python": python}, {})
    build = image_build(settings)
    assert build is not None
    assert build.base_image.startswith(f"public.ecr.aws/docker/library/{base}")
    assert known_outputs(settings)[StackOutput.PYTHON] == python


@pytest.mark.parametrize(
    ("context", "python"),
    [
        ({"base_image": "mine"}, "unknown"),
        ({"base_image": "mine", "python": "3.12"}, "3.12"),
        ({"worker_image": "mine:1"}, "unknown"),
        ({"worker_image": "mine:1", "python": "3.13"}, "3.13"),
    ],
)
def test_python_of_an_image_of_ones_own_is_what_one_says(context: dict[str, str], python: str) -> None:
    assert known_outputs(load_settings(context, {}))[StackOutput.PYTHON] == python
    said = announcement(load_settings(context, {}))
    assert ("the Python of mine" if python == "unknown" else f"Python {python}, as set") in said


def test_python_without_a_base_image_is_refused_with_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pythons, "pythons_here", lambda: "3.14")
    assert "is 3.14, but there are base images for 3.11, 3.12, 3.13: set python to what" in refusal({})
    assert load_settings({"python": "3.13"}, {}).python == "3.13"
    assert load_settings({"base_image": "mine"}, {}).base_image == "mine"


def test_other_pythons_are_refused() -> None:
    assert "python is '3.10', allowed: 3.11, 3.12, 3.13, or empty" in refusal({"python": "3.10"})


def test_app_says_which_python_workers_will_have(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(app, "build", lambda *_, **__: None)
    assert app.main() == 0
    assert (
        f"workers will have Python {pythons_here()}, as the python3 that runs this" in capsys.readouterr().err
    )


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
    uri: str = stack.resolve(stack.node.find_child("WorkerImageUri").value)["Fn::Sub"]
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
