"""Runs that take turns with the same workers: what travels through the queue that they share.

Each message says which run it is of, and the SHA-256 of what workers obey. Only mains may send messages, a worker's
role may not. A turn is over when its main has said so in S3, or when a later one has begun.
"""

from __future__ import annotations

import json
import logging
import math
import re
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from rios_batch.aws.faults import QueueGoneError
from rios_batch.aws.queue import LONGEST_WAIT_SECONDS, WorkQueue
from rios_batch.contract import POOL_MARK, RUNS_PREFIX
from rios_batch.errors import RiosBatchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rios_batch.aws.objects import Bucket
    from rios_batch.aws.queue import Lease

log = logging.getLogger("rios_batch")

_SHA256 = re.compile(r"[0-9a-f]{64}")
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}")


@dataclass(frozen=True)
class Turn:
    """The use of a pool's workers by one run.

    Attributes
    ----------
    number : from 1; later runs have higher ones.
    run_id : the run.
    job_sha256, inputs_sha256 : of the pickled job, and of the list of copied inputs.
    """

    number: int
    run_id: str
    job_sha256: str
    inputs_sha256: str

    def envelope(self, message: str) -> str:
        """Return a message of this run, as it travels."""
        return json.dumps([*asdict(self).values(), message])


def opened(text: str) -> tuple[Turn, str]:
    """Return the turn that a message is of, and the message.

    Raises
    ------
    RiosBatchError : the text is no message of a pool.
    """
    try:
        match json.loads(text):
            case [int(number), str(run_id), str(job), str(inputs), str(message)]:
                if _RUN_ID.fullmatch(run_id) and _SHA256.fullmatch(job):
                    return Turn(number, run_id, job, inputs), message
    except (ValueError, RecursionError):
        pass
    raise RiosBatchError(f"the queue holds a message that is not of this pool: {text[:100]!r}")


class TurnMarks:
    """What a pool's main has said of turns, in the exchange bucket."""

    def __init__(self, bucket: Bucket, pool_id: str) -> None:
        self._bucket, self._prefix = bucket, f"{RUNS_PREFIX}{pool_id}/over/"

    def put_over(self, number: int) -> None:
        """Say that a turn is over."""
        self._bucket.put(f"{self._prefix}{number}", b"")

    def is_over(self, number: int) -> bool:
        """Say whether a turn is over."""
        return self._bucket.head(f"{self._prefix}{number}") is not None


class SharedQueue:
    """The queue as a worker sees it that does one run after the other.

    Parameters
    ----------
    queue : the pool's.
    idle_seconds : for how long a worker waits for something to do.
    longest_wait_s : of one request.
    """

    def __init__(
        self,
        queue: WorkQueue,
        marks: TurnMarks,
        idle_seconds: float,
        longest_wait_s: int = LONGEST_WAIT_SECONDS,
    ) -> None:
        self.queue, self.marks, self._idle_seconds = queue, marks, idle_seconds
        self._longest_wait_s = longest_wait_s
        self.busy()
        self._next: tuple[Turn, Lease] | None = None

    def busy(self) -> None:
        """Take note that there is something to do."""
        self._busy_at = time.monotonic()

    @property
    def is_idle(self) -> bool:
        """Say whether nothing was to be done for too long."""
        return time.monotonic() > self._busy_at + self._idle_seconds

    def wait_s(self, at_most: int) -> int:
        """Return for how many seconds a request may wait."""
        left_s = self._busy_at + self._idle_seconds - time.monotonic()
        return math.ceil(max(1.0, min(left_s, at_most, self._longest_wait_s)))

    def next_turn(self) -> TurnQueue | None:
        """Wait for the next run; None if none comes for too long, or the pool was closed.

        Raises
        ------
        AWSError, S3Error : AWS refuses.
        """
        while not self.is_idle:
            try:
                found, self._next = self._next or self._receive(), None
            except QueueGoneError:
                return None
            if found is None:
                continue
            turn, lease = found
            self.busy()
            if not self.marks.is_over(turn.number):
                return TurnQueue(self, turn, [lease])
            self.queue.finish(lease)
        return None

    def open(self, leases: Sequence[Lease]) -> list[tuple[Turn, Lease]]:
        """Return what was received, by turn; foreign messages are taken out of the queue."""
        found = []
        for lease in leases:
            try:
                turn, message = opened(lease.body)
            except RiosBatchError as error:
                log.warning("%s; it was removed", error)
                self.queue.finish(lease)
            else:
                found.append((turn, replace(lease, body=message)))
        return found

    def keep(self, turn: Turn, lease: Lease) -> None:
        """Keep the first message of the next turn, and let others have what more there is."""
        if self._next is None:
            self._next = turn, lease
        else:
            self.queue.give_back(lease)

    def _receive(self) -> tuple[Turn, Lease] | None:
        found = self.open(self.queue.receive(1, self.wait_s(LONGEST_WAIT_SECONDS)))
        return found[0] if found else None


class TurnQueue(WorkQueue):
    """The queue of one run, as that run's `Supervisor` sees it.

    Parameters
    ----------
    shared : the queue of all runs.
    turn : the run.
    received : leases that were taken already.
    """

    def __init__(self, shared: SharedQueue, turn: Turn, received: Sequence[Lease] = ()) -> None:
        super().__init__(shared.queue._client, shared.queue.url, shared.queue._lease_seconds)  # noqa: SLF001 - a WorkQueue's
        self._shared, self.turn = shared, turn
        self._received, self._over = list(received), False

    def receive(self, at_most: int, wait_seconds: int) -> list[Lease]:
        """Lease some work of the run, or none if no work comes within ``wait_seconds``.

        Raises
        ------
        QueueGoneError : the run is over, or a later one has begun, or nothing was to be done for too long.
        """
        if self._received:
            taken, self._received = self._received, []
            return taken
        if self._over:
            raise QueueGoneError(f"run {self.turn.run_id} is over")
        mine = self._sorted_out(super().receive(at_most, self._shared.wait_s(wait_seconds)))
        if self._over:  # what is left is nobody's any more
            for lease in mine:
                self.finish(lease)
            raise QueueGoneError(f"run {self.turn.run_id} is over, the next one has begun")
        if mine:
            self._shared.busy()
        elif self._shared.is_idle:
            raise QueueGoneError("there was nothing to do for too long")
        else:
            self._check()
        return mine

    def _sorted_out(self, leases: Sequence[Lease]) -> list[Lease]:
        """Return those of this run; remove those of earlier ones, and keep or return those of the next."""
        mine: list[Lease] = []
        for turn, lease in self._shared.open(leases):
            if turn.number == self.turn.number:
                mine.append(lease)
            elif turn.number < self.turn.number:
                self.finish(lease)
            else:
                self._over = True
                self._shared.keep(turn, lease)
        return mine

    def renew(self, leases: Sequence[Lease]) -> None:
        """Hold leases for longer.

        Raises
        ------
        QueueGoneError : the run is over.
        """
        if leases:
            super().renew(leases)
            self._shared.busy()
            self._check()

    def put_aside(self) -> None:
        """Take the message that this run began with out of the queue: this worker cannot work for the run."""
        for lease in self._received:
            self.finish(lease)

    def is_over(self) -> bool:
        """Say whether the run is over."""
        self._over = self._over or self._shared.marks.is_over(self.turn.number)
        return self._over

    def _check(self) -> None:
        if self.is_over():
            raise QueueGoneError(f"run {self.turn.run_id} is over")


def is_pool(name: str) -> bool:
    """Say whether a name in the exchange bucket is a pool's, and not a run's."""
    return name.startswith(POOL_MARK)
