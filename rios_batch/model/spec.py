"""What a run is: all that a worker needs to know, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from rios_batch.model.grid import PixelWindow
from rios_batch.model.s3names import SCHEME

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from rios_batch.model.colourtables import Colour
    from rios_batch.model.creationoptions import Compression, CreationOptions
    from rios_batch.model.grid import PixelGridDefn
    from rios_batch.model.pyramid import Pyramid
    from rios_batch.model.tiles import TilePlan

    Array = NDArray[Any]
    UserFunction = Callable[..., object]


# What may become of an input that cannot be read.
INPUT_ERRORS = ("error", "nodata")

# All of gdalwarp's but sum, which GDAL (3.6.2 and 3.10.3 were tried) gets wrong along the edges of its chunks.
RESAMPLE_METHODS = (
    "near",
    "bilinear",
    "cubic",
    "cubicspline",
    "lanczos",
    "average",
    "rms",
    "mode",
    "max",
    "min",
    "med",
    "q1",
    "q3",
)


@dataclass(frozen=True)
class Warp:
    """How a raster is resampled: all that the result depends on, so that every worker gets the same pixels.

    ``method`` is one of :data:`RESAMPLE_METHODS`. ``grid`` is what the pixels are resampled onto, in chunks of
    ``chunk_px`` x ``chunk_px``. ``xscale`` and ``yscale`` are grid pixels per source pixel. ``overview`` is the file's
    overview that is the source, from 0 for the finest; None for full resolution.
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
    ``nodata`` and ``layer_names`` have one value for each. With ``warp`` the raster is the file resampled, with
    ``burn`` it is a vector file rasterised, which has no edges. ``reach`` is the part of the working grid outside of
    which a resampled file has no pixels; None if that is not known. ``unreadable`` says why a file cannot be opened
    that the script wants as nodata. ``files`` are all the files that a local dataset consists of.
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
    layer_names: tuple[str, ...] = ()
    reach: PixelWindow | None = None
    unreadable: str = ""
    files: tuple[str, ...] = field(default=(), repr=False, compare=False)

    @property
    def place(self) -> PixelWindow | None:
        """Where the raster lies on the working grid, and beyond; None for everywhere."""
        if self.warp is not None or self.burn is not None:
            return self.reach
        return PixelWindow(-self.col_offset, -self.row_offset, self.ncols, self.nrows)

    def touches(self, window: PixelWindow) -> bool:
        """Say whether a window of the working grid, which may reach outside it, has pixels of the file."""
        if self.burn is not None:
            return True
        if self.reach is not None and not self.reach.meets(window):
            return False
        return bool(window.shifted(self.col_offset, self.row_offset).clipped(self.ncols, self.nrows).size_px)


@dataclass(frozen=True)
class InputSpec:
    """A symbolic input name; with ``is_list`` the user function gets a list of arrays.

    With ``outside_as_none`` the function gets None for a file that a block is wholly outside of. With
    ``errors_as_nodata`` a file that cannot be read is nodata there.
    """

    name: str
    files: tuple[InputFile, ...]
    is_list: bool
    outside_as_none: bool = False
    errors_as_nodata: bool = False


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
    None where there are no overviews; ``encoded_overviews`` are the factors of those that are encoded with each tile,
    while main encodes the others. ``compression`` is what was chosen by looking at pixels; with
    ``chooses_compression`` that is still to be done. ``changed_by_script`` says that the script gets the finished
    file before it is in its place; ``colour_table`` is one of :data:`rios_batch.model.colourtables.KINDS`, or values
    with their colours, or None. ``nodata_is_default`` says that the script has named no nodata value.
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
    encoded_overviews: tuple[int, ...] = ()
    statistics: StatisticsSpec | None = None
    colour_table: str | tuple[tuple[int, Colour], ...] | None = None
    changed_by_script: bool = False
    nodata_is_default: bool = False
    chooses_compression: bool = False
    compression: Compression | None = None

    def with_plan(self, plan: TilePlan) -> OutputSpec:
        """Return the spec for the tiles of a plan, which decide which overviews are encoded with them."""
        pyramid = self.pyramid if self.encoded_by_workers else None
        return replace(self, encoded_overviews=pyramid.encoded_in_tiles(plan) if pyramid else ())

    def compressed(self, compression: Compression | None) -> OutputSpec:
        """Return the spec with a chosen compression; with None as the spec is."""
        if compression is None:
            return self
        options = self.creation_options.but(ZLEVEL=None, PREDICTOR=None)  # an earlier choice
        return replace(
            self,
            creation_options=options.but(**dict(option.split("=") for option in compression)),
            chooses_compression=False,
            compression=compression,
        )

    @property
    def stays_in_s3(self) -> bool:
        """Say whether it is put together in S3, so that its blocks need not pass through main."""
        return self.encoded_by_workers and self.path.startswith(SCHEME) and not self.changed_by_script

    @property
    def label(self) -> str:
        """Return the name as a script would write it: ``outputs.ndvi`` or ``outputs.masks[1]``."""
        return f"outputs.{self.name}" + ("" if self.sequence is None else f"[{self.sequence}]")


