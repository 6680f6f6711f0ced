"""The worker processes of one worker, and the handing of tiles to those that are idle."""

from __future__ import annotations

import os
import queue
import threading
from typing import TYPE_CHECKING

from rios_batch.jobmanagers.children import Child

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rios_batch.jobmanagers.children import Death, TileFailure, WorkOrder
    from rios_batch.jobmanagers.shared_memory_pipe import Parcel
    from rios_batch.model.tileresult import TileResult
    from rios_batch.model.tiles import Tile


_ENV_VISIBLE = "CUDA_VISIBLE_DEVICES"


def gpu_environment(place: int, gpus: int, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variable that has a worker process see one GPU; nothing where there are none.

    Parameters
    ----------
    place : of the process among those of its worker, from 0.
    gpus : GPUs of the worker.
    environment : the worker's own, which may name its GPUs already.
    """
    if not gpus:
        return {}
    named = [name for name in environment.get(_ENV_VISIBLE, "").split(",") if name.strip()]
    visible = named or [str(number) for number in range(gpus)]
    return {_ENV_VISIBLE: visible[place % len(visible)]}


class PoolDismissedError(Exception):
    """The worker is being stopped; the tile was not computed."""


class ChildDiedError(Exception):
    """The tile ended its process. Another process has taken the place.

    Attributes
    ----------
    death : how the process ended.
    """

    def __init__(self, death: Death) -> None:
        super().__init__(death)
        self.death = death


class NoProcessError(Exception):
    """No process can be started in place of a dead one: there is no memory, say."""


class ProcessPool:
    """Computes tiles, one in each worker process. Threads may share it.

    Parameters
    ----------
    order : what each worker process is started with, and how many of them.
    """

    def __init__(self, order: WorkOrder) -> None:
        self._order = order
        self._parcel: Parcel | None = None
        self._children: dict[Child, int] = {}  # each with its place, which a successor takes over
        self._idle: queue.SimpleQueue[Child | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._dismissed = False

    def start(self) -> None:
        """Start all processes.

        Raises
        ------
        OSError, EOFError : a process cannot be started.
        """
        self._parcel = self._order.parcel()
        for place in range(self._order.num_workers):
            self._add(place)

    def compute(self, tile: Tile) -> TileResult | TileFailure:
        """Wait for an idle process and have it compute a tile.

        Raises
        ------
        PoolDismissedError : the worker is being stopped.
        ChildDiedError : the tile ended its process.
        NoProcessError : the dead process cannot be replaced.
        """
        child = self._idle.get()
        if child is None:
            self._idle.put(None)  # for the next one who waits
            raise PoolDismissedError
        child.send(tile)
        reply = child.receive()
        if reply is not None:
            self._idle.put(child)
            return reply
        with self._lock:
            if self._dismissed:
                raise PoolDismissedError
            place = self._children.pop(child)
        child.join()
        try:
            self._add(place)
        except (OSError, EOFError) as error:
            raise NoProcessError(str(error)) from error
        raise ChildDiedError(child.death)

    def dismiss(self) -> None:
        """End all processes, whatever they do. Threads in `compute` get PoolDismissedError."""
        with self._lock:
            self._dismissed = True
            for child in self._children:
                child.terminate()
        self._idle.put(None)

    def join(self) -> None:
        """Wait for the end of all processes."""
        for child in self._children:
            child.join()
        if self._parcel is not None:
            self._parcel.close()

    def _add(self, place: int) -> None:
        with self._lock:
            if self._dismissed or self._parcel is None:
                return
            child = Child.start(self._parcel, gpu_environment(place, self._order.gpus, os.environ))
            self._children[child] = place
        self._idle.put(child)
