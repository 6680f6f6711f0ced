"""What AWS was recorded to answer is understood: each recording of `make smoke-aws` is read here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from rios_batch.aws.jobs import WorkerJobs
from rios_batch.aws.stackoutputs import StackOutputs, read_stack_outputs
from tests.emulation.recordings import answering, recordings, replies

if TYPE_CHECKING:
    from pathlib import Path

STATES = {"SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED", "FAILED"}
NO_STACK = cast("StackOutputs", None)
pytestmark = pytest.mark.parametrize("recording", recordings(), ids=lambda folder: folder.name)


def workers_of(client: Any, job: dict[str, Any]) -> WorkerJobs:
    jobs = WorkerJobs(client, NO_STACK, job["jobName"])
    jobs._job_id, jobs._count = job["jobId"], job.get("arrayProperties", {}).get("size", 1)
    return jobs


def test_a_recorded_stack_is_understood(recording: Path) -> None:
    found = [reply for reply in replies(recording, "cloudformation", "DescribeStacks") if reply["Stacks"]]
    assert found

    for reply in found:
        client = answering("cloudformation", ("DescribeStacks", reply))
        outputs = read_stack_outputs(client, stack_name=reply["Stacks"][0]["StackName"])
        assert outputs.max_vcpus >= outputs.worker_vcpus > 0


def test_a_recorded_job_is_reported_with_all_its_workers(recording: Path) -> None:
    jobs = [job for reply in replies(recording, "batch", "DescribeJobs") for job in reply["jobs"]]
    assert jobs

    for job in jobs:
        answers = ("DescribeJobs", {"jobs": [job]}), ("ListJobs", {"jobSummaryList": list[Any]()})
        workers = workers_of(answering("batch", *answers), job)
        report = workers.report()
        assert report.counts.keys() <= STATES
        assert sum(report.counts.values()) == workers.count


def test_how_a_recorded_job_was_ended_is_told(recording: Path) -> None:
    found = [job for reply in replies(recording, "batch", "DescribeJobs") for job in reply["jobs"]]
    ended = [job for job in found if job["status"] == "FAILED"]
    assert ended

    for job in ended:
        job["container"].pop("logStreamName", None)
        said = workers_of(answering("batch", ("DescribeJobs", {"jobs": [job]})), job).deaths()
        assert job["statusReason"] in said


def test_a_recording_does_not_tell_whose_account_it_was(recording: Path) -> None:
    text = "".join(path.read_text() for path in sorted(recording.iterdir()))

    assert [
        secret for secret in ("123456789012", "AKIA", "ASIA", "RequestId", "127.0.0.1") if secret in text
    ] == []
