"""Which tiles of a run are finished, and the fetching of these in the order of the tiles."""

from __future__ import annotations

import itertools
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

from rios_batch.awsbatch.decoding import RecordError
from rios_batch.errors import ChangedObjectError, DamagedObjectError, MissingObjectError, RiosBatchError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from concurrent.futures import Future

    from rios_batch.aws.objects import ObjectInfo
    from rios_batch.awsbatch.polling import Poll
    from rios_batch.awsbatch.runstore import RunStore
    from rios_batch.model.tileresult import TileResult

log = logging.getLogger("rios_batch")

_DAMAGED = (RecordError, ChangedObjectError, MissingObjectError)
_MOST_DAMAGES = 3  # of one tile, before nobody believes in chance any more
_FETCHES = 32  # at a time; S3 takes 30 ms or more for each
_AHEAD_TILES, _AHEAD_BYTES = (
    128,
    256 * 2**20,
)  # finished tiles, and what main holds of them, before their turn
_PAGE_KEYS = 1000  # the most that S3 lists in one request


class FinishedTiles:
    """The tiles that workers have left in S3, as far as main has looked.

    A look is at most two requests, however many tiles there are and in whatever order they are finished: one from the
    first missing tile on, which is what main needs next, and one further on, where the last look ended.

    One thread may look while another asks.

    Parameters
    ----------
    store : the run's objects.
    total : number of tiles of the run.
    """

    def __init__(self, store: RunStore, total: int) -> None:
        self._store, self.total = store, total
        self._is_finished = bytearray(total)
        self._count = 0
        self._waiting: dict[int, ObjectInfo] = {}  # finished, and not handed over yet
        self._looked_to = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, index: int) -> bool:
        return bool(self._is_finished[index])

    @property
    def complete(self) -> bool:
        """Say whether all tiles are finished."""
        return self._count == self.total

    def missing(self) -> list[int]:
        """Return the tiles that are not finished."""
        return [index for index, is_finished in enumerate(self._is_finished) if not is_finished]

    def look(self) -> None:
        """See which tiles were finished since the last look; of very many tiles those far ahead after some looks.

        Raises
        ------
        S3Error : the tiles cannot be listed.
        """
        ahead = self._look_from(0)
        if ahead < self.total:
            self._looked_to = self._look_from(max(ahead, self._looked_to))
            if self._looked_to == self.total:
                self._looked_to = 0

    def look_everywhere(self) -> None:
        """See which of all tiles are finished.

        Raises
        ------
        S3Error : the tiles cannot be listed.
        """
        number = 0
        while number < self.total:
            number = self._look_from(number)

    def _look_from(self, number: int) -> int:
        """List a page from the first missing tile after ``number`` on, and return up to where all is seen."""
        first = self._is_finished.find(0, number)
        if first < 0:
            return self.total
        page = list(itertools.islice(self._store.tiles(first), _PAGE_KEYS))
        for index, found in page:
            if index < self.total and not self._is_finished[index]:  # others are not of this run's plan
                self._waiting[index] = found
                self._is_finished[index] = True
                self._count += 1
        return min(page[-1][0] + 1, self.total) if len(page) == _PAGE_KEYS else self.total

    def ahead(self, first: int, held_bytes: Callable[[ObjectInfo], int]) -> dict[int, ObjectInfo]:
        """Return the tiles to fetch now, from ``first`` on without a gap, as many as main may hold.

        Parameters
        ----------
        held_bytes : how much of a tile's object main holds when the tile is fetched.
        """
        tiles: dict[int, ObjectInfo] = {}
        nbytes = 0
        for index in range(first, first + _AHEAD_TILES):
            if index not in self._waiting or nbytes > _AHEAD_BYTES:
                break
            tiles[index] = self._waiting[index]
            nbytes += held_bytes(tiles[index])
        return tiles

    def set_aside(self, index: int, *, remove: bool) -> None:
        """Have a tile be missing again.

        Parameters
        ----------
        remove : remove the tile's object, which is not what a worker has left.

        Raises
        ------
        S3Error : the object cannot be removed.
        """
        if remove:
            self._store.set_aside(index)
        del self._waiting[index]
        self._is_finished[index] = False
        self._count -= 1

    def hand_over(self, index: int) -> None:
        """Forget where a tile is, because the tile's result is handed over."""
        del self._waiting[index]


class Fetch(Protocol):
    """Gets results from S3; called from several threads."""

    def __call__(self, found: ObjectInfo) -> TileResult:
        """Return the result that an object holds."""

    def held_bytes(self, found: ObjectInfo) -> int:
        """Return how many bytes of an object are in memory when the object is fetched."""


def in_order(
    tiles: FinishedTiles,
    fetch: Fetch,
    poll: Poll,
    compute_again: Callable[[int], None],
) -> Generator[TileResult, None, None]:
    """Yield the results of all tiles in order, some fetched ahead. A damaged tile is set aside and computed again.

    Parameters
    ----------
    tiles : where the results are.
    poll : waits, and sees what has happened; looks before each tile.
    compute_again : has workers compute a tile once more.

    Raises
    ------
    RiosBatchError : what ends the run, or a result that cannot be fetched.
    DamagedObjectError : a tile is damaged again and again.
    """
    executor = ThreadPoolExecutor(_FETCHES, "rios_batch fetch")
    try:
        coming: dict[int, Future[TileResult]] = {}
        for index in range(tiles.total):
            for damages in itertools.count(1):
                while index not in tiles:
                    poll.wait()
                poll.look()
                # Not before each tile: the tiles ahead are nearly the same.
                if index not in coming or len(coming) <= _FETCHES:
                    _fetch_ahead(tiles, index, fetch, coming, executor)
                try:
                    result = poll.result_of(coming.pop(index))
                    break
                except _DAMAGED as error:
                    _set_aside(tiles, index, error, damages)
                    compute_again(index)
            tiles.hand_over(index)
            yield result
    finally:
        # Whatever is on its way is of no use any more, and must not keep workers running.
        executor.shutdown(wait=False, cancel_futures=True)


def _fetch_ahead(
    tiles: FinishedTiles,
    first: int,
    fetch: Fetch,
    coming: dict[int, Future[TileResult]],
    executor: ThreadPoolExecutor,
) -> None:
    for number, found in tiles.ahead(first, fetch.held_bytes).items():
        if number not in coming:
            coming[number] = executor.submit(fetch, found)


def _set_aside(tiles: FinishedTiles, index: int, error: RiosBatchError, damages: int) -> None:
    """Have a damaged tile be missing again, if that is still worth a try.

    Raises
    ------
    DamagedObjectError : the tile is damaged again and again.
    """
    # Where another object is by now, or none, a worker's new one may be there before long.
    tiles.set_aside(index, remove=isinstance(error, RecordError))
    if damages >= _MOST_DAMAGES:
        raise DamagedObjectError(f"tile {index} is damaged again and again: {error}") from error
    log.warning("tile %d is set aside and computed again: %s", index, error)
