"""Main's waiting for others: what is waited for is said now and then, and a script can set a limit."""

from __future__ import annotations

import logging
import math
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from rios_batch.errors import WaitLimitError

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("rios_batch")

T = TypeVar("T")

FIRST_HINT_SECONDS = 60.0
_LONGEST_BETWEEN_HINTS_SECONDS = 3600.0
_SAID_IN_MINUTES_SECONDS = 300.0


class Watchdog:
    """Counts the time in which main waits and hears nothing.

    What main does itself meanwhile, such as writing a tile, is no waiting. After FIRST_HINT_SECONDS without news a
    warning says what main waits for, and again whenever main has waited for twice as long, or for another hour.

    Parameters
    ----------
    limit_s : seconds of waiting without news that end the run (``controls.setWaitLimit``); None for no limit.
    """

    def __init__(self, limit_s: float | None = None) -> None:
        self._limit_s = math.inf if limit_s is None else limit_s
        self._waited_s, self._next_hint_s = 0.0, FIRST_HINT_SECONDS
        self._news, self._news_at = "", time.monotonic()

    @property
    def pause_s(self) -> float:
        """Return for how many seconds main may wait before there is something to say."""
        return max(0.0, min(self._next_hint_s, self._limit_s) - self._waited_s)

    def heard(self, news: str) -> None:
        """Take note of a sign of life."""
        self._waited_s, self._next_hint_s = 0.0, FIRST_HINT_SECONDS
        self._news, self._news_at = news, time.monotonic()

    def until(self, come: Callable[[float], T | None], awaited: Callable[[], str]) -> T:
        """Wait until something has come, and return it.

        Parameters
        ----------
        come : waits for at most so many seconds, and returns what has come; nothing or something empty if nothing has.
        awaited : says what main waits for.

        Raises
        ------
        WaitLimitError : the limit is over.
        """
        while True:
            began = time.monotonic()
            if found := come(self.pause_s):
                return found
            self.waited(time.monotonic() - began, awaited)

    def waited(self, seconds: float, awaited: Callable[[], str]) -> None:
        """Count time in which main has waited, and say so if that is due.

        Raises
        ------
        WaitLimitError : the limit is over.
        """
        self._waited_s += seconds
        if self._waited_s >= self._limit_s:
            raise WaitLimitError(
                f"nothing was heard while main waited for {_duration(self._waited_s)}, the limit of setWaitLimit: main "
                f"waited for {awaited()}; {self._last_news()}. Raise the limit if this may take longer"
            )
        if self._waited_s >= self._next_hint_s:
            self._next_hint_s += min(self._next_hint_s, _LONGEST_BETWEEN_HINTS_SECONDS)
            log.warning(
                "main has waited for %s, for %s; %s",
                _duration(self._waited_s),
                awaited(),
                self._last_news(),
            )

    def _last_news(self) -> str:
        ago = _duration(time.monotonic() - self._news_at)
        return f"last heard, {ago} ago: {self._news}" if self._news else f"nothing was heard since {ago} ago"


def activity(pid: int) -> str:
    """Return what the system says of a process, for a person who wonders whether the process hangs; or nothing."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # no Linux, or the process is gone
        return ""
    state, ticks = fields[0], int(fields[11]) + int(fields[12])
    used = f"{ticks / os.sysconf('SC_CLK_TCK'):.1f} s of processor time used so far"
    return f" (stopped by a signal; {used})" if state in "Tt" else f" ({used})"


def _duration(seconds: float) -> str:
    if seconds < _SAID_IN_MINUTES_SECONDS:
        return f"{seconds:.3g} s"
    hours, minutes = divmod(int(seconds) // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
