"""Runs that have not finished, as somebody sees them who is not their main: where they are, and ending them.

All of it is read from the exchange bucket, the run's queue and AWS Batch. A run that has finished has left nothing.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rios_batch.aws.faults import QueueGoneError
from rios_batch.aws.jobs import JobReport, WorkerJobs
from rios_batch.aws.queue import WorkQueue
from rios_batch.awsbatch.decoding import RecordError, decoding
from rios_batch.awsbatch.failurerecord import Failure
from rios_batch.awsbatch.runstore import RunStore, run_ids
from rios_batch.awsbatch.starting import LEASE_SECONDS, end_last_main, last_main
from rios_batch.awsbatch.turns import is_pool
from rios_batch.contract import RUNS_PREFIX
from rios_batch.errors import JobMgrError, MissingObjectError
from rios_batch.model.tiles import TilePlan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rios_batch.aws.cloud import Cloud

log = logging.getLogger("rios_batch")

SILENT_SECONDS = 600.0
"""A main that has shown no sign of life for so long is taken for dead."""
CANCELLED = "the run was cancelled (rios-batch cancel)"


@dataclass(frozen=True)
class RunInfo:
    """A run in one line.

    Attributes
    ----------
    run_id : the run.
    state : ``running``: main is there; ``workers only``: main is gone, workers finish what is queued; ``stopped``:
        nobody works on the run, which can be resumed.
    tiles_done, tiles : finished tiles, and all.
    outputs : what the run writes.
    silent_s : seconds since main's last sign of life; None if main has ended, or never gave one.
    """

    run_id: str
    state: str
    tiles_done: int
    tiles: int
    outputs: tuple[str, ...]
    silent_s: float | None


@dataclass(frozen=True)
class RunStatus:
    """All that is known of a run.

    Attributes
    ----------
    info : the run in one line.
    workers : what Batch says of them; None if there is no job.
    waiting, in_work : messages of the queue that nobody has, and that a worker has; None if there is no queue.
    failures : what went wrong since main began.
    command, folder, host : what the run was begun with, and where; empty for a run of an older rios_batch.
    """

    info: RunInfo
    workers: JobReport | None
    waiting: int | None
    in_work: int | None
    failures: tuple[Failure, ...]
    command: tuple[str, ...]
    folder: str
    host: str


def list_runs(cloud: Cloud) -> Iterator[RunInfo]:
    """Yield the runs that have not finished, the oldest first.

    Raises
    ------
    S3Error : the exchange bucket cannot be read.
    AWSError : SQS or Batch refuses.
    """
    for run_id in sorted(run_ids(cloud.bucket), key=_began):
        store = RunStore(cloud.bucket, run_id)
        try:
            yield _info(cloud, store, store.raw_description(), last_main(cloud, store))
        except MissingObjectError:  # has just finished
            continue
        except (JobMgrError, RecordError) as error:  # somebody has changed it; others are as they are
            log.warning("run %s is left out: %s", run_id, error)


def describe_run(cloud: Cloud, run_id: str) -> RunStatus:
    """Return all that is known of a run.

    Raises
    ------
    JobMgrError : there is no such run, or none any more.
    """
    store = existing_run(cloud, run_id)
    description, last = store.raw_description(), last_main(cloud, store)
    sizes = _queue_sizes(cloud, last[0]) if last else None
    jobs = WorkerJobs.find(cloud.batch, cloud.stack_outputs, last[1]) if last else None
    origin = description.get("origin", {})
    return RunStatus(
        info=_info(cloud, store, description, last),
        workers=jobs.report() if jobs else None,
        waiting=sizes[0] if sizes else None,
        in_work=sizes[1] if sizes else None,
        failures=tuple(_readable_failures(store)),
        command=tuple(origin.get("command", ())),
        folder=origin.get("folder", ""),
        host=origin.get("host", ""),
    )


def cancel_run(cloud: Cloud, run_id: str) -> RunInfo:
    """End a run: main, if there is one, raises an error, and workers and queue are ended. Finished tiles stay.

    Returns
    -------
    What the run was before.

    Raises
    ------
    JobMgrError : there is no such run, or none any more.
    """
    store = existing_run(cloud, run_id)
    info = _info(cloud, store, store.raw_description(), last_main(cloud, store))
    kind = f"{JobMgrError.__module__}.{JobMgrError.__qualname__}"
    # First, so that main learns why before main finds the queue gone.
    store.put_failure(Failure(None, kind, CANCELLED, "rios-batch cancel", stops_run=True))
    end_last_main(cloud, store)
    store.forget_life()  # a main that was killed has left its last sign
    return info


def dead_runs(cloud: Cloud, older_than_s: float) -> list[RunInfo]:
    """Return the runs that nobody has worked on since ``older_than_s`` seconds ago, and whose main is gone."""
    return [
        info
        for info in list_runs(cloud)
        if info.state != "running" and _last_change(cloud, info.run_id) < time.time() - older_than_s
    ]


def dead_pools(cloud: Cloud, older_than_s: float) -> list[str]:
    """Return the pools of workers whose main has given no sign of life since ``older_than_s`` seconds ago."""
    pools = (name for name in cloud.bucket.list_folders(RUNS_PREFIX) if is_pool(name))
    return [name for name in pools if _last_change(cloud, name) < time.time() - older_than_s]


def remove_run(cloud: Cloud, run_id: str) -> None:
    """End what the main of a dead run or pool has left, and delete all its objects. A run cannot be resumed any more.

    Raises
    ------
    AWSError, S3Error : AWS refuses.
    """
    store = RunStore(cloud.bucket, run_id)
    end_last_main(cloud, store)
    store.delete()


def existing_run(cloud: Cloud, run_id: str) -> RunStore:
    """Return the objects of a run that has not finished.

    Raises
    ------
    JobMgrError : there is no such run, or none any more.
    """
    known = sorted(run_ids(cloud.bucket), key=_began)
    if run_id not in known:
        there = f"; there are {', '.join(known)}" if known else ""
        raise JobMgrError(
            f"there is no unfinished run {run_id} in stack {cloud.stack_outputs.stack_name}{there}; finished runs "
            "leave nothing"
        )
    return RunStore(cloud.bucket, run_id)


def _info(
    cloud: Cloud, store: RunStore, description: dict[str, Any], last: tuple[str, str] | None
) -> RunInfo:
    seen = store.last_sign_of_life()
    silent_s = None if seen is None else max(0.0, time.time() - seen)
    with decoding(f"run.json of run {store.run_id}"):  # which another version may have written
        plan, outputs = TilePlan.from_description(description["plan"]), tuple(description.get("outputs", ()))
    return RunInfo(
        run_id=store.run_id,
        state=_state(cloud, silent_s, last),
        tiles_done=sum(1 for _ in store.tiles()),
        tiles=len(plan),
        outputs=outputs,
        silent_s=silent_s,
    )


def _readable_failures(store: RunStore) -> Iterator[Failure]:
    for key in store.failures():
        try:
            yield store.failure(key)
        except RecordError as error:
            log.warning("%s is left out: %s", key, error)


def _state(cloud: Cloud, silent_s: float | None, last: tuple[str, str] | None) -> str:
    if silent_s is not None and silent_s < SILENT_SECONDS:
        return "running"
    return "stopped" if last is None or _queue_sizes(cloud, last[0]) is None else "workers only"


def _queue_sizes(cloud: Cloud, url: str) -> tuple[int, int] | None:
    try:
        return WorkQueue(cloud.sqs, url, LEASE_SECONDS).sizes()
    except QueueGoneError:
        return None


def _last_change(cloud: Cloud, run_id: str) -> float:
    return max(found.modified_s for found in RunStore(cloud.bucket, run_id).objects())


def _began(run_id: str) -> str:
    """Return the part of an id that says when the run began; an id begins with a digest of the outputs."""
    return run_id.partition("-")[2]
