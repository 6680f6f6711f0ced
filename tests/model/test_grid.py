from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rios_batch.errors import GridError, IntersectionError, ParameterError, ResampleNeededError
from rios_batch.model.grid import (
    BOUNDS_FROM_REFERENCE,
    INTERSECTION,
    LATTICE_TOLERANCE_PX,
    UNION,
    Extent,
    PixelGridDefn,
    PixelWindow,
    common_grid,
    offset_on,
    round_half_away,
)

REFERENCE = PixelGridDefn((500_000.0, 10.0, 0.0, 4_400_000.0, 0.0, -10.0), nrows=60, ncols=80)

sizes = st.integers(1, 5000)
offsets = st.integers(-5000, 5000)
pixel_sizes = st.sampled_from([1.0, 10.0, 0.1, 1 / 3, 231.65635826, 2.5e-4])
origins = st.floats(-1e7, 1e7, allow_nan=False)


@st.composite
def grids(draw: st.DrawFn) -> PixelGridDefn:
    transform = (draw(origins), draw(pixel_sizes), 0.0, draw(origins), 0.0, -draw(pixel_sizes))
    return PixelGridDefn(transform, draw(sizes), draw(sizes), "wkt")


@st.composite
def on_one_lattice(draw: st.DrawFn) -> tuple[PixelGridDefn, list[tuple[int, int, int, int]]]:
    """Return a reference, and rectangles ``(col, row, ncols, nrows)`` on its lattice."""
    rectangle = st.tuples(offsets, offsets, sizes, sizes)
    return draw(grids()), draw(st.lists(rectangle, min_size=1, max_size=4))


def pixels_of(reference: PixelGridDefn, grid: PixelGridDefn) -> tuple[int, int, int, int]:
    """Return first column, first row, end column and end row on the reference's lattice."""
    col, row = offset_on(reference, grid)
    return col, row, col + grid.ncols, row + grid.nrows


@given(grids(), offsets, offsets, sizes, sizes)
def test_offset_on_is_the_inverse_of_window(
    reference: PixelGridDefn, col: int, row: int, ncols: int, nrows: int
) -> None:
    grid = reference.window(col, row, ncols, nrows)

    assert offset_on(reference, grid) == (col, row)
    assert offset_on(grid, reference) == (-col, -row)
    assert grid.getDimensions() == (nrows, ncols)
    assert grid.projection == reference.projection


@given(on_one_lattice())
def test_intersection_is_the_pixels_that_all_grids_have(
    case: tuple[PixelGridDefn, list[tuple[int, int, int, int]]],
) -> None:
    reference, rectangles = case
    col, row = max(r[0] for r in rectangles), max(r[1] for r in rectangles)
    end_col, end_row = min(r[0] + r[2] for r in rectangles), min(r[1] + r[3] for r in rectangles)
    inputs = [reference.window(*rectangle) for rectangle in rectangles]

    if end_col <= col or end_row <= row:
        with pytest.raises(IntersectionError):
            common_grid(reference, inputs, INTERSECTION)
    else:
        common = common_grid(reference, inputs, INTERSECTION)
        assert pixels_of(reference, common) == (col, row, end_col, end_row)


@given(on_one_lattice())
def test_union_is_the_smallest_grid_with_every_pixel_of_every_grid(
    case: tuple[PixelGridDefn, list[tuple[int, int, int, int]]],
) -> None:
    reference, rectangles = case
    inputs = [reference.window(*rectangle) for rectangle in rectangles]

    common = common_grid(reference, inputs, UNION)

    assert pixels_of(reference, common) == (
        min(r[0] for r in rectangles),
        min(r[1] for r in rectangles),
        max(r[0] + r[2] for r in rectangles),
        max(r[1] + r[3] for r in rectangles),
    )


@given(on_one_lattice())
def test_bounds_from_reference_ignores_the_inputs(
    case: tuple[PixelGridDefn, list[tuple[int, int, int, int]]],
) -> None:
    reference, rectangles = case
    inputs = [reference.window(*rectangle) for rectangle in rectangles]

    assert common_grid(reference, inputs, BOUNDS_FROM_REFERENCE) is reference


