"""Leases on work, kept alive while the work goes on."""

from __future__ import annotations

import logging
import math
import threading
import time
from typing import TYPE_CHECKING, Self

from rios_batch.aws.faults import QueueGoneError
from rios_batch.errors import RiosBatchError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rios_batch.aws.queue import Lease, WorkQueue

log = logging.getLogger("rios_batch")

_RENEWALS_PER_LEASE = 3  # so that one that fails, or a machine that stutters, loses nothing


class Leases:
    """Takes leases, and renews each lease until the lease is given back or its work is finished.

    A thread of its own renews the leases while the context is entered.

    Parameters
    ----------
    queue : the run's queue.
    lease_seconds : how long a lease holds unless renewed.
    when_over : called in the thread that finds the run over.
    """

    def __init__(
        self, queue: WorkQueue, lease_seconds: int, when_over: Callable[[], None] = lambda: None
    ) -> None:
        self._queue, self._lease_seconds, self._when_over = queue, lease_seconds, when_over
        self._held: dict[Lease, float] = {}  # when each was taken or renewed
        # Held while renewals are sent: a renewal that arrives after a lease was given back would take the lease again.
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="rios_batch leases", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def take(self, at_most: int, wait_seconds: int) -> list[Lease]:
        """Lease some work, or none if no work comes within ``wait_seconds``.

        Raises
        ------
        QueueGoneError : the run is over.
        AWSError : SQS refuses.
        """
        leases = self._queue.receive(at_most, wait_seconds)
        with self._lock:
            self._held.update(dict.fromkeys(leases, time.monotonic()))
        return leases

    def may_have_lapsed(self, lease: Lease) -> bool:
        """Say whether a lease was not renewed in time, as when this process was paused: the run may be over by now."""
        with self._lock:
            return time.monotonic() > self._held.get(lease, -math.inf) + self._lease_seconds

    def give_back(self, lease: Lease, delay_seconds: int = 0) -> None:
        """Let others have the work, at once or after a delay.

        Raises
        ------
        AWSError : SQS refuses.
        """
        self.let_lapse(lease)
        self._queue.give_back(lease, delay_seconds)

    def finish(self, lease: Lease) -> None:
        """Take the work out of the queue for good.

        Raises
        ------
        AWSError : SQS refuses.
        """
        self.let_lapse(lease)
        self._queue.finish(lease)

    def let_lapse(self, lease: Lease) -> None:
        """Stop renewing a lease. Harmless if the lease is not held."""
        with self._lock:
            self._held.pop(lease, None)

    def _renew(self) -> None:
        while not self._ended.wait(self._lease_seconds / _RENEWALS_PER_LEASE):
            with self._lock:
                now = time.monotonic()
                try:
                    self._queue.renew(list(self._held))
                    self._held = dict.fromkeys(self._held, now)
                except QueueGoneError:
                    break
                except RiosBatchError as error:  # the next round tries again; a lapsed lease only costs work
                    log.warning("leases could not be renewed: %s", error)
        else:
            return
        self._when_over()
