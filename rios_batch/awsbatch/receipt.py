"""What a run has used and cost, once it has ended."""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass, replace
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
            f"about {self.usd:.2f} USD: {used.vcpu_hours:.2f} vCPU-hours, workers: {self.workers}, {requests:,} "
            f"requests, {used.gb_out:.3f} GB out of AWS; machines lost: {self.machines_lost}, tiles done again: "
            f"{self.failures} (prices of {self.prices.date}, {self.prices.describes})"
        )


def receipt(
    spec: RunSpec,
    jobs: WorkerJobs,
    worker_vcpus: int,
    records: Sequence[TileRecord],
    failures: int,
    since_s: float | None = None,
) -> Receipt:
    """Reckon up a run, by the times that Batch gives for its workers.

    Main's own work is not reckoned; neither are requests for inputs.

    Parameters
    ----------
    records : those of the tiles that main has taken in.
    failures : tiles that failed and were done again.
    since_s : when the run began, in seconds since 1970, for workers that outlive the run: only their time since then
        counts, and not what machines cost when their jobs have ended. None for workers of the run's own.

    Raises
    ------
    ParameterError : the file of prices is wrong.
    AWSError : Batch refuses, or does not know the workers any more.
    """
    prices, work = Prices.read(os.environ), _work_of(jobs, since_s or 0.0)
    travels = not all(output.stays_in_s3 for output in spec.outputs) and not os.environ.get(Env.BATCH_JOB_ID)
    usage = replace(
        _usage(work, worker_vcpus, tails=since_s is None),
        puts=len(records),
        gets=len(records),
        queue_requests=_QUEUE_REQUESTS * len(records),
        gb_out=sum(record.bytes_out for record in records) / 1e9 if travels else 0.0,
    )
    return Receipt(usage, cost_usd(usage, prices), work.began, work.lost, failures, prices)


def usage_of_workers(jobs: WorkerJobs, worker_vcpus: int) -> Usage:
    """Return what the workers have used so far, and nothing else.

    Raises
    ------
    AWSError : Batch refuses, or does not know the workers any more.
    """
    return _usage(_work_of(jobs, 0.0), worker_vcpus, tails=True)


@dataclass(frozen=True)
class _Work:
    """Seconds of all attempts of all workers; workers that began; attempts that lost their machine."""

    seconds: float = 0.0
    began: int = 0
    lost: int = 0


def _usage(work: _Work, worker_vcpus: int, *, tails: bool) -> Usage:
    hours = work.seconds / 3600
    return Usage(vcpu_hours=hours * worker_vcpus, worker_hours=hours, tails=work.began if tails else 0)


def _work_of(jobs: WorkerJobs, since_s: float) -> _Work:
    now_ms, seconds, began, lost = time.time() * 1000, 0.0, 0, 0
    for child in jobs.children(range(jobs.count)) if jobs.submitted else ():
        attempts = child.get("attempts", [])
        times = [(one.get("startedAt", 0), one.get("stoppedAt", now_ms)) for one in attempts]
        if child["status"] == "RUNNING":
            times.append((child.get("startedAt", now_ms), now_ms))
        worked = [stopped - max(started, since_s * 1000) for started, stopped in times if started]
        seconds += sum(max(0.0, milliseconds) for milliseconds in worked) / 1000
        began += any(milliseconds > 0 or not since_s for milliseconds in worked)
        lost += sum(
            one.get("statusReason", "").startswith(_LOST) and one.get("stoppedAt", now_ms) >= since_s * 1000
            for one in attempts
        )
    return _Work(seconds, began, lost)
