from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

from rios_batch import applier
from rios_batch.errors import JobMgrError, ParameterError
from rios_batch.model.concurrency import ConcurrencyStyle


def test_the_signature_is_that_of_rios_2() -> None:
    parameters = inspect.signature(ConcurrencyStyle).parameters.values()

    assert {parameter.name: parameter.default for parameter in parameters} == {
        "numReadWorkers": 0,
        "numComputeWorkers": 0,
        "computeWorkerKind": applier.CW_NONE,
        "computeWorkerExtraParams": None,
        "computeWorkersRead": None,
        "singleBlockComputeWorkers": False,
        "haveSharedTemp": True,
        "readBufferInsertTimeout": 10,
        "readBufferPopTimeout": 10,
        "computeBufferInsertTimeout": 10,
        "computeBufferPopTimeout": 20,
        "computeBarrierTimeout": 600,
    }


# style, job manager, what it is told
MAPPED = [
    ({}, "in-process", 1),
    ({"numReadWorkers": 4}, "in-process", 1),
    ({"numComputeWorkers": 0, "computeWorkerKind": applier.CW_THREADS}, "in-process", 1),
    ({"numComputeWorkers": 0, "computeWorkerKind": applier.CW_AWSBATCH}, "in-process", 1),
    ({"numComputeWorkers": 1, "computeWorkerKind": applier.CW_THREADS}, "threads", 1),
    ({"numComputeWorkers": np.int64(3), "computeWorkerKind": applier.CW_THREADS}, "threads", 3),
    ({"numComputeWorkers": 3, "computeWorkerKind": applier.CW_SUBPROC}, "multiprocessing", 3),
    # Main counts there, and does not compute.
    ({"numComputeWorkers": 1, "computeWorkerKind": applier.CW_AWSBATCH}, "AWSBatch", 2),
    ({"numComputeWorkers": 50, "computeWorkerKind": applier.CW_AWSBATCH}, "AWSBatch", 51),
    # Who reads makes no difference.
    (
        {
            "numReadWorkers": 2,
            "numComputeWorkers": 3,
            "computeWorkerKind": applier.CW_THREADS,
            "computeWorkersRead": False,
        },
        "threads",
        3,
    ),
    (
        {"numComputeWorkers": 3, "computeWorkerKind": applier.CW_SUBPROC, "computeBufferPopTimeout": None},
        "multiprocessing",
        3,
    ),
]


@pytest.mark.parametrize(("given", "manager", "threads"), MAPPED)
def test_a_style_is_a_job_manager_with_as_many_workers_as_asked_for(
    given: dict[str, Any], manager: str, threads: int
) -> None:
    style = ConcurrencyStyle(**given)

    assert (style.jobMgrType, style.numThreads) == (manager, threads)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"numComputeWorkers": 2}, "=2 without a computeWorkerKind; add one of .*CW_THREADS"),
        ({"numComputeWorkers": -1, "computeWorkerKind": applier.CW_THREADS}, "of at least 0, not -1"),
        ({"numComputeWorkers": 1.5, "computeWorkerKind": applier.CW_THREADS}, "whole number .* not 1.5"),
        ({"numReadWorkers": "2"}, "numReadWorkers must be a whole number .* not '2'"),
        ({"numReadWorkers": True}, "not True"),
        (
            {"numComputeWorkers": 2, "computeWorkerKind": "threads"},
            "is 'threads'; use one of applier.CW_NONE",
        ),
        (
            {"computeWorkerKind": applier.CW_AWSBATCH, "singleBlockComputeWorkers": True},
            "leave it out and say how many workers by numComputeWorkers",
        ),
        (
            {
                "numComputeWorkers": 2,
                "computeWorkerKind": applier.CW_SUBPROC,
                "computeWorkersRead": False,
            },
            "leave nobody to read; leave computeWorkersRead out",
        ),
    ],
)
def test_nonsense_is_refused_with_what_to_change(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:  # as in RIOS
        ConcurrencyStyle(**given)
    assert isinstance(caught.value, ParameterError)


@pytest.mark.parametrize(
    ("kind", "instead"),
    [
        (applier.CW_PBS, "job manager 'dask' with dask-jobqueue.*CW_SUBPROC in one job of the cluster"),
        (applier.CW_SLURM, "job manager 'dask' with dask-jobqueue.*CW_SUBPROC in one job of the cluster"),
        (applier.CW_ECS, "CW_AWSBATCH"),
    ],
)
def test_a_kind_that_is_not_here_is_refused_with_what_to_use(kind: str, instead: str) -> None:
    with pytest.raises(JobMgrError, match=f"{kind} is not available: use {instead}"):
        ConcurrencyStyle(numComputeWorkers=2, computeWorkerKind=kind)


def test_a_style_replaces_threads_and_manager_and_then_they_are_refused() -> None:
    controls = applier.ApplierControls()
    controls.setNumThreads(7)
    controls.setJobManagerType("multiprocessing")
    style = ConcurrencyStyle(numComputeWorkers=2, computeWorkerKind=applier.CW_THREADS)

    controls.setConcurrencyStyle(style)

    assert controls.concurrency is style
    with pytest.raises(ParameterError, match="setNumThreads after setConcurrencyStyle: .*one or the other"):
        controls.setNumThreads(4)
    with pytest.raises(ParameterError, match="setJobManagerType after setConcurrencyStyle"):
        controls.setJobManagerType("threads")
    assert (controls.numThreads, controls.jobManagerType) == (7, "multiprocessing")


def test_what_is_no_style_is_refused_by_the_name_of_its_type() -> None:
    with pytest.raises(ParameterError, match=r"is an applier\.ConcurrencyStyle, not a str"):
        applier.ApplierControls().setConcurrencyStyle("CW_THREADS")  # type: ignore[arg-type]
