# ruff: noqa: N802, N815 - RIOS's names
"""RIOS 2's way to say who computes, translated into the name of a job manager and a number of workers."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rios_batch.errors import JobMgrError, ParameterError

if TYPE_CHECKING:
    from collections.abc import Mapping

CW_NONE = "CW_NONE"
CW_THREADS = "CW_THREADS"
CW_SUBPROC = "CW_SUBPROC"
CW_PBS = "CW_PBS"
CW_SLURM = "CW_SLURM"
CW_AWSBATCH = "CW_AWSBATCH"
CW_ECS = "CW_ECS"

_MANAGERS = {
    CW_NONE: "in-process",
    CW_THREADS: "threads",
    CW_SUBPROC: "multiprocessing",
    CW_AWSBATCH: "AWSBatch",
}
_KINDS = ", ".join(f"applier.{kind}" for kind in _MANAGERS)
# RIOS's kinds that have no counterpart, and what to use in their place.
_ELSEWHERE = {
    CW_PBS: "use job manager 'dask' with dask-jobqueue's PBSCluster, or CW_SUBPROC in one job of the cluster",
    CW_SLURM: "use job manager 'dask' with dask-jobqueue's SLURMCluster, or CW_SUBPROC in one job of the cluster",
    CW_ECS: "use CW_AWSBATCH, whose stack can run its workers on Fargate",
}


@dataclass(frozen=True)
class ConcurrencyStyle:
    """Who computes, for ``controls.setConcurrencyStyle``.

    Every worker reads its own inputs, and main writes the outputs. So only the kind and the number of the workers can
    be chosen. The other parameters of RIOS's style are accepted, so that RIOS's scripts run, and have no effect.

    Parameters
    ----------
    numReadWorkers : no effect; a whole number of at least 0; default 0.
    numComputeWorkers : number of workers beside main; a whole number of at least 0; default 0. Main does not compute
        if there are workers. With 0 main computes, whatever the kind. On AWS Batch a worker computes as many tiles at a
        time as the worker has vCPUs. All other workers compute one tile at a time.
    computeWorkerKind : CW_NONE (default) for no workers, CW_THREADS for threads, CW_SUBPROC for processes on this
        machine, or CW_AWSBATCH. With CW_AWSBATCH the run waits until Batch has machines. If main should compute in the
        meantime, use ``setJobManagerType`` and ``setNumThreads(numComputeWorkers + 1)`` in place of a style.
    computeWorkerExtraParams : no effect; RIOS's settings of CW_ECS, CW_PBS and CW_SLURM.
    computeWorkersRead : no effect; but False is refused if there are no read workers either.
    singleBlockComputeWorkers : must be False.
    haveSharedTemp : no effect; nothing passes through a shared folder.
    readBufferInsertTimeout, readBufferPopTimeout, computeBufferInsertTimeout, computeBufferPopTimeout,
    computeBarrierTimeout : no effect; seconds in RIOS. A block may take as long as the block needs. A dead worker is
        noticed at once.

    Raises
    ------
    ParameterError : a number is no whole number of at least 0, the kind is not known, or the values contradict each
        other.
    JobMgrError : the kind is one of RIOS's that rios_batch does not have. The message says what to use.
    """

    numReadWorkers: int = 0
    numComputeWorkers: int = 0
    computeWorkerKind: str = CW_NONE
    computeWorkerExtraParams: Mapping[str, Any] | None = None
    computeWorkersRead: bool | None = None
    singleBlockComputeWorkers: bool = False
    haveSharedTemp: bool = True
    readBufferInsertTimeout: float | None = 10
    readBufferPopTimeout: float | None = 10
    computeBufferInsertTimeout: float | None = 10
    computeBufferPopTimeout: float | None = 20
    computeBarrierTimeout: float | None = 600

    def __post_init__(self) -> None:
        _check_count("numReadWorkers", self.numReadWorkers)
        _check_count("numComputeWorkers", self.numComputeWorkers)
        kind, count = self.computeWorkerKind, self.numComputeWorkers
        if kind in _ELSEWHERE:
            raise JobMgrError(f"computeWorkerKind {kind} is not available: {_ELSEWHERE[kind]}")
        if kind not in _MANAGERS:
            raise ParameterError(f"computeWorkerKind is {kind!r}; use one of {_KINDS}")
        if self.singleBlockComputeWorkers:
            raise ParameterError(
                "singleBlockComputeWorkers=True asks for a job for each block, which only CW_PBS and CW_SLURM have; "
                "leave it out and say how many workers by numComputeWorkers"
            )
        if count and kind == CW_NONE:
            raise ParameterError(
                f"numComputeWorkers={count} without a computeWorkerKind; add one of {_KINDS}, or leave it out"
            )
        if count and self.computeWorkersRead is False and not self.numReadWorkers:
            raise ParameterError(
                "computeWorkersRead=False and numReadWorkers=0 leave nobody to read; leave computeWorkersRead out"
            )

    @property
    def jobMgrType(self) -> str:
        """Return the name of the job manager, as ``setJobManagerType`` takes it."""
        return _MANAGERS[self.computeWorkerKind] if self.numComputeWorkers else _MANAGERS[CW_NONE]

    @property
    def numThreads(self) -> int:
        """Return the number of workers that the job manager is told. On AWS Batch the number includes main."""
        return max(self.numComputeWorkers, 1) + (self.jobMgrType == "AWSBatch")


def _check_count(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 0:
        raise ParameterError(f"{name} must be a whole number of at least 0, not {value!r}")
