"""Input files: what they are, and how each comes onto the working grid."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rios_batch.errors import (
    FileOpenError,
    GDALLayerNumberError,
    ParameterError,
    ResampleNeededError,
)
from rios_batch.gdalapi import dataset_files, nodata_or_none, same_projection
from rios_batch.model.grid import offset_on
from rios_batch.model.spec import Burn, InputFile, InputSpec
from rios_batch.plan.opening import as_list, open_inputs
from rios_batch.plan.workinggrid import find_reference, find_working_grid
from rios_batch.read.facts import RasterFacts, describe, is_file_name
from rios_batch.read.network import gdal_name, is_remote
from rios_batch.read.vectors import check_vectors
from rios_batch.read.warp import plan_warp, reach_of

if TYPE_CHECKING:
    from osgeo import gdal

    from rios_batch.controls import ApplierControls
    from rios_batch.model.grid import PixelGridDefn, PixelWindow
    from rios_batch.model.tiles import TilePlan
    from rios_batch.pixelgrid import PixelGridDefn as PublicGrid
    from rios_batch.plan.opening import FileNames
    from rios_batch.plan.workinggrid import Reference


@dataclass(frozen=True)
class Placement:
    """One file of an input: what is known of the raster, and how it comes onto the working grid.

    ``facts`` is None for a vector file. ``file`` is what workers read.
    """

    facts: RasterFacts | None
    file: InputFile

    @property
    def bytes_per_px(self) -> int:
        """Return what a pixel takes with all its bands."""
        return len(self.file.layers) * np.dtype(self.file.dtype).itemsize

    def cache_bytes(self, window: PixelWindow, width_px: int) -> int:
        """Return how much of the file GDAL should keep, so that nothing is read or resampled twice in a tile.

        Parameters
        ----------
        window : the first window read, margin included, in pixels of the working grid.
        width_px : how far windows go on from there before the next row of windows begins.
        """
        if self.facts is None:
            return 0
        file, nlayers = self.file, len(self.file.layers)
        if file.warp is not None:
            return self.facts.warp_cache_bytes(nlayers, file.warp, window.height, width_px)
        return self.facts.cache_bytes(nlayers, window.shifted(file.col_offset, file.row_offset), width_px)


@dataclass(frozen=True)
class PlannedInput:
    """A symbolic name of the inputs; with ``is_list`` the script gave it a list of files."""

    name: str
    placements: tuple[Placement, ...]
    is_list: bool
    outside_as_none: bool
    errors_as_nodata: bool

    @property
    def spec(self) -> InputSpec:
        """Return what workers read."""
        files = tuple(placement.file for placement in self.placements)
        return InputSpec(self.name, files, self.is_list, self.outside_as_none, self.errors_as_nodata)


@dataclass(frozen=True)
class InputPlan:
    """The inputs of a run, and the working grid that they are brought onto."""

    grid: PublicGrid
    inputs: tuple[PlannedInput, ...]

    @property
    def specs(self) -> tuple[InputSpec, ...]:
        """Return what workers read."""
        return tuple(planned.spec for planned in self.inputs)

    @property
    def placements(self) -> tuple[Placement, ...]:
        return tuple(placement for planned in self.inputs for placement in planned.placements)

    def cache_bytes(self, plan: TilePlan, overlap_px: int) -> int:
        """Return how much of its files GDAL should keep, so that nothing is read twice in the tile that needs most.

        Of a mosaic's hundreds of scenes few lie in one tile.
        """
        first, tile = plan.blocks.window(0, 0).grown(overlap_px), plan.tile(0).window
        everywhere, somewhere = 0, np.zeros((plan.ntiles_y, plan.ntiles_x), np.int64)
        for placement in self.placements:
            needed = placement.cache_bytes(first, tile.width + 2 * overlap_px)
            place = placement.file.place
            if needed and place is not None:
                place = place.grown(overlap_px).clipped(plan.blocks.ncols, plan.blocks.nrows)
                rows = slice(place.row // tile.height, -(-place.end_row // tile.height))
                cols = slice(place.col // tile.width, -(-place.end_col // tile.width))
                somewhere[rows, cols] += needed
            else:
                everywhere += needed
        return everywhere + int(somewhere.max())


def plan_inputs(names: FileNames, controls: ApplierControls) -> InputPlan:
    """Find the working grid, and how each input file comes onto it. Each file is opened once.

    Parameters
    ----------
    names : file names by symbolic name.

    Raises
    ------
    FileOpenError, GridError, ParameterError : with a sentence that names the file.
    """
    described = functools.cache(functools.partial(describe, with_overviews=controls.allowOverviewsGdalwarp))
    opened = open_inputs(names, controls, described)
    rasters = {
        name: [found for path in as_list(given) if isinstance(found := opened[path], RasterFacts)]
        for name, given in names.items()
    }
    empty_lists = [name for name, given in names.items() if not given]
    reference = find_reference(controls, rasters, described, empty_lists=empty_lists)
    if not reference.was_set:
        for facts in (facts for named in rasters.values() for facts in named):
            _check_same_lattice(facts, reference)
    grid = find_working_grid(controls, rasters, reference, described)

    def placed(name: str, path: str) -> Placement:
        found = opened[path]
        if isinstance(found, FileOpenError):
            return Placement(None, _unreadable_file(placed(name, rasters[name][0].path).file, path, found))
        if isinstance(found, RasterFacts):
            return Placement(found, _raster_file(name, found, grid, controls))
        return Placement(None, _vector_file(name, path, found, grid, controls))

    return InputPlan(
        grid,
        tuple(
            PlannedInput(
                name,
                tuple(placed(name, path) for path in as_list(given)),
                is_list=isinstance(given, list),
                outside_as_none=controls.getOptionForImagename("outsideAsNone", name),
                errors_as_nodata=controls.getOptionForImagename("inputErrors", name) == "nodata",
            )
            for name, given in names.items()
        ),
    )


def _unreadable_file(like: InputFile, path: str, error: Exception) -> InputFile:
    """Return a file without pixels of the type and bands of another."""
    return InputFile(
        name=path,
        path=_absolute(path),
        col_offset=0,
        row_offset=0,
        ncols=0,
        nrows=0,
        dtype=like.dtype,
        layers=like.layers,
        nodata=like.nodata,
        unreadable=str(error),
    )


def _raster_file(name: str, facts: RasterFacts, grid: PixelGridDefn, controls: ApplierControls) -> InputFile:
    layers = _layers(facts, controls.getOptionForImagename("layerselection", name))
    dtype = facts.dtype_of(layers)
    nodata = _nodata(facts, controls.getOptionForImagename("inputNodata", name), dtype)
    warp = None
    if difference(facts, grid):
        warp = plan_warp(
            facts,
            len(layers),
            grid,
            controls.overlap,
            controls.getOptionForImagename("resampleMethod", name),
            overviews_allowed=controls.allowOverviewsGdalwarp,
        )
    own_grid = facts.grid if warp is None else warp.grid
    col_offset, row_offset = offset_on(own_grid, grid)
    return InputFile(
        name=facts.path,
        path=_absolute(facts.path),
        col_offset=col_offset,
        row_offset=row_offset,
        ncols=own_grid.ncols,
        nrows=own_grid.nrows,
        dtype=dtype,
        layers=layers,
        nodata=tuple(nodata[layer - 1] for layer in layers),
        warp=warp,
        layer_names=tuple(facts.layer_names[layer - 1] for layer in layers),
        reach=None if warp is None else reach_of(facts, grid),
        files=facts.files,
    )


def _vector_file(
    name: str, path: str, dataset: gdal.Dataset, grid: PixelGridDefn, controls: ApplierControls
) -> InputFile:
    def option(key: str) -> Any:
        return controls.getOptionForImagename(key, name)

    burn = Burn(
        layer=option("vectorlayer"),
        value=option("burnvalue"),
        attribute=option("burnattribute"),
        where=option("filtersql"),
        all_touched=option("alltouched"),
    )
    file = InputFile(
        name=path,
        path=_absolute(path),
        col_offset=0,
        row_offset=0,
        ncols=grid.ncols,
        nrows=grid.nrows,
        dtype=option("vectordatatype"),
        layers=(1,),
        nodata=(option("vectornull"),),
        burn=burn,
        layer_names=("",),
        files=() if is_remote(gdal_name(path)) else dataset_files(gdal_name(path), dataset),
    )
    check_vectors(file, burn, dataset, grid)
    return file


def _absolute(path: str) -> str:
    return str(Path(path).absolute()) if is_file_name(path) else gdal_name(path)


def difference(facts: RasterFacts, grid: PixelGridDefn) -> str:
    """Say in what a raster is not on the lattice of a grid; empty if it is."""
    if not facts.is_north_up:
        return "it is not north-up"
    if not same_projection(facts.projection, grid.projection):
        return "it is in another projection than the reference"
    try:
        offset_on(grid, facts.grid)
        # Pixel sizes that agree over the file may not do so over a much larger grid.
        offset_on(facts.grid, grid)
    except ResampleNeededError as error:
        return str(error)
    return ""


def _check_same_lattice(facts: RasterFacts, reference: Reference) -> None:
    """Refuse to resample when the script has not said onto what (RIOS's rule)."""
    problem = difference(facts, reference.grid)
    if problem:
        raise ResampleNeededError(
            f"input {facts.path!r} is not on the grid of {reference.name}: {problem}; to have it resampled, "
            "name the grid with setReferenceImage or setReferencePixgrid"
        )


def _layers(facts: RasterFacts, wanted: Sequence[int] | None) -> tuple[int, ...]:
    layers = tuple(wanted or range(1, facts.nbands + 1))
    if max(layers) > facts.nbands:
        raise GDALLayerNumberError(
            f"layer {max(layers)} of input {facts.path!r} was selected, but it has layers 1 to {facts.nbands}"
        )
    return layers


def _nodata(
    facts: RasterFacts, wanted: float | Sequence[float | None] | None, dtype: str
) -> Sequence[float | None]:
    """Return a nodata value for each band of the file: what the script says, or else what the file says.

    Parameters
    ----------
    dtype : what the bands are read in.
    """
    if wanted is None:
        own = zip(facts.nodata, facts.dtypes, strict=True)
        return [_widened(value) if kind == "float32" != dtype else value for value, kind in own]
    values = list(wanted) if isinstance(wanted, Sequence) else [wanted] * facts.nbands
    if len(values) != facts.nbands:
        raise ParameterError(
            f"setInputNoDataValue has {len(values)} values, but input {facts.path!r} has {facts.nbands} bands"
        )
    for value in values:
        if value is not None and nodata_or_none(value, dtype) is None:
            raise ParameterError(
                f"setInputNoDataValue is {value!r} for input {facts.path!r}, which its type {dtype} cannot hold"
            )
    return values


def _widened(value: float | None) -> float | None:
    """Return what becomes of a float32 pixel of this value that is read in a wider type: 0.1 has other digits there."""
    return None if value is None else float(np.float32(value))
