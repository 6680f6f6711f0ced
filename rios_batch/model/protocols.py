# ruff: noqa: N802 - RIOS's names
"""The seams: what a part needs of its neighbour, and all that a test may put in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rios_batch.model.blobs import StoredBlocks
    from rios_batch.model.geotiff import EncodedBlocks
    from rios_batch.model.statitems import BandStatistics
    from rios_batch.model.tileresult import TileOutput
    from rios_batch.model.tiles import Tile


class RasterSink(Protocol):
    """One output file being written. Nothing is at its path before ``commit``."""

    def write(self, tile: Tile, tile_output: TileOutput) -> None:
        """Take one tile's part; tiles come in order of their index."""

    def finish(self, statistics: Sequence[BandStatistics] = ()) -> None:
        """Complete the file beside its path, with statistics of its bands if there are any."""

    def commit(self) -> None:
        """Move the finished file to its path, replacing what was there."""

    def abort(self) -> None:
        """Remove everything that was written; harmless after ``commit``."""


class ByteSink(Protocol):
    """The bytes of one output file being written, on disk or in S3. Nothing is at the file's path before ``commit``.

    The file is a front of so many bytes, which is known last, and blocks that are appended behind the front. Every
    method but ``abort`` raises OutputError, with the output's name, where the bytes cannot be written or a stored
    block cannot be read.
    """

    def append(self, blocks: EncodedBlocks | StoredBlocks) -> None:
        """Take the next bytes of the file."""

    def finish(self, front: bytes, side_files: Mapping[str, bytes]) -> None:
        """Take the first bytes of the file, and the content of the files beside it, by their names."""

    def commit(self) -> None:
        """Have the file appear at its path with its side files, in place of what was there."""

    def abort(self) -> None:
        """Remove everything that was written; harmless after ``commit``."""


class Progress(Protocol):
    """A progress object in RIOS's form (``controls.setProgress``)."""

    def setTotalSteps(self, steps: int) -> None: ...
    def setProgress(self, progress: int) -> None: ...
    def setLabelText(self, text: str) -> None: ...
    def reset(self) -> None: ...
    def wasCancelled(self) -> bool: ...
