from __future__ import annotations

import os
from dataclasses import replace
from types import SimpleNamespace

import pytest

from rios_batch.model.costs import Prices, Usage, cost_usd
from rios_batch.model.forecast import (
    MIB,
    PROGRAM_BYTES,
    START_SECONDS,
    MeasuredTile,
    ProcessMemory,
    Workforce,
    numbers_of_workers,
    scenario,
    total_of,
    worker_bytes,
)
from rios_batch.model.forecasttext import duration_text, size_text
from rios_batch.model.grid import PixelWindow
from rios_batch.model.spec import RunOptions
from rios_batch.model.tiles import BlockGrid, TilePlan

WINDOW = PixelWindow(0, 0, 256, 256)
TILE = MeasuredTile(3, WINDOW, 10.0, 40.0, 9.0, 1.0, 1000, {}, None)  # a minute
BATCH = Workforce(workers=20, processes=2, own_processes=2, on_batch=True, most=64)
LOCAL = Workforce(workers=4)
MEMORY = ProcessMemory(peak=300 * MIB, files=50 * MIB, at_start=60 * MIB)


def plan(tiles: int, blocks: int = 1) -> TilePlan:
    """Return a plan of a column of tiles."""
    return TilePlan(BlockGrid(256, 256 * blocks * tiles, 256, 256), 1, blocks)


def prices() -> Prices:
    return Prices.read({})


def test_a_tile_of_twice_the_pixels_takes_twice_as_long_and_tiles_come_in_rounds() -> None:
    got = scenario(4, plan(10, blocks=2), LOCAL, TILE, cores=8, prices=None, gb_out=0)

    assert (got.wall_s, got.usd, got.busy, got.tiles) == (3 * 120.0, None, 4, 10)


def test_more_processes_than_cores_are_no_faster() -> None:
    assert scenario(50, plan(100), LOCAL, TILE, cores=2, prices=None, gb_out=0).wall_s == 50 * 60.0


def test_workers_on_batch_come_late_and_mains_own_helps() -> None:
    got = scenario(10, plan(110), BATCH, TILE, cores=2, prices=prices(), gb_out=0)

    rounds = 5  # of 10 times 2 tiles, and 2 by main's own
    assert (got.busy, got.wall_s) == (10, START_SECONDS + rounds * 60)
    hours = 10 * rounds / 60
    assert got.usd == pytest.approx(cost_usd(Usage(2 * hours, hours, 10, 110, 110, 440), prices()))


def test_workers_without_work_cost_nothing() -> None:
    few, many = (
        scenario(workers, plan(20), BATCH, TILE, cores=2, prices=prices(), gb_out=0) for workers in (9, 500)
    )

    assert (many.busy, many.possible, few.possible) == (9, False, True)
    assert (many.wall_s, many.usd) == (few.wall_s, few.usd)


def test_a_main_that_is_done_before_the_first_machine_comes_pays_for_requests_only() -> None:
    got = scenario(10, plan(6), BATCH, TILE, cores=2, prices=prices(), gb_out=0)

    assert (got.wall_s, got.too_late) == (180.0, True)
    assert got.usd == pytest.approx(cost_usd(Usage(0, 0, 0, 6, 6, 24), prices()))


def test_bytes_that_leave_aws_are_paid() -> None:
    kept, sent = (
        scenario(1, plan(40), BATCH, TILE, cores=2, prices=prices(), gb_out=gb).usd or 0 for gb in (0, 10)
    )

    assert sent - kept == pytest.approx(10 * prices().transfer_gb)


def test_numbers_of_workers_have_the_one_that_is_asked_for() -> None:
    assert numbers_of_workers(BATCH, 2) == [1, 10, 20, 50, 100, 500]
    assert numbers_of_workers(replace(BATCH, workers=0), 2) == [1, 10, 50, 100, 500]  # main alone
    assert numbers_of_workers(replace(LOCAL, workers=3), 8) == [1, 2, 3, 4, 8]
    assert numbers_of_workers(LOCAL, 1) == [1, 4]


def test_the_tile_plan_counts_mains_own_worker_like_another() -> None:
    assert BATCH.at_once(10) == 22
    assert replace(BATCH, own_processes=0).at_once(10) == 20
    assert LOCAL.at_once(4) == 4


def test_a_container_has_the_program_once_and_every_process_with_its_results() -> None:
    got = worker_bytes(BATCH, MEMORY, 10 * MIB, 0)

    assert got == PROGRAM_BYTES + 2 * (190 + 32 + 16 + 4 * 10) * MIB
    assert worker_bytes(LOCAL, MEMORY, 10 * MIB, 0) == 316 * MIB


def test_threads_add_to_what_main_takes_already() -> None:
    threads = Workforce(workers=3, in_main=True)

    assert worker_bytes(threads, MEMORY, 10 * MIB, 500 * MIB) == (500 + 3 * 190) * MIB


def test_what_a_tile_has_stands_for_all_pixels() -> None:
    assert total_of(1000, WINDOW, 256 * 256 * 40 + 128) == 40_002


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 KB"), (3.2e14, "320 TB")]
)
def test_sizes_are_read_easily(number: float, text: str) -> None:
    assert size_text(int(number)) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.04, "0.0 s"), (75, "0:01:15"), (360_000, "100:00:00")])
def test_times_are_read_easily(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_a_stack_that_cannot_be_asked_is_taken_for_one_with_the_default_vcpus() -> None:
    from cdk_app.settings import DeploySettings  # noqa: PLC0415 - loads pydantic
    from rios_batch.awsbatch.workforce import batch_workforce  # noqa: PLC0415
    from rios_batch.errors import JobMgrError  # noqa: PLC0415

    got = batch_workforce(JobMgrError("no region"), 5, RunOptions(coordinate_only=True))

    assert (got.workers, got.processes, got.own_processes) == (4, DeploySettings().vcpus, 0)
    assert (got.memory_mib, got.most) == (None, None)
    assert got.assumed == ("2 vCPUs for each worker, since the stack cannot be asked: no region",)


def test_what_a_stack_says_counts() -> None:
    from rios_batch.awsbatch.workforce import batch_workforce  # noqa: PLC0415

    stack = SimpleNamespace(
        worker_vcpus=4,
        worker_processes=4,
        worker_gpus=0,
        worker_memory_mib=8000,
        max_vcpus=130,
        stack_name="Mine",
    )
    got = batch_workforce(stack, 5, RunOptions(max_cost_usd=2.5))  # type: ignore[arg-type]

    assert (got.processes, got.own_processes) == (4, min(4, os.cpu_count() or 1))
    assert (got.memory_mib, got.most, got.place, got.assumed) == (8000, 32, "stack Mine", ())
    assert got.max_usd == 2.5
