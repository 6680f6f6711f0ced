"""Main's waiting: wherever main waits, main also looks, so a failure is seen everywhere."""

from __future__ import annotations

import logging
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any, TypeVar

from rios_batch.aws.faults import QueueGoneError
from rios_batch.awsbatch.supervisor import AWS_PATIENCE_SECONDS
from rios_batch.errors import AWSUnavailableError, S3UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rios_batch.jobmanagers.watchdog import Watchdog

log = logging.getLogger("rios_batch")

T = TypeVar("T")

POLL_SECONDS = 1.0


class Poll:
    """Looks at everything that may have happened, POLL_SECONDS after the last look was over.

    The looks are made in a thread of their own: AWS may take long to answer, and main goes on writing meanwhile. What
    they raise is raised to main.

    Parameters
    ----------
    watchdog : counts main's waiting.

    Attributes
    ----------
    awaited : says what main waits for.
    queue_gone : goes on where a look has found the queue gone; None lets that end the run.
    over : nothing can happen any more, so nobody looks.
    """

    def __init__(self, watchdog: Watchdog) -> None:
        self._watchdog = watchdog
        self.awaited: Callable[[], str] = lambda: "workers"
        self.queue_gone: Callable[[], None] | None = None
        self._looks: list[Callable[[], None]] = []
        self._looks_of_main: list[Callable[[], None]] = []
        self._executor = ThreadPoolExecutor(1, "rios_batch look")
        self._looking: Future[float] | None = None
        self._next_at, self._answered_at = 0.0, time.monotonic()
        self.over = False

    def add(self, *looks: Callable[[], None]) -> None:
        """Have these called at each look, in this order, after those added before. They run in the other thread."""
        self._looks.extend(looks)

    def add_for_main(self, *looks: Callable[[], None]) -> None:
        """Have these called by main itself, after each look."""
        self._looks_of_main.extend(looks)

    def wait(self) -> None:
        """Let a moment pass, then look.

        Raises
        ------
        RiosBatchError : what ends the run.
        """
        self._pass()

    def result_of(self, future: Future[T]) -> T:
        """Wait for a request that another thread makes, look meanwhile, and return what came of the request.

        Raises
        ------
        RiosBatchError : what the request raised, or what ends the run.
        """
        while not future.done():
            self._pass(future)
        return future.result()

    def _pass(self, *awaited: Future[Any]) -> None:
        began = time.monotonic()
        if self._looking is not None and not self.over:
            wait([*awaited, self._looking], POLL_SECONDS, FIRST_COMPLETED)
        else:
            pause = max(0.01, min(POLL_SECONDS, self._next_at - began))
            wait(awaited, pause) if awaited else time.sleep(pause)
        self._watchdog.waited(time.monotonic() - began, self.awaited)
        self.look()

    def look(self) -> None:
        """Begin to look, if it is time, or see what the look that has ended found.

        Raises
        ------
        RiosBatchError : what ends the run. AWS out of reach ends the run only after AWS_PATIENCE_SECONDS.
        """
        if self.over:
            return
        if self._looking is None:
            if time.monotonic() >= self._next_at:
                self._looking = self._executor.submit(self._look_at_all)
        elif self._looking.done():
            looking, self._looking = self._looking, None
            self._next_at = time.monotonic() + POLL_SECONDS
            try:
                self._take(looking)
                for look in self._looks_of_main:
                    look()
            except QueueGoneError:
                if self.queue_gone is None:
                    raise
                self.queue_gone()

    def close(self) -> None:
        """Look no more, and wait for the end of a look that is under way."""
        self.over = True
        self._executor.shutdown()

    def _look_at_all(self) -> float:
        for look in self._looks:
            look()
        return time.monotonic()

    def _take(self, looking: Future[float]) -> None:
        try:
            self._answered_at = looking.result()
        except (AWSUnavailableError, S3UnavailableError) as error:
            # Workers go on meanwhile; a laptop's network may be gone for a while.
            if time.monotonic() > self._answered_at + AWS_PATIENCE_SECONDS:
                raise
            log.warning("main goes on trying: %s", error)
