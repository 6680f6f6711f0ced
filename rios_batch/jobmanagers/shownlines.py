"""Lines that are no warnings, on standard error."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger("rios_batch")


@contextlib.contextmanager
def lines_shown() -> Iterator[None]:
    """Have lines shown that are no warnings, on standard error where the script has not set up logging.

    A script that sets the level of the logger ``rios_batch`` decides for itself.
    """
    if log.level != logging.NOTSET:
        yield
        return
    handler = None if log.hasHandlers() else logging.StreamHandler()
    if handler is not None:
        log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.setLevel(logging.NOTSET)
        if handler is not None:
            log.removeHandler(handler)
