"""Main's waiting: wherever main waits, main also looks, so a failure is seen everywhere."""

from __future__ import annotations

import functools
import logging
import time
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, TypeVar

from rios_batch.awsbatch.supervisor import AWS_PATIENCE_SECONDS
from rios_batch.errors import AWSUnavailableError, S3UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rios_batch.jobmanagers.watchdog import Watchdog

log = logging.getLogger("rios_batch")

T = TypeVar("T")

POLL_SECONDS = 1.0


class Poll:
    """Looks at everything that may have happened, at most once in POLL_SECONDS.

    Parameters
    ----------
    watchdog : counts main's waiting.

    Attributes
    ----------
    awaited : says what main waits for.
    over : nothing can happen any more, so nobody looks.
    """

    def __init__(self, watchdog: Watchdog) -> None:
        self._watchdog = watchdog
        self.awaited: Callable[[], str] = lambda: "workers"
        self._looks: list[Callable[[], None]] = []
        self._next_at, self._answered_at = 0.0, time.monotonic()
        self.over = False

    def add(self, *looks: Callable[[], None]) -> None:
        """Have these called at each look, in this order, after those added before."""
        self._looks.extend(looks)

    def wait(self) -> None:
        """Let a moment pass, then look.

        Raises
        ------
        RiosBatchError : what ends the run.
        """
        self._pass(time.sleep)

    def result_of(self, future: Future[T]) -> T:
        """Wait for a request that another thread makes, look meanwhile, and return what came of the request.

        Raises
        ------
        RiosBatchError : what the request raised, or what ends the run.
        """
        while not future.done():
            self._pass(functools.partial(wait, [future]))
        return future.result()

    def _pass(self, pause: Callable[[float], object]) -> None:
        began = time.monotonic()
        pause(max(0.01, min(POLL_SECONDS, self._next_at - began)))
        self._watchdog.waited(time.monotonic() - began, self.awaited)
        self.look()

    def look(self) -> None:
        """Look, if POLL_SECONDS have passed since the last look.

        Raises
        ------
        RiosBatchError : what ends the run. AWS out of reach ends the run only after AWS_PATIENCE_SECONDS.
        """
        now = time.monotonic()
        if now < self._next_at or self.over:
            return
        self._next_at = now + POLL_SECONDS
        try:
            for look in self._looks:
                look()
        except (AWSUnavailableError, S3UnavailableError) as error:
            # Workers go on meanwhile; a laptop's network may be gone for a while.
            if now > self._answered_at + AWS_PATIENCE_SECONDS:
                raise
            log.warning("main goes on trying: %s", error)
        else:
            self._answered_at = time.monotonic()
