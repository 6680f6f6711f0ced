"""What grid a run works on, and what a script sees of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rios_batch import applier, pixelgrid, rioserrors
from tests.support import make_raster, ramp, utm_wkt

if TYPE_CHECKING:
    from pathlib import Path

    from rios_batch.pixelgrid import PixelGridDefn

EAST, NORTH = 500_000, 4_400_000


def working_grid(controls: applier.ApplierControls, **inputs: Any) -> PixelGridDefn:
    """Run a function that only looks; return the grid that it was told of."""
    seen: list[PixelGridDefn] = []

    def look(info: Any, _inputs: Any, _outputs: Any) -> None:
        seen.append(info.workingGrid)

    infiles, outfiles = applier.FilenameAssociations(**inputs), applier.FilenameAssociations()
    result = applier.apply(look, infiles, outfiles, controls=controls)
    assert seen[0] == result.workinggrid
    assert type(seen[0]) is pixelgrid.PixelGridDefn
    return seen[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a raster, a small one inside it, and one of other pixels that lies half outside."""
    make_raster(tmp_path / "large.tif", ramp(1, 60, 80))
    make_raster(tmp_path / "small.tif", ramp(1, 20, 30), origin=(EAST + 100, NORTH - 50))
    make_raster(tmp_path / "other.tif", ramp(1, 40, 40), origin=(EAST + 404, NORTH + 204), pixel_size=20)
    return tmp_path


def reference(name: Any) -> applier.ApplierControls:
    controls = applier.ApplierControls()
    controls.setReferenceImage(name)
    return controls


def test_a_reference_that_is_no_input_gives_the_lattice_and_not_the_extent(folder: Path) -> None:
    grid = working_grid(reference(folder / "small.tif"), a=folder / "large.tif")

    assert grid == pixelgrid.pixelGridFromFile(folder / "large.tif")


def test_the_reference_limits_the_extent_where_rios_1_4_is_asked_for(folder: Path) -> None:
    controls = reference(folder / "small.tif")
    controls.setReferenceLimitsExtent(True)

    assert working_grid(controls, a=folder / "large.tif") == pixelgrid.pixelGridFromFile(folder / "small.tif")
    controls.setFootprintType(applier.UNION)
    assert working_grid(controls, a=folder / "large.tif") == pixelgrid.pixelGridFromFile(folder / "large.tif")


@pytest.mark.parametrize("named", ["small", "file"])
def test_the_extent_can_be_that_of_chosen_files(folder: Path, named: str) -> None:
    controls = reference("large")
    controls.setFilesForExtent(["small" if named == "small" else folder / "small.tif"])
    inputs = {"large": folder / "large.tif", "small": folder / "small.tif", "other": folder / "other.tif"}

    assert working_grid(controls, **inputs) == pixelgrid.pixelGridFromFile(folder / "small.tif")
    controls.setFootprintType(applier.BOUNDS_FROM_REFERENCE)
    assert working_grid(controls, **inputs) == pixelgrid.pixelGridFromFile(folder / "large.tif")


def test_inputs_of_other_pixels_are_snapped_to_the_nearest_pixel_of_the_reference(folder: Path) -> None:
    controls = reference("large")
    inputs = {"large": folder / "large.tif", "other": folder / "other.tif"}

    common = working_grid(controls, **inputs)
    assert (common.xMin, common.yMax, common.ncols, common.nrows) == (EAST + 400, NORTH, 40, 60)
    controls.setFootprintType(applier.UNION)
    union = working_grid(controls, **inputs)
    assert (union.xMin, union.yMax, union.ncols, union.nrows) == (EAST, NORTH + 200, 120, 80)


def test_rasters_without_a_projection_have_a_common_region(tmp_path: Path) -> None:
    a = make_raster(tmp_path / "a.tif", ramp(1, 20, 30), epsg=None)
    b = make_raster(tmp_path / "b.tif", ramp(1, 20, 30), epsg=None, origin=(EAST + 50, NORTH - 30))

    grid = working_grid(applier.ApplierControls(), a=a, b=b)

    assert (grid.projection, grid.ncols, grid.nrows) == ("", 25, 17)


