"""AWS Batch: the life of a job, from submission through attempts to its end, with arrays.

Replaces moto's `Job`, which knows no array index, retries, roles, log configuration or capacity.
"""

from __future__ import annotations

import json
import logging
import re
import signal
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

from moto.batch import models
from moto.batch.exceptions import ClientException
from moto.batch.responses import BatchResponse
from moto.logs.models import logs_backends
from moto.sts.models import sts_backends

from rios_batch.testing.emulation.attempts import Ended, tried_again
from rios_batch.testing.emulation.environment import ACCOUNT
from rios_batch.testing.emulation.patching import replace
from rios_batch.testing.emulation.runners import CannotStartError, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rios_batch.testing.emulation.runners import Runner, Running

_log = logging.getLogger(__name__)
_STATES = ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED", "FAILED")
_ENDED = ("SUCCEEDED", "FAILED")
_TICK_S = 0.05  # how soon a wish to stop is noticed
_PAGE = 100
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")


@dataclass
class Machines:
    """What jobs run on, and with: set once by the server.

    Attributes
    ----------
    runner : starts attempts.
    environment : variables of every job, besides its own.
    grace_s : seconds from SIGTERM to SIGKILL; 30 on AWS.
    logs_lock : held while log events are written.
    limit_vcpus : most vCPUs in use, below those of the compute environment; None for no limit of our own.
    instances : ARNs of compute environments that have instances; AWS keeps idle ones for minutes, here they
        stay until the environment is deleted.
    late_s : seconds after its submission during which DescribeJobs does not know a job.
    """

    runner: Runner
    environment: Mapping[str, str]
    grace_s: float
    logs_lock: Any
    limit_vcpus: float | None = None
    instances: set[str] = field(default_factory=set)
    late_s: float = 0.0
    _used: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    _waiting: list[EmulatedJob] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def take(self, job: EmulatedJob) -> bool:
        """Wait, first come first served, for room in the compute environment; False if the job is stopped."""
        environment = job.job_queue.environments[0]
        most = environment.compute_resources["maxvCpus"]
        with self._changed:
            self._waiting.append(job)
            try:
                while not job.stop:
                    limit = most if self.limit_vcpus is None else min(most, self.limit_vcpus)
                    first = next(one for one in self._waiting if one.job_queue is job.job_queue)
                    if first is job and self._used[environment.arn] + job.vcpus <= limit:
                        self._used[environment.arn] += job.vcpus
                        self.instances.add(environment.arn)
                        return True
                    self._changed.wait(_TICK_S)
                return False
            finally:
                self._waiting.remove(job)
                self._changed.notify_all()

    def give_back(self, job: EmulatedJob) -> None:
        """Leave the room to others."""
        with self._changed:
            self._used[job.job_queue.environments[0].arn] -= job.vcpus
            self._changed.notify_all()


