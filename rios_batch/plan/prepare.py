"""From what a script gives to a RunSpec: everything is checked here, before any work starts."""

from __future__ import annotations

import functools
import logging
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rios_batch.errors import ParameterError, ThematicError
from rios_batch.gdalapi import script_has_exceptions
from rios_batch.model.mergerules import scratch_names
from rios_batch.model.pyramid import DEFAULT_METHOD, Pyramid
from rios_batch.model.s3names import SCHEME, S3Name
from rios_batch.model.spec import OutputSpec, RunSpec, StatisticsSpec
from rios_batch.model.tiles import BlockGrid
from rios_batch.plan.inputs import plan_inputs
from rios_batch.plan.opening import as_list
from rios_batch.plan.outputs import choose_format, driver_for_extension
from rios_batch.plan.tiling import plan_tiles
from rios_batch.read.network import gdal_name, is_remote, release_connections

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rios_batch.associations import FilenameAssociations
    from rios_batch.controls import ApplierControls
    from rios_batch.model.colourtables import Colour
    from rios_batch.model.spec import UserFunction
    from rios_batch.model.tiles import TilePlan
    from rios_batch.plan.opening import FileNames
    from rios_batch.plan.outputs import OutputFormat

log = logging.getLogger("rios_batch")

_APPROXIMATE_STEP = 4  # a sixteenth of the pixels


@dataclass(frozen=True)
class Prepared:
    """A run that was checked.

    Attributes
    ----------
    spec : the run.
    plan_for : returns the tiles for another ``num_workers``, which is how many tiles are computed at a time.
    """

    spec: RunSpec
    plan_for: Callable[..., TilePlan]


def prepare(
    function: UserFunction,
    infiles: FilenameAssociations,
    outfiles: FilenameAssociations,
    controls: ApplierControls,
    *,
    takes_other_args: bool,
    num_workers: int,
) -> RunSpec:
    """Check everything and plan the run.

    Raises
    ------
    ParameterError, FileOpenError, GridError, OutputError : each with a sentence that names the culprit.
    """
    return prepare_for_any(
        function,
        infiles,
        outfiles,
        controls,
        takes_other_args=takes_other_args,
        num_workers=num_workers,
    ).spec


def prepare_for_any(
    function: UserFunction,
    infiles: FilenameAssociations,
    outfiles: FilenameAssociations,
    controls: ApplierControls,
    *,
    takes_other_args: bool,
    num_workers: int,
) -> Prepared:
    """Do what `prepare` does, and return besides how the run is cut into tiles for other numbers of workers.

    Raises
    ------
    ParameterError, FileOpenError, GridError, OutputError : each with a sentence that names the culprit.
    """
    if not callable(function):
        raise ParameterError(f"the user function is a {type(function).__name__}, not a function")
    in_names, out_names = file_names(infiles, "infiles"), file_names(outfiles, "outfiles")
    controls.check_names(in_names.keys() | out_names.keys())
    inputs = plan_inputs(in_names, controls)
    if isinstance(function, functools.partial):
        from rios_batch.compute.dataarrays import DataArrayFunction  # noqa: PLC0415 - few scripts have one

        if isinstance(function, DataArrayFunction):
            function.check_inputs(inputs.specs)
    grid = inputs.grid
    blocks = BlockGrid(grid.ncols, grid.nrows, controls.windowxsize, controls.windowysize)
    outputs = _outputs(out_names, controls, blocks)
    units = [chosen.unit_blocks for _, chosen in outputs if chosen.unit_blocks is not None]
    plan_for = functools.partial(
        plan_tiles,
        blocks,
        unit_xblocks=math.lcm(*(x for x, _ in units)),
        unit_yblocks=math.lcm(*(y for _, y in units)),
        # Outputs are known only after the first block; they are seldom larger than the largest input.
        bytes_per_px=max((placement.bytes_per_px for placement in inputs.placements), default=8),
        tile_size_px=controls.tileSize,
        overview_factors={
            factor
            for output, _ in outputs
            if output.pyramid is not None and output.encoded_by_workers
            for factor in output.pyramid.factors_in_tiles
        },
    )
    plan = plan_for(num_workers=num_workers)
    opened = [placement.file.name for placement in inputs.placements] + [controls.referenceImage or ""]
    if any(is_remote(gdal_name(path)) for path in opened):
        release_connections()
    spec = RunSpec(
        function=function,
        takes_other_args=takes_other_args,
        inputs=inputs.specs,
        outputs=tuple(output.with_plan(plan) for output, _ in outputs),
        grid=grid,
        plan=plan,
        overlap_px=controls.overlap,
        absent_inputs=tuple(sorted(vars(infiles).keys() - in_names.keys())),
        absent_outputs=tuple(sorted(vars(outfiles).keys() - out_names.keys())),
        gdal_exceptions=script_has_exceptions(),
        scratch=scratch_names(controls.otherArgsMergeRules),
        input_cache_bytes=inputs.cache_bytes(plan, controls.overlap),
        environment=_environment(controls.workerEnvironment),
    )
    return Prepared(spec, plan_for)


