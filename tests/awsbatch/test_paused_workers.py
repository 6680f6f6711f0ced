"""A worker that was paused, as by SIGSTOP, leaves nothing of a run that is over by then."""

from __future__ import annotations

import signal
import threading
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from rios_batch.aws.faults import QueueGoneError
from rios_batch.aws.queue import Lease
from rios_batch.awsbatch import leases
from rios_batch.awsbatch.leases import Leases
from rios_batch.awsbatch.messages import ComputeTile, encode_message
from rios_batch.awsbatch.processpool import ChildDiedError
from rios_batch.awsbatch.supervisor import Patience, Supervisor
from rios_batch.errors import UserFunctionError
from rios_batch.jobmanagers.children import Death, TileFailure, WorkOrder
from rios_batch.model.tiles import BlockGrid, TilePlan

LEASE = Lease(encode_message(ComputeTile(0)), "receipt", 1)
LEASE_SECONDS = 60


@dataclass
class Clock:
    """Stands in the place of the module time; a pause is a leap."""

    now: float = 1000.0

    def monotonic(self) -> float:
        return self.now


@dataclass
class Run:
    """A run's store and queue, which may be deleted, and what was left in the store afterwards."""

    exists_still: bool = True
    left: list[str] = field(default_factory=list)
    renewed: threading.Event = field(default_factory=threading.Event)

    def exists(self) -> bool:
        return self.exists_still

    def put_failure(self, failure: Any) -> None:
        self.left.append(f"failure of tile {failure.tile}")

    def failures(self, _tile: int) -> list[str]:
        return []

    def receive(self, _at_most: int, _wait_seconds: int) -> list[Lease]:
        return [LEASE]

    def renew(self, _leases: list[Lease]) -> None:
        self.renewed.set()
        if not self.exists_still:
            raise QueueGoneError("gone")

    def finish(self, _lease: Lease) -> None: ...
    def give_back(self, _lease: Lease, _delay_seconds: int = 0) -> None: ...


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(leases, "time", clock)
    return clock


def work(run: Any, pause: Any) -> None:
    """Have a worker take a tile and compute it; the pause comes meanwhile."""
    supervisor = Supervisor(
        run,
        run,
        TilePlan(BlockGrid(64, 64, 32, 32), 1, 1),
        WorkOrder(b"", b"", 1),
        name="worker 1",
        lease_seconds=LEASE_SECONDS,
        patience=Patience.BRIEF,
        to_choose=0,
        on_tile=lambda *_: None,
    )
    supervisor._pool = SimpleNamespace(compute=pause)  # type: ignore[assignment]
    (lease,) = supervisor._leases.take(1, 0)
    supervisor._free.acquire()
    supervisor._do(lease)


FAILURE = TileFailure.of(UserFunctionError("no such band"))


@pytest.mark.parametrize("dies", [False, True])
def test_what_a_worker_made_of_a_run_that_ended_during_a_pause_is_not_left(clock: Clock, dies: bool) -> None:
    run = Run()

    def paused(_tile: object) -> TileFailure:
        run.exists_still = False
        clock.now += 90
        if dies:
            raise ChildDiedError(Death(-signal.SIGKILL))
        return FAILURE

    work(run, paused)

    assert run.left == []


def test_after_a_pause_a_run_that_goes_on_is_told_what_came_of_the_tile(clock: Clock) -> None:
    run = Run()

    def paused(_tile: object) -> TileFailure:
        clock.now += 90
        return FAILURE

    work(run, paused)

    assert run.left == ["failure of tile 0"]


def test_without_a_pause_nobody_asks_whether_the_run_is_there(clock: Clock) -> None:
    run = Run()
    run.exists = lambda: pytest.fail("a request for each tile")  # type: ignore[method-assign]

    def computed(_tile: object) -> TileFailure:
        clock.now += 59
        return FAILURE

    work(run, computed)

    assert run.left == ["failure of tile 0"]


@pytest.mark.parametrize("over", [False, True])
def test_a_renewed_lease_has_not_lapsed_unless_the_run_was_over(clock: Clock, over: bool) -> None:
    run: Any = Run()
    held = Leases(run, 0)  # renewed at once
    (lease,) = held.take(1, 0)
    run.exists_still = not over
    clock.now += 90
    with held:
        run.renewed.wait()
    held._lease_seconds = LEASE_SECONDS

    assert held.may_have_lapsed(lease) is over
