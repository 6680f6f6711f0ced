"""Main's signs of life, so that others can tell a run whose main is there from one whose main is gone."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from rios_batch.errors import RiosBatchError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rios_batch.awsbatch.runstore import RunStore

log = logging.getLogger("rios_batch")

BEAT_SECONDS = 60.0
_JOIN_SECONDS = 5.0  # a request may be on its way


class Heartbeat:
    """Stores a sign of life every BEAT_SECONDS, whatever main does meanwhile: outputs may take hours to write."""

    def __init__(self, store: RunStore) -> None:
        self._store = store
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="rios_batch heartbeat", daemon=True)

    def start(self) -> None:
        """Begin.

        Raises
        ------
        S3Error : S3 refuses the first sign.
        """
        self._store.show_life()
        self._thread.start()

    def stop(self, *, forget: bool = True) -> None:
        """End, and take the sign away, unless it is another main's by now. Harmless before `start` and if repeated."""
        if self._thread.is_alive() and not self._stopped.is_set():
            self._stopped.set()
            self._thread.join(_JOIN_SECONDS)
            if forget:
                self._say_quietly(self._store.forget_life)

    def _beat(self) -> None:
        while not self._stopped.wait(BEAT_SECONDS):
            self._say_quietly(self._store.show_life)

    def _say_quietly(self, store: Callable[[], None]) -> None:
        """Store a sign, or not: main itself says when AWS is out of reach, and an old sign is soon taken for none."""
        try:
            store()
        except RiosBatchError as error:
            log.debug("no sign of life: %s", error)
