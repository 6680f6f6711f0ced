"""The end of a run: everything that main has started is ended again."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from rios_batch.aws.jobs import WorkerJobs
    from rios_batch.aws.queue import WorkQueue

log = logging.getLogger("rios_batch")


class UndoStack:
    """Ends what was started, the last first."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._steps: list[tuple[str, Callable[[], None]]] = []

    def add(self, what: str, end: Callable[[], None]) -> None:
        """Remember how to end something. ``what`` is the thing's name in a warning."""
        self._steps.append((what, end))

    def end(self, what: str) -> None:
        """End one thing now, if it was started and has not been ended."""
        for step in [step for step in self._steps if step[0] == what]:
            self._steps.remove(step)
            self._end(*step)

    def run(self) -> None:
        """End everything. Harmless when called again.

        An impatient second Ctrl-C does not keep the rest from being ended.
        """
        interrupted: BaseException | None = None
        while self._steps:
            try:
                self._end(*self._steps.pop())
            except BaseException as error:  # noqa: BLE001 - raised when all is done
                interrupted = error
        if interrupted is not None:
            raise interrupted

    def _end(self, what: str, end: Callable[[], None]) -> None:
        try:
            end()
        except Exception as error:  # noqa: BLE001 - whatever ends the run must not be hidden by this
            log.warning("%s of run %s could not be ended: %s", what, self._run_id, error)


def end_jobs(jobs: WorkerJobs, queue: WorkQueue, *, all_finished: bool) -> None:
    """End the workers on Batch, unless all tiles are finished and the workers leave by themselves.

    Workers that run find the queue gone and leave, unless they do a tile a second time. Workers that wait for a machine
    would still get one, only to leave.
    """
    if not all_finished:
        jobs.terminate("the run failed or was stopped")
    elif not _leave_by_themselves(jobs, queue):
        jobs.terminate("the run is over")


def _leave_by_themselves(jobs: WorkerJobs, queue: WorkQueue) -> bool:
    report = jobs.report()
    return report.all_ended or (report.all_running and queue.sizes() == (0, 0))
