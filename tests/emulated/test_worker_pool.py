"""``batch.Workers``: workers on Batch that do one run after the other."""

from __future__ import annotations

import logging
import math
import signal
import subprocess
import sys
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rios_batch import applier, batch
from rios_batch.aws.cloud import Cloud
from rios_batch.awsbatch import workerpool
from rios_batch.awsbatch.localworker import LocalWorker
from rios_batch.awsbatch.runinfo import dead_pools, remove_run
from rios_batch.errors import CostLimitError, JobMgrError, ParameterError, UserFunctionError
from rios_batch.model import costs
from rios_batch.testing.emulation.leavings import wait_for_jobs
from tests.support import ROOT, make_raster, ramp, read_raster, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from rios_batch.testing.emulation.cloud import Emulator

pytestmark = pytest.mark.usefixtures("quick_cloud")
PIXELS = ramp(1, 64, 96)  # six tiles


def controls(tile: int = 32) -> applier.ApplierControls:
    made = applier.ApplierControls()
    made.setWindowSize(tile, tile)
    made.setTileSize(tile, tile)
    made.setCreationOptions(["TILED=YES", "BLOCKXSIZE=32", "BLOCKYSIZE=32", "COMPRESS=DEFLATE"])
    made.setNumThreads(2)
    made.setJobManagerType("AWSBatch")
    made.setCoordinateOnly(True)
    return made


def run(folder: Path, function: Any, other: Any = None, made: Any = None, target: str = "out.tif") -> Any:
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.image = make_raster(folder / "scene.tif", PIXELS)
    outfiles.result = str(folder / target)
    return applier.apply(function, infiles, outfiles, other, controls=made or controls())


def times(_info: Any, inputs: Any, outputs: Any, other: Any) -> None:
    outputs.result = inputs.image * other.factor


def count_calls(_info: Any, inputs: Any, outputs: Any) -> None:
    """Write how often this process was here: a module's state, which the next run must not find."""
    math.calls = getattr(math, "calls", 0) + 1  # type: ignore[attr-defined]
    outputs.result = np.full_like(inputs.image, math.calls)  # type: ignore[attr-defined]


def fail(_info: Any, _inputs: Any, _outputs: Any) -> None:
    raise LookupError("no such class")


def started(cloud: Emulator) -> Counter[str]:
    return Counter(
        call.operation for call in cloud.calls() if call.operation in ("submit_job", "create_queue")
    )


def test_five_runs_have_one_queue_and_one_job_and_nothing_of_each_other(
    tmp_path: Path, quick_cloud: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "rios_batch")
    with batch.Workers(1) as workers:
        without_a_number = controls()
        without_a_number.setNumThreads(1)
        result = run(tmp_path, times, applier.OtherInputs(factor=2), without_a_number)
        assert result.jobManagerType == "AWSBatch"
        np.testing.assert_array_equal(read_raster(tmp_path / "out.tif"), PIXELS * 2)
        for _ in range(2):
            result = run(tmp_path, count_calls)
            assert read_raster(tmp_path / "out.tif").max() <= 6
            assert {record.worker.partition(",")[0][:8] for record in result.tiles} == {"worker 1"}
        with pytest.raises(UserFunctionError, match="no such class"):
            run(tmp_path, fail)
        run(tmp_path, times, applier.OtherInputs(factor=3), controls(tile=64))
        np.testing.assert_array_equal(read_raster(tmp_path / "out.tif"), PIXELS * 3)
        assert started(quick_cloud) == {"submit_job": 1, "create_queue": 1}
        with pytest.raises(JobMgrError, match="cannot be nested"), batch.Workers(1):
            pass

    assert started(quick_cloud) == {"submit_job": 1, "create_queue": 1}
    wait_for_jobs(quick_cloud)
    said = [record.getMessage() for record in caplog.records]
    costs_said = [line for line in said if " cost about " in line]
    assert len(costs_said) == 5 + 1
    assert costs_said[-1].startswith(f"pool {workers.pool_id} cost about")
    assert costs_said[-1].endswith("with the waiting between 5 runs")
    assert workerpool.current() is None


def test_the_worker_beside_main_leaves_with_each_run_and_cuts_no_request_for_work_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    statuses = []
    stop = LocalWorker.stop

    def noted_stop(worker: LocalWorker) -> None:
        stop(worker)
        statuses.append(worker._process.returncode)

    monkeypatch.setattr(LocalWorker, "stop", noted_stop)
    made = controls()
    made.setCoordinateOnly(False)
    with batch.Workers(1):
        for factor in (2, 3):
            run(tmp_path, times, applier.OtherInputs(factor=factor), made)
            np.testing.assert_array_equal(read_raster(tmp_path / "out.tif"), PIXELS * factor)

    # A worker that was ended in mid-request left a message of the next run to nobody, for the time of a lease.
    assert statuses == [0, 0]


