"""The job manager for dask clusters, on a real cluster of processes that another process has started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rios_batch.errors import JobMgrError, WaitLimitError
from rios_batch.jobmanagers.base import getJobManagerClassByType
from rios_batch.testing import JobManagerTests
from rios_batch.testing.rasters import read_raster
from rios_batch.testing.running import SCENE, SceneRun, double, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

distributed = pytest.importorskip("distributed", reason="the extra 'dask' is not installed")

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

_CLUSTER = """
import sys
from distributed import LocalCluster

if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a cluster with two workers; give its scheduler's address."""
    folder = tmp_path_factory.mktemp("cluster")
    script = folder / "cluster.py"
    script.write_text(_CLUSTER)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, script.name]
    with subprocess.Popen(
        command, cwd=folder, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.communicate()


@pytest.fixture(autouse=True)
def _cluster_in_the_environment(cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", cluster)


class TestDask(JobManagerTests):
    manager_type = "dask"
    pickles = True
    survives_sigkill = True
    same_surroundings = False


@pytest.fixture
def run(tmp_path: Path) -> SceneRun:
    folder = tmp_path / "work"
    folder.mkdir()
    return SceneRun(folder, "dask", 2, "")


def test_a_dask_worker_that_is_killed_costs_its_tile_only(
    run: SceneRun, tmp_path: Path, cluster: str
) -> None:
    killed, log = tmp_path / "killed", tmp_path / "calls"
    with distributed.Client(cluster, set_as_default=False) as client:
        workers = list(client.run(os.getpid).values())

    def kill_dask(info: Any, inputs: Any, outputs: Any) -> None:
        with log.open("a") as file:
            file.write(f"{info.getBlockCount()}\n")
        if info.getBlockCount() == (3, 1):
            try:
                killed.touch(exist_ok=False)
            except FileExistsError:
                pass
            else:
                for pid in workers:
                    os.kill(pid, signal.SIGKILL)
        outputs.result = inputs.image.astype(np.uint16) * 2

    run(kill_dask)

    np.testing.assert_array_equal(read_raster(run.target), SCENE.astype(np.uint16) * 2)
    assert log.read_text().splitlines().count("(3, 1)") == 2


def test_a_slow_tile_holds_the_others_back_before_their_results_pile_up_in_main(
    run: SceneRun, tmp_path: Path
) -> None:
    finished, seen = tmp_path / "finished", tmp_path / "seen"
    finished.mkdir()

    def first_waits(info: Any, inputs: Any, outputs: Any) -> None:
        import time  # noqa: PLC0415 - in a worker

        xblock, yblock = info.getBlockCount()
        (finished / f"tile {xblock // 2} {yblock}").touch()
        while info.getBlockCount() == (0, 0) and len(list(finished.iterdir())) < 8:
            time.sleep(0.02)
        if info.getBlockCount() == (0, 0):
            time.sleep(0.5)  # in which a tile too many would begin
            seen.write_text(str(len(list(finished.iterdir()))))
        outputs.result = inputs.image

    run(first_waits)

    assert seen.read_text() == "8"  # of nine tiles: four times as many as there are workers


def test_the_scripts_own_client_is_used_and_stays_open(
    run: SceneRun, cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS")
    with distributed.Client(cluster) as client:
        assert run(double).jobManagerType == "dask"

        assert client.submit(sum, [1, 2]).result() == 3
        wait_until(lambda: not any("rios_batch" in str(key) for key in client.who_has()))
    np.testing.assert_array_equal(read_raster(run.target), SCENE.astype(np.uint16) * 2)


def test_no_cluster_is_refused_with_both_ways_to_name_one(
    run: SceneRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS")
    with pytest.raises(JobMgrError, match=r"make a distributed.Client .* or set DASK_SCHEDULER_ADDRESS"):
        run(double)

    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", "tcp://127.0.0.1:9")
    monkeypatch.setattr("rios_batch.jobmanagers.daskcluster._CONNECT_SECONDS", 0.2)
    with pytest.raises(JobMgrError, match="scheduler at 'tcp://127.0.0.1:9' does not answer"):
        run(double)
    assert [path.name for path in run.folder.iterdir()] == [run.scene.name]


def test_without_the_package_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.delitem(sys.modules, "rios_batch.jobmanagers.daskcluster", raising=False)

    with pytest.raises(
        JobMgrError, match=r"'dask' needs the package distributed: pip install 'rios_batch\[dask\]'"
    ):
        getJobManagerClassByType("dask")


def test_a_limit_on_waiting_holds(run: SceneRun) -> None:
    def hang(_info: Any, _inputs: Any, _outputs: Any) -> None:
        signal.pause()

    with pytest.raises(
        WaitLimitError, match="waited for tile 0, tile 1 on the dask cluster, which has 2 workers"
    ):
        run(hang, setWaitLimit=1)
    run.assert_nothing_left()


@pytest.mark.parametrize("theirs", ["slurm", "pbs", "mpi"])
def test_managers_of_clusters_lead_to_dask(theirs: str) -> None:
    with pytest.raises(JobMgrError, match=f"'{theirs}' is not known; .*use .*'dask'"):
        getJobManagerClassByType(theirs)
