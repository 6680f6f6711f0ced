"""What is made once per run of pytest, however many processes share the tests."""

from __future__ import annotations

import fcntl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest


def once_per_run(
    factory: pytest.TempPathFactory, worker_id: str, name: str, make: Callable[[Path], None]
) -> Path:
    """Return a folder that the first process to ask has filled, while the others waited.

    Parameters
    ----------
    worker_id : pytest-xdist's name of this process, ``master`` when it is the only one.
    name : of the folder, the same in all processes.
    make : fills the folder, which is empty.
    """
    base = factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = shared / name
        if not folder.exists():
            unfinished = shared / f"{name}.unfinished-{worker_id}"
            unfinished.mkdir()
            make(unfinished)
            unfinished.rename(folder)
    return folder
