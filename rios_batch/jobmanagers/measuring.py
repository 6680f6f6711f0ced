"""One tile in a worker process of its own, and what the process has taken in memory."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rios_batch.errors import JobMgrError
from rios_batch.jobmanagers.children import Child, Death
from rios_batch.jobmanagers.workerstart import PRELOAD
from rios_batch.model.forecast import ProcessMemory

if TYPE_CHECKING:
    from rios_batch.jobmanagers.children import TileFailure, WorkOrder
    from rios_batch.model.tileresult import TileResult
    from rios_batch.model.tiles import Tile


@dataclass(frozen=True)
class OneTile:
    """What became of a tile.

    Attributes
    ----------
    reply : the tile, or the exception that it ended by, or how it ended its process.
    memory : what the process took; None if it has ended, or where the system does not tell.
    """

    reply: TileResult | TileFailure | Death
    memory: ProcessMemory | None


def compute_one_tile(order: WorkOrder, tile: Tile) -> OneTile:
    """Compute a tile as a worker does, in a new process.

    Raises
    ------
    JobMgrError : the process cannot be started.
    """
    with contextlib.ExitStack() as stack:
        try:
            parcel = stack.enter_context(order.parcel())
            child = Child.start(parcel)
        except OSError as error:
            raise JobMgrError(f"a worker process cannot be started: {error.strerror}") from error
        stack.callback(child.join)
        stack.callback(child.terminate)
        child.send(tile)
        reply = child.receive()
        if reply is None:
            return OneTile(child.death, None)
        return OneTile(reply, _memory_of(child.pid))


def resident_bytes() -> int:
    """Return what this process has in memory; 0 where the system does not tell."""
    return _status("self").get("VmRSS", 0)


def _memory_of(pid: int) -> ProcessMemory | None:
    own = _status(pid)
    if not PRELOAD or not own:
        return None
    return ProcessMemory(own["VmHWM"], own["RssFile"], _status(own["PPid"]).get("RssAnon", 0))


def _status(pid: int | str) -> dict[str, int]:
    """Return what Linux tells of a process, in bytes; nothing where it does not."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return {}
    return {
        name: int(value) * (1024 if unit else 1)
        for name, value, unit in re.findall(r"^(\w+):\s+(\d+)( kB)?$", text, re.MULTILINE)
    }
