"""The workers' Batch job: submitting the job once, ending the job, and asking what became of the workers.

Whether tiles are done is never read from Batch. Batch is only asked why workers wait or have died.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from botocore.exceptions import ClientError

from rios_batch.aws.clients import make_client
from rios_batch.aws.faults import error_code, explained
from rios_batch.contract import JOB_TAG
from rios_batch.errors import AWSError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mypy_boto3_batch import BatchClient
    from mypy_boto3_batch.type_defs import JobDetailTypeDef, JobSummaryTypeDef, SubmitJobRequestTypeDef

    from rios_batch.aws.stackoutputs import StackOutputs

LARGEST_ARRAY = 10_000  # AWS Batch's limit
_DESCRIBED = 100  # jobs in one request, AWS Batch's limit
_ENDED = ("SUCCEEDED", "FAILED")
_PAUSES_S = (0.5, 1.0, 2.0, 4.0)  # until a new job is known


@dataclass(frozen=True)
class JobReport:
    """What Batch says of the workers.

    Attributes
    ----------
    counts : number of workers in each of Batch's states. States without workers are left out.
    reason : why the job is in its state, in Batch's words. May be empty.
    """

    counts: Mapping[str, int]
    reason: str

    @property
    def running(self) -> int:
        return self.counts.get("RUNNING", 0)

    @property
    def all_running(self) -> bool:
        """Say whether no worker is still to come."""
        return not self.counts.keys() - {"RUNNING", "SUCCEEDED", "FAILED"}

    @property
    def all_ended(self) -> bool:
        return not self.counts.keys() - set(_ENDED)

    def __str__(self) -> str:
        states = ", ".join(f"{count} {state}" for state, count in self.counts.items())
        return f"{states or 'none'}{f' ({self.reason})' if self.reason else ''}"


class WorkerJobs:
    """The workers on Batch of one main: an array job, a plain job for one worker, no job for none.

    The mains of a campaign are submitted as workers are, but to the mains' queue, and with a command.

    Parameters
    ----------
    client : boto3's client of Batch.
    stack_outputs : names of the job's queue, definition and log.
    name : the job's name, which no other job has.
    command : of mains; empty for workers, whose definition says their command.
    """

    def __init__(
        self, client: BatchClient, stack_outputs: StackOutputs, name: str, command: Sequence[str] = ()
    ) -> None:
        self._client, self._stack_outputs, self.name = client, stack_outputs, name
        self._command = list(command)
        self._job_id = ""
        self._count = 0

    @classmethod
    def find(
        cls, client: BatchClient, stack_outputs: StackOutputs, name: str, command: Sequence[str] = ()
    ) -> WorkerJobs | None:
        """Return the workers that a main has submitted; None if there are none, or Batch has forgotten them.

        Raises
        ------
        AWSError : Batch refuses.
        """
        jobs = cls(client, stack_outputs, name, command)
        if (job_id := next(jobs._named(), None)) is None:
            return None
        jobs._job_id = job_id
        jobs._count = jobs._describe(job_id).get("arrayProperties", {}).get("size", 1)
        return jobs

    @property
    def count(self) -> int:
        """Return how many workers were asked for."""
        return self._count

    @property
    def job_id(self) -> str:
        """Return Batch's id of the job; empty before `submit`."""
        return self._job_id

    @property
    def submitted(self) -> bool:
        return bool(self._job_id)

    @property
    def _queue(self) -> str:
        return self._stack_outputs.main_queue if self._command else self._stack_outputs.worker_queue

    def submit(self, count: int, environment: Mapping[str, str]) -> None:
        """Submit ``count`` workers with one request.

        Raises
        ------
        AWSError : Batch refuses.
        """
        outputs = self._stack_outputs
        request: SubmitJobRequestTypeDef = {
            "jobName": self.name,
            "jobQueue": self._queue,
            "jobDefinition": outputs.script_definition if self._command else outputs.worker_definition,
            "containerOverrides": {
                "environment": [{"name": key, "value": value} for key, value in environment.items()]
            },
            "tags": {JOB_TAG: outputs.stack_name},
        }
        if self._command:
            request["containerOverrides"]["command"] = self._command
        if count > 1:
            request["arrayProperties"] = {"size": count}
        self._count = count
        with explained("the workers' job"):
            self._job_id = self._client.submit_job(**request)["jobId"]

    def terminate(self, reason: str) -> None:
        """End all workers, whatever they do. Harmless when they have ended.

        Jobs are looked for by name too: a request whose answer was lost, or that was interrupted, may have made a job
        all the same.

        Raises
        ------
        AWSError : Batch refuses.
        """
        with explained("the workers' job"):
            if self._job_id:
                self._client.terminate_job(jobId=self._job_id, reason=reason)
            for job_id in self._named(ended=False):
                if job_id != self._job_id:
                    self._client.terminate_job(jobId=job_id, reason=reason)

    def report(self) -> JobReport:
        """Ask Batch how the workers are.

        Raises
        ------
        AWSError : Batch refuses, or does not know the job.
        """
        job = self._describe(self._job_id)
        summary = job.get("arrayProperties", {}).get("statusSummary", {})
        counts = {state: count for state, count in summary.items() if count} or {job["status"]: 1}
        reason = job.get("statusReason", "")
        if self._count > 1 and "RUNNABLE" in counts:
            child = self._first_child("RUNNABLE")
            reason = (child or job).get("statusReason", "")
        return JobReport(counts, reason)

    def deaths(self) -> str:
        """Say in Batch's words how a worker that failed has ended. The text is empty if no worker failed.

        Raises
        ------
        AWSError : Batch refuses, or does not know the job.
        """
        if not self.submitted:
            return ""
        job = self._first_child("FAILED") if self._count > 1 else self._describe(self._job_id)
        if job is None or job["status"] != "FAILED":
            return ""
        said = [_end_of(job)]
        if stream := job.get("container", {}).get("logStreamName"):
            said.append(self._last_words(stream))
        return f"Batch job {job['jobId']}: {'; '.join(filter(None, said)) or 'no reason given'}"

    def in_state(self, status: Literal["RUNNING", "FAILED"]) -> dict[int, str]:
        """Return the jobs of an array that are in a state, by their place in it, with Batch's words on their end.

        Raises
        ------
        AWSError : Batch refuses.
        """
        if self._count == 1:
            job = self._describe(self._job_id)
            return {0: _end_of(job)} if job["status"] == status else {}
        with explained("the jobs of an array"):
            pages = self._client.get_paginator("list_jobs").paginate(
                arrayJobId=self._job_id, jobStatus=status
            )
            found = [job for page in pages for job in page["jobSummaryList"]]
        return {job["arrayProperties"]["index"]: _end_of(job) for job in found}

    def children(self, indices: Sequence[int]) -> Iterator[JobDetailTypeDef]:
        """Yield what Batch says of single workers.

        Parameters
        ----------
        indices : of the workers, from 0, in the order in which they are wanted.

        Raises
        ------
        AWSError : Batch refuses, or does not know a worker.
        """
        for start in range(0, len(indices), _DESCRIBED):
            ids = [
                f"{self._job_id}:{index}" if self._count > 1 else self._job_id
                for index in indices[start : start + _DESCRIBED]
            ]
            with explained("the workers' job"):
                found = {job["jobId"]: job for job in self._client.describe_jobs(jobs=ids)["jobs"]}
            for job_id in ids:
                if job_id not in found:
                    raise AWSError(f"AWS Batch does not know job {job_id}")
                yield found[job_id]

    def environment(self) -> dict[str, str]:
        """Return the variables that a worker was submitted with, and those of the job definition.

        Raises
        ------
        AWSError : Batch refuses, or does not know the workers any more.
        """
        (worker,) = self.children([0])
        found = worker.get("container", {}).get("environment", [])
        return {pair["name"]: pair["value"] for pair in found}

    def _named(self, *, ended: bool = True) -> Iterator[str]:
        """Yield the ids of jobs of this name; those that have ended only if asked for."""
        with explained("the workers' job"):
            pages = self._client.get_paginator("list_jobs").paginate(
                jobQueue=self._queue,
                filters=[{"name": "JOB_NAME", "values": [self.name]}],
            )
            for page in pages:
                for job in page["jobSummaryList"]:
                    if job["jobName"] == self.name and (ended or job.get("status") not in _ENDED):
                        yield job["jobId"]

    def _first_child(self, status: Literal["RUNNABLE", "FAILED"]) -> JobDetailTypeDef | None:
        """Return a child of the array in this state, if there is one. An array itself has no reasons."""
        with explained("the workers' job"):
            found = self._client.list_jobs(arrayJobId=self._job_id, jobStatus=status, maxResults=1)
        if not found["jobSummaryList"]:
            return None
        return self._describe(found["jobSummaryList"][0]["jobId"])

    def _last_words(self, stream: str) -> str:
        """Return the end of a log. A worker that may not even leave a record in S3 has said why in its log."""
        try:
            with contextlib.closing(make_client("logs", region=self._client.meta.region_name)) as client:
                reply = client.get_log_events(
                    logGroupName=self._stack_outputs.log_group, logStreamName=stream, limit=1
                )
        except ClientError as error:
            if error_code(error) == "ResourceNotFoundException":  # nothing has been printed
                return ""
            return f"its log cannot be read: {error}"
        return "".join(f"it said last: {event['message']} (log stream {stream})" for event in reply["events"])

    def _describe(self, job_id: str) -> JobDetailTypeDef:
        with explained("the workers' job"):
            job = describe_job(self._client, job_id)
        if job is None:
            raise AWSError(f"AWS Batch does not know job {job_id}")
        return job


def _end_of(job: JobDetailTypeDef | JobSummaryTypeDef) -> str:
    """Return Batch's words on how a job ended."""
    container = job.get("container", {})
    said = [container.get("reason", ""), job.get("statusReason", "")]
    if "exitCode" in container:
        said.append(f"exit code {container['exitCode']}")
    return "; ".join(filter(None, said))


def describe_job(client: BatchClient, job_id: str) -> JobDetailTypeDef | None:
    """Ask Batch for a job; None if Batch does not know the job, nor some seconds later.

    Just after SubmitJob the answer may be empty.
    """
    for pause_s in (*_PAUSES_S, None):
        found = client.describe_jobs(jobs=[job_id])["jobs"]
        if found or pause_s is None:
            break
        time.sleep(pause_s)
    return found[0] if found else None
