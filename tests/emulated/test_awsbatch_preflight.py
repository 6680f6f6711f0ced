"""What main finds wrong before or as soon as it begins, and a region that is unlike the others."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import pickle
import sys
from typing import TYPE_CHECKING, Any

import boto3
import numpy as np
import pytest

from rios_batch import applier
from rios_batch.awsbatch import manager as awsbatch
from rios_batch.awsbatch import polling, runstore
from rios_batch.awsbatch.versions import versions
from rios_batch.contract import StackOutput
from rios_batch.errors import (
    JobMgrError,
    OutputError,
    ParameterError,
    StackExportsError,
    UnloadableJobError,
    VersionMismatchError,
)
from rios_batch.jobmanagers import pickling
from rios_batch.testing.emulation.cloud import Emulator
from rios_batch.testing.emulation.leavings import leftovers, wait_for_jobs
from rios_batch.testing.emulation.template import pushed_tags
from tests.support import make_raster, read_raster

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
SCENE = np.random.default_rng(11).integers(1, 200, (1, 96, 160), np.uint8)


def double(_info: Any, inputs: Any, outputs: Any) -> None:
    outputs.result = inputs.image * 2


def run(
    folder: Path, target: str = "", image: str = "", *, alone: bool = False, resume: bool | str = False
) -> None:
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.image = image or make_raster(folder / "scene.tif", SCENE)
    outfiles.result = target or str(folder / "out.tif")
    controls = applier.ApplierControls()
    controls.setWindowSize(32, 32)
    controls.setTileSize(32, 32)
    controls.setCreationOptions(["TILED=YES", "BLOCKXSIZE=32", "BLOCKYSIZE=32"])
    controls.setNumThreads(2)
    controls.setJobManagerType("AWSBatch")
    controls.setCoordinateOnly(alone)
    controls.setResume(resume)
    applier.apply(double, infiles, outfiles, controls=controls)


def submitted(cloud: Emulator) -> bool:
    return any(call.operation == "submit_job" for call in cloud.calls())


# -- versions


@pytest.mark.parametrize("alone", [False, True], ids=["main's own worker", "a worker on Batch"])
@pytest.mark.parametrize(
    ("name", "version", "says"),
    [
        ("Python", "3.9.1", r"main has Python 3\.9\.1, workers have 3\.\d+\.\d+"),
        ("rios_batch", "0.0.1", r"main has rios_batch 0\.0\.1, workers have \S+ \(code \w+\)"),
    ],
)
def test_workers_of_other_versions_end_the_run_with_the_cure(
    tmp_path: Path,
    quick_cloud: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    alone: bool,
    name: str,
    version: str,
    says: str,
) -> None:
    monkeypatch.setattr(awsbatch, "versions", lambda: {**versions(), name: version})

    with pytest.raises(
        VersionMismatchError, match=f"^{says}: .*run main in the workers' image .*rios-batch submit"
    ):
        run(tmp_path, alone=alone)

    assert any(call.operation == "terminate_job" for call in quick_cloud.calls())
    bucket = quick_cloud.outputs()[StackOutput.BUCKET]
    assert "Contents" not in quick_cloud.client("s3").list_objects_v2(Bucket=bucket)
    assert not (tmp_path / "out.tif").exists()


# -- outputs


@pytest.mark.parametrize("key", ["out.tif", "runs/mine/out.tif", "maps/out.tif"])
def test_an_output_in_the_exchange_bucket_is_refused_before_anything_begins(
    tmp_path: Path, quick_cloud: Emulator, key: str
) -> None:
    bucket = quick_cloud.outputs()[StackOutput.BUCKET]

    with pytest.raises(
        ParameterError,
        match=rf"output 's3://{bucket}/{key}' is named into .*stack RiosBatch.*output_buckets=",
    ):
        run(tmp_path, target=f"s3://{bucket}/{key}")

    assert not any(call.operation.startswith(("create_", "put_", "submit_")) for call in quick_cloud.calls())


# -- runs of another format

# As rios_batch 0.1.0 described a run, before runs had a format.
OLD_RUN = (
    b'{"versions": {"Python": "3.11.2", "rios_batch": "0.1.0", "cloudpickle": "3.1.3", "numpy": "2.3.5", '
    b'"GDAL": "3.6.2"}, "plan": {"blocks": {"width": 160, "height": 96, "block_width": 32, "block_height": 32}, '
    b'"tile_blocks": [1, 1]}, "fingerprints": {"the function": "0"}, "cloud_options": {}}'
)
OLD_JOB = pickle.dumps({"job": b"pickled otherwise", "other_args": b"a pickled None"})
OLD_MAIN = b'{"queue_url": "https://sqs.us-west-2.amazonaws.com/1/q", "job_name": "rios-batch-x-1a2b"}'


@pytest.mark.parametrize("newest", [False, True], ids=["named", "the newest"])
@pytest.mark.parametrize(
    ("description", "age"), [(OLD_RUN, "an older"), (b'{"format": 99}', "a newer")], ids=["old", "new"]
)
def test_a_run_of_another_format_is_not_resumed(
    tmp_path: Path, quick_cloud: Emulator, newest: bool, description: bytes, age: str
) -> None:
    digest = hashlib.sha256(str(tmp_path / "out.tif").encode()).hexdigest()[:10]
    run_id = f"{digest}-20260101T000000-1a2b"
    s3, bucket = quick_cloud.client("s3"), quick_cloud.outputs()[StackOutput.BUCKET]
    objects = {
        "run.json": description,
        "job.pkl": OLD_JOB,
        "main.json": OLD_MAIN,
        "tiles/0000000": b"x",
    }
    for name, data in objects.items():
        s3.put_object(Bucket=bucket, Key=f"runs/{run_id}/{name}", Body=data)

    with pytest.raises(
        VersionMismatchError,
        match=f"^run {run_id} was begun by {age} rios_batch and cannot be resumed; start it again without resume",
    ):
        run(tmp_path, resume=True if newest else run_id)

    kept = s3.list_objects_v2(Bucket=bucket, Prefix=f"runs/{run_id}/")["Contents"]
    assert len(kept) == len(objects)
    assert not submitted(quick_cloud)


def test_workers_of_another_format_end_the_run(
    tmp_path: Path, quick_cloud: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runstore, "RUN_FORMAT", 99)  # main's; the workers are other processes

    with pytest.raises(VersionMismatchError, match="^main writes runs of format 99, the workers read format"):
        run(tmp_path)

    wait_for_jobs(quick_cloud)


# -- a stack that cannot be used


@contextlib.contextmanager
def described_as(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> Iterator[None]:
    """Have CloudFormation describe the stack otherwise than it is; StackOutput names go among its outputs."""

    def change(parsed: dict[str, Any], **_: Any) -> None:
        stack = parsed["Stacks"][0]
        stack.update({key: value for key, value in changes.items() if key in stack})
        for output in stack["Outputs"]:
            output["OutputValue"] = changes.get(output["OutputKey"], output["OutputValue"])

    session = boto3.session.Session()
    session.events.register("after-call.cloudformation.DescribeStacks", change)
    with monkeypatch.context() as context:
        context.setattr(boto3, "DEFAULT_SESSION", session)
        yield


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"StackStatus": "UPDATE_IN_PROGRESS"},
            "stack RiosBatch cannot be used, its status is UPDATE_IN_PROGRESS: wait until it is done",
        ),
        (
            {"StackStatus": "UPDATE_ROLLBACK_FAILED"},
            "stack RiosBatch cannot be used, its status is UPDATE_ROLLBACK_FAILED: look at its events, deploy again",
        ),
        (
            {StackOutput.WORKER_QUEUE.value: "gone"},
            "there is no Batch job queue gone in us-west-2; deploy the stack again",
        ),
        ({StackOutput.BUCKET.value: "gone"}, "there is no bucket 'gone'; check its name"),
        (
            {StackOutput.PYTHON.value: "3.9"},
            (
                f"main has Python {HERE}, stack RiosBatch's workers have 3.9: the function cannot be sent to them; "
                f"deploy an image with main's Python (`npx cdk deploy -c python={HERE}`), or run main in the workers' "
                "image (`rios-batch submit script.py`)"
            ),
        ),
    ],
    ids=["being updated", "broken", "unknown queue", "unknown bucket", "another Python"],
)
def test_a_stack_that_cannot_be_used_is_named_before_anything_is_submitted(
    tmp_path: Path,
    quick_cloud: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, str],
    says: str,
) -> None:
    with (
        described_as(monkeypatch, **changes),
        pytest.raises((StackExportsError, JobMgrError, OSError)) as caught,
    ):
        run(tmp_path)

    assert str(caught.value) == says
    assert not submitted(quick_cloud)


def test_a_disabled_queue_is_named_before_anything_is_submitted(
    tmp_path: Path, quick_cloud: Emulator
) -> None:
    batch, queue = quick_cloud.client("batch"), quick_cloud.outputs()[StackOutput.WORKER_QUEUE]
    batch.update_job_queue(jobQueue=queue, state="DISABLED")
    try:
        with pytest.raises(
            JobMgrError, match=f"^Batch job queue {queue} takes no jobs, it is DISABLED.*enable it"
        ):
            run(tmp_path)
    finally:
        batch.update_job_queue(jobQueue=queue, state="ENABLED")

    assert not submitted(quick_cloud)


def test_a_bucket_that_the_stack_was_not_told_of_is_named_before_anything_is_submitted(
    tmp_path: Path, quick_cloud: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = quick_cloud.outputs()[StackOutput.SUBMITTER_POLICY]
    quick_cloud.enforce_iam(on=True)
    with quick_cloud.user_with(policy) as user, monkeypatch.context() as context:
        for name, value in user.items():
            context.setenv(name, value)
        context.setattr(boto3, "DEFAULT_SESSION", None)
        with pytest.raises(OutputError, match="bucket 'not-ours' may not be used .* they need s3:ListBucket"):
            run(tmp_path, target="s3://not-ours/out.tif")

    assert not submitted(quick_cloud)


# -- AWS is late


def test_a_queue_that_is_unknown_in_its_first_second_is_waited_for(
    tmp_path: Path, quick_cloud: Emulator
) -> None:
    quick_cloud.be_late(queues_s=1.5, jobs_s=1.5)

    run(tmp_path)

    np.testing.assert_array_equal(read_raster(tmp_path / "out.tif"), SCENE * 2)


# -- packages


@pytest.mark.parametrize("place", ["the function", "otherArgs"])
def test_a_package_that_only_main_has_is_named(
    tmp_path: Path,
    quick_cloud: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    place: str,
) -> None:
    packages = tmp_path / "dist-packages"
    (packages / "soil").mkdir(parents=True)
    (packages / "soil" / "__init__.py").write_text("class Forest:\n    factor = 2\n")
    info = packages / "soil_science-2.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: soil-science\nVersion: 2.1\n")
    (info / "top_level.txt").write_text("soil\n")
    monkeypatch.syspath_prepend(packages)
    monkeypatch.delitem(sys.modules, "soil", raising=False)
    monkeypatch.setattr(pickling, "_INSTALLED", (*pickling._INSTALLED, f"{packages}/"))
    forest = importlib.import_module("soil").Forest
    args = applier.OtherInputs()
    args.forest = forest() if place == "otherArgs" else None
    in_function = None if place == "otherArgs" else forest

    def scaled(_info: Any, inputs: Any, outputs: Any, args: Any) -> None:
        outputs.result = inputs.image * (in_function or args.forest).factor

    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.image, outfiles.result = make_raster(tmp_path / "scene.tif", SCENE), str(tmp_path / "out.tif")
    controls = applier.ApplierControls()
    controls.setNumThreads(2)
    controls.setJobManagerType("AWSBatch")
    controls.setCoordinateOnly(True)

    with pytest.raises(
        UnloadableJobError, match=r"No module named 'soil'; main has soil-science 2\.1, this worker has none"
    ):
        applier.apply(scaled, infiles, outfiles, args, controls=controls)

    assert not (tmp_path / "out.tif").exists()
    # The worker has noted what is in the image, so the next main knows before anything is submitted.
    quick_cloud.forget_calls()
    monkeypatch.setattr(awsbatch, "RunController", stop_here)
    with pytest.raises(InterruptedError):
        applier.apply(scaled, infiles, outfiles, args, controls=controls)
    assert "main has soil-science 2.1, workers have none; give the workers' image" in caplog.text
    assert not submitted(quick_cloud)


def stop_here(*_: object) -> None:
    raise InterruptedError


# -- us-east-1


@pytest.fixture(scope="module")
def virginia(default_template: dict[str, Any], shared_cloud: Emulator) -> Iterator[Emulator]:
    del shared_cloud  # its presence lets a test open sockets
    with Emulator.start(region="us-east-1", grace_seconds=2) as cloud:
        cloud.bootstrap()
        cloud.deploy(default_template, image_tags=pushed_tags(default_template))
        yield cloud


def test_a_run_in_us_east_1_is_like_any_other(
    tmp_path: Path, virginia: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in virginia.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_SESSION_TOKEN")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setattr(polling, "POLL_SECONDS", 0.2)
    s3 = virginia.client("s3")
    s3.create_bucket(Bucket="data")
    assert s3.get_bucket_location(Bucket="data")["LocationConstraint"] is None
    s3.upload_file(make_raster(tmp_path / "scene.tif", SCENE), "data", "scene.tif")

    run(tmp_path, "s3://data/out.tif", "s3://data/scene.tif", alone=True)

    s3.download_file("data", "out.tif", str(tmp_path / "out.tif"))
    np.testing.assert_array_equal(read_raster(tmp_path / "out.tif"), SCENE * 2)
    wait_for_jobs(virginia)
    assert leftovers(virginia) == []