class EmulatedJob(models.Job):
    """A job, a child of an array job, or the parent of one."""

    __module__ = "moto.batch.models"  # moto finds the backend of a model by it
    status = "SUBMITTED"  # an attribute: moto's property moves on by itself
    machines: Machines
    retry_strategy: dict[str, Any]
    known_at: float
    _running: Running | None = None
    _told_status_reason = ""
    _told_reason = ""

    @property
    def index(self) -> int | None:
        index: int | None = self.array_properties.get("index")
        return index

    @property
    def vcpus(self) -> float:
        return float(self._requirement("VCPU", "1"))

    @property
    def state(self) -> str:
        """The status; a parent's follows from its children's."""
        if not self._child_jobs:
            return str(self.status)
        states = {child.status for child in self._child_jobs}
        if not states <= set(_ENDED):
            return "PENDING"
        return "FAILED" if "FAILED" in states else "SUCCEEDED"

    def signal(self, number: int, *, group: bool, reason: str, status_reason: str) -> None:
        """Send a signal, and say what Batch shall give as reasons if the attempt ends of it."""
        if self._running is None:
            raise LookupError(f"job {self.job_id} is {self.state}, it has nothing to signal")
        self._told_reason, self._told_status_reason = reason, status_reason
        self._running.signal(number, group=group)

    @property
    def handle(self) -> str | None:
        return self._running.handle if self._running else None

    def terminate(self, reason: str) -> None:
        """End it: SIGTERM, then SIGKILL; one that waits does not start."""
        for job in self._child_jobs or [self]:
            models.Job.terminate(job, reason)

    def run(self) -> None:
        """Live: what the thread of the job does."""
        try:
            ended = self._wait_and_attempt()
        except Exception as error:  # noqa: BLE001 - a thread: the job has to end for those who wait
            _log.exception("job %s", self.job_id)
            ended = Ended(None, "", f"the emulation failed: {error!r}")
        self._end(ended)

    def _wait_and_attempt(self) -> Ended:
        if self.depends_on:
            self.status = "PENDING"
            if not self._wait_for_dependencies():
                return Ended(None, "", self.job_stopped_reason or "Dependent Job failed")
        attempts = self.retry_strategy.get("attempts", 1)
        for number in range(1, attempts + 1):
            self.status = "RUNNABLE"
            if not self.machines.take(self):
                break
            try:
                ended = self._attempt(number)
            finally:
                self.machines.give_back(self)
            if ended.succeeded or number == attempts or not tried_again(ended, self.retry_strategy):
                return ended
        return Ended(None, "", self.job_stopped_reason or "")

    def _attempt(self, number: int) -> Ended:
        self.status = "STARTING"
        self._told_reason = self._told_status_reason = ""
        task_id = uuid4().hex
        log = _Log(self, task_id)
        attempt: dict[str, Any] = {"container": {"logStreamName": log.stream}, "startedAt": _now_ms()}
        self.log_stream_name = log.stream
        self.job_started_at = datetime.now()  # noqa: DTZ005 - moto's are all local
        try:
            running = self.machines.runner.start(self._task(number, task_id), log.write)
        except CannotStartError as error:
            ended = Ended(None, str(error), "Task failed to start")
        else:
            self._running = running
            self.status = "RUNNING"
            code, why = self._watch(running)
            reason = running.finish() or self._told_reason
            self._running = None
            status_reason = why or self._told_status_reason or "Essential container in task exited"
            ended = Ended(code, reason, status_reason, final=bool(why))
        container = attempt["container"]
        container |= {"exitCode": ended.exit_code} if ended.exit_code is not None else {}
        container |= {"reason": ended.reason} if ended.reason else {}
        attempt |= {"stoppedAt": _now_ms(), "statusReason": ended.status_reason}
        self.attempts.append(attempt)
        return ended

    def _watch(self, running: Running) -> tuple[int, str]:
        """Wait for the end; give the exit code and, if it was ended from outside, why."""
        timeout_s = self._get_attempt_duration()
        deadline = time.monotonic() + timeout_s if timeout_s else None
        why, kill_at = "", None
        while (code := running.wait(_TICK_S)) is None:
            now = time.monotonic()
            if not why:
                if self.stop:
                    why = self.job_stopped_reason or "terminated"
                elif deadline and now > deadline:
                    why = "Job attempt duration exceeded timeout"
                if why:
                    running.signal(signal.SIGTERM)
                    kill_at = now + self.machines.grace_s
            elif kill_at and now > kill_at:
                running.signal(signal.SIGKILL)
                kill_at = None
        return code, why

    def _end(self, ended: Ended) -> None:
        self.exit_code = ended.exit_code
        self.job_stopped_reason = ended.status_reason
        self.job_stopped_at = datetime.now()  # noqa: DTZ005 - moto's are all local
        self.job_stopped = True
        self.status = "SUCCEEDED" if ended.succeeded else "FAILED"

    def _task(self, number: int, task_id: str) -> Task:
        properties = self._properties
        job_role = properties.get("jobRoleArn")
        return Task(
            name=f"{self.job_name}-{task_id}",
            image=properties["image"],
            command=tuple(self._add_parameters_to_command(self._command)),
            environment={
                **self.machines.environment,
                **(credentials(job_role, task_id) if job_role else {}),
                **self._variables,
                "AWS_BATCH_JOB_ID": self.job_id,
                "AWS_BATCH_JOB_ATTEMPT": str(number),
                "AWS_BATCH_JQ_NAME": self.job_queue.name,
                "AWS_BATCH_CE_NAME": self.job_queue.environments[0].name,
                **({} if self.index is None else {"AWS_BATCH_JOB_ARRAY_INDEX": str(self.index)}),
            },
            vcpus=self.vcpus,
            memory_mib=int(self._requirement("MEMORY", "512")),
        )

    @property
    def _properties(self) -> dict[str, Any]:
        properties = self.job_definition.container_properties
        assert properties is not None
        return properties

    @property
    def _command(self) -> list[str]:
        command: list[str] = self.container_overrides.get("command") or self._properties["command"]
        return command

    @property
    def _variables(self) -> dict[str, str]:
        both = [*self._properties["environment"], *self.container_overrides.get("environment", [])]
        return {variable["name"]: variable["value"] for variable in both}

    def _requirement(self, kind: str, default: str) -> str:
        both = [
            *self._properties["resourceRequirements"],
            *self.container_overrides.get("resourceRequirements", []),
        ]
        return {item["type"]: str(item["value"]) for item in both}.get(kind, default)

    def describe_short(self) -> dict[str, Any]:
        """A row of ListJobs."""
        row: dict[str, Any] = {
            "jobId": self.job_id,
            "jobArn": self.arn,
            "jobName": self.job_name,
            "jobDefinition": self.job_definition.arn,
            "createdAt": _ms(self.job_created_at),
            "status": self.state,
        }
        if self._child_jobs:
            row["arrayProperties"] = {"size": len(self._child_jobs)}
            if self.state == "FAILED":
                row["statusReason"] = "Array Child Job failed"
            return row
        if self.index is not None:
            row["arrayProperties"] = {"index": self.index}
        if self.attempts or self._running:
            row["startedAt"] = _ms(self.job_started_at)
        if self.job_stopped:
            row |= {"stoppedAt": _ms(self.job_stopped_at), "statusReason": self.job_stopped_reason}
        last = self.attempts[-1]["container"] if self.attempts else {}
        row["container"] = {key: last[key] for key in ("exitCode", "reason") if key in last}
        return row

    def describe(self) -> dict[str, Any]:
        """What DescribeJobs tells."""
        details = self.describe_short()
        details |= {
            "jobQueue": self.job_queue.arn,
            "dependsOn": self.depends_on or [],
            "parameters": self.parameters,
            "tags": self.backend.list_tags_for_resource(self.arn),
            "retryStrategy": self.retry_strategy,
            "attempts": list(self.attempts),
            "platformCapabilities": self.job_definition.platform_capabilities or ["EC2"],
            "isCancelled": False,
            "isTerminated": self.stop,
        }
        if timeout := self.timeout or self.job_definition.timeout:
            details["timeout"] = timeout
        if self._child_jobs:
            counts = Counter(child.status for child in self._child_jobs)
            details["arrayProperties"]["statusSummary"] = {state: counts[state] for state in _STATES}
        details["container"] = {
            "image": self._properties["image"],
            "command": self._command,
            "environment": [{"name": name, "value": value} for name, value in self._variables.items()],
            "jobRoleArn": self._properties.get("jobRoleArn", ""),
            "logConfiguration": self._properties.get("logConfiguration", {}),
            "resourceRequirements": [
                {"type": kind, "value": self._requirement(kind, "")} for kind in ("VCPU", "MEMORY")
            ],
            **details.get("container", {}),
        }
        if self.log_stream_name:
            details["container"]["logStreamName"] = self.log_stream_name
        return details


