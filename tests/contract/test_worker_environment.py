"""Environment variables that a script declares are the same for every worker, wherever it runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rios_batch import applier
from rios_batch.awsbatch.fingerprint import check_same, fingerprints
from rios_batch.errors import JobMgrError, ParameterError, UserFunctionError
from rios_batch.gdalapi import gdal_exceptions
from rios_batch.plan.prepare import prepare
from rios_batch.testing.rasters import read_raster
from rios_batch.testing.running import SceneRun, as_in_a_script

if TYPE_CHECKING:
    from pathlib import Path

    from rios_batch.testing.emulation.cloud import Emulator


@as_in_a_script
def seen(_info: Any, inputs: Any, outputs: Any) -> None:
    """Write the variable KK, or 0 without one."""
    import os  # noqa: PLC0415 - the function travels

    outputs.result = np.full_like(inputs.image, int(os.environ.get("KK", "0")))


@pytest.fixture
def run(tmp_path: Path) -> SceneRun:
    folder = tmp_path / "work"
    folder.mkdir()
    return SceneRun(folder, "multiprocessing", 2, "")


@pytest.mark.parametrize("manager", ["in-process", "threads", "multiprocessing"])
def test_all_local_workers_see_the_declared_variables(
    run: SceneRun, monkeypatch: pytest.MonkeyPatch, manager: str
) -> None:
    monkeypatch.setenv("KK", "5")
    for declared, value in ((["KK"], 5), ({"KK": "7"}, 7), (["LL"], 5), (None, 5)):
        run(seen, setJobManagerType=manager, setWorkerEnvironment=declared)

        assert np.unique(read_raster(run.target)).tolist() == [value]
        assert os.environ["KK"] == "5"


def test_values_are_those_of_the_time_of_the_run(run: SceneRun, monkeypatch: pytest.MonkeyPatch) -> None:
    controls = run.controls(setWorkerEnvironment=["KK"])
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.image, outfiles.result = run.scene, run.target
    for value in (3, 4):
        monkeypatch.setenv("KK", str(value))
        applier.apply(seen, infiles, outfiles, controls=controls)
        assert np.unique(read_raster(run.target)).tolist() == [value]


def test_main_has_its_own_environment_again_after_an_error(run: SceneRun) -> None:
    def fails(*_: Any) -> None:
        raise LookupError(os.environ["KK"])

    with pytest.raises(UserFunctionError, match="LookupError: '?new"):
        run.in_process(fails, setWorkerEnvironment={"KK": "new"})

    assert "KK" not in os.environ


def test_workers_of_awsbatch_see_the_declared_variables(
    tmp_path: Path, quick_cloud: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    del quick_cloud
    folder = tmp_path / "work"
    folder.mkdir()
    run = SceneRun(folder, "AWSBatch", 2, "")
    monkeypatch.setenv("KK", "5")

    run(seen, setCoordinateOnly=True, setWorkerEnvironment=["KK"])

    assert np.unique(read_raster(run.target)).tolist() == [5]


def test_a_run_with_other_values_is_not_resumed_as_this_one(
    run: SceneRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found() -> dict[str, str]:
        infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
        infiles.image, outfiles.result = run.scene, run.target
        controls = run.controls(setWorkerEnvironment=["KK"])
        with gdal_exceptions():
            spec = prepare(seen, infiles, outfiles, controls, takes_other_args=False, num_workers=2)
            return fingerprints(spec, None)

    monkeypatch.setenv("KK", "5")
    begun = found()
    check_same(begun, found(), "a run")
    monkeypatch.setenv("KK", "6")
    with pytest.raises(JobMgrError, match="because environment variable KK changed since it began"):
        check_same(begun, found(), "a run")


@pytest.mark.parametrize(
    "declared",
    [
        "KK",
        [""],
        ["A=B"],
        ["A\0"],
        [1],
        {"A": 1},
        {"A": "\0"},
        ["AWS_SECRET_ACCESS_KEY"],
        {"RIOS_BATCH_BUCKET": "b"},
    ],
)
def test_what_cannot_be_a_worker_s_variable_is_refused(declared: Any) -> None:
    with pytest.raises(ParameterError, match="environment variable"):
        applier.ApplierControls().setWorkerEnvironment(declared)
