"""What workers on AWS Batch have printed, found by run, worker or tile."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rios_batch.aws.faults import explained
from rios_batch.aws.jobs import WorkerJobs
from rios_batch.aws.scripts import JobLog
from rios_batch.awsbatch.results import record_of
from rios_batch.awsbatch.runstore import RunStore
from rios_batch.awsbatch.starting import last_main
from rios_batch.errors import JobMgrError, ParameterError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rios_batch.aws.cloud import Cloud

_WORKER = re.compile(r"worker (\d+) \(job ([^)]+)\)")


def worker_lines(cloud: Cloud, run_id: str, worker: int | None = None) -> Iterator[tuple[int, str]]:
    """Yield what a run's workers have printed so far, each line with the worker's number from 1.

    Parameters
    ----------
    worker : whose log; None for all, one after the other.

    Raises
    ------
    JobMgrError : the run has no workers on Batch, or Batch has forgotten them.
    ParameterError : the run has fewer workers.
    DeniedError : the caller may not read the log.
    """
    last = last_main(cloud, RunStore(cloud.bucket, run_id))
    jobs = WorkerJobs.find(cloud.batch, cloud.stack_outputs, last[1]) if last else None
    if jobs is None:
        raise JobMgrError(
            f"run {run_id} has no workers on AWS Batch; what the worker beside main prints is in main's own terminal"
        )
    if worker is not None and not 1 <= worker <= jobs.count:
        raise ParameterError(f"run {run_id} has workers 1 to {jobs.count}, not {worker}")
    wanted = range(1, jobs.count + 1) if worker is None else [worker]
    for number, job in zip(wanted, jobs.children([number - 1 for number in wanted]), strict=True):
        with explained(f"the log of worker {number}"):
            lines = list(JobLog(cloud).new_lines(job.get("container", {}).get("logStreamName", "")))
        yield from ((number, line) for line in lines)


def tile_story(cloud: Cloud, run_id: str, tile: int) -> Iterator[str]:
    """Yield what is known of a tile: who finished it and how long it took, or how it failed, with the traceback.

    Raises
    ------
    ParameterError : nothing is known of the tile: it is not finished, and has not failed.
    """
    store = RunStore(cloud.bucket, run_id)
    failed = [store.failure(key) for key in store.failures(tile)]
    for failure in failed:
        yield f"tile {tile} failed on {failure.worker}: {failure.message}"
        yield from failure.traceback_text.splitlines()
    found = next((info for index, info in store.tiles(tile) if index == tile), None)
    if found is not None:
        record = record_of(store, found)
        yield (
            f"tile {tile} ({record.window}) was finished by {record.worker}: {record.reading_s:.1f} s reading, "
            f"{record.function_s:.1f} s in the function, {record.encoding_s:.1f} s encoding"
        )
        if match := _WORKER.match(record.worker):
            yield f"its log: rios-batch logs {run_id} --worker {match[1]}"
    elif not failed:
        raise ParameterError(f"tile {tile} of run {run_id} is not finished and has not failed")
