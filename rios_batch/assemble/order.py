"""The order in which results are used, whichever worker was quicker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rios_batch.errors import JobMgrError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rios_batch.model.tileresult import TileResult


def in_tile_order(results: Iterable[TileResult], ntiles: int) -> Iterator[TileResult]:
    """Yield results by tile number, keeping those that come early until their turn.

    Everything that depends on order (the file's bytes, merged lists) is then the same for every job manager.

    Raises
    ------
    JobMgrError : a tile has no result, or two.
    """
    early: dict[int, TileResult] = {}
    turn = 0
    for result in results:
        index = result.record.tile
        if index < turn or index in early:
            raise JobMgrError(f"the job manager gave tile {index} twice; it must give every tile once")
        early[index] = result
        while turn in early:
            yield early.pop(turn)
            turn += 1
    if turn != ntiles:
        raise JobMgrError(
            f"the job manager ended without a result of tile {turn}, of {ntiles} tiles; it must give every tile once"
        )
