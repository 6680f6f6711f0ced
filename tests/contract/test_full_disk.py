# ruff: noqa: ARG001 - user functions and merge rules have the arguments they are called with
"""A disk that is really full: a small file system in memory, for root only."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rios_batch import applier
from rios_batch.errors import OutputError
from tests.support import files_below, make_raster, mounted_disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DISK_KIB = 1024


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted_disk(tmp_path, DISK_KIB) as disk:
        yield disk


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a raster of 3 MiB that no codec makes smaller."""
    pixels = np.random.default_rng(0).integers(0, 2**16, (2, 900, 900), np.uint16)
    return make_raster(tmp_path_factory.mktemp("noise") / "in.tif", pixels)


def identity(info: Any, inputs: Any, outputs: Any) -> None:
    outputs.out = inputs.image


# name, creation options, tile side, threads
WAYS: list[tuple[str, list[str] | None, int | None, int]] = [
    ("out.tif", None, None, 1),
    ("out.tif", None, 64, 1),
    ("out.tif", None, 128, 2),
    ("out.tif", ["TILED=NO"], 64, 1),
    ("out.img", None, 64, 1),
    ("out.bil", None, 64, 1),  # these two drivers say nothing
    ("out.pix", None, 64, 1),
]


# A destructor that fails while GDAL's exceptions are on makes Python print "Exception ignored in: delete_Dataset",
# quiet handler or not; pytest turns that into a failure.
@pytest.mark.usefixtures("quiet_gdal")
@pytest.mark.parametrize(("name", "options", "tile", "threads"), WAYS)
def test_a_full_disk_is_one_sentence_and_nothing_is_left(
    small_disk: Path, noise: str, name: str, options: list[str] | None, tile: int | None, threads: int
) -> None:
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.image, outfiles.out = noise, small_disk / name
    controls = applier.ApplierControls()
    controls.setWindowSize(64, 64)
    controls.setCreationOptions(options)
    controls.setNumThreads(threads)
    controls.setJobManagerType("threads")
    if tile is not None:
        controls.setTileSize(tile, tile)

    with pytest.raises(OutputError) as caught:
        applier.apply(identity, infiles, outfiles, controls=controls)

    assert str(caught.value) == (
        f"output {str(small_disk / name)!r} cannot be written: "
        "the disk is full; free some space or choose another folder"
    )
    assert files_below(small_disk) == []


def test_a_file_at_the_output_survives_a_full_disk(small_disk: Path, noise: str) -> None:
    (small_disk / "out.tif").write_text("old")
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.image, outfiles.out = noise, small_disk / "out.tif"

    with pytest.raises(OutputError, match="the disk is full"):
        applier.apply(identity, infiles, outfiles)

    assert files_below(small_disk) == ["out.tif"]
    assert (small_disk / "out.tif").read_text() == "old"


# With nothing left at all the buffer still holds what did not fit when the file is closed.
@pytest.mark.parametrize("left_kib", [0, 4, 8, 16])
def test_a_disk_that_is_full_before_or_just_after_the_start_is_told_the_same_way(
    small_disk: Path, noise: str, left_kib: int
) -> None:
    (small_disk / "others").write_bytes(bytes(1024 * (DISK_KIB - left_kib)))
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.image, outfiles.out = noise, small_disk / "out.tif"
    controls = applier.ApplierControls()
    controls.setTileSize(256, 256)

    with pytest.raises(OutputError, match=r"out\.tif' cannot be written: .*(disk is full|No space left)"):
        applier.apply(identity, infiles, outfiles, controls=controls)

    assert files_below(small_disk) == ["others"]


def test_the_last_blocks_not_fitting_is_found_too(small_disk: Path, tmp_path: Path) -> None:
    # The blocks fit, the directory at the end does not: it is written by finish(), not by write().
    pixels = np.random.default_rng(0).integers(0, 2**8, (1, 512, 512), np.uint8)
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.image, outfiles.out = make_raster(tmp_path / "in.tif", pixels), small_disk / "out.tif"
    controls = applier.ApplierControls()
    controls.setCreationOptions(["TILED=YES"])
    page = os.statvfs(small_disk).f_bsize
    blocks_end = -(-(512 * 512 + 16) // page) * page  # the pages that header and blocks take
    room = os.statvfs(small_disk).f_bavail * page
    (small_disk / "others").write_bytes(bytes(room - blocks_end))
    names = ["a name that is long enough for a page of its own " * 200]
    controls.setLayerNames(names)

    with pytest.raises(OutputError, match=r"out\.tif' cannot be written: the disk is full"):
        applier.apply(identity, infiles, outfiles, controls=controls)

    assert files_below(small_disk) == ["others"]
