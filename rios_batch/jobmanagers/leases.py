"""Keeping leases alive while their work goes on."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Self

from rios_batch.aws.queue import QueueGoneError

if TYPE_CHECKING:
    from rios_batch.aws.queue import Lease, WorkQueue

log = logging.getLogger("rios_batch")

_RENEWALS_PER_LEASE = 3  # so that one that fails, or a machine that stutters, loses nothing


class LeaseKeeper:
    """Renews leases from a thread of its own, from `hold` until `release`."""

    def __init__(self, queue: WorkQueue, lease_seconds: int) -> None:
        self._queue, self._seconds = queue, lease_seconds / _RENEWALS_PER_LEASE
        self._held: set[Lease] = set()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="rios_batch leases", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Let the leases run out."""
        self._ended.set()
        self._thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def hold(self, lease: Lease) -> None:
        """Renew it from now on."""
        with self._lock:
            self._held.add(lease)

    def release(self, lease: Lease) -> None:
        """Stop renewing it; harmless if it is not held."""
        with self._lock:
            self._held.discard(lease)

    @property
    def held(self) -> tuple[Lease, ...]:
        with self._lock:
            return tuple(self._held)

    def _renew(self) -> None:
        while not self._ended.wait(self._seconds):
            if not self.held:
                continue
            try:
                self._queue.renew(self.held)
            except QueueGoneError:
                return
            except Exception as error:  # noqa: BLE001 - the next round tries again; a lapsed lease only costs work
                log.warning("leases could not be renewed: %s", error)
