"""What runs leave on the emulated AWS, though they should not, and how it goes away."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rios_batch.contract import RUNS_PREFIX, StackOutput

if TYPE_CHECKING:
    from rios_batch.testing.emulation.cloud import Emulator

_WAITS, _WAIT_S = 100, 0.1
_ENDED = ("SUCCEEDED", "FAILED")


def wait_for_jobs(cloud: Emulator) -> None:
    """Let workers leave that have just learned that their run is over."""
    for _ in range(_WAITS):
        if all(job.status in _ENDED for job in cloud.jobs()):
            return
        time.sleep(_WAIT_S)


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
