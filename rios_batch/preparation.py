"""From what a script gives to a TileJob: everything is checked here, before any work starts."""

from __future__ import annotations

import logging
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rios_batch.errors import GDALLayerNumberError, IntersectionError, ParameterError, ResampleNeededError
from rios_batch.grid import BOUNDS_FROM_REFERENCE, common_grid, offset_on
from rios_batch.jobspec import InputFile, InputSpec, OutputSpec, TileJob
from rios_batch.plan import BlockGrid, plan_tiles
from rios_batch.raster.cloud import gdal_name, is_remote, release_connections
from rios_batch.raster.gdalapi import same_projection
from rios_batch.raster.outputs import choose_format, driver_for_extension
from rios_batch.raster.sources import RasterFacts, describe, is_file_name
from rios_batch.s3names import SCHEME, S3Name

if TYPE_CHECKING:
    from rios_batch.associations import FilenameAssociations
    from rios_batch.controls import ApplierControls
    from rios_batch.grid import PixelGridDefn
    from rios_batch.jobspec import UserFunction
    from rios_batch.raster.outputs import OutputFormat

log = logging.getLogger("rios_batch")


def prepare(
    function: UserFunction,
    infiles: FilenameAssociations,
    outfiles: FilenameAssociations,
    controls: ApplierControls,
    *,
    takes_other_args: bool,
    num_workers: int,
) -> TileJob:
    """Check everything and plan the run.

    Raises
    ------
    ParameterError, FileOpenError, GridError, OutputError : each with a sentence that names the culprit.
    """
    if not callable(function):
        raise ParameterError(f"the user function is a {type(function).__name__}, not a function")
    in_names, out_names = file_names(infiles, "infiles"), file_names(outfiles, "outfiles")
    controls.check_names(in_names.keys() | out_names.keys())
    facts = {path: describe(path) for paths in in_names.values() for path in as_list(paths)}
    grid = working_grid(controls, in_names, facts)
    blocks = BlockGrid(grid.ncols, grid.nrows, controls.windowxsize, controls.windowysize)
    outputs = _outputs(out_names, controls, blocks)
    units = [chosen.unit_blocks for _, chosen in outputs if chosen.unit_blocks is not None]
    plan = plan_tiles(
        blocks,
        unit_xblocks=math.lcm(*(x for x, _ in units)),
        unit_yblocks=math.lcm(*(y for _, y in units)),
        num_workers=num_workers,
        # Outputs are known only after the first block; they are seldom larger than the largest input.
        bytes_per_px=max((fact.bytes_per_px for fact in facts.values()), default=8),
        tile_size_px=controls.tileSize,
    )
    inputs = tuple(_input(name, paths, facts, grid, controls) for name, paths in in_names.items())
    if any(is_remote(gdal_name(path)) for path in [*facts, controls.referenceImage or ""]):
        release_connections()
    return TileJob(
        function=function,
        takes_other_args=takes_other_args,
        inputs=inputs,
        outputs=tuple(spec for spec, _ in outputs),
        grid=grid,
        plan=plan,
        overlap_px=controls.overlap,
        input_cache_bytes=sum(
            facts[file.name].cache_bytes(
                len(file.layers),
                blocks.window(0, 0).grown(controls.overlap).shifted(file.col_offset, file.row_offset),
                plan.tile(0).window.width + 2 * controls.overlap,
            )
            for spec in inputs
            for file in spec.files
        ),
    )


FileNames = dict[str, str | list[str]]


def file_names(associations: FilenameAssociations, what: str) -> FileNames:
    """Return the symbolic names that have files: a name, or a list of them.

    Raises
    ------
    ParameterError : a value is neither a file name nor a list of file names.
    """
    try:
        given = vars(associations)
    except TypeError:
        raise ParameterError(
            f"{what} is a {type(associations).__name__}, not a FilenameAssociations"
        ) from None
    return {name: _file_name(value, f"{what}.{name}") for name, value in given.items() if value is not None}


def _file_name(value: Any, what: str) -> str | list[str]:
    if isinstance(value, list | tuple):
        return [_one_file_name(item, f"{what}[{i}]") for i, item in enumerate(value)]
    return _one_file_name(value, what)


def _one_file_name(value: Any, what: str) -> str:
    if isinstance(value, os.PathLike) and str(value).startswith("s3:/"):
        raise ParameterError(f"{what} is {value!r}; pathlib drops a slash of s3://, so give the name as text")
    if isinstance(value, str | os.PathLike) and os.fspath(value):
        return str(os.fspath(value))
    raise ParameterError(f"{what} is {value!r}; it must be a file name, or a list of them")


def as_list(paths: str | list[str]) -> list[str]:
    return paths if isinstance(paths, list) else [paths]


def working_grid(
    controls: ApplierControls, in_names: FileNames, facts: dict[str, RasterFacts]
) -> PixelGridDefn:
    """Return the grid that the run works on.

    The reference is the one set in the controls, or the first input. A reference that is not itself an
    input gives the lattice, and does not limit the extent (RIOS 2's rule).

    Raises
    ------
    ParameterError : there is neither an input nor a reference.
    ResampleNeededError : an input is on another grid; names the file and the difference.
    IntersectionError : the inputs do not overlap.
    """
    reference, reference_name = _reference(controls, in_names, facts)
    for fact in facts.values():
        _check_same_lattice(fact, reference, reference_name)
    if not facts and controls.footprint != BOUNDS_FROM_REFERENCE:
        raise ParameterError("without inputs, use setFootprintType(BOUNDS_FROM_REFERENCE) with the reference")
    try:
        return common_grid(reference, [fact.grid for fact in facts.values()], controls.footprint)
    except IntersectionError:
        extents = "; ".join(f"{fact.path!r} has {fact.grid.bounds_text}" for fact in facts.values())
        raise IntersectionError(
            f"the inputs do not overlap, no pixel is common to all of them: {extents}"
        ) from None


