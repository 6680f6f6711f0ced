"""The queue that job managers on this machine take tiles from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rios_batch.model.creationoptions import Compression
    from rios_batch.model.tiles import Tile, TilePlan

# Tiles in memory beyond those being computed: enough that one slow tile seldom makes the others wait.
AHEAD_PER_WORKER = 4
MAX_AHEAD_BYTES = 2**30


class TileQueue:
    """The tiles of a plan, handed out in order, never far ahead of the first unfinished one.

    Results are used in tile order, so a finished tile waits in memory until those before it are done; one
    slow tile must not let all the others pile up.

    Parameters
    ----------
    num_workers : at least so many tiles are handed out, and at most AHEAD_PER_WORKER times as many past the first
        unfinished one; fewer where results are so large that they would fill MAX_AHEAD_BYTES.
    finished : tiles that need not be handed out.

    Attributes
    ----------
    compressions : how the outputs of tiles from now on are compressed, as far as that is chosen.
    """

    def __init__(self, plan: TilePlan, num_workers: int, finished: frozenset[int] = frozenset()) -> None:
        self._plan, self._num_workers = plan, num_workers
        self.compressions: tuple[Compression | None, ...] = ()
        self._max_ahead = AHEAD_PER_WORKER * num_workers
        self._next = 0
        self._first_unfinished = 0
        self._finished = set(finished)
        self._skipped = finished
        self._returned: list[int] = []
        self._pass_over_finished()

    @property
    def all_finished(self) -> bool:
        return self._first_unfinished == len(self._plan)

    def take(self) -> Tile | None:
        """Return the next tile, or None if there is none, or none to take before others finish."""
        if self._returned:
            return self._tile(self._returned.pop())
        while self._next in self._skipped:
            self._next += 1
        if self._next == len(self._plan) or self._next >= self._first_unfinished + self._max_ahead:
            return None
        self._next += 1
        return self._tile(self._next - 1)

    def _tile(self, index: int) -> Tile:
        return replace(self._plan.tile(index), compressions=self.compressions)

    def give_back(self, tile: Tile) -> None:
        """Put back a tile whose worker died; it is taken next."""
        self._returned.append(tile.index)

    def finish(self, tile_index: int, result_bytes: int) -> None:
        """Say that a tile's result of this size has arrived."""
        fitting = MAX_AHEAD_BYTES // max(result_bytes, 1)
        self._max_ahead = max(self._num_workers, min(self._max_ahead, fitting))
        self._finished.add(tile_index)
        self._pass_over_finished()

    def _pass_over_finished(self) -> None:
        while self._first_unfinished in self._finished:
            self._finished.remove(self._first_unfinished)
            self._first_unfinished += 1
