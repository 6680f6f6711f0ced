"""The project's job managers and the suite for job managers, and how a job manager is chosen."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rios_batch import applier
from rios_batch.compute.otherargs import ChangeDetector
from rios_batch.compute.tile import TileRunner
from rios_batch.errors import JobMgrError, ParameterError, UserFunctionError
from rios_batch.jobmanagers import GeneratorRun, JobManager, workerstart
from rios_batch.jobmanagers.base import getJobManagerClassByType
from rios_batch.jobmanagers.pickling import dump_other_args
from rios_batch.testing import JobManagerTests
from rios_batch.testing.rasters import read_raster
from rios_batch.testing.running import SCENE, SceneRun, double

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from rios_batch.model.spec import RunSpec
    from rios_batch.model.tileresult import TileResult
    from rios_batch.result import ApplierReturn


class BackToFront(JobManager):
    """A script's own manager, by subclassing: it returns the last tile first."""

    jobMgrType = "back-to-front"  # noqa: N815 - RIOS's name

    def start(self, spec: RunSpec, other_args: Any) -> GeneratorRun:
        return GeneratorRun(spec, self._results(spec, other_args))

    def _results(self, spec: RunSpec, other_args: Any) -> Generator[TileResult, None, None]:
        detector = ChangeDetector(dump_other_args(other_args))
        runner = TileRunner(spec, "back-to-front")
        for tile in reversed(list(spec.plan)):
            copy = detector.fresh_copy()
            yield replace(runner.run(tile, copy), other_args=detector.changes(copy))


class TestInProcess(JobManagerTests):
    manager_type = "in-process"
    num_threads = 1


class TestTwoThreads(JobManagerTests):
    manager_type = "threads"


class TestFiveThreads(JobManagerTests):
    manager_type = "threads"
    num_threads = 5


class TestTwoProcesses(JobManagerTests):
    manager_type = "multiprocessing"
    pickles = True
    survives_sigkill = True


class TestFiveProcesses(TestTwoProcesses):
    num_threads = 5


class TestBackToFront(JobManagerTests):
    manager_type = "back-to-front"
    script_imports = f"import {__name__}"


class CoordinatedRun(SceneRun):
    """A run whose tiles are all computed on AWS Batch. With a worker of its own, main computes nearly all of so few."""

    def controls(self, **options: Any) -> applier.ApplierControls:
        return super().controls(**{"setCoordinateOnly": True, **options})

    def in_process(self, function: Callable[..., None], **options: Any) -> ApplierReturn:
        return super().in_process(function, **{"setCoordinateOnly": False, **options})


@pytest.mark.usefixtures("quick_cloud")
class TestAWSBatch(JobManagerTests):
    """Two vCPUs for each worker. In scripts main has one worker's share."""

    manager_type = "AWSBatch"
    pickles = True
    survives_sigkill = True
    same_machine = False

    @pytest.fixture
    def run(self, tmp_path: Path) -> SceneRun:
        folder = tmp_path / "work"
        folder.mkdir()
        return CoordinatedRun(folder, self.manager_type, self.num_threads, self.script_imports)


# -- what one of them does


@pytest.fixture
def run(tmp_path: Path) -> SceneRun:
    folder = tmp_path / "work"
    folder.mkdir()
    return SceneRun(folder, "multiprocessing", 2, "")


def test_a_list_as_other_args_is_refused_when_changes_could_not_come_back(run: SceneRun) -> None:
    with pytest.raises(ParameterError, match="otherArgs is a list.*OtherInputs or a dict"):
        run(lambda *_: None, [1], setJobManagerType="threads")


def test_processes_cannot_start_in_a_worker_and_say_what_to_use(run: SceneRun) -> None:
    controls, scene, target = run.controls(), run.scene, run.target

    def nested(_info: Any, inputs: Any, outputs: Any) -> None:
        infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
        infiles.image, outfiles.result = scene, target
        applier.apply(double, infiles, outfiles, controls=controls)
        outputs.result = inputs.image

    with pytest.raises(UserFunctionError, match="JobMgrError: 'multiprocessing' cannot start workers inside"):
        run(nested)


def test_workers_can_be_new_interpreters_where_forking_is_not_safe(
    run: SceneRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workerstart, "_servers", servers := workerstart._Servers())
    monkeypatch.setattr(workerstart, "PRELOAD", False)

    run(double)

    servers.stop()

    np.testing.assert_array_equal(read_raster(run.target), SCENE.astype(np.uint16) * 2)


# -- choosing a manager


def test_more_threads_without_a_type_use_processes(run: SceneRun) -> None:
    assert run(double, setJobManagerType=None).jobManagerType == "multiprocessing"


def test_the_environment_can_choose_the_manager(run: SceneRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RIOS_DFLT_JOBMGRTYPE", "threads")
    controls = applier.ApplierControls()
    controls.setNumThreads(2)
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.image, outfiles.result = run.scene, run.target

    assert applier.apply(double, infiles, outfiles, controls=controls).jobManagerType == "threads"


def test_one_thread_needs_no_manager_whatever_the_type(run: SceneRun) -> None:
    result = run(double, setNumThreads=1)

    assert {record.worker for record in result.tiles} == {"the main process"}


def test_unknown_managers_are_refused_with_what_to_use() -> None:
    with pytest.raises(JobMgrError, match="'zzz' is not known; there are .*'multiprocessing'"):
        getJobManagerClassByType("zzz")
    with pytest.raises(JobMgrError, match="'slurm' is not known.*use 'dask' .*'multiprocessing' in one job"):
        getJobManagerClassByType("slurm")
