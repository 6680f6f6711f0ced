"""The parts of a run's beginning: the last main's remains, the queue, the workers' shares, the copies of inputs."""

from __future__ import annotations

import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from rios_batch.aws.jobs import WorkerJobs
from rios_batch.aws.queue import WorkQueue
from rios_batch.awsbatch.configuration import WorkerConfig
from rios_batch.awsbatch.stagedinputs import copy_local_inputs
from rios_batch.errors import JobMgrError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rios_batch.aws.cloud import Cloud
    from rios_batch.awsbatch.polling import Poll
    from rios_batch.awsbatch.runstore import RunStore
    from rios_batch.model.spec import RunSpec

LEASE_SECONDS = 60
_SENT_AT_ONCE = 2000  # messages; whoever stops a run waits so long


def job_name(name: str) -> str:
    """Return the name of the Batch job of a main, whose queue ends in ``name``."""
    return f"rios-batch-{name}"


def end_last_main(cloud: Cloud, store: RunStore) -> None:
    """End what a main that was killed has left: workers that do the same tiles, and their queue.

    Raises
    ------
    AWSError, S3Error : AWS refuses.
    JobMgrError : what main.json names is another run's.
    """
    last = last_main(cloud, store)
    if last is not None:
        url, job = last
        store.end_main(url)
        WorkerJobs(cloud.batch, cloud.stack_outputs, job).terminate("its run is resumed")
        WorkQueue(cloud.sqs, url, LEASE_SECONDS).delete()


def last_main(cloud: Cloud, store: RunStore) -> tuple[str, str] | None:
    """Return queue URL and job name of the last main, if there was one, and they are this run's.

    Raises
    ------
    S3Error : S3 refuses.
    JobMgrError, RecordError : what main.json names is another run's, or main.json is something else.
    """
    last = store.last_main()
    if last is not None:
        url, job = last
        queue_name = url.rpartition("/")[2]
        own_queues = f"{cloud.stack_outputs.run_queue_prefix}{store.run_id}-"
        if not (_is_a_main_s(queue_name, own_queues) and _is_a_main_s(job, job_name(f"{store.run_id}-"))):
            raise JobMgrError(
                f"main.json of run {store.run_id} names queue {queue_name!r} and job {job!r}, which are not of "
                "this run, so somebody has changed it; begin anew without setResume"
            )
    return last


def _is_a_main_s(name: str, beginning: str) -> bool:
    return re.fullmatch(rf"{re.escape(beginning)}[0-9a-f]{{4}}", name) is not None


def make_queue(cloud: Cloud, name: str) -> WorkQueue:
    """Make the run's queue.

    Raises
    ------
    AWSError : SQS refuses.
    """
    return WorkQueue.create(cloud.sqs, f"{cloud.stack_outputs.run_queue_prefix}{name}", LEASE_SECONDS)


def worker_config(cloud: Cloud, run_id: str, job_sha256: str, queue_url: str) -> WorkerConfig:
    """Return what a worker beside main is told. The stack tells workers on Batch some of the same."""
    return WorkerConfig(
        bucket=cloud.stack_outputs.bucket,
        region=cloud.region,
        processes=min(cloud.stack_outputs.worker_processes, os.cpu_count() or 1),
        run_id=run_id,
        job_sha256=job_sha256,
        queue_url=queue_url,
        lease_seconds=LEASE_SECONDS,
    )


def useful_workers(missing: int, own_share: int, worker_processes: int) -> int:
    """Return how many workers on Batch have something to do from the beginning.

    Parameters
    ----------
    missing : tiles to compute.
    own_share : tiles that the worker beside main computes at a time.
    worker_processes : tiles that a worker on Batch computes at a time.
    """
    return -(-max(missing - own_share, 0) // worker_processes)


class Sending:
    """The sending of messages in a thread, so that workers are submitted meanwhile."""

    def __init__(self, queue: WorkQueue, messages: Sequence[str]) -> None:
        self._queue, self._messages = queue, messages
        self._stopped, self._given_up = threading.Event(), False
        self._executor = ThreadPoolExecutor(1, "rios_batch send")
        self._sending = self._executor.submit(self._send)

    def _send(self) -> None:
        for start in range(0, len(self._messages), _SENT_AT_ONCE):
            if self._stopped.is_set():
                return
            self._queue.send(self._messages[start : start + _SENT_AT_ONCE])

    def check(self) -> None:
        """See that nothing has gone wrong so far.

        Raises
        ------
        AWSError : SQS refuses a message.
        """
        if self._sending.done() and not self._given_up:
            self._sending.result()

    def give_up(self) -> None:
        """Send no more, because the queue is gone. What has gone wrong is no longer of interest."""
        self._given_up = True
        self.close()

    def close(self) -> None:
        """Send no more, and wait for what is under way."""
        self._stopped.set()
        self._executor.shutdown()


def copy_inputs(spec: RunSpec, store: RunStore, poll: Poll, nobody_needs_them: Callable[[], bool]) -> str:
    """Copy local inputs to S3 while the worker beside main computes, say where the copies are, and return its SHA-256.

    When nobody needs them any more, the worker beside main was quicker than the copying, and the copying is broken off.
    Nothing is returned then.

    Raises
    ------
    RiosBatchError : what goes wrong with the copying, or elsewhere meanwhile.
    """
    stopped = threading.Event()
    with ThreadPoolExecutor(1, "rios_batch copy") as executor:
        copying = executor.submit(copy_local_inputs, spec, store.bucket, store.inputs_prefix, stopped.is_set)
        try:
            while not (copying.done() or nobody_needs_them()):
                poll.wait()
        finally:
            stopped.set()
    return "" if nobody_needs_them() else store.put_staged_inputs(copying.result())
