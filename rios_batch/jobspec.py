"""What a worker needs to know, and what it hands back: frozen values, no GDAL, no AWS."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from rios_batch.s3names import SCHEME

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from rios_batch.bandstats import PartialStatistics
    from rios_batch.creationoptions import CreationOptions
    from rios_batch.geotiff import EncodedBlocks
    from rios_batch.grid import PixelGridDefn, PixelWindow
    from rios_batch.plan import TilePlan
    from rios_batch.protocols import BlobShelf
    from rios_batch.pyramid import Pyramid

    Array = NDArray[Any]
    UserFunction = Callable[..., object]


@dataclass(frozen=True)
class Warp:
    """How a raster is resampled: all that the result depends on, so that every worker gets the same pixels.

    ``grid`` is what the pixels are resampled onto, in chunks of ``chunk_px`` x ``chunk_px``. ``xscale`` and
    ``yscale`` are grid pixels per source pixel. ``overview`` is the file's overview that is the source, from
    0 for the finest; None for full resolution.
    """

    method: str
    grid: PixelGridDefn
    chunk_px: int
    xscale: float
    yscale: float
    overview: int | None


@dataclass(frozen=True)
class Burn:
    """How a layer of a vector file is rasterised.

    ``layer`` is its name or number. What is burned is ``value``, or the number in ``attribute``. ``where`` selects
    features, in OGR's SQL.
    """

    layer: str | int
    value: float
    attribute: str | None
    where: str | None
    all_touched: bool


@dataclass(frozen=True)
class InputFile:
    """One raster on the working grid's lattice, or what is made into one.

    ``name`` is what the script called it; ``path`` is what is opened, wherever the working directory is by then.
    ``col_offset`` and ``row_offset`` lead from a pixel of the working grid to one of the raster, which has ``ncols``
    x ``nrows`` pixels. ``layers`` are the 1-based bands of the file that the user function sees, in its order;
    ``nodata`` has one value for each. With ``warp`` the raster is the file resampled, with ``burn`` it is a vector
    file rasterised, which has no edges.
    """

    name: str
    path: str
    col_offset: int
    row_offset: int
    ncols: int
    nrows: int
    dtype: str
    layers: tuple[int, ...]
    nodata: tuple[float | None, ...]
    warp: Warp | None = None
    burn: Burn | None = None


@dataclass(frozen=True)
class InputSpec:
    """A symbolic input name; with ``is_list`` the user function gets a list of arrays."""

    name: str
    files: tuple[InputFile, ...]
    is_list: bool


@dataclass(frozen=True)
class StatisticsSpec:
    """What is computed of each band of an output while it is written.

    ``basic`` are minimum, maximum, mean and standard deviation; median and mode belong to the ``histogram``. Both are
    of every ``step``-th row and column of the working grid.
    """

    basic: bool
    histogram: bool
    step: int


@dataclass(frozen=True)
class OutputSpec:
    """One output file and how it is written.

    ``sequence`` is the position in a list of files, or None for a single file. ``encoded_by_workers``
    says that tiles arrive as encoded TIFF blocks; otherwise they arrive as arrays.
    ``blocks_are_whole`` says that every block of the user function is also whole TIFF blocks. ``pyramid`` is
    None where there are no overviews; ``changed_by_script`` says that the script gets the finished file before it is in
    its place; ``colour_table`` is one of :data:`rios_batch.colourtables.KINDS`, or None.
    """

    name: str
    sequence: int | None
    path: str
    driver: str
    creation_options: CreationOptions
    nodata: float | None
    thematic: bool
    layer_names: tuple[str, ...]
    encoded_by_workers: bool
    blocks_are_whole: bool
    pyramid: Pyramid | None = None
    statistics: StatisticsSpec | None = None
    colour_table: str | None = None
    changed_by_script: bool = False

    @property
    def stays_in_s3(self) -> bool:
        """Say whether it is put together in S3, so that its blocks need not pass through main."""
        return self.encoded_by_workers and self.path.startswith(SCHEME) and not self.changed_by_script

    @property
    def label(self) -> str:
        """Return the name as a script would write it: ``outputs.ndvi`` or ``outputs.masks[1]``."""
        return f"outputs.{self.name}" + ("" if self.sequence is None else f"[{self.sequence}]")


@dataclass(frozen=True)
class TileJob:
    """All that is the same for every tile of a run.

    ``input_cache_bytes`` is what GDAL's block cache must hold so that no input block is read twice in a tile.
    """

    function: UserFunction
    takes_other_args: bool
    inputs: tuple[InputSpec, ...]
    outputs: tuple[OutputSpec, ...]
    grid: PixelGridDefn
    plan: TilePlan
    overlap_px: int
    input_cache_bytes: int

    def with_inputs_at(self, paths: Mapping[str, str]) -> TileJob:
        """Return the job for a place where inputs lie elsewhere; paths that are not named stay."""
        if not paths:
            return self
        inputs = tuple(
            replace(spec, files=tuple(replace(f, path=paths.get(f.path, f.path)) for f in spec.files))
            for spec in self.inputs
        )
        return replace(self, inputs=inputs)

    def encoded_overviews(self, output: OutputSpec) -> tuple[int, ...]:
        """Return the factors of an output's overviews that are encoded with each tile; main encodes the others."""
        return output.pyramid.encoded_in_tiles(self.plan) if output.pyramid else ()

    @property
    def input_names(self) -> tuple[str, ...]:
        return tuple(file.name for spec in self.inputs for file in spec.files)


