"""A run on AWS Batch with up to 10,000 workers, simulated: wall time, use of machines, stragglers.

Workers are modelled as they are built: a worker has two processes and four slots. A slot leases a tile, waits for a
process, computes, stores the result and deletes the message. Everything random comes from one seed. Needs simpy. The
tables, and what is assumed of AWS, are in simulate.py.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import simpy

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    Steps = Generator[simpy.Event, Any, None]

PROCESSES = 2  # of a worker
LOOK_S = 1.0  # between main's looks
IDLE_S = 60.0  # three empty looks at the queue, then a worker leaves


@dataclass(frozen=True)
class Scenario:
    """What is simulated. Times are seconds.

    Attributes
    ----------
    tiles, workers : how many.
    tile_s : what a tile takes on the usual machine.
    slots : of a worker; what is more than its processes leases tiles ahead.
    spread : times of tiles, relative to ``tile_s``; each tile has one of them, wherever it is computed.
    machine_spread : standard deviation of the logarithm of machines' speeds.
    slow_machines : share of machines that take ``slow_factor`` times as long.
    stalls : share of computations that take ``stall_s`` longer, such as by a connection that goes silent.
    first_s, machines_a_second : Batch's ramp-up: when the first worker begins, and how many begin then.
    losses_an_hour : of a Spot machine; its worker is tried again on another one after ``first_s``.
    lease_s : until a lost machine's tiles are back in the queue.
    request_s : a request to S3 or SQS takes.
    puts_a_second : S3's limit for a prefix.
    main_s : main's work for a tile.
    again_after : speculation: the queue has been empty for so many medians of a tile's time, and all that is missing is
        put in again, once. None for no speculation.
    seed : of everything random.
    """

    tiles: int
    workers: int
    tile_s: float
    slots: int = 4
    spread: Sequence[float] = (1.0,)
    machine_spread: float = 0.0
    slow_machines: float = 0.0
    slow_factor: float = 3.0
    stalls: float = 0.0
    stall_s: float = 60.0
    first_s: float = 0.0
    machines_a_second: float = math.inf
    losses_an_hour: float = 0.0
    lease_s: float = 60.0
    request_s: float = 0.0
    puts_a_second: float = math.inf
    main_s: float = 0.0
    again_after: float | None = None
    seed: int = 1


@dataclass
class Outcome:
    """What came of it.

    Attributes
    ----------
    done_by : the worker whose record of each tile was first.
    refused : results that came second.
    wall_s : until main has taken in the last tile.
    tail_s : from when the queue was first empty until the last tile was stored.
    busy_s : of each worker, computing, whatever came of it.
    alive_s : of each worker, with all its machines.
    starts : machines that began, of all workers.
    most_leased : messages in flight.
    """

    done_by: dict[int, int] = field(default_factory=dict)
    refused: int = 0
    wall_s: float = 0.0
    tail_s: float = 0.0
    busy_s: list[float] = field(default_factory=list)
    alive_s: list[float] = field(default_factory=list)
    starts: int = 0
    losses: int = 0
    most_leased: int = 0

    @property
    def utilisation(self) -> float:
        """Return which part of the time of the processes that were paid was computing."""
        return sum(self.busy_s) / (PROCESSES * sum(self.alive_s))


class _Limited:
    """What serves one after the other: S3's writes to a prefix, and main."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self.free_at = seconds, 0.0

    def served_at(self, now: float) -> float:
        self.free_at = max(now, self.free_at) + self._seconds
        return self.free_at