@given(on_one_lattice(), st.sampled_from([INTERSECTION, UNION]), st.randoms())
def test_the_order_of_inputs_does_not_matter(
    case: tuple[PixelGridDefn, list[tuple[int, int, int, int]]], footprint: int, random: Any
) -> None:
    reference, rectangles = case
    inputs = [reference.window(*rectangle) for rectangle in rectangles]
    shuffled = random.sample(inputs, len(inputs))
    try:
        expected = common_grid(reference, inputs, footprint)
    except IntersectionError:
        assume(False)

    assert common_grid(reference, shuffled, footprint) == expected


def test_grids_that_only_touch_do_not_overlap() -> None:
    right = REFERENCE.window(80, 0, 80, 60)

    with pytest.raises(IntersectionError):
        common_grid(REFERENCE, [REFERENCE, right], INTERSECTION)


@pytest.mark.parametrize(("part", "on_lattice"), [(0.5, True), (0.99, True), (1.5, False), (100.0, False)])
def test_an_origin_may_be_off_by_a_thousandth_of_a_pixel_and_no_more(
    part: float, *, on_lattice: bool
) -> None:
    shift_m = part * LATTICE_TOLERANCE_PX * REFERENCE.xRes
    transform = (REFERENCE.xMin + 30 + shift_m, 10.0, 0.0, REFERENCE.yMax, 0.0, -10.0)
    grid = PixelGridDefn(transform, 60, 80)

    if on_lattice:
        assert offset_on(REFERENCE, grid) == (3, 0)
    else:
        with pytest.raises(ResampleNeededError, match="off those of the reference"):
            offset_on(REFERENCE, grid)


@pytest.mark.parametrize(("part", "on_lattice"), [(0.5, True), (2.0, False)])
def test_pixel_sizes_may_differ_as_long_as_no_corner_drifts_by_a_thousandth(
    part: float, *, on_lattice: bool
) -> None:
    size = 10 * (1 + part * LATTICE_TOLERANCE_PX / 80)
    grid = PixelGridDefn((500_000.0, size, 0.0, 4_400_000.0, 0.0, -10.0), 60, 80)

    if on_lattice:
        assert offset_on(REFERENCE, grid) == (0, 0)
    else:
        with pytest.raises(ResampleNeededError, match="its pixels are 10.00"):
            offset_on(REFERENCE, grid)


def test_another_pixel_size_is_named_together_with_the_references() -> None:
    grid = PixelGridDefn((500_000.0, 30.0, 0.0, 4_400_000.0, 0.0, -30.0), 20, 27)

    with pytest.raises(ResampleNeededError, match=r"30 x 30, the reference's are 10 x 10"):
        offset_on(REFERENCE, grid)


@pytest.mark.parametrize(
    ("transform", "words"),
    [
        ((0.0, 10.0, 0.5, 0.0, 0.0, -10.0), "rotated"),
        ((0.0, 10.0, 0.0, 0.0, 0.5, -10.0), "rotated"),
        ((0.0, 10.0, 0.0, 0.0, 0.0, 10.0), "not north-up"),
        ((0.0, -10.0, 0.0, 0.0, 0.0, -10.0), "not north-up"),
        ((0.0, 0.0, 0.0, 0.0, 0.0, 0.0), "not north-up"),
    ],
)
def test_rotated_and_south_up_geotransforms_are_refused_with_the_cure(
    transform: tuple[float, ...], words: str
) -> None:
    with pytest.raises(GridError, match=rf"{words}.*gdalwarp"):
        PixelGridDefn(transform, 10, 10)


@pytest.mark.parametrize(("nrows", "ncols"), [(0, 5), (5, 0), (-1, 5)])
def test_a_grid_without_pixels_is_refused(nrows: int, ncols: int) -> None:
    with pytest.raises(GridError, match="at least one pixel"):
        PixelGridDefn((0.0, 1.0, 0.0, 0.0, 0.0, -1.0), nrows, ncols)


@pytest.mark.parametrize("missing", ["xMin", "xMax", "yMin", "yMax", "xRes", "yRes"])
def test_a_grid_from_bounds_needs_all_of_them(missing: str) -> None:
    bounds = {"xMin": 0.0, "xMax": 10.0, "yMin": 0.0, "yMax": 10.0, "xRes": 1.0, "yRes": 1.0}
    del bounds[missing]

    with pytest.raises(ParameterError, match="xMin, xMax, yMin, yMax, xRes and yRes"):
        PixelGridDefn(**bounds)  # type: ignore[arg-type]  # mypy takes the dict's values for any argument


