"""Remote GeoTIFFs are read ahead: fewer requests, no bytes that no window needs, and the same pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.rangeserver import serving
from rios_batch.model.grid import PixelWindow
from rios_batch.read.ahead import window_ahead
from tests.s3server import ON_LOOPBACK
from tests.support import make_raster, read_raster, run_script

if TYPE_CHECKING:
    from pathlib import Path

TILE = PixelWindow(1024, 0, 1024, 512)
FIRST = PixelWindow(1024, 0, 256, 256)
BLOCK = (256, 256)
BLOCK_PX = 256 * 256


@pytest.mark.parametrize(
    ("most_px", "ahead"),
    [
        (0, FIRST),
        (2 * BLOCK_PX - 1, FIRST),
        (2 * BLOCK_PX, PixelWindow(1024, 0, 512, 256)),
        (4 * BLOCK_PX, PixelWindow(1024, 0, 1024, 256)),
        (7 * BLOCK_PX, PixelWindow(1024, 0, 1024, 256)),
        (8 * BLOCK_PX, TILE),
        (99 * BLOCK_PX, TILE),
    ],
)
def test_a_row_is_read_as_far_as_it_fits_and_then_further_rows(most_px: int, ahead: PixelWindow) -> None:
    assert window_ahead(FIRST, TILE, BLOCK, most_px) == ahead


def test_no_further_row_is_read_where_windows_go_on_in_the_middle_of_one() -> None:
    middle = PixelWindow(1280, 0, 256, 256)

    assert window_ahead(middle, TILE, BLOCK, 99 * BLOCK_PX) == PixelWindow(1280, 0, 768, 256)


@given(
    st.tuples(st.integers(0, 99), st.integers(0, 99), st.integers(1, 99), st.integers(1, 99)),
    st.tuples(st.integers(0, 500), st.integers(0, 500)),
    st.tuples(st.integers(1, 300), st.integers(1, 300)),
    st.integers(0, 200_000),
)
def test_what_is_read_ahead_is_of_the_tile_has_the_window_and_fits(
    numbers: tuple[int, int, int, int], more: tuple[int, int], block: tuple[int, int], most_px: int
) -> None:
    window = PixelWindow(*numbers)
    tile = PixelWindow(0, 0, window.end_col + more[0], window.end_row + more[1])

    found = window_ahead(window, tile, block, most_px)

    assert (found.col, found.row) == (window.col, window.row)
    assert window.end_col <= found.end_col <= tile.end_col
    assert window.end_row <= found.end_row <= tile.end_row
    assert found == window or found.size_px <= most_px


NROWS = NCOLS = 2048
NOISE = np.random.default_rng(1).integers(0, 250, (2, NROWS, NCOLS), np.uint8)
TILES = 8
KINDS = {  # creation options, and the most requests of a tile of 8 blocks and two bands, besides those of opening
    "bands": (["TILED=YES", "INTERLEAVE=BAND"], 4),
    "pixels": (["TILED=YES", "INTERLEAVE=PIXEL"], 2),
    "large-blocks": (["TILED=YES", "BLOCKXSIZE=512", "BLOCKYSIZE=512", "INTERLEAVE=BAND"], 2),
    "strips": (["BLOCKYSIZE=16", "INTERLEAVE=BAND"], 2),
}
SCRIPT = """
    import sys
    from rios_batch import applier
    from rios_batch.gdalapi import limit_gdal_resources

    limit_gdal_resources(1, 0)  # as in a worker process
    url, *kinds = sys.argv[1:]

    def copy(info, inputs, outputs):
        outputs.out = inputs.scene

    for kind in kinds:
        infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
        infiles.scene, outfiles.out = f"{url}/{kind}.tif", f"{kind}-out.tif"
        controls = applier.ApplierControls()
        controls.setStatsIgnore(None)
        controls.setCalcStats(False)
        controls.setOmitPyramids(True)
        controls.setTileSize(1024, 512)
        applier.apply(copy, infiles, outfiles, controls=controls)
"""


@ON_LOOPBACK
def test_a_tile_is_read_with_few_requests_and_no_bytes_in_vain(tmp_path: Path) -> None:
    for kind, (options, _) in KINDS.items():
        make_raster(tmp_path / f"{kind}.tif", NOISE, options=options)

    with serving(tmp_path) as server:
        done = run_script(tmp_path, SCRIPT, server.url, *KINDS)

    assert done.returncode == 0, done.stderr
    asked: dict[str, tuple[int, float]] = {}
    for kind in KINDS:
        requests = [r for r in server.requests if r.method == "GET" and r.path == f"/{kind}.tif"]
        fetched = sum(request.nbytes for request in requests)
        asked[kind] = (len(requests), fetched / (tmp_path / f"{kind}.tif").stat().st_size)
        np.testing.assert_array_equal(read_raster(tmp_path / f"{kind}-out.tif"), NOISE)
    too_many = {kind: n for kind, (n, _) in asked.items() if n > KINDS[kind][1] * TILES + 2}
    too_large = {kind: ratio for kind, (_, ratio) in asked.items() if ratio > 1.15}
    assert (too_many, too_large) == ({}, {})


DAMAGED = """
    import sys
    from rios_batch import applier

    def copy(info, inputs, outputs):
        outputs.out = inputs.scene

    for source, target in ((sys.argv[1], "remote.tif"), ("cut.tif", "local.tif")):
        infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
        infiles.scene, outfiles.out = source, target
        controls = applier.ApplierControls()
        controls.setStatsIgnore(None)
        controls.setInputErrors("nodata")
        applier.apply(copy, infiles, outfiles, controls=controls)
"""


@ON_LOOPBACK
def test_blocks_before_a_damaged_one_keep_their_pixels_though_it_was_read_with_them(tmp_path: Path) -> None:
    pixels = NOISE[:1, :512, :1024] + 1
    whole = tmp_path / "whole.tif"
    make_raster(whole, pixels, options=["TILED=YES"])
    (tmp_path / "cut.tif").write_bytes(whole.read_bytes()[: -BLOCK_PX - BLOCK_PX // 2])

    with serving(tmp_path) as server:
        done = run_script(tmp_path, DAMAGED, f"{server.url}/cut.tif")

    assert done.returncode == 0, done.stderr
    remote, local = (read_raster(tmp_path / name) for name in ("remote.tif", "local.tif"))
    np.testing.assert_array_equal(remote, local)
    np.testing.assert_array_equal(remote[:, :256], pixels[:, :256])
    np.testing.assert_array_equal(remote[:, 256:, :512], pixels[:, 256:, :512])
    assert not remote[:, 256:, 512:].any()
