"""Main's waiting: wherever main waits, main also looks, so a failure is seen everywhere."""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

from rios_batch.awsbatch.supervisor import AWS_PATIENCE_SECONDS
from rios_batch.errors import AWSUnavailableError, S3UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

log = logging.getLogger("rios_batch")

POLL_SECONDS = 1.0


class Poll:
    """Looks at everything that may have happened, POLL_SECONDS after the last look was over.

    The looks are made in a thread of their own: AWS may take long to answer, and main goes on writing meanwhile. What
    they raise is raised to main.

    Attributes
    ----------
    over : nothing can happen any more, so nobody looks.
    """

    def __init__(self) -> None:
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
        if self._looking is not None:
            wait([self._looking], POLL_SECONDS)
        else:
            time.sleep(max(0.01, min(POLL_SECONDS, self._next_at - time.monotonic())))
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
            self._take(looking)
            for look in self._looks_of_main:
                look()

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
