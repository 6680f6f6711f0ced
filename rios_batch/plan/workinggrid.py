"""The grid that a run works on, from the inputs and what the controls say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rios_batch.errors import GridError, IntersectionError, ParameterError
from rios_batch.gdalapi import is_wkt
from rios_batch.model.grid import BOUNDS_FROM_REFERENCE
from rios_batch.pixelgrid import PixelGridDefn
from rios_batch.read.extents import common_region

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rios_batch.controls import ApplierControls
    from rios_batch.model import grid
    from rios_batch.read.facts import RasterFacts


@dataclass(frozen=True)
class Reference:
    """The grid whose lattice the run works on. ``was_set`` says that the script chose it."""

    grid: grid.PixelGridDefn
    name: str
    was_set: bool


def find_reference(
    controls: ApplierControls,
    rasters: Mapping[str, Sequence[RasterFacts]],
    described: Callable[[str], RasterFacts],
    *,
    empty_lists: Sequence[str] = (),
) -> Reference:
    """Return the reference set in the controls, or else the first input raster.

    Parameters
    ----------
    rasters : the input rasters of each symbolic name.
    described : returns the facts of a raster that is not an input.
    empty_lists : symbolic names that were given no file, for the message.

    Raises
    ------
    FileOpenError : the reference image cannot be opened.
    ParameterError : there is neither an input raster nor a reference.
    GridError : the reference is rotated or south-up, or its projection is no WKT.
    """
    if controls.referencePixgrid is not None:
        if not is_wkt(controls.referencePixgrid.projection):
            raise GridError(
                f"the projection of the reference pixel grid is {controls.referencePixgrid.projection[:100]!r}, and "
                "must be WKT; osr.SpatialReference has SetFromUserInput() for others, and ExportToWkt()"
            )
        # A copy, since a script may change its own grid at any time.
        return Reference(
            PixelGridDefn.of(controls.referencePixgrid), "the reference pixel grid", was_set=True
        )
    if controls.referenceImage is not None:
        named = _named(controls.referenceImage, rasters, described)[0]
        return Reference(named.grid, f"the reference {named.path!r}", was_set=True)
    first = next((fact for facts in rasters.values() for fact in facts), None)
    if first is None:
        empty = "".join(f"infiles.{name} is an empty list of files; " for name in empty_lists)
        raise ParameterError(
            "there are no input rasters and no reference, so there is nothing to say what grid to work on; "
            f"{empty}use setReferenceImage or setReferencePixgrid"
        )
    return Reference(first.grid, f"{first.path!r}, the first input", was_set=False)


def find_working_grid(
    controls: ApplierControls,
    rasters: Mapping[str, Sequence[RasterFacts]],
    reference: Reference,
    described: Callable[[str], RasterFacts],
) -> PixelGridDefn:
    """Return the grid that the run works on: the lattice of the reference, and the extent of the inputs.

    Vector inputs do not limit the extent. A reference that is not itself an input limits it only
    after ``setReferenceLimitsExtent(True)``; ``setFilesForExtent`` takes the place of the inputs.

    Parameters
    ----------
    rasters : the input rasters of each symbolic name.
    described : returns the facts of a raster that is not an input.

    Raises
    ------
    FileOpenError : a file that was set for the extent cannot be opened.
    ParameterError : there is nothing to take the extent from.
    GridError : an input has no image in the reference's projection.
    IntersectionError : no pixel is common to all.
    """
    files = [fact for facts in rasters.values() for fact in facts]
    if controls.filesForExtent is not None:
        files = [fact for name in controls.filesForExtent for fact in _named(name, rasters, described)]
    extents = [fact.extent for fact in files]
    if controls.referenceLimitsExtent:
        extents.append(reference.grid.extent)
    if not extents and controls.footprint != BOUNDS_FROM_REFERENCE:
        raise ParameterError(
            "without input rasters, use setFootprintType(BOUNDS_FROM_REFERENCE) with the reference, "
            "or setFilesForExtent"
        )
    try:
        return PixelGridDefn.of(common_region(reference.grid, extents, controls.footprint))
    except IntersectionError:
        names = "; ".join(f"{fact.path!r} has {fact.extent}" for fact in files)
        raise IntersectionError(
            f"the inputs do not overlap, no pixel is common to all of them: {names}; for an extent that holds them "
            "all use setFootprintType(applier.UNION)"
        ) from None
    except GridError as error:
        raise GridError(
            f"the inputs cannot be combined on the grid of {reference.name}: {error}; use "
            "setFootprintType(BOUNDS_FROM_REFERENCE), or name the files that count with setFilesForExtent"
        ) from error


def _named(
    name: str, rasters: Mapping[str, Sequence[RasterFacts]], described: Callable[[str], RasterFacts]
) -> Sequence[RasterFacts]:
    """Return the rasters of a symbolic name, or the one that is a file of that name."""
    return rasters.get(name) or [described(name)]