class Simulation:
    """One run. ``run`` may be called once."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario, self.random = scenario, np.random.default_rng(scenario.seed)
        self.env = simpy.Environment()
        self.content = self.random.choice(np.asarray(scenario.spread), scenario.tiles)
        self._queue: deque[int] = deque(range(scenario.tiles))
        self.waiting: deque[simpy.Event] = deque()
        self._leased, self._empty_at = 0, math.inf
        self._over = self.env.event()
        self.s3, self._main = _Limited(1 / scenario.puts_a_second), _Limited(scenario.main_s)
        self.durations: list[float] = []
        self.outcome = Outcome(busy_s=[0.0] * scenario.workers, alive_s=[0.0] * scenario.workers)

    def run(self) -> Outcome:
        """Simulate until all tiles are stored, and workers have learned that."""
        for number in range(self.scenario.workers):
            self.env.process(self._worker(number))
        if self.scenario.again_after is not None:
            self.env.process(self._speculation(self.scenario.again_after))
        self.env.run()
        assert self._over.triggered, "no worker is left, and tiles are"
        return self.outcome

    # -- the queue

    def put(self, tile: int) -> None:
        if self.waiting:
            self._lease(self.waiting.popleft(), tile)
        else:
            self._queue.append(tile)

    def get(self) -> simpy.Event:
        event = self.env.event()
        if self._queue:
            self._lease(event, self._queue.popleft())
            if not self._queue and math.isinf(self._empty_at):
                self._empty_at = self.env.now
        else:
            self.waiting.append(event)
        return event

    def _lease(self, event: simpy.Event, tile: int) -> None:
        self._leased += 1
        self.outcome.most_leased = max(self.outcome.most_leased, self._leased)
        event.succeed(tile)

    def give_back(self, tile: int, after_s: float) -> Steps:
        yield self.env.timeout(after_s)
        self._leased -= 1
        if tile not in self.outcome.done_by:
            self.put(tile)

    # -- a worker

    def _worker(self, number: int) -> Steps:
        """Live on one machine after the other, until a machine is not lost."""
        scenario = self.scenario
        yield self.env.timeout(scenario.first_s + number / scenario.machines_a_second)
        while not self._over.triggered:
            machine = _Machine(self, number, self._slowness())
            lost = self.env.timeout(self._lifetime_s())
            began = self.env.now
            self.outcome.starts += 1
            yield lost | machine.left | self._over
            self.outcome.alive_s[number] += self.env.now - began
            was_lost = not machine.left.triggered and not self._over.triggered
            machine.end()
            if not was_lost:
                return
            self.outcome.losses += 1
            yield self.env.timeout(scenario.first_s)

    def _slowness(self) -> float:
        scenario, random = self.scenario, self.random
        factor = scenario.slow_factor if random.random() < scenario.slow_machines else 1.0
        return factor * math.exp(random.normal(0, scenario.machine_spread))

    def _lifetime_s(self) -> float:
        per_hour = self.scenario.losses_an_hour
        return float(self.random.exponential(3600 / per_hour)) if per_hour else 1e9

    def _speculation(self, medians: float) -> Steps:
        while True:
            yield self.env.timeout(LOOK_S) | self._over
            if self._over.triggered:
                return
            if self._queue or not self.durations or math.isinf(self._empty_at):
                continue
            if self.env.now >= self._empty_at + medians * statistics.median(self.durations):
                for tile in range(self.scenario.tiles):
                    if tile not in self.outcome.done_by:
                        self.put(tile)
                return

    def stored(self, number: int, tile: int) -> None:
        outcome = self.outcome
        self._leased -= 1
        if tile in outcome.done_by:
            outcome.refused += 1
            return
        outcome.done_by[tile] = number
        taken_at = self._main.served_at(self.env.now)
        if len(outcome.done_by) == self.scenario.tiles:
            outcome.wall_s, outcome.tail_s = taken_at, max(0.0, self.env.now - self._empty_at)
            self.env.process(self._end_at(taken_at))

    def _end_at(self, when: float) -> Steps:
        yield self.env.timeout(when - self.env.now)
        self._over.succeed()


class _Machine:
    """A worker on one machine: its slots and its processes."""

    def __init__(self, simulation: Simulation, number: int, slowness: float) -> None:
        self._in, self._number, self._slowness = simulation, number, slowness
        self._env = simulation.env
        self._pool = simpy.Resource(self._env, PROCESSES)
        self._idle_slots = 0
        self.left, self._ended = self._env.event(), False
        self._slots = [self._env.process(self._slot()) for _ in range(simulation.scenario.slots)]

    def end(self) -> None:
        """Stop; what is leased goes back when the leases have lapsed."""
        self._ended = True
        for slot in self._slots:
            if slot.is_alive:
                slot.interrupt()

    def _slot(self) -> Steps:
        scenario = self._in.scenario
        event: simpy.Event | None = None
        leased: int | None = None
        computing_since: float | None = None
        try:
            while True:
                event = self._in.get()
                self._idle_slots += 1
                if self._idle_slots == scenario.slots and not event.triggered:
                    self._env.process(self._leave_if_idle(event))
                leased = yield event
                self._idle_slots -= 1
                yield self._env.timeout(scenario.request_s)
                with self._pool.request() as process:
                    yield process
                    computing_since = self._env.now
                    yield self._env.timeout(self._seconds(leased))
                    self._took(computing_since)
                    self._in.durations.append(self._env.now - computing_since)
                    computing_since = None
                wait_s = self._in.s3.served_at(self._env.now) - self._env.now
                yield self._env.timeout(wait_s + scenario.request_s)
                self._in.stored(self._number, leased)
                leased = None
        except simpy.Interrupt:
            if computing_since is not None:
                self._took(computing_since)
            if leased is None and event is not None:
                leased = self._forget(event)
            if leased is not None:
                self._env.process(self._in.give_back(leased, scenario.lease_s))

    def _forget(self, event: simpy.Event) -> int | None:
        """Wait for no message any more; return one that came at this very moment."""
        if event.triggered:
            return int(event.value)  # type: ignore[arg-type]  # a triggered event has one
        self._in.waiting.remove(event)
        return None

    def _took(self, since: float) -> None:
        self._in.outcome.busy_s[self._number] += self._env.now - since

    def _seconds(self, tile: int) -> float:
        scenario, random = self._in.scenario, self._in.random
        stall_s = scenario.stall_s if random.random() < scenario.stalls else 0.0
        return scenario.tile_s * float(self._in.content[tile]) * self._slowness + stall_s

    def _leave_if_idle(self, event: simpy.Event) -> Steps:
        yield self._env.timeout(IDLE_S)
        if not self._ended and not event.triggered and self._idle_slots == self._in.scenario.slots:
            self.left.succeed()
