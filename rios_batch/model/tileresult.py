"""What a worker hands back for a tile: frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rios_batch.model.blobs import StoredBlocks
    from rios_batch.model.creationoptions import Compression
    from rios_batch.model.encodedblocks import EncodedBlocks
    from rios_batch.model.grid import PixelWindow
    from rios_batch.model.spec import Array, Layout
    from rios_batch.model.statistics import PartialStatistics


@dataclass(frozen=True)
class TileOutput:
    """One output's part of a tile: encoded blocks, here or in S3, or an array of shape (bands, rows, cols).

    Blocks are those of all resolutions that are whole in the tile, the coarsest first. ``coarsest`` is the tile at the
    coarsest of them, as an array, of which main makes the overviews that are coarser still; None if there are none.
    ``statistics`` has one entry for each band, or none. ``lost_px`` are pixels that were computed from data, and are
    nodata because the script named no nodata value. ``compression`` is the blocks', if chosen.
    """

    layout: Layout
    payload: EncodedBlocks | StoredBlocks | Array = field(repr=False)
    coarsest: Array | None = field(default=None, repr=False)
    statistics: tuple[PartialStatistics, ...] = field(default=(), repr=False)
    lost_px: int = 0
    compression: Compression | None = None

    @property
    def nbytes(self) -> int:
        """Return the size of what travels."""
        coarsest = 0 if self.coarsest is None else self.coarsest.nbytes
        return self.payload.nbytes + coarsest + sum(band.nbytes for band in self.statistics)


@dataclass(frozen=True)
class TileRecord:
    """What happened to a tile. Times are wall-clock seconds, summed over its blocks.

    ``skipped`` has the name of each input that was read as nodata somewhere, and why. ``began_at`` and ``ended_at`` are
    seconds since 1970, by the worker's clock.
    """

    tile: int
    window: PixelWindow
    worker: str
    blocks: int
    reading_s: float
    function_s: float
    encoding_s: float
    statistics_s: float
    bytes_out: int
    skipped: tuple[tuple[str, str], ...] = ()
    began_at: float = 0.0
    ended_at: float = 0.0


@dataclass(frozen=True)
class TileResult:
    """A finished tile: its record, its outputs in the order of ``RunSpec.outputs``.

    ``other_args`` holds the attributes of otherArgs that the tile changed, pickled one by one; None stands
    for a value that cannot be pickled. It is empty where the tile worked on the caller's own object.
    """

    record: TileRecord
    outputs: tuple[TileOutput, ...]
    other_args: Mapping[str, bytes | None] = field(default_factory=dict)
