"""Leases on work, kept alive while the work goes on."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Self

from rios_batch.aws.faults import QueueGoneError
from rios_batch.errors import RiosBatchError

if TYPE_CHECKING:
    from rios_batch.aws.queue import Lease, WorkQueue

log = logging.getLogger("rios_batch")

_RENEWALS_PER_LEASE = 3  # so that one that fails, or a machine that stutters, loses nothing


class Leases:
    """Takes leases, and renews them from a thread of its own until they are given back or their work is finished."""

    def __init__(self, queue: WorkQueue, lease_seconds: int) -> None:
        self._queue, self._seconds = queue, lease_seconds / _RENEWALS_PER_LEASE
        self._held: set[Lease] = set()
        # Held while renewals are sent: one that arrives after a lease was given back would take it again.
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
        """Lease some work, or none if there is none within the time.

        Raises
        ------
        QueueGoneError : the run is over.
        """
        leases = self._queue.receive(at_most, wait_seconds)
        with self._lock:
            self._held.update(leases)
        return leases

    def give_back(self, lease: Lease, delay_seconds: int = 0) -> None:
        """Let others have the work, at once or after a delay."""
        self.let_lapse(lease)
        self._queue.give_back(lease, delay_seconds)

    def finish(self, lease: Lease) -> None:
        """Take the work out of the queue for good."""
        self.let_lapse(lease)
        self._queue.finish(lease)

    def let_lapse(self, lease: Lease) -> None:
        """Stop renewing a lease; harmless if the lease is not held."""
        with self._lock:
            self._held.discard(lease)

    def _renew(self) -> None:
        while not self._ended.wait(self._seconds):
            with self._lock:
                try:
                    self._queue.renew(list(self._held))
                except QueueGoneError:
                    return
                except RiosBatchError as error:  # the next round tries again; a lapsed lease only costs work
                    log.warning("leases could not be renewed: %s", error)
