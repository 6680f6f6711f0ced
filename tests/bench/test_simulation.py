"""The simulated run keeps what a run keeps: nothing is lost, nothing counts twice, no worker works too long."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from bench.simulation import PROCESSES, Scenario, Simulation

ALL = Scenario(
    600,
    20,
    20.0,
    spread=(0.5, 1.0, 1.0, 4.0),
    machine_spread=0.2,
    slow_machines=0.1,
    stalls=0.02,
    first_s=30.0,
    machines_a_second=2.0,
    losses_an_hour=10.0,
    request_s=0.05,
    puts_a_second=50.0,
    main_s=0.05,
)


@pytest.mark.parametrize("again_after", [None, 0.0, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_every_tile_is_recorded_once_whatever_is_lost_or_done_twice(
    seed: int, again_after: float | None
) -> None:
    outcome = Simulation(replace(ALL, seed=seed, again_after=again_after)).run()

    assert sorted(outcome.done_by) == list(range(ALL.tiles))
    assert outcome.losses > 0
    assert (outcome.refused > 0) is (again_after is not None)
    assert outcome.starts <= ALL.workers + outcome.losses


@pytest.mark.parametrize("again_after", [None, 0.0])
def test_no_worker_computes_longer_than_its_processes_live(again_after: float | None) -> None:
    outcome = Simulation(replace(ALL, again_after=again_after)).run()

    assert all(
        busy <= PROCESSES * alive + 1e-6 for busy, alive in zip(outcome.busy_s, outcome.alive_s, strict=True)
    )
    assert all(alive <= outcome.wall_s for alive in outcome.alive_s)
    assert 0 < outcome.utilisation < 1


def test_the_same_seed_is_the_same_run_and_another_is_another() -> None:
    assert Simulation(ALL).run() == Simulation(ALL).run()
    assert Simulation(ALL).run() != Simulation(replace(ALL, seed=2)).run()


@pytest.mark.parametrize(("tiles", "workers"), [(1, 1), (7, 2), (100, 10), (101, 10), (3, 50)])
def test_without_trouble_a_run_takes_its_rounds(tiles: int, workers: int) -> None:
    outcome = Simulation(Scenario(tiles, workers, 7.0, slots=PROCESSES, first_s=180.0)).run()

    assert outcome.wall_s == pytest.approx(180 + math.ceil(tiles / (PROCESSES * workers)) * 7)
    assert sum(outcome.busy_s) == pytest.approx(tiles * 7)
    assert (outcome.losses, outcome.refused) == (0, 0)


def test_what_is_leased_ahead_waits_though_others_are_idle() -> None:
    assert Simulation(Scenario(3, 50, 7.0, slots=PROCESSES)).run().wall_s == pytest.approx(7)
    assert Simulation(Scenario(3, 50, 7.0)).run().wall_s == pytest.approx(14)


def test_workers_come_one_after_the_other() -> None:
    outcome = Simulation(Scenario(4, 2, 10.0, machines_a_second=0.1)).run()

    assert outcome.alive_s == pytest.approx(
        [20.0, 10.0]
    )  # the first has leased all four when the second begins


def test_neither_s3_nor_main_does_more_than_it_can() -> None:
    fast = Scenario(1000, 100, 0.1)

    assert Simulation(fast).run().wall_s == pytest.approx(0.5)
    assert Simulation(replace(fast, puts_a_second=100)).run().wall_s == pytest.approx(10.1)
    assert Simulation(replace(fast, main_s=0.02)).run().wall_s == pytest.approx(20.1)


def test_a_worker_without_work_leaves_after_a_minute() -> None:
    outcome = Simulation(Scenario(8, 3, 500.0)).run()

    # Each of the first two has leased four tiles, two of which wait for its processes.
    assert outcome.alive_s == pytest.approx([1000.0, 1000.0, 60.0])


def test_a_tile_of_a_slow_machine_that_is_put_in_again_ends_the_run_sooner() -> None:
    slow = Scenario(200, 10, 20.0, slow_machines=0.2, slow_factor=30.0, seed=5)

    without, with_it = Simulation(slow).run(), Simulation(replace(slow, again_after=1.0)).run()

    assert with_it.wall_s < without.wall_s / 2
    assert with_it.refused <= with_it.most_leased
