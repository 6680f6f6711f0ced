# ruff: noqa: N802, N803, N815 - RIOS's names
"""What a job manager is, and the registry of those that are imported."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Self

from rios_batch.errors import JobMgrError
from rios_batch.model.forecast import Workforce
from rios_batch.model.runreport import RunFacts
from rios_batch.model.spec import RunOptions

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from rios_batch.jobmanagers.tilequeue import TileQueue
    from rios_batch.model.creationoptions import Compression
    from rios_batch.model.spec import RunSpec
    from rios_batch.model.tileresult import TileResult


class Run(ABC):
    """One run of a job manager, from its first worker to the end of the last.

    ``with run: for result in run: ...; run.outputs_committed()``. Nothing is started before the first result is asked
    for. A subclass yields exactly one result for every tile of ``spec.plan``, in any order, and lets errors of a tile
    out as they are.

    Parameters
    ----------
    spec : what is really run: with the tile plan of an earlier run, if that is resumed.
    """

    def __init__(self, spec: RunSpec) -> None:
        self.spec = spec

    def __enter__(self) -> Self:
        return self

    @abstractmethod
    def __exit__(self, *error: object) -> None:
        """Stop everything that was started, whatever the reason.

        Unless ``outputs_committed`` was called the run has failed, and what a resume needs stays.
        """

    @abstractmethod
    def __iter__(self) -> Iterator[TileResult]:
        """Start workers, and yield the tiles' results. Called once."""

    def compressions_chosen(self, compressions: tuple[Compression | None, ...]) -> None:  # noqa: B027 - may be ignored
        """Take note of how outputs are to be compressed, one value for each, as far as main has chosen that now.

        Tiles that are handed out with ``Tile.compressions`` come so; others may have to be compressed again in main.
        """

    def outputs_committed(self) -> None:  # noqa: B027 - most managers keep nothing
        """Take note that all outputs are in their places: what they were made from is no longer needed."""

    def facts(self) -> RunFacts:
        """Return what a report tells of the run besides its tiles; asked for after the run's end."""
        return RunFacts()


class GeneratorRun(Run):
    """A run whose results are those of a generator, which stops what it started when it is closed.

    Parameters
    ----------
    results : its ``finally`` (or ``with``) ends the workers.
    """

    def __init__(self, spec: RunSpec, results: Generator[TileResult, None, None]) -> None:
        super().__init__(spec)
        self._results = results

    def __exit__(self, *error: object) -> None:
        self._results.close()

    def __iter__(self) -> Iterator[TileResult]:
        return self._results


class QueueRun(GeneratorRun):
    """A run whose workers take tiles of a queue in this process."""

    def __init__(self, spec: RunSpec, queue: TileQueue, results: Generator[TileResult, None, None]) -> None:
        super().__init__(spec, results)
        self._queue = queue

    def compressions_chosen(self, compressions: tuple[Compression | None, ...]) -> None:
        self._queue.compressions = compressions


class JobManager(ABC):
    """Hands the tiles of a run to workers and brings their results back.

    A subclass with a ``jobMgrType`` can be chosen with ``controls.setJobManagerType`` once it is imported, as in RIOS.
    It gives each tile a fresh copy of ``other_args``, and brings the changed attributes back in
    ``TileResult.other_args`` (:class:`rios_batch.compute.otherargs.ChangeDetector`).
    :class:`rios_batch.testing.JobManagerTests` tries all that is asked of it.

    Parameters
    ----------
    numThreads : workers that run at the same time, at least 1 (``controls.setNumThreads``).
    options : what a manager is told besides; a manager ignores what it has no use for.

    Attributes
    ----------
    finished : tiles whose results are there from an earlier run. A manager need not compute them; what it gives of them
        is not used.
    """

    jobMgrType: ClassVar[str]
    shares_other_args: ClassVar[bool] = False  # every block works on the caller's own object
    keeps_tiles: ClassVar[bool] = False  # finished tiles outlive main anyway

    def __init__(self, numThreads: int, options: RunOptions | None = None) -> None:
        self.numThreads = numThreads
        self.options = options or RunOptions()
        self.finished: frozenset[int] = frozenset()

    @property
    def num_processes(self) -> int:
        """Return how many tiles are computed at a time; the tile plan follows it. Checked before anything is read."""
        return self.numThreads

    def workforce(self) -> Workforce:
        """Return who would compute the tiles; a dry run asks, and starts nothing."""
        return Workforce(self.numThreads)

    @abstractmethod
    def start(self, spec: RunSpec, other_args: Any) -> Run:
        """Return a run that is ready to begin.

        It may look for an earlier run and refuse, but starts nothing that would have to be stopped: outputs are opened
        between ``start`` and the first result, for they depend on ``Run.spec``, and one that cannot be written is to be
        refused before workers cost anything.
        """

    @classmethod
    def registered(cls) -> dict[str, type[JobManager]]:
        """Return all imported job managers by their ``jobMgrType``."""
        found: dict[str, type[JobManager]] = {}
        for subclass in cls.__subclasses__():
            if "jobMgrType" in vars(subclass):
                found[subclass.jobMgrType] = subclass
            found |= subclass.registered()
        return found


# Imported when asked for: boto3 takes a quarter of a second, dask a whole one, which a script on one machine need not
# spend.
_LAZY = {"AWSBatch": "rios_batch.awsbatch.manager", "dask": "rios_batch.jobmanagers.daskcluster"}


# Job managers that have workers already, for which a script need not say how many it wants.
WITH_WORKERS_AT_HAND: set[str] = set()


def getAvailableJobManagerTypes() -> list[str]:
    """Return the names of all job managers: the project's own and those that were imported."""
    return sorted(JobManager.registered().keys() | _LAZY.keys())


# RIOS's managers that have no counterpart, and what to use in their place.
_ELSEWHERE = {
    "subproc": "use 'multiprocessing'",
    "mpi": "use 'multiprocessing' on one machine, or 'dask' on several",
    "pbs": "use 'dask' with dask-jobqueue's PBSCluster, or 'multiprocessing' in one job of the cluster",
    "slurm": "use 'dask' with dask-jobqueue's SLURMCluster, or 'multiprocessing' in one job of the cluster",
}


def getJobManagerClassByType(jobMgrType: str) -> type[JobManager]:
    """Return the job manager of a name.

    Raises
    ------
    JobMgrError : no such manager is imported; says which are. Or a package that it needs is not installed.
    """
    if jobMgrType in _LAZY:
        importlib.import_module(_LAZY[jobMgrType])
    registered = JobManager.registered()
    if jobMgrType in registered:
        return registered[jobMgrType]
    known = ", ".join(map(repr, getAvailableJobManagerTypes()))
    hint = f"; {_ELSEWHERE[jobMgrType]}" if jobMgrType in _ELSEWHERE else ""
    raise JobMgrError(f"job manager type {jobMgrType!r} is not known; there are {known}{hint}")
