from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from rios_batch import applier
from rios_batch.awsbatch.memory import block_bytes, check_memory
from rios_batch.errors import MemoryLimitError
from rios_batch.gdalapi import gdal_exceptions
from rios_batch.plan.prepare import prepare
from tests.support import make_raster, ramp

if TYPE_CHECKING:
    from pathlib import Path

    from rios_batch.model.spec import RunSpec

MIB = 2**20
BLOCK = 2 * 3 * (100 + 2 * 5) ** 2  # bytes of a pixel of two files, and pixels with the margin


def spec(folder: Path) -> RunSpec:
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.dates = [make_raster(folder / f"{name}.tif", ramp(3, 100, 100, "uint8")) for name in "ab"]
    infiles.elsewhere = make_raster(folder / "c.tif", ramp(3, 100, 100, "float64"))
    controls = applier.ApplierControls()
    controls.setOverlap(5)
    controls.setOutsideAsNone(True, "elsewhere")
    with gdal_exceptions():
        return prepare(print, infiles, outfiles, controls, takes_other_args=False, num_workers=1)


def test_every_input_that_a_block_has_for_certain_counts_with_its_margin(tmp_path: Path) -> None:
    assert block_bytes(spec(tmp_path)) == BLOCK


def test_a_worker_that_cannot_hold_its_blocks_is_refused_with_both_numbers(tmp_path: Path) -> None:
    stack: Any = SimpleNamespace(worker_processes=4, worker_memory_mib=512, stack_name="Mine")
    room = 512 * MIB - 4 * BLOCK

    check_memory(spec(tmp_path), room, stack)
    with pytest.raises(
        MemoryLimitError,
        match=r"^a worker takes at least 612 MiB for the inputs of 4 blocks at a time, and may take 512 MiB "
        r"\(memory_mib of stack Mine\); use .* or deploy with `-c memory_mib=1225`$",
    ):
        check_memory(spec(tmp_path), room + 100 * MIB + 1, stack)