@dataclass(frozen=True)
class RunSpec:
    """All that is the same for every tile of a run.

    ``input_cache_bytes`` is what GDAL's block cache must hold so that no input block is read twice in a tile.
    ``absent_inputs`` and ``absent_outputs`` are symbolic names that the script has set to None. ``gdal_exceptions``
    says whether GDAL's exceptions are on in the user function, as the script has set them. ``scratch`` are the
    attributes of otherArgs whose changes nobody wants. ``environment`` are variables that every worker has; one that is
    None none has.
    """

    function: UserFunction
    takes_other_args: bool
    inputs: tuple[InputSpec, ...]
    outputs: tuple[OutputSpec, ...]
    grid: PixelGridDefn
    plan: TilePlan
    overlap_px: int
    input_cache_bytes: int
    absent_inputs: tuple[str, ...] = ()
    absent_outputs: tuple[str, ...] = ()
    gdal_exceptions: bool = True
    scratch: tuple[str, ...] = ()
    environment: Mapping[str, str | None] = field(default_factory=dict)

    def with_inputs_at(self, paths: Mapping[str, str]) -> RunSpec:
        """Return the spec for a place where inputs lie elsewhere; paths that are not named stay."""
        if not paths:
            return self
        inputs = tuple(
            replace(
                input_spec, files=tuple(replace(f, path=paths.get(f.path, f.path)) for f in input_spec.files)
            )
            for input_spec in self.inputs
        )
        return replace(self, inputs=inputs)

    def with_plan(self, plan: TilePlan) -> RunSpec:
        """Return the spec of the same run cut into the tiles of another plan."""
        return replace(self, plan=plan, outputs=tuple(output.with_plan(plan) for output in self.outputs))

    def compressed(self, compressions: tuple[Compression | None, ...]) -> RunSpec:
        """Return the spec with the compressions that were chosen, one for each output; none at all change nothing."""
        if not compressions:
            return self
        chosen = zip(self.outputs, compressions, strict=True)
        return replace(self, outputs=tuple(output.compressed(compression) for output, compression in chosen))

    @property
    def input_names(self) -> tuple[str, ...]:
        return tuple(file.name for input_spec in self.inputs for file in input_spec.files)


@dataclass(frozen=True)
class RunOptions:
    """Settings for job managers.

    ``resume`` is False, True for the newest run with these outputs, or a run's id. With ``coordinate_only`` main
    computes no tile itself. Both are for managers whose runs outlive main. ``wait_limit_s`` is for how many seconds
    main may wait for others without news; None for no limit. ``max_cost_usd`` is what a run's workers may cost; None
    for any sum.
    """

    resume: bool | str = False
    coordinate_only: bool = False
    wait_limit_s: float | None = None
    max_cost_usd: float | None = None


@dataclass(frozen=True)
class Layout:
    """Data type (numpy's name) and number of bands of an output."""

    dtype: str
    nbands: int

    def __str__(self) -> str:
        return f"{self.nbands} band{'s' if self.nbands != 1 else ''} of {self.dtype}"


def block_dtype_name(dtype: np.dtype[Any]) -> str:
    """Return the name of the type that is written for a block's type: bool becomes uint8."""
    return "uint8" if dtype.kind == "b" else dtype.newbyteorder("=").name
