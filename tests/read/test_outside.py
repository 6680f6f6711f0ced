"""Files that a block is wholly outside of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rios_batch import applier
from rios_batch.model.grid import PixelGridDefn
from rios_batch.read.facts import describe
from rios_batch.read.warp import reach_of
from tests.support import make_raster, ramp, read_raster

if TYPE_CHECKING:
    from pathlib import Path

SIDE_PX = 20
NSCENES = 4


def scenes(folder: Path, zone: int = 50, x0: float = 500_000.0) -> list[str]:
    """Make scenes in a row from west to east."""
    return [
        make_raster(
            folder / f"{zone}-{n}.tif",
            ramp(1, SIDE_PX, SIDE_PX) + np.uint8(n + 1),
            nodata=0,
            origin=(x0 + n * SIDE_PX * 30, 6_000_000),
            pixel_size=30,
            epsg=32600 + zone,
        )
        for n in range(NSCENES)
    ]


def mosaic(paths: list[str], out: Path, **options: Any) -> list[list[bool]]:
    """Run with the scenes; return which arrays were None in each block."""
    other = applier.OtherInputs(seen=[])
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.scenes, outfiles.result = paths, out
    controls = applier.ApplierControls()
    controls.setFootprintType(applier.UNION)
    controls.setWindowSize(SIDE_PX, SIDE_PX)
    for setter, value in options.items():
        getattr(controls, setter)(value)

    def merge(info: Any, inputs: Any, outputs: Any, other: Any) -> None:
        other.seen.append([array is None for array in inputs.scenes])
        shape = (1, info.getBlockSize()[1], info.getBlockSize()[0])
        outputs.result = np.zeros(shape, np.uint16)
        for array in inputs.scenes:
            if array is not None:
                if info.getFilenameFor(array) not in paths:
                    raise ValueError(info.getFilenameFor(array))
                outputs.result = np.where(array != 0, array, outputs.result)

    applier.apply(merge, infiles, outfiles, other, controls=controls)
    seen: list[list[bool]] = other.seen
    return seen


def test_files_are_full_of_nodata_where_a_block_is_outside_and_none_if_that_is_wanted(tmp_path: Path) -> None:
    paths = scenes(tmp_path)

    full = mosaic(paths, tmp_path / "full.tif")
    none = mosaic(paths, tmp_path / "none.tif", setOutsideAsNone=True)

    assert full == [[False] * NSCENES] * NSCENES
    assert none == [[n != block for n in range(NSCENES)] for block in range(NSCENES)]
    np.testing.assert_array_equal(read_raster(tmp_path / "none.tif"), read_raster(tmp_path / "full.tif"))


def test_a_margin_belongs_to_the_block(tmp_path: Path) -> None:
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.scenes, outfiles.result = scenes(tmp_path), tmp_path / "out.tif"
    controls = applier.ApplierControls()
    controls.setFootprintType(applier.UNION)
    controls.setWindowSize(SIDE_PX, SIDE_PX)
    controls.setOverlap(1)
    controls.setOutsideAsNone(True, "scenes")
    seen: list[int] = []

    def count(_info: Any, inputs: Any, outputs: Any) -> None:
        seen.append(sum(array is not None for array in inputs.scenes))
        outputs.result = next(array for array in inputs.scenes if array is not None)

    applier.apply(count, infiles, outfiles, controls=controls)

    assert seen == [2, 3, 3, 2]


def test_a_file_is_opened_by_blocks_that_it_lies_in_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = scenes(tmp_path)
    small = make_raster(
        tmp_path / "small.tif",
        ramp(1, SIDE_PX, SIDE_PX),
        origin=(500_000, 6_000_000),
        pixel_size=30,
        epsg=32650,
    )
    monkeypatch.setattr(
        "rios_batch.read.sources.open_raster", lambda name, path: pytest.fail(f"{name}, {path}")
    )
    infiles = applier.FilenameAssociations()
    infiles.scenes = paths[1:]
    controls = applier.ApplierControls()
    controls.setReferenceImage(small)
    controls.setFootprintType(applier.BOUNDS_FROM_REFERENCE)
    seen: list[Any] = []

    def look(_info: Any, inputs: Any, _outputs: Any) -> None:
        seen.extend(inputs.scenes)

    applier.apply(look, infiles, applier.FilenameAssociations(), controls=controls)

    assert [array.shape for array in seen] == [(1, SIDE_PX, SIDE_PX)] * 3
    assert not any(array.any() for array in seen)


@pytest.mark.parametrize("method", ["near", "cubic", "average"])
def test_resampled_files_are_not_read_outside_and_the_pixels_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    # Across the border of two zones.
    paths = [*scenes(tmp_path, 51, 304_000.0), *scenes(tmp_path, 50, 695_000.0)]
    reference = paths[-1]
    options = {"setReferenceImage": reference, "setResampleMethod": method}

    none = mosaic(paths, tmp_path / "none.tif", setOutsideAsNone=True, **options)
    full = mosaic(paths, tmp_path / "full.tif", **options)
    monkeypatch.setattr("rios_batch.plan.inputs.reach_of", lambda *_: None)
    mosaic(paths, tmp_path / "unknown.tif", **options)

    assert any(block[0] for block in none)
    assert not all(block[0] for block in none)
    assert not any(map(any, full))
    expected = read_raster(tmp_path / "unknown.tif")
    np.testing.assert_array_equal(read_raster(tmp_path / "none.tif"), expected)
    np.testing.assert_array_equal(read_raster(tmp_path / "full.tif"), expected)


def test_on_a_grid_in_degrees_nothing_is_left_out_since_a_place_may_have_two_longitudes(
    tmp_path: Path,
) -> None:
    from osgeo import osr  # noqa: PLC0415 - for one test

    facts = describe(scenes(tmp_path)[0])
    grid = PixelGridDefn((117.0, 0.001, 0, 54.0, 0, -0.001), 10, 10, osr.SRS_WKT_WGS84_LAT_LONG)

    assert reach_of(facts, grid) is None