def test_without_input_rasters_the_reference_must_give_the_bounds(folder: Path) -> None:
    with pytest.raises(rioserrors.ParameterError, match="without input rasters.*BOUNDS_FROM_REFERENCE"):
        working_grid(reference(folder / "small.tif"))
    controls = reference(folder / "small.tif")
    controls.setFilesForExtent([folder / "large.tif"])

    assert working_grid(controls) == pixelgrid.pixelGridFromFile(folder / "large.tif")


def test_an_input_with_no_place_in_the_references_projection_is_refused_with_what_to_do(folder: Path) -> None:
    bare = make_raster(folder / "bare.tif", ramp(1, 9, 9), epsg=None)

    with pytest.raises(rioserrors.GridError, match="one has a projection.*BOUNDS_FROM_REFERENCE"):
        working_grid(reference("large"), large=folder / "large.tif", bare=bare)


def test_pixels_are_those_of_a_function_of_the_whole_whatever_windows_and_overlap(folder: Path) -> None:
    grid = pixelgrid.PixelGridDefn(
        xMin=EAST - 70, xMax=EAST + 900, yMin=NORTH - 650, yMax=NORTH + 40, xRes=10, yRes=10,
        projection=utm_wkt(),
    )  # fmt: skip
    controls = applier.ApplierControls()
    controls.setReferencePixgrid(grid)
    controls.setFootprintType(applier.BOUNDS_FROM_REFERENCE)
    whole = np.zeros((69, 97), np.uint16)
    whole[4:64, 7:87] = ramp(1, 60, 80)[0]

    def rows_seen(window: int) -> Any:
        parts: dict[int, list[Any]] = {}

        def keep(info: Any, inputs: Any, _outputs: Any) -> None:
            parts.setdefault(info.yblock, []).append(inputs.a[0])

        controls.setWindowSize(window, window)
        infiles = applier.FilenameAssociations(a=folder / "large.tif")
        applier.apply(keep, infiles, applier.FilenameAssociations(), controls=controls)
        return np.block([parts[y] for y in sorted(parts)])

    for window in (13, 64, 200):
        np.testing.assert_array_equal(rows_seen(window), whole)


def test_a_changed_reference_grid_is_the_one_that_the_run_works_on(folder: Path) -> None:
    reference = pixelgrid.pixelGridFromFile(folder / "large.tif")
    reference.xRes = reference.yRes = 20
    reference.xMin += 100
    controls = applier.ApplierControls()
    controls.setReferencePixgrid(reference)
    controls.setFootprintType(applier.BOUNDS_FROM_REFERENCE)

    grid = working_grid(controls, a=folder / "large.tif")

    assert grid.getDimensions() == (30, 35)
    assert (grid.xRes, grid.xMin, grid.xMax, grid.yMin) == (20, EAST + 100, EAST + 800, NORTH - 600)


def test_inputs_without_a_common_pixel_are_refused_with_the_footprint_that_takes_all(folder: Path) -> None:
    far = make_raster(folder / "far.tif", ramp(1, 20, 30), origin=(EAST + 90_000, NORTH))

    with pytest.raises(
        rioserrors.IntersectionError, match=r"no pixel is common.*use setFootprintType\(applier.UNION\)"
    ):
        working_grid(applier.ApplierControls(), a=folder / "large.tif", b=far)


def test_an_empty_list_of_files_that_leaves_no_raster_is_named() -> None:
    with pytest.raises(
        rioserrors.ParameterError, match=r"no input rasters .*infiles\.scenes is an empty list"
    ):
        working_grid(applier.ApplierControls(), scenes=[])


def test_an_empty_list_beside_a_raster_is_an_empty_list_of_arrays(folder: Path) -> None:
    assert working_grid(applier.ApplierControls(), a=folder / "large.tif", b=[]).getDimensions() == (60, 80)


@pytest.mark.parametrize("projection", ["EPSG:3577", "+proj=utm +zone=55", "PROJCS[half"])
def test_a_reference_grid_whose_projection_is_no_wkt_is_refused(folder: Path, projection: str) -> None:
    reference = pixelgrid.pixelGridFromFile(folder / "large.tif")
    reference.projection = projection
    controls = applier.ApplierControls()
    controls.setReferencePixgrid(reference)

    with pytest.raises(
        rioserrors.GridError, match=r"projection of the reference pixel grid is .*must be WKT"
    ):
        working_grid(controls, a=folder / "large.tif")
