"""Tables of simulated runs past this machine, as Markdown; what they say is in docs/decisions/0023-tail-speculation.md.

python -m bench.simulate               # some minutes; needs simpy
python -m bench.simulate --measure     # measures first how tiles differ, and keeps that in simulation.json beside this

What is assumed of AWS stands in `USUAL`. A tile's requests and waits are those of cost.json, main's work is that of
scale.py.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.cost import read_measurements
from bench.reckoning import MAIN_VCPUS, REQUEST_S, WORKER_VCPUS, requests_usage, tile_vcpu_s
from bench.simulation import Outcome, Scenario, Simulation
from rios_batch.model.costs import Prices, Usage, cost_usd

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rios_batch.model.tileresult import TileRecord

SPREAD = Path(__file__).with_name("simulation.json")
BOOT_S = 60.0  # a machine is paid before its worker begins
MAIN_S = 1 / 471  # bench/scale.py, 100,000 tiles
USUAL = {
    "machine_spread": 0.1,
    "first_s": 180.0,
    "machines_a_second": 10.0,
    "losses_an_hour": 0.05,
    "lease_s": 60.0,
    "request_s": REQUEST_S,
    "puts_a_second": 3500.0,
    "main_s": MAIN_S,
}
SEEDS = range(1, 6)
SIDE_PX, RUNS = 1024, 8  # of what is measured


def scenario(tiles: int, workers: int, tile_s: float, **changes: Any) -> Scenario:
    """Return a scenario with what is usual but for changes."""
    spread = tuple(json.loads(SPREAD.read_text())["relative_seconds"])
    return Scenario(tiles, workers, tile_s, spread=spread, **{**USUAL, **changes})


def usd(simulated: Scenario, outcome: Outcome, prices: Prices) -> float:
    """Return what a simulated run costs, workers on Spot, main as a job on demand."""
    counted = read_measurements().counted["float32"]
    hours = (sum(outcome.alive_s) + BOOT_S * outcome.starts) / 3600
    asked = {
        name: n * simulated.tiles for part in (counted.main, counted.workers) for name, n in part.items()
    }
    asked["list_objects_v2"] = 2 * outcome.wall_s
    usage = replace(
        requests_usage(asked), vcpu_hours=WORKER_VCPUS * hours, worker_hours=hours, tails=outcome.starts
    )
    assert prices.vcpu_hour_on_demand is not None
    main_hours = outcome.wall_s / 3600
    main = cost_usd(
        Usage(main_hours * MAIN_VCPUS, main_hours, 1), replace(prices, vcpu_hour=prices.vcpu_hour_on_demand)
    )
    return cost_usd(usage, prices) + main


def scaling(prices: Prices) -> Iterator[str]:
    """Yield a table of numbers of workers, for a light and a heavy function."""
    measured = read_measurements()
    light_s = tile_vcpu_s(measured.measured["light"], measured.counted["float32"])
    yield "| seconds a tile | workers | wall | utilisation | tail | tiles/s | machines lost | leased at once | USD |"
    yield "|---" * 9 + "|"
    for tile_s in (light_s, 60.0):
        for workers in (10, 100, 1000, 10_000):
            one = scenario(100_000, workers, tile_s)
            outcome = Simulation(one).run()
            yield (
                f"| {tile_s:.1f} | {workers:,} | {_time(outcome.wall_s)} | {outcome.utilisation:.0%} | "
                f"{_time(outcome.tail_s)} | {one.tiles / outcome.wall_s:,.0f} | {outcome.losses} | "
                f"{outcome.most_leased:,} | {usd(one, outcome, prices):,.2f} |"
            )


def spot_losses(prices: Prices) -> Iterator[str]:
    """Yield a table of shares of machines that are lost in an hour."""
    yield "| machines lost in an hour | wall | utilisation | tail | lost | results refused | USD |"
    yield "|---" * 7 + "|"
    for losses in (0.0, 0.05, 0.5, 2.0):
        one = scenario(50_000, 1000, 60.0, losses_an_hour=losses)
        outcome = Simulation(one).run()
        yield (
            f"| {losses:.0%} | {_time(outcome.wall_s)} | {outcome.utilisation:.0%} | {_time(outcome.tail_s)} | "
            f"{outcome.losses} | {outcome.refused} | {usd(one, outcome, prices):,.2f} |"
        )


TROUBLES: dict[str, dict[str, float]] = {
    "nothing": {},
    "1 of 1,000 computations takes 60 s more": {"stalls": 0.001},
    "1 of 100 machines is 3 times slower": {"slow_machines": 0.01},
    "both, and half of the machines lost in an hour": {
        "stalls": 0.001, "slow_machines": 0.01, "losses_an_hour": 0.5,
    },
}  # fmt: skip


def speculation(prices: Prices) -> Iterator[str]:
    """Yield a table of ways to end a run; medians of several seeds."""
    yield (
        "| what is wrong | seconds a tile | tiles a process | wall as built | put in again | nothing leased ahead | "
        "computed twice | USD as built | put in again | nothing leased ahead |"
    )
    yield "|---" * 10 + "|"
    for wrong, changes in TROUBLES.items():
        for tile_s, each in ((60.0, 25), (60.0, 3), (6.0, 25), (2.4, 100)):
            one = scenario(2 * 200 * each, 200, tile_s, **changes)
            ways = [_runs(replace(one, **way)) for way in WAYS]
            walls = [_time(statistics.median(outcome.wall_s for _, outcome in runs)) for runs in ways]
            dollars = [statistics.median(usd(*run, prices) for run in runs) for runs in ways]
            twice = statistics.median(outcome.refused for _, outcome in ways[1]) / one.tiles
            yield (
                f"| {wrong} | {tile_s:g} | {each} | {' | '.join(walls)} | {twice:.1%} | "
                f"{' | '.join(f'{usd:.2f}' for usd in dollars)} |"
            )


# As built; all that is missing is put in again once the queue has been empty for as long as a tile takes; two slots.
WAYS: tuple[dict[str, Any], ...] = ({}, {"again_after": 1.0}, {"slots": 2})


def _runs(one: Scenario) -> list[tuple[Scenario, Outcome]]:
    return [(each, Simulation(each).run()) for each in (replace(one, seed=seed) for seed in SEEDS)]


def _time(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"  # noqa: PLR2004 - an hour


def measure() -> list[float]:
    """Return how long tiles of 1024 x 1024 pixels take relative to their median, as 100 quantiles.

    Two processes compute, as on a worker. A process's first tile does not count, since it loads what others need.
    """
    from bench.cost import run_task, scene  # noqa: PLC0415 - load GDAL
    from bench.tasks import TASKS  # noqa: PLC0415

    relative: list[float] = []
    with tempfile.TemporaryDirectory(prefix="rios_batch-bench-") as name:
        path = scene(Path(name))
        for task in ("light", "medium", "heavy"):
            for _ in range(RUNS):
                tiles = run_task(TASKS[task], path, setNumThreads=2, setTileSize=(SIDE_PX, SIDE_PX))
                seconds = _seconds_of_whole(tiles)
                relative += [one / statistics.median(seconds) for one in seconds]
    return [round(float(one), 3) for one in np.quantile(relative, np.linspace(0, 1, 100))]


def _seconds_of_whole(tiles: Iterable[TileRecord]) -> list[float]:
    found, seen = [], set()
    for tile in sorted(tiles, key=lambda tile: tile.began_at):
        if tile.worker in seen and tile.window.size_px == SIDE_PX**2:
            found.append(tile.reading_s + tile.function_s + tile.encoding_s + tile.statistics_s)
        seen.add(tile.worker)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Simulate runs past this machine.")
    parser.add_argument("--measure", action="store_true", help="measure before how tiles differ")
    if parser.parse_args().measure:
        SPREAD.write_text(json.dumps({"relative_seconds": measure()}) + "\n")
    prices = Prices.read({})
    for title, table in (
        ("Numbers of workers, 100,000 tiles", scaling(prices)),
        ("Spot: 1,000 workers, 50,000 tiles of 60 s", spot_losses(prices)),
        ("Speculation: 200 workers", speculation(prices)),
    ):
        print(f"\n## {title}\n", flush=True)
        for line in table:
            print(line, flush=True)


if __name__ == "__main__":
    main()
