"""The emulated AWS Batch does what AWS's does, as far as rios_batch relies on it."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from rios_batch.testing.emulation.processes import is_alive
from rios_batch.testing.emulation.runners import OUT_OF_MEMORY

if TYPE_CHECKING:
    from collections.abc import Callable

    from rios_batch.testing.emulation import Emulator


class Batch:
    """Submits Python one-liners to the stack's worker queue."""

    def __init__(self, cloud: Emulator) -> None:
        self.client = cloud.client("batch")
        self._logs, self._outputs = cloud.client("logs"), cloud.outputs()

    def submit(self, code: str, **more: Any) -> str:
        job_id: str = self.client.submit_job(
            jobName="test",
            jobQueue=self._outputs["BatchProcessingJobQueueName"],
            jobDefinition=self._outputs["BatchProcessingJobDefinitionName"],
            containerOverrides={"command": ["python3", "-c", code]},
            **more,
        )["jobId"]
        return job_id

    def describe(self, job_id: str) -> dict[str, Any]:
        (job,) = self.client.describe_jobs(jobs=[job_id])["jobs"]
        return dict(job)

    def when(self, job_id: str, done: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        while not done(job := self.describe(job_id)):
            time.sleep(0.05)
        return job

    def ended(self, job_id: str) -> dict[str, Any]:
        return self.when(job_id, lambda job: job["status"] in ("SUCCEEDED", "FAILED"))

    def printed(self, job_id: str) -> list[str]:
        job = self.describe(job_id)
        if "logStreamName" not in job["container"]:
            return []
        events = self._logs.get_log_events(
            logGroupName=self._outputs["LogGroupName"], logStreamName=job["container"]["logStreamName"]
        )
        return [event["message"] for event in events["events"]]

    def when_printed(self, job_id: str, line: str) -> None:
        while line not in self.printed(job_id):
            time.sleep(0.05)


@pytest.fixture
def batch(cloud: Emulator) -> Batch:
    return Batch(cloud)


FOREVER = "import time; print('up', flush=True); time.sleep(600)"


def test_children_of_an_array_run_with_their_index_and_role_in_folders_of_their_own(batch: Batch) -> None:
    code = (
        "import os, boto3; print(os.environ['AWS_BATCH_JOB_ARRAY_INDEX'], os.environ['RIOS_BATCH_BUCKET']);"
        "print(boto3.client('sts').get_caller_identity()['Arn']); print(os.getcwd())"
    )
    parent = batch.submit(code, arrayProperties={"size": 2})
    job = batch.ended(parent)
    assert job["status"] == "SUCCEEDED"
    assert job["arrayProperties"]["size"] == 2
    assert job["arrayProperties"]["statusSummary"]["SUCCEEDED"] == 2
    printed = [batch.printed(f"{parent}:{index}") for index in range(2)]
    assert [lines[0].split()[0] for lines in printed] == ["0", "1"]
    assert all("assumed-role/RiosBatch-JobsWorkerRole" in lines[1] for lines in printed)
    assert printed[0][2] != printed[1][2]


def test_an_array_fails_with_one_child(batch: Batch) -> None:
    parent = batch.submit(
        "import os; raise SystemExit(os.environ['AWS_BATCH_JOB_ARRAY_INDEX'] == '1')",
        arrayProperties={"size": 2},
    )
    job = batch.ended(parent)
    assert (job["status"], job["statusReason"]) == ("FAILED", "Array Child Job failed")
    assert batch.describe(f"{parent}:1")["container"]["exitCode"] == 1
    listed = batch.client.list_jobs(arrayJobId=parent, jobStatus="FAILED")["jobSummaryList"]
    assert [child["jobId"] for child in listed] == [f"{parent}:1"]


def test_terminating_an_array_ends_running_and_waiting_children(cloud: Emulator, batch: Batch) -> None:
    cloud.limit_capacity(2)  # one at a time
    parent = batch.submit(FOREVER, arrayProperties={"size": 2})
    batch.when_printed(f"{parent}:0", "up")
    assert batch.describe(f"{parent}:1")["status"] == "RUNNABLE"
    batch.client.terminate_job(jobId=parent, reason="enough")
    assert batch.ended(parent)["status"] == "FAILED"
    first, second = (batch.describe(f"{parent}:{index}") for index in range(2))
    assert (first["container"]["exitCode"], first["statusReason"]) == (143, "enough")
    assert (second["attempts"], second["statusReason"]) == ([], "enough")


def test_a_job_that_ignores_sigterm_is_killed(batch: Batch) -> None:
    job = batch.submit(f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {FOREVER}")
    batch.when_printed(job, "up")
    batch.client.terminate_job(jobId=job, reason="enough")
    assert batch.ended(job)["container"]["exitCode"] == 137


def test_rules_of_the_stack_decide_what_is_tried_again(cloud: Emulator, batch: Batch) -> None:
    once = batch.submit("raise SystemExit(7)")
    again = batch.submit(
        "import os; raise SystemExit(143 if os.environ['AWS_BATCH_JOB_ATTEMPT'] == '1' else 0)"
    )
    reclaimed = batch.submit(f"import os; os.environ['AWS_BATCH_JOB_ATTEMPT'] == '2' or exec({FOREVER!r})")
    batch.when_printed(reclaimed, "up")
    host = "Host EC2 (instance i-0123456789abcdef0) terminated."
    cloud.signal_job(reclaimed, signal.SIGKILL, status_reason=host)
    exit_codes = {
        job: [attempt["container"]["exitCode"] for attempt in batch.ended(job)["attempts"]]
        for job in (once, again, reclaimed)
    }
    assert exit_codes == {once: [7], again: [143, 0], reclaimed: [137, 0]}
    assert batch.describe(reclaimed)["attempts"][0]["statusReason"] == host


def test_out_of_memory_is_the_containers_reason(cloud: Emulator, batch: Batch) -> None:
    job = batch.submit(FOREVER)
    batch.when_printed(job, "up")
    cloud.signal_job(job, signal.SIGKILL, reason=OUT_OF_MEMORY)
    container = batch.ended(job)["container"]
    assert (container["exitCode"], container["reason"]) == (137, OUT_OF_MEMORY)


def test_a_job_above_its_time_is_ended_and_not_tried_again(batch: Batch) -> None:
    job = batch.ended(batch.submit(FOREVER, timeout={"attemptDurationSeconds": 1}))
    assert job["statusReason"] == "Job attempt duration exceeded timeout"
    assert len(job["attempts"]) == 1


def test_processes_that_a_job_leaves_end_with_it(batch: Batch) -> None:
    code = "import subprocess as s; print(s.Popen(['sleep', '600']).pid)"
    job = batch.submit(code)
    assert batch.ended(job)["status"] == "SUCCEEDED"
    (pid,) = batch.printed(job)
    assert not is_alive(pid)


def test_a_command_that_is_not_there_is_a_reason_not_a_hang(batch: Batch, cloud: Emulator) -> None:
    job = batch.client.submit_job(
        jobName="test",
        jobQueue=cloud.outputs()["BatchProcessingJobQueueName"],
        jobDefinition=cloud.outputs()["BatchProcessingJobDefinitionName"],
        containerOverrides={"command": ["no-such-command"]},
    )["jobId"]
    described = batch.ended(job)
    assert described["statusReason"] == "Task failed to start"
    assert described["container"]["reason"].startswith("CannotStartContainerError")


def test_an_array_of_one_is_refused(batch: Batch) -> None:
    with pytest.raises(ClientError, match="between 2 and 10000"):
        batch.submit("", arrayProperties={"size": 1})
