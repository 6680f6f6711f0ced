# ruff: noqa: N802 - RIOS's names
"""The seams: what a part needs of its neighbour, and all that a test may put in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rios_batch.model.statitems import BandStatistics
    from rios_batch.model.tileresult import TileOutput
    from rios_batch.model.tiles import Tile


class RasterSink(Protocol):
    """One output file being written. Nothing is at its path before ``commit``."""

    def write(self, tile: Tile, output: TileOutput) -> None:
        """Take one tile's part; tiles come in order of their index."""

    def finish(self, statistics: Sequence[BandStatistics] = ()) -> None:
        """Complete the file beside its path, with statistics of its bands if there are any."""

    def commit(self) -> None:
        """Move the finished file to its path, replacing what was there."""

    def abort(self) -> None:
        """Remove everything that was written; harmless after ``commit``."""


class Progress(Protocol):
    """A progress object in RIOS's form (``controls.setProgress``)."""

    def setTotalSteps(self, steps: int) -> None: ...
    def setProgress(self, progress: int) -> None: ...
    def setLabelText(self, text: str) -> None: ...
    def reset(self) -> None: ...
    def wasCancelled(self) -> bool: ...
