"""How long a run takes to begin, and to read, with many inputs: ``python bench/many.py FOLDER [NUMBER ...]``.

Each input has one band of 256 x 256 pixels, in blocks of 256 x 256; 16 windows of 64 x 64 are read of all inputs.
Processor time is shown, which does not depend on what else the machine does.
"""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from osgeo import gdal

from rios_batch import applier

SIDE_PX = 256
NUMBERS = [10, 100, 1000, 3000]


def scene(folder: Path, number: int) -> Path:
    """Return an input, made if it is not there."""
    path = folder / f"{number}.tif"
    if not path.exists():
        options = ["TILED=YES", "COMPRESS=DEFLATE"]
        dataset = gdal.GetDriverByName("GTiff").Create(str(path), SIDE_PX, SIDE_PX, 1, gdal.GDT_Byte, options)
        dataset.SetGeoTransform((0, 1, 0, 0, 0, -1))
        dataset.WriteArray(np.full((SIDE_PX, SIDE_PX), number % 200, np.uint8))
    return path


def measure(folder: Path, number: int) -> None:
    """Print the seconds until the first call of the function, and until the end."""
    began: list[float] = []

    def add(_info: Any, inputs: Any, outputs: Any) -> None:
        began.append(time.process_time())
        outputs.result = sum(array.astype("u4") for array in inputs.images)

    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.images, outfiles.result = [scene(folder, n) for n in range(number)], folder / "out.tif"
    controls = applier.ApplierControls()
    controls.setWindowSize(64, 64)
    started = time.process_time()
    applier.apply(add, infiles, outfiles, controls=controls)
    first, end = began[0] - started, time.process_time() - started
    print(f"{number} inputs: {first:.2f} s to the first call, {end - first:.2f} s from there to the end")


if __name__ == "__main__":
    given = Path(sys.argv[1])
    given.mkdir(exist_ok=True)
    print(f"at most {resource.getrlimit(resource.RLIMIT_NOFILE)[0]} open files")
    for wanted in map(int, sys.argv[2:]) if sys.argv[2:] else NUMBERS:
        measure(given, wanted)
