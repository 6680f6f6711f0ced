"""What a run spends while it goes on, and the end of a run that would spend more than the script allows."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rios_batch.errors import CostLimitError
from rios_batch.model.costs import Usage, cost_usd

if TYPE_CHECKING:
    from rios_batch.aws.jobs import WorkerJobs
    from rios_batch.model.costs import Prices

METER_SECONDS = 30.0  # between questions to Batch how many workers run


class Meter:
    """Adds up what workers cost, and stops a run before it costs more than it may.

    Parameters
    ----------
    jobs : the workers on Batch.
    worker_vcpus : vCPUs of each.
    prices : what things cost.
    max_usd : what the run may cost.
    with_tails : what machines cost after the run's end counts; not where they go on to work for the next run.
    """

    def __init__(
        self, jobs: WorkerJobs, worker_vcpus: int, prices: Prices, max_usd: float, *, with_tails: bool = True
    ) -> None:
        self._jobs, self._vcpus, self._prices, self._max_usd = jobs, worker_vcpus, prices, max_usd
        self._with_tails = with_tails
        self._looked_at = time.monotonic()
        self._worker_hours, self._running, self._most = 0.0, 0, 0

    def check_before(self, workers: int) -> None:
        """See that workers can begin at all.

        Raises
        ------
        CostLimitError : their first minutes cost more than the run may.
        """
        usd = self._usd(self._worker_hours + workers * 2 * METER_SECONDS / 3600, workers)
        if usd > self._max_usd:
            raise CostLimitError(
                f"{workers} workers on AWS Batch cost about {usd:.2f} USD before they have done much, the run may cost "
                f"{self._max_usd:.2f} USD; use fewer workers (setNumThreads), or raise setMaxCost"
            )

    def look(self) -> None:
        """Ask Batch how many workers run, if METER_SECONDS have passed.

        Raises
        ------
        CostLimitError : the run would cost more than it may by the time of the next look.
        AWSError : Batch refuses to say.
        """
        now = time.monotonic()
        if not self._jobs.submitted or now < self._looked_at + METER_SECONDS:
            return
        counts = self._jobs.report().counts
        running = counts.get("RUNNING", 0) + counts.get("STARTING", 0)
        # Those that came or went since the last look are taken to have been there all the time.
        self._worker_hours += max(running, self._running) * (now - self._looked_at) / 3600
        self._running, self._most, self._looked_at = running, max(self._most, running), now
        soon = self._usd(self._worker_hours + running * 2 * METER_SECONDS / 3600, self._most)
        if soon > self._max_usd:
            raise CostLimitError(
                f"the run has cost about {self._usd(self._worker_hours, self._most):.2f} USD, with what its machines "
                f"still cost after its end, and may cost {self._max_usd:.2f} USD (setMaxCost): it was stopped"
            )

    def _usd(self, worker_hours: float, tails: int) -> float:
        usage = Usage(worker_hours * self._vcpus, worker_hours, tails if self._with_tails else 0)
        return cost_usd(usage, self._prices)