def test_workers_that_have_ended_are_replaced_before_and_during_a_run(
    tmp_path: Path, quick_cloud: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workerpool, "REPLACE_SECONDS", 0.5)
    killed = tmp_path / "killed"

    def kill(_info: Any, inputs: Any, outputs: Any) -> None:
        import os  # noqa: PLC0415 - in a worker
        from pathlib import Path  # noqa: PLC0415

        try:
            killed.touch(exist_ok=False)
        except FileExistsError:
            outputs.result = inputs.image
        else:  # the worker program, whose child is the server whose child this is
            server = os.getppid()
            status = Path(f"/proc/{server}/status").read_text()
            os.kill(int(status.partition("PPid:")[2].split()[0]), signal.SIGKILL)

    with batch.Workers(1) as workers:
        quick_cloud.client("batch").terminate_job(jobId=workers.jobs.job_id, reason="its machine is lost")
        wait_for_jobs(quick_cloud)
        run(tmp_path, kill)
        np.testing.assert_array_equal(read_raster(tmp_path / "out.tif"), PIXELS)

    wait_for_jobs(quick_cloud)
    assert started(quick_cloud) == {"submit_job": 3, "create_queue": 1}


KILLED = """
    import os, signal
    from rios_batch import batch

    with batch.Workers(1, idleSeconds=1):
        print("there", flush=True)
        signal.pause()
"""


def test_workers_of_a_killed_main_end_by_themselves_and_its_queue_is_cleaned_away(
    tmp_path: Path, quick_cloud: Emulator
) -> None:
    script = tmp_path / "script.py"
    script.write_text("\n".join(line[4:] for line in KILLED.splitlines()))
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        process.kill()

    wait_for_jobs(quick_cloud)
    assert [job.status for job in quick_cloud.jobs()][-1] == "SUCCEEDED"
    cloud = Cloud.connect()
    assert dead_pools(cloud, 3600) == []
    (pool,) = dead_pools(cloud, -1)
    remove_run(cloud, pool)


def test_the_limit_on_costs_counts_the_run_alone(
    tmp_path: Path, quick_cloud: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    prices = tmp_path / "prices.json"
    table = (ROOT / "rios_batch/model/prices.json").read_text()
    prices.write_text(table)
    monkeypatch.setenv(costs.ENV_PRICES, str(prices))
    made = controls()
    made.setMaxCost(1e-9)
    cheap = controls()
    cheap.setMaxCost(10.0)
    with batch.Workers(1):
        with pytest.raises(CostLimitError, match="1 workers on AWS Batch cost about"):
            run(tmp_path, times, applier.OtherInputs(factor=2), made)
        run(tmp_path, times, applier.OtherInputs(factor=2), cheap)
    assert started(quick_cloud) == {"submit_job": 1, "create_queue": 1}
    wait_for_jobs(quick_cloud)


def test_a_call_beside_another_one_has_workers_of_its_own(tmp_path: Path, quick_cloud: Emulator) -> None:
    there, go_on = tmp_path / "there", tmp_path / "go on"

    def wait(_info: Any, inputs: Any, outputs: Any) -> None:
        import time  # noqa: PLC0415 - in a worker

        there.touch()
        while not go_on.exists():
            time.sleep(0.05)
        outputs.result = inputs.image

    (tmp_path / "other").mkdir()
    with batch.Workers(1):
        beside = threading.Thread(target=run, args=(tmp_path, wait))
        beside.start()
        wait_until(there.exists)
        run(tmp_path / "other", times, applier.OtherInputs(factor=2))
        go_on.touch()
        beside.join()

    np.testing.assert_array_equal(read_raster(tmp_path / "out.tif"), PIXELS)
    np.testing.assert_array_equal(read_raster(tmp_path / "other/out.tif"), PIXELS * 2)
    assert started(quick_cloud) == {"submit_job": 2, "create_queue": 2}
    wait_for_jobs(quick_cloud)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((0,), "Workers must be a whole number from 1 to 10,000, not 0"),
        ((2.5,), "Workers must be a whole number"),
        ((True,), "Workers must be a whole number"),
        ((1, 0), "idleSeconds must be a whole number from 1 to 43,200, not 0"),
        ((1, math.inf), "idleSeconds must be a whole number"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(arguments: tuple[Any, ...], says: str) -> None:
    with pytest.raises(ParameterError, match=says):
        batch.Workers(*arguments)


def test_more_workers_than_the_stack_may_have_are_refused(quick_cloud: Emulator) -> None:
    with (
        pytest.raises(JobMgrError, match=r"use at most batch.Workers\(\d+\), or raise max_vcpus"),
        batch.Workers(9999),
    ):
        pass
    assert not started(quick_cloud)
    assert workerpool.current() is None