@dataclass(frozen=True)
class RunOptions:
    """Settings for job managers whose runs outlive main.

    ``resume`` is False, True for the newest run with these outputs, or a run's id. With ``coordinate_only`` main
    computes no tile itself.
    """

    resume: bool | str = False
    coordinate_only: bool = False


@dataclass(frozen=True)
class Layout:
    """Data type (numpy's name) and number of bands of an output."""

    dtype: str
    nbands: int

    def __str__(self) -> str:
        return f"{self.nbands} band{'s' if self.nbands != 1 else ''} of {self.dtype}"


@dataclass(frozen=True)
class Blob:
    """A run of bytes inside an S3 object: ``size`` bytes from ``start`` of the version that ``etag`` names."""

    bucket: str
    key: str
    etag: str
    start: int
    size: int


@dataclass(frozen=True)
class StoredBlocks:
    """Encoded blocks that a worker left in S3; ``byte_counts`` as in EncodedBlocks.

    ``shelf`` reads and merges blobs; it lives as long as the run.
    """

    blob: Blob
    byte_counts: NDArray[np.uint64] = field(repr=False)
    shelf: BlobShelf = field(repr=False, compare=False)

    @property
    def nbytes(self) -> int:
        return self.blob.size


@dataclass(frozen=True)
class TileOutput:
    """One output's part of a tile: encoded blocks, here or in S3, or an array of shape (bands, rows, cols).

    Blocks are those of all resolutions that are whole in the tile, the coarsest first. ``summit`` is the tile at the
    coarsest of them, as an array, of which main makes the overviews that are coarser still; None if there are none.
    ``statistics`` has one entry for each band, or none.
    """

    layout: Layout
    payload: EncodedBlocks | StoredBlocks | Array = field(repr=False)
    summit: Array | None = field(default=None, repr=False)
    statistics: tuple[PartialStatistics, ...] = field(default=(), repr=False)

    @property
    def nbytes(self) -> int:
        """Return the size of what travels."""
        summit = 0 if self.summit is None else self.summit.nbytes
        return self.payload.nbytes + summit + sum(band.nbytes for band in self.statistics)


@dataclass(frozen=True)
class TileRecord:
    """What happened to a tile. Times are wall-clock seconds, summed over its blocks."""

    tile: int
    window: PixelWindow
    worker: str
    blocks: int
    reading_s: float
    function_s: float
    encoding_s: float
    statistics_s: float
    bytes_out: int


@dataclass(frozen=True)
class TileResult:
    """A finished tile: its record, its outputs in the order of ``TileJob.outputs``.

    ``other_args`` holds the attributes of otherArgs that the tile changed, pickled one by one; None stands
    for a value that cannot be pickled. It is empty where the tile worked on the caller's own object.
    """

    record: TileRecord
    outputs: tuple[TileOutput, ...]
    other_args: Mapping[str, bytes | None] = field(default_factory=dict)


def block_dtype_name(dtype: np.dtype[Any]) -> str:
    """Return the name of the type that is written for a block's type: bool becomes uint8."""
    return "uint8" if dtype.kind == "b" else dtype.newbyteorder("=").name
