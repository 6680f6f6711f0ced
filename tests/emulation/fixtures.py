"""pytest fixtures: the emulated AWS with the default stack deployed, shared by all tests of a session.

A plug-in that tests/conftest.py names. Tests that use ``cloud`` may open sockets to this machine,
all others stay without.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from rios_batch.contract import RUNS_PREFIX, StackOutput
from tests.emulation.cloud import Emulator
from tests.once import once_per_run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_WAITS, _WAIT_S = 100, 0.1
_ENDED = ("SUCCEEDED", "FAILED")
_TEMPLATE = "template.json"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "shared_cloud" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.allow_hosts(["127.0.0.1"]))


@pytest.fixture(scope="session")
def default_template(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> dict[str, Any]:
    folder = once_per_run(tmp_path_factory, worker_id, "default-template", _write_template)
    template: dict[str, Any] = json.loads((folder / _TEMPLATE).read_text())
    return template


def _write_template(folder: Path) -> None:
    # Loading the CDK takes seconds, which only tests of the stack need to spend.
    from cdk_app.settings import DeploySettings  # noqa: PLC0415
    from tests.cdk_app.variants import synthesize  # noqa: PLC0415

    (folder / _TEMPLATE).write_text(json.dumps(synthesize(DeploySettings())))


@pytest.fixture(scope="session")
def shared_cloud(default_template: dict[str, Any]) -> Iterator[Emulator]:
    with Emulator.start(grace_seconds=2) as cloud:
        cloud.bootstrap()
        cloud.deploy(default_template, image_tags=pushed_tags(default_template))
        yield cloud


@pytest.fixture
def cloud(shared_cloud: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """The shared server, seen through the environment, without faults; fails a test that leaves things behind.

    A test that does so on purpose calls `clean_up` itself.
    """
    for name, value in shared_cloud.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_SESSION_TOKEN")
    shared_cloud.forget_calls()
    yield shared_cloud
    shared_cloud.no_faults()
    wait_for_jobs(shared_cloud)
    left = leftovers(shared_cloud)
    clean_up(shared_cloud)
    assert left == []


@pytest.fixture
def quick_cloud(cloud: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """Give the emulated AWS, and a main that looks often and has leases as short as they may be."""
    from rios_batch.awsbatch import lostmessages, polling, starting  # noqa: PLC0415 - loads GDAL

    monkeypatch.setattr(polling, "POLL_SECONDS", 0.2)
    monkeypatch.setattr(lostmessages, "STALL_SECONDS", 1.5)
    monkeypatch.setattr(starting, "LEASE_SECONDS", 10)
    return cloud


def wait_for_jobs(cloud: Emulator) -> None:
    """Let workers leave that have just learned that their run is over."""
    for _ in range(_WAITS):
        if all(job.status in _ENDED for job in cloud.jobs()):
            return
        time.sleep(_WAIT_S)


def pushed_tags(template: dict[str, Any]) -> list[str]:
    """Tags of the images that `cdk deploy` pushes before it creates the stack."""
    resources = template["Resources"].values()
    return [
        resource["Properties"]["Tag"] for resource in resources if resource["Type"] == "Custom::PushedImage"
    ]


def leftovers(cloud: Emulator, stack_name: str = "RiosBatch") -> list[str]:
    """What an ended run must not leave: queues, jobs, uploads, and objects that no run can be resumed from."""
    outputs = cloud.outputs(stack_name)
    s3, bucket = cloud.client("s3"), outputs[StackOutput.BUCKET]
    queues = cloud.client("sqs").list_queues(QueueNamePrefix=outputs[StackOutput.RUN_QUEUE_PREFIX])
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket=bucket, Prefix=RUNS_PREFIX).get("Contents", [])]
    kept = tuple(key.removesuffix("run.json") for key in keys if key.endswith("/run.json"))
    uploads = s3.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
    return [
        *(f"queue {url}" for url in queues.get("QueueUrls", [])),
        *(f"object {key}" for key in keys if not key.startswith(kept)),
        *(f"unfinished upload {upload['Key']}" for upload in uploads),
        *(f"job {job.job_id}" for job in cloud.jobs() if job.status not in _ENDED),
    ]


def clean_up(cloud: Emulator, stack_name: str = "RiosBatch") -> None:
    """Delete what a run that died has left."""
    outputs = cloud.outputs(stack_name)
    batch, sqs, s3 = cloud.client("batch"), cloud.client("sqs"), cloud.client("s3")
    for job in cloud.jobs():
        if job.status not in _ENDED:
            batch.terminate_job(jobId=job.job_id, reason="cleaned up after a test")
    for url in sqs.list_queues(QueueNamePrefix=outputs[StackOutput.RUN_QUEUE_PREFIX]).get("QueueUrls", []):
        sqs.delete_queue(QueueUrl=url)
    bucket = outputs[StackOutput.BUCKET]
    for item in s3.list_objects_v2(Bucket=bucket).get("Contents", []):
        s3.delete_object(Bucket=bucket, Key=item["Key"])
    for upload in s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []):
        s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
