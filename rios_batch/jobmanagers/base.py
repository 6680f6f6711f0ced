# ruff: noqa: N802, N803, N815 - RIOS's names
"""The job manager's contract, the registry, and the queue that managers take tiles from."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from rios_batch.errors import JobMgrError
from rios_batch.model.spec import RunOptions

if TYPE_CHECKING:
    from collections.abc import Generator

    from rios_batch.model.spec import RunSpec
    from rios_batch.model.tileresult import TileResult
    from rios_batch.model.tiles import Tile, TilePlan


class JobManager(ABC):
    """Hands the tiles of a run to workers and yields their results.

    A subclass with a ``jobMgrType`` can be chosen with ``controls.setJobManagerType`` once it is
    imported, as in RIOS. It must

    - yield exactly one result for every tile of ``spec.plan``, in any order;
    - give each tile a fresh copy of ``other_args``, and bring the changed attributes back in
      ``TileResult.other_args`` (:class:`rios_batch.compute.otherargs.ChangeDetector`);
    - let errors of a tile out as they are;
    - have stopped everything it started when the generator is closed, whatever the reason.

    The generator is resumed after its last result only when all outputs are in place: until then it keeps what they
    are made from, and being closed means that the run has failed.

    Parameters
    ----------
    numThreads : workers that run at the same time, at least 1 (``controls.setNumThreads``).
    options : what a manager whose runs outlive main is told besides; others ignore it.
    """

    jobMgrType: ClassVar[str]
    shares_other_args: ClassVar[bool] = False  # every block works on the caller's own object

    def __init__(self, numThreads: int, options: RunOptions | None = None) -> None:
        self.numThreads = numThreads
        self.options = options or RunOptions()

    @property
    def num_processes(self) -> int:
        """Return how many tiles are computed at a time; the tile plan follows it. Checked before anything is read."""
        return self.numThreads

    def adopt(self, spec: RunSpec, other_args: Any) -> RunSpec:
        """Return the spec that is to be run: with the tile plan of an earlier run, if it is resumed."""
        del other_args
        return spec

    @abstractmethod
    def run_tiles(self, spec: RunSpec, other_args: Any) -> Generator[TileResult, None, None]:
        """Run all tiles; see the class."""

    @classmethod
    def registered(cls) -> dict[str, type[JobManager]]:
        """Return all imported job managers by their ``jobMgrType``."""
        found: dict[str, type[JobManager]] = {}
        for subclass in cls.__subclasses__():
            if "jobMgrType" in vars(subclass):
                found[subclass.jobMgrType] = subclass
            found |= subclass.registered()
        return found


# Imported when it is asked for: boto3 takes a quarter of a second, which a script on one machine need not spend.
_LAZY = {"AWSBatch": "rios_batch.awsbatch.manager"}


def getAvailableJobManagerTypes() -> list[str]:
    """Return the names of all job managers: the project's own and those that were imported."""
    return sorted(JobManager.registered().keys() | _LAZY.keys())


# RIOS's managers that have no counterpart, and what to use in their place.
_ELSEWHERE = {
    "subproc": "use 'multiprocessing'",
    "mpi": "use 'multiprocessing' on one machine, or 'AWSBatch'",
    "pbs": "use 'multiprocessing' in one job of the cluster, or 'AWSBatch'",
    "slurm": "use 'multiprocessing' in one job of the cluster, or 'AWSBatch'",
}


def getJobManagerClassByType(jobMgrType: str) -> type[JobManager]:
    """Return the job manager of a name.

    Raises
    ------
    JobMgrError : no such manager is imported; says which are.
    """
    if jobMgrType in _LAZY:
        importlib.import_module(_LAZY[jobMgrType])
    registered = JobManager.registered()
    if jobMgrType in registered:
        return registered[jobMgrType]
    known = ", ".join(map(repr, getAvailableJobManagerTypes()))
    hint = f"; {_ELSEWHERE[jobMgrType]}" if jobMgrType in _ELSEWHERE else ""
    raise JobMgrError(f"job manager type {jobMgrType!r} is not known; there are {known}{hint}")


class TileQueue:
    """The tiles of a plan, handed out in order, never far ahead of the first unfinished one.

    Results are used in tile order, so a finished tile waits in memory until those before it are done; one
    slow tile must not let all the others pile up.

    Parameters
    ----------
    num_workers : at least so many tiles are handed out, and at most AHEAD_PER_WORKER times as many past the first
        unfinished one; fewer where results are so large that they would fill MAX_AHEAD_BYTES.
    """

    def __init__(self, plan: TilePlan, num_workers: int) -> None:
        self._plan, self._num_workers = plan, num_workers
        self._max_ahead = AHEAD_PER_WORKER * num_workers
        self._next = 0
        self._first_unfinished = 0
        self._finished: set[int] = set()
        self._returned: list[int] = []

    @property
    def all_finished(self) -> bool:
        return self._first_unfinished == len(self._plan)

    def take(self) -> Tile | None:
        """Return the next tile, or None if there is none, or none to take before others finish."""
        if self._returned:
            return self._plan.tile(self._returned.pop())
        if self._next == len(self._plan) or self._next >= self._first_unfinished + self._max_ahead:
            return None
        self._next += 1
        return self._plan.tile(self._next - 1)

    def give_back(self, tile: Tile) -> None:
        """Put back a tile whose worker died; it is taken next."""
        self._returned.append(tile.index)

    def finish(self, tile_index: int, result_bytes: int) -> None:
        """Say that a tile's result of this size has arrived."""
        fitting = MAX_AHEAD_BYTES // max(result_bytes, 1)
        self._max_ahead = max(self._num_workers, min(self._max_ahead, fitting))
        self._finished.add(tile_index)
        while self._first_unfinished in self._finished:
            self._finished.remove(self._first_unfinished)
            self._first_unfinished += 1


# Tiles in memory beyond those being computed: enough that one slow tile seldom makes the others wait.
AHEAD_PER_WORKER = 4
MAX_AHEAD_BYTES = 2**30
