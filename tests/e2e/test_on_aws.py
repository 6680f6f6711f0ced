"""A stack's life, as a person lives it: deploy, run, change, run, destroy. `make e2e` runs it, in this order.

Real are the CDK's command line, the build of docker/Dockerfile, and every job, which is a container. AWS and
its registry are not: `tests.emulation` and `cdk_docker.py` stand for them.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from rios_batch.contract import DEFAULT_STACK_NAME, JOB_TAG, StackOutput
from tests.e2e.conftest import DOCKER, said
from tests.support import ROOT, make_raster, ramp, read_raster

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rios_batch.testing.emulation.cloud import Emulator
    from tests.e2e.conftest import Commands
    from tests.support import Array

pytestmark = pytest.mark.e2e

SCRIPTS = ROOT / "tests" / "e2e" / "scripts"
SCRIPT = (sys.executable, str(SCRIPTS / "brightest.py"))
PYTHONS = {"bookworm": (3, 11), "trixie": (3, 13)}
LIKE_HERE = next((suite for suite, python in PYTHONS.items() if python == sys.version_info[:2]), "bookworm")
UNLIKE_HERE = next(suite for suite in PYTHONS if suite != LIKE_HERE)

BUCKET = "my-rasters"
SCENE, OUT = f"s3://{BUCKET}/scene.tif", f"s3://{BUCKET}/out.tif"


def settings(suite: str) -> dict[str, str]:
    return {
        "RIOS_BATCH_BASE_IMAGE": f"rios-batch-base:{suite}",
        "RIOS_BATCH_INPUT_BUCKETS": BUCKET,
        "RIOS_BATCH_OUTPUT_BUCKETS": BUCKET,
    }


@contextmanager
def person(cloud: Emulator, *policies: StackOutput) -> Iterator[dict[str, str]]:
    """Have somebody with policies of the stack and no other rights; IAM is in force meanwhile."""
    outputs = cloud.outputs()
    with cloud.user_with(*(outputs[policy] for policy in policies)) as credentials:
        cloud.enforce_iam(True)
        try:
            yield credentials
        finally:
            cloud.enforce_iam(False)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, cloud: Emulator) -> str:
    """Give a scene on this machine; the same is in a bucket of the user's own."""
    path = make_raster(tmp_path_factory.mktemp("scene") / "scene.tif", ramp(1, 1500, 2500))
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": cloud.region})
    s3.upload_file(path, BUCKET, "scene.tif")
    return path


@pytest.fixture(scope="module")
def brightest(scene: str, commands: Commands, tmp_path_factory: pytest.TempPathFactory) -> Array:
    """Give what the script makes of the scene in one process."""
    folder = tmp_path_factory.mktemp("in-process")
    done = commands.run(*SCRIPT, scene, "out.tif", "--workers", "1", folder=folder)
    assert done.returncode == 0, said(done)
    return read_raster(folder / "out.tif")


@pytest.fixture(scope="module")
def untouched(cloud: Emulator) -> list[str]:
    return cloud.inventory()


@pytest.fixture(scope="module")
def bootstrapped(untouched: list[str], commands: Commands) -> list[str]:
    commands.cdk("bootstrap")
    return [line for line in commands.cloud.inventory() if line not in untouched]


def test_bootstrap_makes_what_the_cdk_needs(bootstrapped: list[str], cloud: Emulator) -> None:
    assert f"ecr repository {cloud.asset_repository}" in bootstrapped
    assert any(line.startswith("s3 bucket cdk-") for line in bootstrapped)


def test_deploy_builds_the_image_and_makes_what_the_runtime_looks_for(
    bootstrapped: list[str], commands: Commands, cloud: Emulator
) -> None:
    del bootstrapped

    commands.cdk("deploy", "--require-approval", "never", settings=settings(LIKE_HERE))

    outputs = cloud.outputs(DEFAULT_STACK_NAME)
    printed = commands.run(
        "docker", "run", "--rm", outputs[StackOutput.WORKER_IMAGE], "python3", "--version"
    ).stdout
    assert printed.startswith("Python {}.{}.".format(*PYTHONS[LIKE_HERE]))
    assert images(cloud) == [outputs[StackOutput.WORKER_IMAGE].rpartition(":")[2]]


