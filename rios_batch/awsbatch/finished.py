"""Which tiles of a run are finished, and the fetching of these in the order of the tiles."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from concurrent.futures import Future

    from rios_batch.aws.objects import ObjectInfo
    from rios_batch.awsbatch.polling import Poll
    from rios_batch.awsbatch.runstore import RunStore
    from rios_batch.model.tileresult import TileResult

_FETCHES = 4  # at a time
_AHEAD_TILES, _AHEAD_BYTES = 8, 256 * 2**20  # finished tiles that main holds before their turn


class FinishedTiles:
    """The tiles that workers have left in S3, as far as main has looked.

    Parameters
    ----------
    store : the run's objects.
    total : number of tiles of the run.
    """

    def __init__(self, store: RunStore, total: int) -> None:
        self._store, self.total = store, total
        self._finished: set[int] = set()
        self._waiting: dict[int, ObjectInfo] = {}  # finished, and not handed over yet
        self._first_missing = 0

    def __len__(self) -> int:
        return len(self._finished)

    def __contains__(self, index: int) -> bool:
        return index in self._finished

    @property
    def complete(self) -> bool:
        """Say whether all tiles are finished."""
        return len(self._finished) == self.total

    def missing(self) -> list[int]:
        """Return the tiles that are not finished."""
        return [index for index in range(self.total) if index not in self._finished]

    def look(self) -> None:
        """See which tiles were finished since the last look.

        Raises
        ------
        S3Error : the tiles cannot be listed.
        """
        for index, found in self._store.tiles(self._first_missing):
            if index < self.total and index not in self._finished:  # others are not of this run's plan
                self._finished.add(index)
                self._waiting[index] = found
        while self._first_missing in self._finished:
            self._first_missing += 1

    def ahead(self, first: int) -> dict[int, ObjectInfo]:
        """Return the tiles to fetch now, from ``first`` on without a gap, as many as main may hold."""
        tiles: dict[int, ObjectInfo] = {}
        nbytes = 0
        for index in range(first, first + _AHEAD_TILES):
            if index not in self._waiting or nbytes > _AHEAD_BYTES:
                break
            tiles[index] = self._waiting[index]
            nbytes += tiles[index].size
        return tiles

    def hand_over(self, index: int) -> None:
        """Forget where a tile is, because the tile's result is handed over."""
        del self._waiting[index]


def in_order(
    tiles: FinishedTiles,
    fetch: Callable[[ObjectInfo], TileResult],
    poll: Poll,
) -> Generator[TileResult, None, None]:
    """Yield the results of all tiles in order, a few fetched ahead.

    Parameters
    ----------
    tiles : where the results are.
    fetch : gets one result from S3; called from several threads.
    poll : waits, and sees what has happened; looks before each tile.

    Raises
    ------
    RiosBatchError : what ends the run, or a result that cannot be fetched.
    """
    executor = ThreadPoolExecutor(_FETCHES, "rios_batch fetch")
    try:
        coming: dict[int, Future[TileResult]] = {}
        for index in range(tiles.total):
            while index not in tiles:
                poll.wait()
            poll.look()
            for number, found in tiles.ahead(index).items():
                if number not in coming:
                    coming[number] = executor.submit(fetch, found)
            result = poll.result_of(coming.pop(index))
            tiles.hand_over(index)
            yield result
    finally:
        # Whatever is on its way is of no use any more, and must not keep workers running.
        executor.shutdown(wait=False, cancel_futures=True)
