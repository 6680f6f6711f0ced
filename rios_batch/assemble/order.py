"""The order in which results are used, whichever worker was quicker, and that there is one for every tile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rios_batch.errors import JobMgrError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rios_batch.model.spec import RunSpec
    from rios_batch.model.tileresult import TileResult


def in_tile_order(results: Iterable[TileResult], spec: RunSpec) -> Iterator[TileResult]:
    """Yield results by tile number, keeping those that come early until their turn.

    Everything that depends on order (the file's bytes, merged lists) is then the same for every job manager. Whatever
    the format of an output, this is where a missing tile is noticed: before anything is committed or forgotten.

    Raises
    ------
    JobMgrError : a tile has no result, or two, or a result is not one of a tile of this run.
    """
    early: dict[int, TileResult] = {}
    turn, ntiles = 0, len(spec.plan)
    for result in results:
        index = result.record.tile
        _check_belongs(result, spec)
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


def _check_belongs(result: TileResult, spec: RunSpec) -> None:
    record, ntiles = result.record, len(spec.plan)
    if not 0 <= record.tile < ntiles:
        raise JobMgrError(
            f"the job manager gave a result of tile {record.tile}, but the run has tiles 0 to {ntiles - 1}; it must "
            "give every tile of Run.spec.plan once"
        )
    window = spec.plan.tile(record.tile).window
    if record.window != window:
        raise JobMgrError(
            f"the job manager gave a result of tile {record.tile} with {record.window}, but the tile has {window}; it "
            "must give every tile of Run.spec.plan once"
        )
    if len(result.outputs) != len(spec.outputs):
        raise JobMgrError(
            f"the job manager gave tile {record.tile} with {len(result.outputs)} outputs; the run has "
            f"{len(spec.outputs)}, and TileResult.outputs must have all of them in the order of RunSpec.outputs"
        )
