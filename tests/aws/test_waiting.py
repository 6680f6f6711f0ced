"""Why jobs wait.

The reasons are those of the AWS Batch user guide ("Jobs stuck in a RUNNABLE status", "Automatic remediation with
jobStateTimeLimitActions"), with the words for lack of capacity in full, and names of errors of EC2 and ECS.
"""

from __future__ import annotations

import itertools
import re
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from rios_batch.aws import jobs, queue, scripts, waiting
from rios_batch.aws.faults import QueueGoneError
from rios_batch.aws.jobs import WorkerJobs
from rios_batch.aws.scripts import ScriptJob
from rios_batch.aws.waiting import Wait, likely_cause
from rios_batch.awsbatch import explaining
from rios_batch.awsbatch.explaining import Explainer
from rios_batch.errors import JobMgrError

NO_CAPACITY = (
    "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - Service cannot fulfill the capacity requested for instance type "
    "c7i.large"
)
QUOTAS = r"L-34B43A08 \(Spot\) and L-1216C47A \(on-demand\)"
REASONS = (
    (NO_CAPACITY, "no such machines free now"),
    ("MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE", "more vCPUs than the stack may have"),
    ("MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT", "no allowed instance type"),
    ("MISCONFIGURATION:SERVICE_ROLE_PERMISSIONS", "deploy the stack again"),
    ("MISCONFIGURATION:EC2_INSTANCE_CONFIGURATION_UNSUPPORTED", "free plan"),
    ("VcpuLimitExceeded: You have requested more vCPU capacity than your current vCPU limit", QUOTAS),
    ("MaxSpotInstanceCountExceeded: Max spot instance count exceeded", QUOTAS),
    ("CannotPullContainerError: pull access denied", "image cannot be fetched"),
    ("UNDETERMINED", "free plan .* L-34B43A08 for Spot and L-1216C47A for on-demand"),
    ("", "free plan .* no such machines free now, or the image"),
)