class _Log:
    """The log stream of one attempt."""

    def __init__(self, job: EmulatedJob, task_id: str) -> None:
        options = job._properties.get("logConfiguration", {}).get("options", {})
        self._group = options.get("awslogs-group", "/aws/batch/job")
        self.stream = f"{options.get('awslogs-stream-prefix', job.job_definition.name)}/default/{task_id}"
        self._backend = logs_backends[ACCOUNT][options.get("awslogs-region", job.backend.region_name)]
        self._lock = job.machines.logs_lock
        with self._lock:
            if "awslogs-group" not in options:  # Batch's own; another one has to be there
                self._backend.ensure_log_group(self._group)
            self._backend.ensure_log_stream(self._group, self.stream)

    def write(self, line: str) -> None:
        with self._lock:
            event = {"timestamp": _now_ms(), "message": line}
            self._backend.put_log_events(self._group, self.stream, [event])


def credentials(role_arn: str, session: str) -> dict[str, str]:
    role = sts_backends[ACCOUNT]["aws"].assume_role(
        region_name="us-east-1",
        role_session_name=session,
        role_arn=role_arn,
        policy="",
        duration=3600,
        external_id="",
    )
    return {
        "AWS_ACCESS_KEY_ID": role.access_key_id,
        "AWS_SECRET_ACCESS_KEY": role.secret_access_key,
        "AWS_SESSION_TOKEN": role.session_token,
    }


def _ms(when: datetime) -> int:
    return int(when.timestamp() * 1000)


def _now_ms() -> int:
    return int(time.time() * 1000)


def _submit(backend: models.BatchBackend, asked: dict[str, Any], body_bytes: int) -> EmulatedJob:
    if _NAME.fullmatch(asked["jobName"]) is None:
        raise ClientException(f"Job name {asked['jobName']} should match valid pattern")
    if body_bytes > 30 * 1024:
        raise ClientException("Request size exceeds 30 KiB")
    definition = backend.get_job_definition(asked["jobDefinition"])
    if definition is None or definition.status != "ACTIVE":
        raise ClientException(f"JobDefinition {asked['jobDefinition']} does not exist")
    queue = backend.get_job_queue(asked["jobQueue"])
    if queue is None:
        raise ClientException(f"JobQueue {asked['jobQueue']} does not exist")
    size = (asked.get("arrayProperties") or {}).get("size")
    if size is not None and not 2 <= size <= 10_000:
        raise ClientException("Array size must be between 2 and 10000")

    def make(array: dict[str, Any], job_id: str | None, tags: dict[str, str] | None) -> EmulatedJob:
        job = EmulatedJob(
            asked["jobName"],
            definition,
            queue,
            backend,
            log_backend=backend.logs_backend,
            container_overrides=asked.get("containerOverrides"),
            eks_properties_override=None,
            depends_on=asked.get("dependsOn"),
            all_jobs=backend._jobs,
            timeout=asked.get("timeout"),
            array_properties=array,
            parameters=asked.get("parameters"),
            provided_job_id=job_id,
            tags=tags,
        )
        job.retry_strategy = asked.get("retryStrategy") or definition.retry_strategy or {}
        job.known_at = time.monotonic() + EmulatedJob.machines.late_s
        backend._jobs[job.job_id] = job
        return job

    parent = make({}, None, asked.get("tags"))
    children = [make({"index": index}, f"{parent.job_id}:{index}", None) for index in range(size or 0)]
    parent._child_jobs = list(children) or None
    for job in children or [parent]:
        job.start()
    return parent


