"""A release on the other Debian, with GDAL 3.10 and numpy 2: the wheel, its image, and the README's first script."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.e2e.conftest import DOCKER, said
from tests.support import ROOT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e

BASE = "rios-batch-base:trixie"
IMAGE = "rios-batch-release:check"
CLONE = ("README.md", "examples", "scripts")


def run(*command: str | Path) -> str:
    """Run a command of the project's folder and return what it prints."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, said(done)
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with a wheel that was built from a source distribution."""
    folder = tmp_path_factory.mktemp("release") / "dist"
    run(sys.executable, "-m", "build", "--outdir", folder, ".")
    return folder


@pytest.fixture(scope="module")
def image(dist: Path) -> str:
    published = ROOT / "docker" / "Dockerfile.published"
    run(DOCKER, "build", "-f", published, "--build-arg", f"BASE_IMAGE={BASE}", "-t", IMAGE, dist)
    return IMAGE


def test_the_image_of_a_release_has_numpy_2_and_the_command_line(image: str) -> None:
    versions = (
        "import numpy; from osgeo import gdal_array; from rios_batch import applier; print(numpy.__version__)"
    )

    assert run("docker", "run", "--rm", image, "python3", "-c", versions).startswith("2.")
    assert "rehearse" in run("docker", "run", "--rm", image)


def test_the_readme_leads_from_the_wheel_to_a_first_picture(image: str, dist: Path) -> None:
    mounts = [("-v", f"{ROOT / name}:/clone/{name}:ro") for name in CLONE]
    flat = [argument for mount in mounts for argument in mount]

    printed = run(
        *("docker", "run", "--rm", "--network", "host", *flat, "-v", f"{dist}:/clone/dist:ro", image),
        *("python3", "/clone/scripts/first-picture.py"),
    )

    assert "Wrote ndvi.png" in printed
    assert "From a wheel to a first picture" in printed