@pytest.mark.parametrize(("reason", "cause"), REASONS)
def test_each_reason_has_a_plain_cause(reason: str, cause: str) -> None:
    assert re.search(cause, likely_cause(reason))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Give a clock whose time passes by sleeping."""
    clock = SimpleNamespace(now=0.0)

    def sleep(seconds: float) -> None:
        clock.now += seconds

    time = SimpleNamespace(monotonic=lambda: clock.now, sleep=sleep)
    for module in (waiting, scripts, jobs, explaining, queue):
        monkeypatch.setattr(module, "time", time)
    return clock


def test_the_cause_is_said_once_after_ten_minutes(clock: SimpleNamespace) -> None:
    wait = Wait()

    said = []
    for clock.now in (0, 300, 599, 600, 900, 5000):
        said.append(wait.look(waits=True, reason=NO_CAPACITY))

    assert [bool(text) for text in said] == [False, False, False, True, False, False]
    assert said[3].startswith("no machine has come in 10 minutes; likely: AWS has no such machines free now")


def test_a_wait_that_ended_begins_again(clock: SimpleNamespace) -> None:
    wait = Wait()
    wait.look(waits=True, reason="")
    clock.now = 590
    wait.look(waits=False, reason="")
    wait.look(waits=True, reason="")
    clock.now = 1189

    assert wait.look(waits=True, reason="") == ""


class Batch:
    """Describes one job: each answer stands for as long as its seconds say."""

    def __init__(self, clock: SimpleNamespace, *answers: tuple[float, dict[str, Any] | None]) -> None:
        self._clock, self._answers = clock, answers

    def describe_jobs(self, *, jobs: list[str]) -> dict[str, Any]:
        ends = itertools.accumulate(seconds for seconds, _ in self._answers)
        answer = next(
            answer for end, (_, answer) in zip(ends, self._answers, strict=True) if self._clock.now < end
        )
        return {"jobs": [] if answer is None else [{"jobId": jobs[0], **answer}]}

    def list_jobs(self, **_: Any) -> dict[str, Any]:
        return {"jobSummaryList": []}


class NoLog:
    def __init__(self, _cloud: Any) -> None: ...

    def new_lines(self, _stream: str) -> list[str]:
        return []


def follow(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(scripts, "JobLog", NoLog)
    return list(ScriptJob(SimpleNamespace(batch=batch, region="us-west-2"), "J").follow())  # type: ignore[arg-type]


def test_follow_shows_batchs_reason_while_a_script_waits_and_later_the_likely_cause(
    clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = Batch(
        clock,
        (60, {"status": "RUNNABLE"}),
        (900, {"status": "RUNNABLE", "statusReason": NO_CAPACITY}),
        (60, {"status": "RUNNING"}),
        (9e9, {"status": "SUCCEEDED", "statusReason": "Essential container in task exited"}),
    )

    lines = follow(batch, monkeypatch)

    assert lines == [
        "[job J: RUNNABLE]",
        f"[job J: RUNNABLE ({NO_CAPACITY})]",
        f"[job J: no machine has come in 10 minutes; likely: {likely_cause(NO_CAPACITY)}]",
        "[job J: RUNNING]",
        "[job J: SUCCEEDED]",
    ]


def test_a_running_main_is_told_why_workers_wait(
    clock: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    batch = Batch(clock, (9e9, {"status": "RUNNABLE", "statusReason": NO_CAPACITY}))
    stack: Any = SimpleNamespace(worker_queue="q", worker_definition="d", stack_name="s")
    worker_jobs = WorkerJobs(batch, stack, "name")  # type: ignore[arg-type]
    worker_jobs._job_id, worker_jobs._count = "J", 1
    tiles: Any = SimpleNamespace(complete=False)
    explainer = Explainer(worker_jobs, tiles, main_has_worker=True)

    for clock.now in range(0, 1200, 30):
        explainer.look()

    assert [record.message for record in caplog.records] == [
        f"workers on AWS Batch: 1 RUNNABLE ({NO_CAPACITY})",
        f"workers on AWS Batch: no machine has come in 10 minutes; likely: {likely_cause(NO_CAPACITY)}",
    ]


def test_a_job_that_batch_does_not_know_yet_is_asked_for_again(
    clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = follow(Batch(clock, (1, None), (9e9, {"status": "SUCCEEDED"})), monkeypatch)

    assert lines == ["[job J: SUCCEEDED]"]


def test_a_job_that_never_comes_is_an_error_after_seconds(
    clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(JobMgrError, match="there is no job J in us-west-2"):
        follow(Batch(clock, (9e9, None)), monkeypatch)

    assert 1 < clock.now < 60


class Sqs:
    """Knows a queue from a certain time on."""

    def __init__(self, clock: SimpleNamespace, known_at: float) -> None:
        self._clock, self._known_at = clock, known_at

    def get_queue_attributes(self, **_: Any) -> dict[str, Any]:
        if self._clock.now < self._known_at:
            raise ClientError({"Error": {"Code": "QueueDoesNotExist"}}, "GetQueueAttributes")
        return {
            "Attributes": {"ApproximateNumberOfMessages": "0", "ApproximateNumberOfMessagesNotVisible": "0"}
        }


def test_a_queue_is_waited_for_after_its_creation(clock: SimpleNamespace) -> None:
    new: Any = Sqs(clock, 1.2)

    queue.WorkQueue(new, "url", 60).wait_until_usable()

    assert clock.now >= 1.2


def test_a_queue_that_never_comes_is_an_error_after_seconds(clock: SimpleNamespace) -> None:
    never: Any = Sqs(clock, 9e9)

    with pytest.raises(QueueGoneError, match="queue url is gone"):
        queue.WorkQueue(never, "url", 60).wait_until_usable()

    assert 1 < clock.now < 60
