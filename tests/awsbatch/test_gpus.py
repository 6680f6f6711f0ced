"""Worker processes that have a GPU each, and what main makes of such workers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from rios_batch.awsbatch.configuration import PoolWorkerConfig, WorkerConfig
from rios_batch.awsbatch.manager import AWSBatch
from rios_batch.awsbatch.processpool import ChildDiedError, ProcessPool, gpu_environment
from rios_batch.awsbatch.turns import Turn
from rios_batch.awsbatch.workforce import batch_workforce
from rios_batch.contract import Env
from rios_batch.errors import ParameterError
from rios_batch.jobmanagers.children import Child, WorkOrder
from rios_batch.model.spec import RunOptions

if TYPE_CHECKING:
    from collections.abc import Mapping


@pytest.mark.parametrize(
    ("place", "gpus", "environment", "seen"),
    [
        (0, 0, {}, {}),
        (0, 0, {"CUDA_VISIBLE_DEVICES": "1"}, {}),
        (0, 2, {}, {"CUDA_VISIBLE_DEVICES": "0"}),
        (1, 2, {}, {"CUDA_VISIBLE_DEVICES": "1"}),
        (2, 2, {}, {"CUDA_VISIBLE_DEVICES": "0"}),  # more processes than GPUs, by --processes
        (1, 2, {"CUDA_VISIBLE_DEVICES": "GPU-a,GPU-b"}, {"CUDA_VISIBLE_DEVICES": "GPU-b"}),
        (1, 2, {"CUDA_VISIBLE_DEVICES": "3"}, {"CUDA_VISIBLE_DEVICES": "3"}),
        (1, 2, {"CUDA_VISIBLE_DEVICES": ""}, {"CUDA_VISIBLE_DEVICES": "1"}),
    ],
)
def test_each_process_sees_one_gpu(
    place: int, gpus: int, environment: Mapping[str, str], seen: Mapping[str, str]
) -> None:
    assert gpu_environment(place, gpus, environment) == seen


def test_a_process_has_its_variables_and_a_successor_those_of_the_dead_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[Mapping[str, str]] = []

    class Dying:
        """A process that every tile ends."""

        death = None

        def receive(self) -> None:
            return None

        def send(self, _tile: Any) -> None: ...
        def join(self) -> None: ...
        def terminate(self) -> None: ...

    def start(_parcel: Any, environment: Mapping[str, str]) -> Any:
        started.append(environment)
        return Dying()

    monkeypatch.setattr(Child, "start", start)
    monkeypatch.setattr(WorkOrder, "parcel", lambda _: SimpleNamespace(close=lambda: None))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    pool = ProcessPool(WorkOrder(b"", b"", num_workers=2, gpus=2))
    pool.start()
    for _ in range(3):
        with pytest.raises(ChildDiedError):
            pool.compute(None)  # type: ignore[arg-type]

    assert [one["CUDA_VISIBLE_DEVICES"] for one in started] == ["0", "1", "0", "1", "0"]
    pool.dismiss()
    pool.join()


def test_the_variable_is_set_before_anything_of_the_run_is_loaded() -> None:
    import cloudpickle  # noqa: PLC0415 - only here

    class Seen:
        """Raises what the process sees, when it is unpickled."""

        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return eval, (
                "(_ for _ in ()).throw(LookupError(__import__('os').environ['CUDA_VISIBLE_DEVICES']))",
            )

    with WorkOrder(cloudpickle.dumps(Seen()), cloudpickle.dumps(None), num_workers=1).parcel() as parcel:
        child = Child.start(parcel, {"CUDA_VISIBLE_DEVICES": "GPU-7"})
        child.send(None)  # type: ignore[arg-type]
        reply = child.receive()
        child.terminate()
        child.join()
    assert reply is not None
    assert "GPU-7" in str(reply)


def test_a_worker_knows_its_gpus_from_its_job() -> None:
    base = {
        Env.BUCKET.value: "b", Env.REGION.value: "us-west-2", Env.PROCESSES.value: "4", Env.GPUS.value: "4",
        Env.QUEUE_URL.value: "https://q", Env.LEASE_SECONDS.value: "60",
    }  # fmt: skip
    alone = base | {Env.RUN_ID.value: "r", Env.JOB_SHA256.value: "0" * 64}
    pooled = base | {Env.POOL_ID.value: "pool-1", Env.IDLE_SECONDS.value: "60"}

    assert WorkerConfig.from_env(alone).gpus == 4
    assert WorkerConfig.from_env(WorkerConfig.from_env(alone).to_env()).gpus == 4
    turn = Turn(1, "r", "0" * 64, "")
    assert PoolWorkerConfig.from_env(pooled).for_turn(turn).gpus == 4


def stack(gpus: int) -> Any:
    return SimpleNamespace(
        worker_vcpus=8, worker_gpus=gpus, worker_processes=gpus or 8, max_vcpus=64, stack_name="Mine", bucket="b",
        worker_memory_mib=8000,
    )  # fmt: skip


@pytest.mark.parametrize(("gpus", "at_a_time"), [(0, 24), (2, 4)])
def test_beside_workers_with_gpus_main_computes_nothing(
    monkeypatch: pytest.MonkeyPatch, gpus: int, at_a_time: int
) -> None:
    manager = AWSBatch(3)
    monkeypatch.setattr(AWSBatch, "_cloud", SimpleNamespace(stack_outputs=stack(gpus)))

    assert manager.num_processes == at_a_time
    found = batch_workforce(stack(gpus), 3, RunOptions())
    assert (found.processes, found.own_processes == 0) == (gpus or 8, gpus > 0)


def test_a_limit_on_costs_needs_a_price_of_machines_with_gpus(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    manager = AWSBatch(3, RunOptions(max_cost_usd=5.0))
    cloud = SimpleNamespace(stack_outputs=stack(2), bucket=SimpleNamespace(name="b"))
    monkeypatch.setattr(AWSBatch, "_cloud", cloud)
    spec: Any = SimpleNamespace(outputs=[])

    with pytest.raises(
        ParameterError, match="prices of machines without GPUs.*stack Mine.*RIOS_BATCH_PRICES"
    ):
        manager.start(spec, None)
    monkeypatch.setenv("RIOS_BATCH_PRICES", str(tmp_path / "mine.json"))
    with pytest.raises(AttributeError, match="function"):  # goes on
        manager.start(spec, None)
