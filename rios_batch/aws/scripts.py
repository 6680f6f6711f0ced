"""Scripts that run as main in the stack's own image: sending a script there, and following what the script prints."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from rios_batch.aws.clients import make_client
from rios_batch.aws.faults import error_code
from rios_batch.aws.jobs import describe_job
from rios_batch.aws.waiting import Wait
from rios_batch.contract import JOB_TAG, SCRIPT_COMMAND, SCRIPTS_PREFIX
from rios_batch.errors import JobMgrError, MissingObjectError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mypy_boto3_batch.type_defs import JobDetailTypeDef

    from rios_batch.aws.cloud import Cloud
    from rios_batch.aws.objects import Bucket

_POLL_SECONDS = 2.0
_LAST_LOOKS = 4
_LIST, _FILES = "files.json", "files/"  # a file may have any name
_ENDED = ("SUCCEEDED", "FAILED")
_WAITING = ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING")
_WITH_REASON = ("FAILED", *_WAITING)


@dataclass(frozen=True)
class SentScript:
    """A script in the exchange bucket, with the files that the script needs beside it.

    Attributes
    ----------
    location : ``s3://bucket/prefix/``.
    sha256 : SHA-256 of the list of files, which holds the SHA-256 of each file. Workers may write into that bucket, and
        the script runs with more rights than the workers.
    """

    location: str
    sha256: str


def send_script(bucket: Bucket, files: Sequence[Path]) -> SentScript:
    """Put a script, with the files that the script needs beside it, into the exchange bucket.

    Raises
    ------
    OSError : a file cannot be read.
    S3Error : a file cannot be uploaded.
    """
    prefix = f"{SCRIPTS_PREFIX}{time.strftime('%Y%m%dT%H%M%S')}-{secrets.token_hex(4)}/"
    digests = {}
    for file in files:
        data = file.read_bytes()
        digests[file.name] = hashlib.sha256(data).hexdigest()
        bucket.put(prefix + _FILES + file.name, data)
    listed = json.dumps(digests).encode()
    bucket.put(prefix + _LIST, listed)
    return SentScript(f"s3://{bucket.name}/{prefix}", hashlib.sha256(listed).hexdigest())


def fetch_script(bucket: Bucket, prefix: str, sha256: str, folder: Path) -> None:
    """Fetch the files that `send_script` put into the exchange bucket.

    Parameters
    ----------
    bucket : the exchange bucket.
    prefix : the script's folder within the bucket, with a slash at the end.
    sha256 : that of the `SentScript`.
    folder : where the files go.

    Raises
    ------
    JobMgrError : a file is not there any more, or is not the one that was sent.
    """
    try:
        listed = _checked(bucket.get(prefix + _LIST), sha256)
        for name, digest in json.loads(listed).items():
            (folder / Path(name).name).write_bytes(_checked(bucket.get(prefix + _FILES + name), digest))
    except MissingObjectError as error:
        raise JobMgrError(f"the script is no longer there ({error}); submit it again") from error


def _checked(data: bytes, sha256: str) -> bytes:
    if hashlib.sha256(data).hexdigest() != sha256:
        raise JobMgrError("a file of the script is not what was submitted; it is not run")
    return data


def submit_script(cloud: Cloud, sent: SentScript, script: str, arguments: Sequence[str]) -> str:
    """Submit a main job that runs a sent script; return the job's id.

    Parameters
    ----------
    cloud : the stack.
    sent : the script in the exchange bucket.
    script : the name of the script's file.
    arguments : the script's own.
    """
    stack_outputs = cloud.stack_outputs
    reply = cloud.batch.submit_job(
        jobName=f"rios-batch-main-{sent.location.strip('/').rpartition('/')[2]}",
        jobQueue=stack_outputs.main_queue,
        jobDefinition=stack_outputs.script_definition,
        containerOverrides={"command": [*SCRIPT_COMMAND, sent.location, sent.sha256, script, *arguments]},
        tags={JOB_TAG: stack_outputs.stack_name},
    )
    return reply["jobId"]


@dataclass
class ScriptJob:
    """A submitted main job.

    Attributes
    ----------
    cloud : the stack.
    job_id : Batch's id of the job.
    exit_status : the script's exit status, once `follow` has ended.
    """

    cloud: Cloud
    job_id: str
    exit_status: int = 1

    def describe(self) -> JobDetailTypeDef:
        """Return what Batch says of the job.

        Raises
        ------
        JobMgrError : Batch does not know the job, or no longer.
        """
        job = describe_job(self.cloud.batch, self.job_id)
        if job is None:
            raise JobMgrError(
                f"there is no job {self.job_id} in {self.cloud.region}; Batch forgets jobs a week after their end"
            )
        return job

    def terminate(self) -> None:
        """End the job. The script itself ends what it has begun on Batch."""
        self.cloud.batch.terminate_job(jobId=self.job_id, reason="ended by rios-batch terminate")

    def follow(self) -> Iterator[str]:
        """Yield what happens and what the script prints, line by line, until the script's end.

        Raises
        ------
        JobMgrError : Batch no longer knows the job.
        """
        log, wait = JobLog(self.cloud), Wait()
        said = ""
        while True:
            job = self.describe()
            status, reason = job["status"], job.get("statusReason", "")
            tells = reason and status in _WITH_REASON
            if said != (said := f"{status} ({reason})" if tells else status):
                yield f"[job {self.job_id}: {said}]"
            if cause := wait.look(waits=status in _WAITING, reason=reason):
                yield f"[job {self.job_id}: {cause}]"
            yield from log.new_lines(job.get("container", {}).get("logStreamName", ""))
            if status in _ENDED:
                break
            time.sleep(_POLL_SECONDS)
        # The last lines reach CloudWatch some seconds after the job's end.
        for _ in range(_LAST_LOOKS):
            yield from log.new_lines(job.get("container", {}).get("logStreamName", ""))
            time.sleep(_POLL_SECONDS)
        self.exit_status = job.get("container", {}).get("exitCode", 0 if status == "SUCCEEDED" else 1)


class JobLog:
    """Reads a job's log stream, each time from where the last reading ended. A new attempt has a new stream."""

    def __init__(self, cloud: Cloud) -> None:
        self._client = make_client("logs", region=cloud.region)
        self._group = cloud.stack_outputs.log_group
        self._stream = self._token = ""  # a place in a log  # nosec B105

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
            if token == self._token:  # the end for now; a page may be empty before it
                return