@pytest.mark.skipif(PYTHONS[LIKE_HERE] != sys.version_info[:2], reason="no base image here has this Python")
def test_a_script_here_and_workers_in_containers_give_the_pixels_of_one_process(
    scene: str, brightest: Array, commands: Commands, cloud: Emulator, tmp_path: Path
) -> None:
    with person(cloud, StackOutput.SUBMITTER_POLICY) as user:
        done = commands.run(*SCRIPT, scene, "out.tif", environment=user, folder=tmp_path)

    assert done.returncode == 0, said(done)
    np.testing.assert_array_equal(read_raster(tmp_path / "out.tif"), brightest)
    assert "(job " in done.stdout  # after the name of a worker on Batch
    assert ends_of_workers(cloud) == ["SUCCEEDED"] * 4


@pytest.mark.skipif(PYTHONS[LIKE_HERE] != sys.version_info[:2], reason="no base image here has this Python")
def test_a_script_is_rehearsed_with_workers_in_containers(
    scene: str, commands: Commands, cloud: Emulator, tmp_path: Path
) -> None:
    image = cloud.outputs()[StackOutput.WORKER_IMAGE]
    rehearse = (
        str(Path(sys.executable).with_name("rios-batch")),
        "rehearse",
        "--docker",
        image,
        "--workers",
        "1",
    )

    done = commands.run(*rehearse, SCRIPT[1], scene, "out.tif", "--workers", "1", folder=tmp_path)

    assert done.returncode == 0, said(done)
    assert "is the same, bit for bit" in done.stdout
    assert not (tmp_path / "out.tif").exists()


def test_deploying_with_another_base_takes_the_old_image_away(commands: Commands, cloud: Emulator) -> None:
    before = images(cloud)

    commands.cdk("deploy", "--require-approval", "never", settings=settings(UNLIKE_HERE))

    after = images(cloud)
    assert len(after) == 1
    assert after != before


def test_a_script_here_learns_that_workers_have_another_python(
    scene: str, commands: Commands, tmp_path: Path
) -> None:
    done = commands.run(*SCRIPT, scene, "out.tif", folder=tmp_path)

    assert done.returncode == 1
    here, there = (".".join(map(str, python)) for python in (sys.version_info[:2], PYTHONS[UNLIKE_HERE]))
    assert f"main has Python {here}" in said(done)
    assert f"workers have {there}" in said(done)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("case", ["one", "reopened", "vrt", "second"])
def test_the_image_reads_on_when_a_roles_credentials_have_expired(
    commands: Commands, cloud: Emulator, case: str
) -> None:
    image = cloud.outputs(DEFAULT_STACK_NAME)[StackOutput.WORKER_IMAGE]

    done = commands.run(
        *("docker", "run", "--rm", "-v", f"{SCRIPTS}:/scripts:ro", image),
        *("python3", "/scripts/reads_after_expiry.py", case),
    )

    assert done.returncode == 0, said(done)
    assert re.match(r"read with [23] keys", done.stdout)


def ends_of_workers(cloud: Emulator) -> list[str]:
    """Wait for the children of all arrays, which leave when the run's queue is gone, and return how they ended."""
    while True:
        states = [job.status for job in cloud.jobs() if job.index is not None]
        if set(states) <= {"SUCCEEDED", "FAILED"}:
            return states
        time.sleep(0.5)


def images(cloud: Emulator) -> list[str]:
    """Tags of the workers' images in ECR."""
    found = cloud.client("ecr").list_images(repositoryName=cloud.asset_repository)["imageIds"]
    return [image["imageTag"] for image in found]


def pixels_in_s3(cloud: Emulator, key: str, folder: Path) -> Array:
    path = folder / "out.tif"
    cloud.client("s3").download_file(BUCKET, key, str(path))
    return read_raster(path)