def _environment(declared: Sequence[str] | Mapping[str, str]) -> Mapping[str, str | None]:
    """Return the variables that every worker is to have, with main's values where the script gives none."""
    return (
        dict(declared) if isinstance(declared, Mapping) else {name: os.environ.get(name) for name in declared}
    )


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


def _outputs(
    out_names: FileNames, controls: ApplierControls, blocks: BlockGrid
) -> list[tuple[OutputSpec, OutputFormat]]:
    outputs = [
        _output(name, index if isinstance(paths, list) else None, path, controls, blocks)
        for name, paths in out_names.items()
        for index, path in enumerate(as_list(paths))
    ]
    seen: dict[str, str] = {}
    for output, _ in outputs:
        place = output.path if output.path.startswith(SCHEME) else os.path.realpath(output.path)
        other = seen.setdefault(place, output.label)
        if other != output.label:
            raise ParameterError(f"{other} and {output.label} would both be written to {output.path!r}")
    return outputs


def _output(
    name: str, sequence: int | None, path: str, controls: ApplierControls, blocks: BlockGrid
) -> tuple[OutputSpec, OutputFormat]:
    if path.startswith(SCHEME):
        S3Name.parse(path)
    driver = controls.getOptionForImagename("drivername", name) or driver_for_extension(path)
    pyramid = _pyramid(controls, name, blocks)
    chosen = choose_format(path, driver, controls.creation_options_for(name, driver), blocks, pyramid)
    if chosen.unit_blocks is None:
        log.log(
            # For a GeoTIFF this costs speed that another window or option would give back.
            logging.WARNING if chosen.driver == "GTiff" else logging.INFO,
            "%s is written by one process, not by the workers: %s",
            path,
            chosen.reason,
        )
    output = OutputSpec(
        name=name,
        sequence=sequence,
        path=path,
        driver=chosen.driver,
        creation_options=chosen.creation_options,
        chooses_compression=chosen.chooses_compression,
        nodata=controls.getOptionForImagename("statsIgnore", name),
        nodata_is_default=controls.nodataIsDefault
        and "statsIgnore" not in controls.optionsByImage.get(name, {}),
        thematic=controls.getOptionForImagename("thematic", name),
        layer_names=tuple(controls.getOptionForImagename("layernames", name) or ()),
        encoded_by_workers=chosen.unit_blocks is not None,
        blocks_are_whole=chosen.unit_blocks == (1, 1),
        pyramid=pyramid,
        changed_by_script=controls.getOptionForImagename("callBeforeClose", name) is not None,
        statistics=_statistics(name, controls),
        colour_table=_colour_table(name, controls),
    )
    return output, chosen


def _pyramid(controls: ApplierControls, name: str, blocks: BlockGrid) -> Pyramid | None:
    """Return the overviews that an output shall have: those that are not smaller than the smallest wanted."""
    if controls.getOptionForImagename("omitPyramids", name):
        return None
    smallest_px = controls.getOptionForImagename("overviewMinDim", name)
    side_px = min(blocks.ncols, blocks.nrows)
    factors = tuple(
        level
        for level in controls.getOptionForImagename("overviewLevels", name)
        if side_px // level > smallest_px
    )
    method = controls.getOptionForImagename("overviewAggType", name) or DEFAULT_METHOD
    return Pyramid(factors, method) if factors else None


def _statistics(name: str, controls: ApplierControls) -> StatisticsSpec | None:
    basic = not controls.getOptionForImagename("omitBasicStats", name)
    histogram = not controls.getOptionForImagename("omitHistogram", name)
    if not basic and not histogram:
        return None
    approximate = controls.getOptionForImagename("approxStats", name)
    return StatisticsSpec(basic, histogram, _APPROXIMATE_STEP if approximate else 1)


def _colour_table(name: str, controls: ApplierControls) -> str | tuple[tuple[int, Colour], ...] | None:
    colours: dict[int, Colour] | None = controls.getOptionForImagename("colorTable", name)
    if colours is not None:
        return tuple(sorted(colours.items()))
    kind: str | None = controls.getOptionForImagename("autoColorTableType", name)
    if controls.getOptionForImagename("thematic", name):
        return kind
    if kind is not None and "autoColorTableType" in controls.optionsByImage.get(name, {}):
        raise ThematicError(
            f"a colour table was set for output {name!r}, which is not thematic; use controls.setThematic too"
        )
    return None
