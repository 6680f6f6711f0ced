"""What a run has used and cost, once it has ended."""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rios_batch.contract import Env
from rios_batch.model.costs import Prices, Usage, cost_usd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rios_batch.aws.jobs import WorkerJobs
    from rios_batch.model.spec import RunSpec
    from rios_batch.model.tileresult import TileRecord

log = logging.getLogger("rios_batch")

_QUEUE_REQUESTS = 4  # of SQS for a tile: sent, received, renewed, deleted
_LOST = ("Host EC2", "Your Spot Task was interrupted")


@dataclass(frozen=True)
class Receipt:
    """What a run has used and cost.

    Attributes
    ----------
    usage : what was used.
    usd : what it cost, about.
    workers : workers on Batch that began.
    machines_lost : attempts of workers whose machine was taken away.
    failures : tiles that failed and were done again.
    prices : what was reckoned with.
    """

    usage: Usage
    usd: float
    workers: int
    machines_lost: int
    failures: int
    prices: Prices

    def __str__(self) -> str:
        used = self.usage
        requests = used.puts + used.gets + used.queue_requests
        return (
            f"about {self.usd:.2f} USD: {used.vcpu_hours:.2f} vCPU-hours of {self.workers} workers, {requests:,} "
            f"requests, {used.gb_out:.3f} GB out of AWS; machines lost: {self.machines_lost}, tiles done again: "
            f"{self.failures} (prices of {self.prices.date}, {self.prices.describes})"
        )


def receipt(
    spec: RunSpec, jobs: WorkerJobs, worker_vcpus: int, records: Sequence[TileRecord], failures: int
) -> Receipt:
    """Reckon up a run, by the times that Batch gives for its workers.

    Main's own work is not reckoned; neither are requests for inputs.

    Parameters
    ----------
    records : those of the tiles that main has taken in.
    failures : tiles that failed and were done again.

    Raises
    ------
    ParameterError : the file of prices is wrong.
    AWSError : Batch refuses, or does not know the workers any more.
    """
    prices, now_ms = Prices.read(os.environ), time.time() * 1000
    children = list(jobs.children(range(jobs.count))) if jobs.submitted else []
    seconds, lost, began = 0.0, 0, 0
    for child in children:
        attempts = child.get("attempts", [])
        times = [(one.get("startedAt", 0), one.get("stoppedAt", now_ms)) for one in attempts]
        if child["status"] == "RUNNING":
            times.append((child.get("startedAt", now_ms), now_ms))
        seconds += sum(max(0.0, stopped - started) for started, stopped in times if started) / 1000
        lost += sum(one.get("statusReason", "").startswith(_LOST) for one in attempts)
        began += any(started for started, _ in times)
    travels = not all(output.stays_in_s3 for output in spec.outputs) and not os.environ.get(Env.BATCH_JOB_ID)
    usage = Usage(
        vcpu_hours=seconds / 3600 * worker_vcpus,
        worker_hours=seconds / 3600,
        tails=began,
        puts=len(records),
        gets=len(records),
        queue_requests=_QUEUE_REQUESTS * len(records),
        gb_out=sum(record.bytes_out for record in records) / 1e9 if travels else 0.0,
    )
    return Receipt(usage, cost_usd(usage, prices), began, lost, failures, prices)