def _listed(backend: models.BatchBackend, asked: dict[str, Any]) -> dict[str, Any]:
    """As AWS does: only running jobs unless another status or a filter is given, and no children of arrays."""
    if array := asked.get("arrayJobId"):
        parent = backend.get_job_by_id(array)
        if parent is None:
            raise ClientException(f"Job {array} does not exist")
        jobs = cast("list[EmulatedJob]", list(parent._child_jobs or []))
    else:
        queue = backend.get_job_queue(asked["jobQueue"])
        if queue is None:
            raise ClientException(f"JobQueue {asked['jobQueue']} does not exist")
        jobs = [job for job in cast("list[EmulatedJob]", queue.jobs) if job.index is None]
    filters = asked.get("filters") or []
    for wanted in filters:
        if wanted["name"] != "JOB_NAME":
            raise NotImplementedError(f"the emulation does not filter jobs by {wanted['name']}")
        names = wanted["values"]
        jobs = [job for job in jobs if any(_named(job.job_name, name) for name in names)]
    if not filters:
        jobs = [job for job in jobs if job.state == (asked.get("jobStatus") or "RUNNING")]
    start, count = int(asked.get("nextToken") or 0), int(asked.get("maxResults") or _PAGE)
    page: dict[str, Any] = {"jobSummaryList": [job.describe_short() for job in jobs[start : start + count]]}
    if start + count < len(jobs):
        page["nextToken"] = str(start + count)
    return page


def end_all_jobs() -> None:
    """Kill what runs and start nothing more; returns when no job is left."""
    EmulatedJob.machines.grace_s = 0
    for job in (started := [job for job in all_jobs() if job.ident is not None]):
        job.terminate("The emulation ends")
    for job in started:
        job.join()


def all_jobs() -> list[EmulatedJob]:
    """Jobs of all regions: parents, children and single ones."""
    backends = list(models.batch_backends[ACCOUNT].values())
    return [cast("EmulatedJob", job) for backend in backends for job in list(backend._jobs.values())]


def _named(name: str, pattern: str) -> bool:
    name, pattern = name.lower(), pattern.lower()
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def _described(backend: models.BatchBackend, asked: dict[str, Any]) -> dict[str, Any]:
    if len(asked["jobs"]) > _PAGE:
        raise ClientException("jobs must have at most 100 members")
    ids = [job.rpartition("job/")[2] for job in asked["jobs"]]
    found = [cast("EmulatedJob | None", backend.get_job_by_id(job_id)) for job_id in ids]
    return {"jobs": [job.describe() for job in found if job is not None and time.monotonic() >= job.known_at]}


def _cancel(backend: models.BatchBackend, job_id: str, reason: str) -> None:
    """Stop what has not started."""
    job = backend.get_job_by_id(job_id)
    for one in (job._child_jobs or [job]) if job else []:
        if one.status in ("SUBMITTED", "PENDING", "RUNNABLE"):
            models.Job.terminate(one, reason)


def _reply(
    response: BatchResponse, answer: Callable[[models.BatchBackend, dict[str, Any]], dict[str, Any]]
) -> str:
    return json.dumps(answer(response.batch_backend, json.loads(response.body)))


def _submit_response(response: BatchResponse) -> str:
    job = _submit(response.batch_backend, json.loads(response.body), len(response.body))
    return json.dumps({"jobId": job.job_id, "jobName": job.job_name, "jobArn": job.arn})


def patch(machines: Machines) -> None:
    """Put this in place of moto's own."""
    EmulatedJob.machines = machines
    replace(BatchResponse, "submitjob", _submit_response)
    replace(BatchResponse, "listjobs", lambda response: _reply(response, _listed))
    replace(BatchResponse, "describejobs", lambda response: _reply(response, _described))
    replace(models.BatchBackend, "cancel_job", _cancel)
