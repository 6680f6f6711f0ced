"""Scripts that run as main in the stack's own image: sending them there, and following what they print."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from rios_batch.aws.clients import error_code, make_client
from rios_batch.contract import JOB_TAG, SCRIPT_COMMAND, SCRIPTS_PREFIX
from rios_batch.errors import JobMgrError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from mypy_boto3_batch.type_defs import JobDetailTypeDef

    from rios_batch.aws.cloud import Cloud
    from rios_batch.aws.objects import Bucket

_POLL_SECONDS = 2.0
_ENDED = ("SUCCEEDED", "FAILED")


def send_script(bucket: Bucket, files: Sequence[Path]) -> str:
    """Put a script and what it needs beside it into the exchange bucket; return the prefix they have in common."""
    prefix = f"{SCRIPTS_PREFIX}{time.strftime('%Y%m%dT%H%M%S')}-{secrets.token_hex(4)}/"
    for file in files:
        bucket.upload(file, prefix + file.name)
    return prefix


def fetch_script(bucket: Bucket, prefix: str, folder: Path) -> None:
    """Get what `send_script` put there.

    Raises
    ------
    JobMgrError : there is nothing any more.
    """
    found = list(bucket.list_objects(prefix))
    if not found:
        raise JobMgrError(
            f"there is no script at s3://{bucket.name}/{prefix}; it has expired, submit it again"
        )
    for entry in found:
        (folder / entry.key.removeprefix(prefix)).write_bytes(bucket.get(entry.key))


def submit_script(cloud: Cloud, prefix: str, script: str, arguments: Sequence[str]) -> str:
    """Submit a main job that runs a sent script; return its id."""
    exports = cloud.exports
    reply = cloud.batch.submit_job(
        jobName=f"rios-batch-main-{prefix.removeprefix(SCRIPTS_PREFIX).strip('/')}",
        jobQueue=exports.main_queue,
        jobDefinition=exports.script_definition,
        containerOverrides={
            "command": [*SCRIPT_COMMAND, f"s3://{exports.bucket}/{prefix}", script, *arguments]
        },
        tags={JOB_TAG: exports.stack_name},
    )
    return reply["jobId"]


@dataclass
class ScriptJob:
    """A submitted main job."""

    cloud: Cloud
    job_id: str
    exit_status: int = 1

    def describe(self) -> JobDetailTypeDef:
        """Ask Batch for it.

        Raises
        ------
        JobMgrError : Batch does not know the job, or no longer.
        """
        found = self.cloud.batch.describe_jobs(jobs=[self.job_id])["jobs"]
        if not found:
            raise JobMgrError(
                f"there is no job {self.job_id} in {self.cloud.region}; Batch forgets jobs a week after their end"
            )
        return found[0]

    def terminate(self) -> None:
        """End it; what it has begun on Batch it ends itself."""
        self.cloud.batch.terminate_job(jobId=self.job_id, reason="ended by rios-batch terminate")

    def follow(self) -> Iterator[str]:
        """Yield what happens and what the script prints, line by line, until its end; then `exit_status` is its own."""
        log = _JobLog(self.cloud)
        said = ""
        while True:
            job = self.describe()
            status = job["status"]
            if status != said:
                said = status
                reason = job.get("statusReason", "")
                yield f"[job {self.job_id}: {status}{f' ({reason})' if reason and status == 'FAILED' else ''}]"
            yield from log.new_lines(job.get("container", {}).get("logStreamName", ""))
            if status in _ENDED:
                break
            time.sleep(_POLL_SECONDS)
        yield from log.new_lines(job.get("container", {}).get("logStreamName", ""))
        self.exit_status = job.get("container", {}).get("exitCode", 0 if status == "SUCCEEDED" else 1)


class _JobLog:
    """Reads a job's log stream on from where it was; a new attempt has a new stream."""

    def __init__(self, cloud: Cloud) -> None:
        self._client = make_client("logs", region=cloud.region)
        self._group = cloud.exports.log_group
        self._stream = self._token = ""

    def new_lines(self, stream: str) -> Iterator[str]:
        if not stream:
            return
        if stream != self._stream:
            self._stream, self._token = stream, ""
        while True:
            more = {"nextToken": self._token} if self._token else {}
            try:
                reply = self._client.get_log_events(
                    logGroupName=self._group, logStreamName=stream, startFromHead=True, **more
                )
            except ClientError as error:
                if error_code(error) == "ResourceNotFoundException":  # nothing has been printed yet
                    return
                raise
            yield from (event["message"] for event in reply["events"])
            token, self._token = self._token, reply["nextForwardToken"]
            if token == self._token or not reply["events"]:
                return