def test_the_same_script_submitted_as_main_gives_the_same_pixels(
    brightest: Array, commands: Commands, cloud: Emulator, tmp_path: Path
) -> None:
    with person(cloud, StackOutput.SUBMITTER_POLICY) as user:
        beside = ("--with", str(SCRIPTS / "neighbours.py"))
        submit = ("rios-batch", "submit", *beside, str(SCRIPTS / "brightest.py"), SCENE, OUT)
        done = commands.run(*submit, environment=user)

    assert done.returncode == 0, said(done)
    assert "computed by" in done.stdout
    np.testing.assert_array_equal(pixels_in_s3(cloud, "out.tif", tmp_path), brightest)


def test_a_main_image_built_on_the_workers_image_gives_the_same_pixels(
    brightest: Array, commands: Commands, cloud: Emulator, tmp_path: Path
) -> None:
    outputs = cloud.outputs(DEFAULT_STACK_NAME)
    image = f"{outputs[StackOutput.MAIN_REPOSITORY]}:latest"
    build = commands.run(
        *(DOCKER, "build", "-f", "docker/Dockerfile.main", "--build-arg", "SCRIPT=brightest.py"),
        *("--build-arg", f"WORKER_IMAGE={outputs[StackOutput.WORKER_IMAGE]}", "-t", image, str(SCRIPTS)),
    )
    assert build.returncode == 0, said(build)

    with person(cloud, StackOutput.PUBLISHER_POLICY, StackOutput.SUBMITTER_POLICY) as user:
        push = commands.run(DOCKER, "push", image, environment=user)
        assert push.returncode == 0, said(push)
        job = cloud.client("batch", user).submit_job(
            jobName="brightest",
            jobQueue=outputs[StackOutput.MAIN_QUEUE],
            jobDefinition=outputs[StackOutput.MAIN_DEFINITION],
            containerOverrides={
                "environment": [
                    {"name": "SCENE", "value": SCENE},
                    {"name": "OUT", "value": f"s3://{BUCKET}/main.tif"},
                ]
            },
            tags={JOB_TAG: DEFAULT_STACK_NAME},
        )
        follow = commands.run("rios-batch", "follow", job["jobId"], environment=user)

    assert follow.returncode == 0, said(follow)
    np.testing.assert_array_equal(pixels_in_s3(cloud, "main.tif", tmp_path), brightest)


def start_a_job(cloud: Emulator, user: Mapping[str, str]) -> str:
    """Have a job running that does not end by itself, and return the name of its container."""
    outputs = cloud.outputs()
    job_id = cloud.client("batch", user).submit_job(
        jobName="endless",
        jobQueue=outputs[StackOutput.WORKER_QUEUE],
        jobDefinition=outputs[StackOutput.WORKER_DEFINITION],
        containerOverrides={"command": ["sleep", "infinity"]},
        tags={JOB_TAG: DEFAULT_STACK_NAME},
    )["jobId"]
    while True:
        (job,) = [job for job in cloud.jobs() if job.job_id == job_id]
        assert job.status not in {"SUCCEEDED", "FAILED"}, job
        if job.handle is not None and job.handle in containers():
            return job.handle
        time.sleep(0.1)


def containers() -> list[str]:
    """Give the names of all running containers."""
    listing = ["docker", "ps", "--format", "{{.Names}}"]
    return subprocess.run(listing, check=True, capture_output=True, text=True).stdout.split()


def test_destroy_under_a_running_job_and_a_user_of_the_stack_leaves_what_was_there_before(
    bootstrapped: list[str], untouched: list[str], commands: Commands, cloud: Emulator
) -> None:
    # IAM is not in force: the emulation would not let the CDK's own role for deploying describe the stack.
    with cloud.user_with(cloud.outputs()[StackOutput.SUBMITTER_POLICY]) as user:
        container = start_a_job(cloud, user)
        commands.cdk("destroy", "--force", settings=settings(UNLIKE_HERE))

    assert container not in containers()
    left = set(cloud.inventory()) - {*untouched, *bootstrapped}
    own = {line for line in left if BUCKET in line}
    # The CDK keeps templates that were deployed in its bucket.
    templates = {line for line in left if line.startswith("s3 object cdk-") and ".json " in line}
    assert left - own - templates == set()
