"""The workers' Batch job: submitting it once, ending it, and asking what became of it.

Whether tiles are done is never read from Batch; it is only asked why workers wait or have died.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rios_batch.contract import JOB_TAG

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_batch import BatchClient
    from mypy_boto3_batch.type_defs import JobDetailTypeDef, SubmitJobRequestTypeDef

    from rios_batch.aws.exports import StackExports

LARGEST_ARRAY = 10_000  # AWS Batch's limit


@dataclass(frozen=True)
class JobReport:
    """What Batch says of the workers.

    Attributes
    ----------
    counts : number of workers in each of Batch's states; those with none are left out.
    reason : why the job is in its state, in Batch's words; may be empty.
    """

    counts: Mapping[str, int]
    reason: str

    @property
    def running(self) -> int:
        return self.counts.get("RUNNING", 0)

    @property
    def all_running(self) -> bool:
        """Say whether none is still to come."""
        return not self.counts.keys() - {"RUNNING", "SUCCEEDED", "FAILED"}

    @property
    def all_ended(self) -> bool:
        return not self.counts.keys() - {"SUCCEEDED", "FAILED"}

    def __str__(self) -> str:
        states = ", ".join(f"{count} {state}" for state, count in self.counts.items())
        return f"{states or 'none'}{f' ({self.reason})' if self.reason else ''}"


class WorkerJobs:
    """The workers of one attempt of a run: an array job, a plain job for one worker, nothing for none."""

    def __init__(self, client: BatchClient, exports: StackExports) -> None:
        self._client, self._exports = client, exports
        self.job_id = ""
        self._array = False

    def submit(self, name: str, count: int, environment: Mapping[str, str]) -> None:
        """Submit ``count`` workers with one request."""
        if not count:
            return
        self._array = count > 1
        request: SubmitJobRequestTypeDef = {
            "jobName": name,
            "jobQueue": self._exports.worker_queue,
            "jobDefinition": self._exports.worker_definition,
            "containerOverrides": {
                "environment": [{"name": key, "value": value} for key, value in environment.items()]
            },
            "tags": {JOB_TAG: self._exports.stack_name},
        }
        if self._array:
            request["arrayProperties"] = {"size": count}
        self.job_id = self._client.submit_job(**request)["jobId"]

    def terminate(self, reason: str) -> None:
        """End all workers, whatever they do; harmless when they have ended."""
        if self.job_id:
            self._client.terminate_job(jobId=self.job_id, reason=reason)

    def report(self) -> JobReport:
        """Ask how the workers are."""
        if not self.job_id:
            return JobReport({}, "")
        job = self._describe(self.job_id)
        summary = job.get("arrayProperties", {}).get("statusSummary", {}) if self._array else {}
        counts = {state: count for state, count in summary.items() if count} or {job["status"]: 1}
        return JobReport(counts, job.get("statusReason", ""))

    def deaths(self) -> str:
        """Say in Batch's words how workers ended that failed; empty if none did."""
        if not self.job_id:
            return ""
        job_id = self.job_id
        if self._array:
            failed = self._client.list_jobs(arrayJobId=job_id, jobStatus="FAILED", maxResults=1)
            if not failed["jobSummaryList"]:
                return ""
            job_id = failed["jobSummaryList"][0]["jobId"]
        job = self._describe(job_id)
        if job["status"] != "FAILED":
            return ""
        container = job.get("container", {})
        said = [container.get("reason", ""), job.get("statusReason", "")]
        if "exitCode" in container:
            said.append(f"exit code {container['exitCode']}")
        return f"Batch job {job_id}: {'; '.join(filter(None, said)) or 'no reason given'}"

    def _describe(self, job_id: str) -> JobDetailTypeDef:
        return self._client.describe_jobs(jobs=[job_id])["jobs"][0]