def _reference(
    controls: ApplierControls, in_names: FileNames, facts: dict[str, RasterFacts]
) -> tuple[PixelGridDefn, str]:
    if controls.referencePixgrid is not None:
        return controls.referencePixgrid, "the reference pixel grid"
    if controls.referenceImage is not None:
        named = in_names.get(controls.referenceImage, controls.referenceImage)
        path = as_list(named)[0]
        return (facts.get(path) or describe(path)).grid, f"the reference {path!r}"
    if not facts:
        raise ParameterError(
            "there are no inputs and no reference, so there is nothing to say what grid to work on"
        )
    first = next(iter(facts.values()))
    return first.grid, f"{first.path!r}, the first input"


def _check_same_lattice(fact: RasterFacts, reference: PixelGridDefn, reference_name: str) -> None:
    problem = ""
    if not same_projection(fact.grid.projection, reference.projection):
        problem = "it is in another projection than the reference"
    try:
        offset_on(reference, fact.grid)
    except ResampleNeededError as error:
        problem = problem or str(error)
    if problem:
        raise ResampleNeededError(
            f"input {fact.path!r} is not on the grid of {reference_name}: {problem}; "
            "this version does not resample, so put it on that grid with gdalwarp first"
        )


def _input(
    name: str,
    paths: str | list[str],
    facts: dict[str, RasterFacts],
    grid: PixelGridDefn,
    controls: ApplierControls,
) -> InputSpec:
    wanted: list[int] | None = controls.getOptionForImagename("layerselection", name)
    files = tuple(_input_file(facts[path], grid, wanted) for path in as_list(paths))
    return InputSpec(name, files, is_list=isinstance(paths, list))


def _input_file(fact: RasterFacts, grid: PixelGridDefn, wanted: list[int] | None) -> InputFile:
    layers = tuple(wanted or range(1, fact.nbands + 1))
    if max(layers) > fact.nbands:
        raise GDALLayerNumberError(
            f"layer {max(layers)} of input {fact.path!r} was selected, but it has layers 1 to {fact.nbands}"
        )
    try:
        col, row = offset_on(fact.grid, grid)
    except (
        ResampleNeededError
    ) as error:  # pixel sizes that agree over the file, but not over a much larger grid
        raise ResampleNeededError(
            f"input {fact.path!r} does not stay on the working grid over its whole extent: {error}; "
            "put it on that grid with gdalwarp first"
        ) from error
    return InputFile(
        name=fact.path,
        path=str(Path(fact.path).absolute()) if is_file_name(fact.path) else gdal_name(fact.path),
        col_offset=col,
        row_offset=row,
        ncols=fact.grid.ncols,
        nrows=fact.grid.nrows,
        dtype=fact.dtype,
        layers=layers,
        nodata=tuple(fact.nodata[layer - 1] for layer in layers),
    )


def _outputs(
    out_names: FileNames, controls: ApplierControls, blocks: BlockGrid
) -> list[tuple[OutputSpec, OutputFormat]]:
    outputs = [
        _output(name, index if isinstance(paths, list) else None, path, controls, blocks)
        for name, paths in out_names.items()
        for index, path in enumerate(as_list(paths))
    ]
    seen: dict[str, str] = {}
    for spec, _ in outputs:
        place = spec.path if spec.path.startswith(SCHEME) else os.path.realpath(spec.path)
        other = seen.setdefault(place, spec.label)
        if other != spec.label:
            raise ParameterError(f"{other} and {spec.label} would both be written to {spec.path!r}")
    return outputs


def _output(
    name: str, sequence: int | None, path: str, controls: ApplierControls, blocks: BlockGrid
) -> tuple[OutputSpec, OutputFormat]:
    if path.startswith(SCHEME):
        S3Name.parse(path)
    driver = controls.getOptionForImagename("drivername", name) or driver_for_extension(path)
    chosen = choose_format(path, driver, controls.creation_options_for(name, driver), blocks)
    if chosen.unit_blocks is None:
        log.log(
            # For a GeoTIFF this costs speed that another window or option would give back.
            logging.WARNING if driver == "GTiff" else logging.INFO,
            "%s is written by one process, not by the workers: %s",
            path,
            chosen.reason,
        )
    spec = OutputSpec(
        name=name,
        sequence=sequence,
        path=path,
        driver=chosen.driver,
        creation_options=chosen.creation_options,
        nodata=controls.getOptionForImagename("statsIgnore", name),
        thematic=controls.getOptionForImagename("thematic", name),
        layer_names=tuple(controls.getOptionForImagename("layernames", name) or ()),
        encoded_by_workers=chosen.unit_blocks is not None,
        blocks_are_whole=chosen.unit_blocks == (1, 1),
    )
    return spec, chosen
