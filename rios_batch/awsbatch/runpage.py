"""What a report tells of a run on AWS Batch, from what the run has left in S3."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from rios_batch.aws.jobs import WorkerJobs
from rios_batch.awsbatch.receipt import usage_of_workers
from rios_batch.awsbatch.results import record_of
from rios_batch.awsbatch.runinfo import describe_run, existing_run
from rios_batch.model.costs import Prices, cost_usd
from rios_batch.model.runreport import FailedTile, RunFacts, RunReport
from rios_batch.model.tiles import TilePlan

if TYPE_CHECKING:
    from rios_batch.aws.cloud import Cloud
    from rios_batch.awsbatch.runstore import RunStore

_FETCHES = 16  # at a time


def failed_tiles(store: RunStore) -> tuple[FailedTile, ...]:
    """Return the tries that failed since main began.

    Raises
    ------
    S3Error : the records cannot be read.
    RecordError : one of them is something else.
    """
    failures = (store.failure(key) for key in store.failures())
    return tuple(FailedTile(one.tile, one.worker, one.message) for one in failures)


def unfinished_run(cloud: Cloud, run_id: str) -> RunReport:
    """Return what is known of a run that has not finished; one that has left nothing.

    Raises
    ------
    JobMgrError : there is no such run, or none any more.
    AWSError, S3Error : AWS refuses.
    """
    store, status = existing_run(cloud, run_id), describe_run(cloud, run_id)
    with ThreadPoolExecutor(_FETCHES) as executor:
        records = tuple(executor.map(lambda found: record_of(store, found[1]), store.tiles()))
    info = status.info
    return RunReport(
        state=f"{info.state}, {info.tiles_done} of {info.tiles} tiles are finished",
        good=info.state != "stopped",
        manager="AWSBatch",
        plan=TilePlan.from_description(store.raw_description()["plan"]),
        records=records,
        outputs=info.outputs,
        facts=RunFacts(
            run_id,
            _receipt(cloud, store),
            tuple(FailedTile(one.tile, one.worker, one.message) for one in status.failures),
        ),
    )


def _receipt(cloud: Cloud, store: RunStore) -> str:
    last = store.last_main()
    jobs = WorkerJobs.find(cloud.batch, cloud.stack_outputs, last[1]) if last else None
    if jobs is None:
        return ""
    prices = Prices.read(os.environ)
    used = usage_of_workers(jobs, cloud.stack_outputs.worker_vcpus)
    usd = cost_usd(used, prices)
    return (
        f"The workers have cost about {usd:.2f} USD so far: {used.vcpu_hours:.2f} vCPU-hours (prices "
        f"of {prices.date}, {prices.describes})."
    )
