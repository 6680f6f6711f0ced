"""Main's waiting: wherever main waits it also looks, so that a failure is seen everywhere."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from rios_batch.awsbatch.supervisor import AWS_PATIENCE_SECONDS
from rios_batch.errors import AWSUnavailableError, S3UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("rios_batch")

POLL_SECONDS = 1.0


class Poll:
    """Looks at everything that may have happened, at most once in POLL_SECONDS.

    Attributes
    ----------
    over : nothing can happen any more, so nobody looks.
    """

    def __init__(self) -> None:
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
        time.sleep(max(0.01, min(POLL_SECONDS, self._next_at - time.monotonic())))
        self.look()

    def look(self) -> None:
        """Look, if it is time.

        Raises
        ------
        RiosBatchError : what ends the run; that AWS is out of reach does so only after AWS_PATIENCE_SECONDS.
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