@pytest.mark.parametrize("size", [0.0, -1.0])
def test_bounds_with_a_pixel_size_that_is_not_positive_are_refused(size: float) -> None:
    with pytest.raises(GridError, match="must be positive"):
        PixelGridDefn(xMin=0, xMax=10, yMin=0, yMax=10, xRes=size, yRes=1)


@given(grids())
def test_a_grid_from_its_own_bounds_is_the_same_grid(grid: PixelGridDefn) -> None:
    again = PixelGridDefn(
        xMin=grid.xMin,
        xMax=grid.xMax,
        yMin=grid.yMin,
        yMax=grid.yMax,
        xRes=grid.xRes,
        yRes=grid.yRes,
        projection=grid.projection,
    )

    assert again == grid
    assert hash(again) == hash(grid)
    assert PixelGridDefn(grid.makeGeoTransform(), grid.nrows, grid.ncols, grid.projection) == grid


@pytest.mark.parametrize("change", ["xMin", "xMax", "yMin", "yMax", "xRes", "yRes", "projection"])
def test_grids_that_differ_in_anything_are_not_equal(change: str) -> None:
    other = REFERENCE.window(0, 0, 80, 60)
    assert other == REFERENCE
    setattr(other, change, "EPSG:4326" if change == "projection" else getattr(other, change) + 10)

    assert other != REFERENCE


def test_pixel_counts_from_bounds_round_half_away_from_zero() -> None:
    grid = PixelGridDefn(xMin=0, xMax=2.5, yMin=0, yMax=4.5, xRes=1, yRes=1)

    assert grid.getDimensions() == (5, 3)


@pytest.mark.parametrize(
    ("value", "rounded"),
    [(0.5, 1), (1.5, 2), (2.5, 3), (-0.5, -1), (-1.5, -2), (-2.5, -3), (0.49, 0), (-0.49, 0)],
)
def test_halves_round_away_from_zero(value: float, rounded: int) -> None:
    assert round_half_away(value) == rounded


@given(st.floats(-1e9, 1e9))
def test_rounding_never_moves_by_more_than_a_half_and_is_odd(value: float) -> None:
    rounded = round_half_away(value)

    assert abs(rounded - value) <= 0.5
    assert round_half_away(-value) == -rounded


windows = st.builds(PixelWindow, offsets, offsets, sizes, sizes)


@given(windows, sizes, sizes)
def test_a_clipped_window_has_exactly_the_pixels_inside(window: PixelWindow, ncols: int, nrows: int) -> None:
    clipped = window.clipped(ncols, nrows)
    cols = range(max(window.col, 0), min(window.end_col, ncols))
    rows = range(max(window.row, 0), min(window.end_row, nrows))

    assert clipped.size_px == len(cols) * len(rows)
    if clipped.size_px:
        assert (clipped.col, clipped.end_col, clipped.row, clipped.end_row) == (
            cols.start,
            cols.stop,
            rows.start,
            rows.stop,
        )


@given(windows, st.integers(0, 50), offsets, offsets)
def test_growing_and_shifting_undo_themselves(window: PixelWindow, margin: int, cols: int, rows: int) -> None:
    assert window.grown(margin).grown(-margin) == window
    assert window.shifted(cols, rows).shifted(-cols, -rows) == window


def test_a_window_is_spoken_of_by_its_first_and_last_pixels() -> None:
    assert str(PixelWindow(2, 3, 10, 20)) == "columns 2-11, rows 3-22"


def test_a_grid_without_a_projection_has_empty_wkt() -> None:
    assert REFERENCE.projection == ""
    assert math.isclose(REFERENCE.yMin, 4_400_000 - 600)
    assert "80 columns x 60 rows of 10 x 10" in repr(REFERENCE)


@given(grids(), offsets, offsets, sizes, sizes, st.floats(-0.49, 0.49), st.floats(-0.49, 0.49))
def test_an_extent_is_snapped_to_the_nearest_pixel_edges(
    reference: PixelGridDefn, col: int, row: int, ncols: int, nrows: int, right: float, down: float
) -> None:
    exact = reference.window(col, row, ncols, nrows)
    moved = Extent(
        exact.xMin + right * reference.xRes,
        exact.yMin - down * reference.yRes,
        exact.xMax + right * reference.xRes,
        exact.yMax - down * reference.yRes,
        reference.projection,
    )

    assert pixels_of(reference, reference.snapped(moved)) == pixels_of(reference, exact)


