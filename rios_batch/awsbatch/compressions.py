"""How outputs are compressed, on a worker's way to know what main has chosen."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rios_batch.awsbatch.runstore import RunStore
    from rios_batch.model.creationoptions import Compression
    from rios_batch.model.tiles import Tile


class ChosenCompressions:
    """What main has chosen; S3 is asked before each tile until all is known. Threads may share it.

    Parameters
    ----------
    store : the run's objects.
    to_choose : outputs whose compression main chooses.
    """

    def __init__(self, store: RunStore, to_choose: int) -> None:
        self._store, self._to_choose = store, to_choose
        self._known: tuple[Compression | None, ...] = ()

    def on(self, tile: Tile) -> Tile:
        """Return the tile with what is known.

        Raises
        ------
        S3Error : S3 cannot be asked.
        """
        if sum(compression is not None for compression in self._known) < self._to_choose:
            self._known = self._store.compressions()
        return replace(tile, compressions=self._known)
