# ruff: noqa: N802 - RIOS's names
"""The seams: what a part needs of its neighbour, and all that a test may put in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rios_batch.model.blobs import Blob
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


class PendingBlob(Protocol):
    """A blob that is being made."""

    def result(self) -> Blob:
        """Wait until it is there."""


class BlobStore(Protocol):
    """The encoded blocks of a run that lie in S3, as the writer of an output sees them."""

    def read(self, blob: Blob) -> bytes:
        """Fetch a blob; the caller counts what passes through it."""

    def merge(self, blobs: Sequence[Blob]) -> PendingBlob:
        """Have a worker put blobs end to end into one, so that they need not pass through main."""


class Progress(Protocol):
    """A progress object in RIOS's form (``controls.setProgress``)."""

    def setTotalSteps(self, steps: int) -> None: ...
    def setProgress(self, progress: int) -> None: ...
    def setLabelText(self, text: str) -> None: ...
    def reset(self) -> None: ...
    def wasCancelled(self) -> bool: ...
