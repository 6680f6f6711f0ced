"""Input files: what they are, and how each comes onto the working grid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rios_batch.errors import GDALLayerNumberError, ImageOpenError, ParameterError, ResampleNeededError
from rios_batch.gdalapi import nodata_or_none, same_projection
from rios_batch.model.grid import offset_on
from rios_batch.model.spec import Burn, InputFile, InputSpec
from rios_batch.plan.workinggrid import find_reference, find_working_grid
from rios_batch.read.facts import describe, is_file_name, is_vector, open_raster
from rios_batch.read.network import gdal_name
from rios_batch.read.vectors import check_vectors
from rios_batch.read.warp import plan_warp

if TYPE_CHECKING:
    from rios_batch.controls import ApplierControls
    from rios_batch.model.grid import PixelGridDefn, PixelWindow
    from rios_batch.pixelgrid import PixelGridDefn as PublicGrid
    from rios_batch.plan.workinggrid import Reference
    from rios_batch.read.facts import RasterFacts

FileNames = dict[str, str | list[str]]


def as_list(paths: str | list[str]) -> list[str]:
    return paths if isinstance(paths, list) else [paths]


class InputPlan:
    """The inputs of a run, and the grid they are brought onto.

    Parameters
    ----------
    names : file names by symbolic name.

    Attributes
    ----------
    facts : for each file name what is known of the raster; None for a vector file.
    grid : the working grid.
    specs : what workers read.

    Raises
    ------
    FileOpenError, GridError, ParameterError : with a sentence that names the file.
    """

    def __init__(self, names: FileNames, controls: ApplierControls) -> None:
        self._controls = controls
        paths = dict.fromkeys(path for given in names.values() for path in as_list(given))
        self.facts = {path: _describe(path) for path in paths}
        rasters = {
            name: [fact for path in as_list(given) if (fact := self.facts[path])]
            for name, given in names.items()
        }
        self._reference = find_reference(controls, rasters)
        if not self._reference.was_set:
            for fact in filter(None, self.facts.values()):
                _check_same_lattice(fact, self._reference)
        self.grid: PublicGrid = find_working_grid(controls, rasters, self._reference)
        self.specs = tuple(
            InputSpec(
                name,
                tuple(self._file(name, path) for path in as_list(given)),
                is_list=isinstance(given, list),
            )
            for name, given in names.items()
        )

    @property
    def bytes_per_px(self) -> int:
        """Return what a pixel of the largest input takes with all its bands."""
        return max(
            (
                len(file.layers) * np.dtype(file.dtype).itemsize
                for input_spec in self.specs
                for file in input_spec.files
            ),
            default=8,
        )

    def cache_bytes(self, window: PixelWindow, width_px: int) -> int:
        """Return how much of the files GDAL should keep, so that nothing is read or resampled twice in a tile.

        Parameters
        ----------
        window : the first window read, margin included, in pixels of the working grid.
        width_px : how far windows go on from there before the next row of windows begins.
        """
        rasters = [
            (fact, file)
            for input_spec in self.specs
            for file in input_spec.files
            if (fact := self.facts[file.name]) is not None
        ]
        return sum(
            fact.cache_bytes(len(file.layers), window.shifted(file.col_offset, file.row_offset), width_px)
            if file.warp is None
            else fact.warp_cache_bytes(len(file.layers), file.warp, window.height, width_px)
            for fact, file in rasters
        )

    def _file(self, name: str, path: str) -> InputFile:
        fact = self.facts[path]
        return self._vector_file(name, path) if fact is None else self._raster_file(name, fact)

    def _raster_file(self, name: str, fact: RasterFacts) -> InputFile:
        controls, grid = self._controls, self.grid
        layers = _layers(fact, controls.getOptionForImagename("layerselection", name))
        nodata = _nodata(fact, controls.getOptionForImagename("inputNodata", name))
        warp = None
        ncols, nrows = fact.ncols, fact.nrows
        if not difference(fact, grid):
            col, row = offset_on(fact.grid, grid)
        else:
            warp = plan_warp(
                fact,
                open_raster(fact.path),
                len(layers),
                grid,
                controls.overlap,
                controls.getOptionForImagename("resampleMethod", name),
                overviews_allowed=controls.allowOverviewsGdalwarp,
            )
            col, row = offset_on(warp.grid, grid)
            nrows, ncols = warp.grid.getDimensions()
        return InputFile(
            name=fact.path,
            path=_absolute(fact.path),
            col_offset=col,
            row_offset=row,
            ncols=ncols,
            nrows=nrows,
            dtype=fact.dtype,
            layers=layers,
            nodata=tuple(nodata[layer - 1] for layer in layers),
            warp=warp,
        )

    def _vector_file(self, name: str, path: str) -> InputFile:
        option = self._controls.getOptionForImagename
        burn = Burn(
            layer=option("vectorlayer", name),
            value=option("burnvalue", name),
            attribute=option("burnattribute", name),
            where=option("filtersql", name),
            all_touched=option("alltouched", name),
        )
        file = InputFile(
            name=path,
            path=_absolute(path),
            col_offset=0,
            row_offset=0,
            ncols=self.grid.ncols,
            nrows=self.grid.nrows,
            dtype=option("vectordatatype", name),
            layers=(1,),
            nodata=(option("vectornull", name),),
            burn=burn,
        )
        check_vectors(file, self.grid)
        return file


def _describe(path: str) -> RasterFacts | None:
    try:
        return describe(path)
    except ImageOpenError:
        if is_vector(gdal_name(path)):
            return None
        raise


def _absolute(path: str) -> str:
    return str(Path(path).absolute()) if is_file_name(path) else gdal_name(path)


def difference(fact: RasterFacts, grid: PixelGridDefn) -> str:
    """Say in what a raster is not on the lattice of a grid; empty if it is."""
    if not fact.is_north_up:
        return "it is not north-up"
    if not same_projection(fact.projection, grid.projection):
        return "it is in another projection than the reference"
    try:
        offset_on(grid, fact.grid)
        # Pixel sizes that agree over the file may not do so over a much larger grid.
        offset_on(fact.grid, grid)
    except ResampleNeededError as error:
        return str(error)
    return ""


def _check_same_lattice(fact: RasterFacts, reference: Reference) -> None:
    """Refuse to resample when the script has not said onto what (RIOS's rule)."""
    problem = difference(fact, reference.grid)
    if problem:
        raise ResampleNeededError(
            f"input {fact.path!r} is not on the grid of {reference.name}: {problem}; to have it resampled, "
            "name the grid with setReferenceImage or setReferencePixgrid"
        )


def _layers(fact: RasterFacts, wanted: Sequence[int] | None) -> tuple[int, ...]:
    layers = tuple(wanted or range(1, fact.nbands + 1))
    if max(layers) > fact.nbands:
        raise GDALLayerNumberError(
            f"layer {max(layers)} of input {fact.path!r} was selected, but it has layers 1 to {fact.nbands}"
        )
    return layers


def _nodata(fact: RasterFacts, wanted: float | Sequence[float | None] | None) -> Sequence[float | None]:
    """Return a nodata value for each band of the file: what the script says, or else what the file says."""
    if wanted is None:
        return fact.nodata
    values = list(wanted) if isinstance(wanted, Sequence) else [wanted] * fact.nbands
    if len(values) != fact.nbands:
        raise ParameterError(
            f"setInputNoDataValue has {len(values)} values, but input {fact.path!r} has {fact.nbands} bands"
        )
    for value in values:
        if value is not None and nodata_or_none(value, fact.dtype) is None:
            raise ParameterError(
                f"setInputNoDataValue is {value!r} for input {fact.path!r}, which its type {fact.dtype} cannot hold"
            )
    return values