def test_an_extent_smaller_than_a_pixel_is_snapped_to_one_pixel() -> None:
    tiny = Extent(500_001, 4_399_995, 500_002, 4_399_996, "")

    assert pixels_of(REFERENCE, REFERENCE.snapped(tiny)) == (0, 0, 1, 1)


@pytest.mark.parametrize(
    ("inner", "inside"), [((0, 0, 2, 2), True), ((1, 1, 2, 2), True), ((1, 1, 2.1, 2), False)]
)
def test_an_extent_contains_what_does_not_stick_out(
    inner: tuple[float, float, float, float], inside: bool
) -> None:
    assert Extent(0, 0, 2, 2, "").contains(Extent(*inner, "")) is inside


def test_bounds_and_pixel_sizes_are_plain_values_and_dimensions_follow() -> None:
    grid = PixelGridDefn((300_000.0, 30.0, 0.0, 4_400_000.0, 0.0, -30.0), nrows=620, ncols=700)
    before = hash(grid)

    grid.xRes = grid.yRes = 60.0
    assert grid.getDimensions() == (310, 350)
    assert (grid.xMin, grid.xMax, grid.yMin, grid.yMax) == (300_000, 321_000, 4_381_400, 4_400_000)

    grid.xMin += 300
    grid.xMax -= 600
    grid.yMin += 60
    grid.yMax -= 120
    assert (grid.ncols, grid.nrows) == (335, 307)
    assert grid.makeGeoTransform() == (300_300, 60, 0, 4_399_880, 0, -60)
    assert grid.extent == Extent(300_300, 4_381_460, 320_400, 4_399_880, "")
    assert hash(grid) != before


def test_given_bounds_stay_as_given_and_the_count_of_pixels_is_rounded() -> None:
    grid = PixelGridDefn(xMin=0, xMax=95, yMin=-94, yMax=0, xRes=10, yRes=10)

    assert (grid.xMax, grid.yMin, grid.getDimensions()) == (95, -94, (9, 10))
    assert grid.extent == Extent(0, -90, 100, 0, "")


@pytest.mark.parametrize(
    ("attribute", "value", "says"),
    [
        ("xRes", 0, "pixel sizes must be positive, not xRes=0, yRes=10.0"),
        ("yRes", -10.0, "pixel sizes must be positive, not xRes=10.0, yRes=-10.0"),
        ("xMax", 500_001.0, "at least one pixel, not 0 columns x 60 rows"),
        ("yMin", 5e6, "at least one pixel, not 80 columns x -60000 rows"),
    ],
)
def test_values_that_make_no_grid_are_refused_when_the_grid_is_used(
    attribute: str, value: float, says: str
) -> None:
    grid = REFERENCE.window(0, 0, 80, 60)
    setattr(grid, attribute, value)

    with pytest.raises(GridError, match=says):
        grid.getDimensions()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", range(6))
def test_a_geotransform_with_a_number_that_is_not_finite_is_refused(bad: float, place: int) -> None:
    transform = [500_000.0, 10.0, 0.0, 4_400_000.0, 0.0, -10.0]
    transform[place] = bad

    with pytest.raises(GridError):
        PixelGridDefn(transform, nrows=60, ncols=80)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["xMin", "xMax", "yMin", "yMax", "xRes", "yRes"])
def test_a_bound_that_is_not_finite_is_refused_also_when_a_script_sets_it_later(
    bad: float, name: str
) -> None:
    numbers = {"xMin": 0.0, "xMax": 80.0, "yMin": 0.0, "yMax": 60.0, "xRes": 1.0, "yRes": 1.0}
    with pytest.raises(GridError, match="no finite number"):
        PixelGridDefn(**{**numbers, name: bad})  # type: ignore[arg-type]  # all are floats
    grid = PixelGridDefn(**numbers)  # type: ignore[arg-type]
    setattr(grid, name, bad)
    with pytest.raises(GridError, match="no finite number"):
        grid.getDimensions()


@pytest.mark.parametrize(("x", "y"), [(1e15, 6e6), (5e5, -1e15), (1e14, 1e14)])
def test_pixels_that_cannot_be_told_apart_so_far_from_zero_are_refused(x: float, y: float) -> None:
    with pytest.raises(
        GridError, match=r"pixels of 0\.001 x 0\.001 cannot be told apart at x .* nearer to zero"
    ):
        PixelGridDefn((x, 0.001, 0, y, 0, -0.001), nrows=300, ncols=400)
