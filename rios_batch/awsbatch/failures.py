"""The failures that workers have left in S3: which tiles are done again, and which failures end the run."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from rios_batch.awsbatch.decoding import RecordError
from rios_batch.awsbatch.explaining import how_workers_ended
from rios_batch.awsbatch.failurerecord import error_of
from rios_batch.awsbatch.supervisor import MAX_FAILURES
from rios_batch.errors import DamagedObjectError

if TYPE_CHECKING:
    from rios_batch.aws.jobs import WorkerJobs
    from rios_batch.awsbatch.failurerecord import Failure
    from rios_batch.awsbatch.finished import FinishedTiles
    from rios_batch.awsbatch.runstore import RunStore
    from rios_batch.model.tiles import TilePlan

log = logging.getLogger("rios_batch")

# So many failures of different tiles, and more than tiles that were finished, mean that nothing will come of it.
_HOPELESS_FAILURES = 10


class Failures:
    """Reads each failure of a run once, and counts the failures of each tile."""

    def __init__(self, store: RunStore, plan: TilePlan, tiles: FinishedTiles, jobs: WorkerJobs) -> None:
        self._store, self._plan, self._tiles, self._jobs = store, plan, tiles, jobs
        self._seen: set[str] = set()
        self._counts: Counter[int] = Counter()

    def look(self) -> None:
        """Read what has failed since the last look.

        Raises
        ------
        RiosBatchError : the failure that ends the run, or S3 refuses.
        UserFunctionError : the user function raised an exception.
        """
        for key in self._store.failures():
            if key in self._seen:
                continue
            self._seen.add(key)
            try:
                failure = self._store.failure(key)
            except RecordError as error:  # whatever it says, a worker has not said it
                log.warning("%s is left out: %s", key, error)
                continue
            self._take(failure)

    def _take(self, failure: Failure) -> None:
        index = failure.tile
        if failure.stops_run:
            error = error_of(failure)
            if isinstance(error, DamagedObjectError) and index is not None:
                self._store.set_aside(index)  # so that a resumed run computes the tile again
            raise error
        if index is not None and index < self._tiles.total and index not in self._tiles:
            self._count(failure, index)

    def _count(self, failure: Failure, index: int) -> None:
        self._counts[index] += 1
        tile = f"tile {index} ({self._plan.tile(index).window})"
        if self._counts[index] >= MAX_FAILURES:
            said = f"{tile} failed {MAX_FAILURES} times, the last time on {failure.worker}: {failure.message}"
        elif len(self._counts) > max(_HOPELESS_FAILURES, len(self._tiles)):
            said = f"{len(self._counts)} tiles failed, the last one, {tile}, on {failure.worker}: {failure.message}"
        else:
            log.warning("%s is done again, it failed on %s: %s", tile, failure.worker, failure.message)
            return
        message = "; ".join(filter(None, [said, how_workers_ended(self._jobs)]))
        raise error_of(replace(failure, message=message))
