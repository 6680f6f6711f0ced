"""Three times the pixels and one: ``python triple.py SCENE OUT [--workers N] [--coordinate-only] [--sleep S]``."""

from __future__ import annotations

import argparse
import time
from typing import Any

from rios_batch import applier


def triple(info: Any, inputs: Any, outputs: Any, otherargs: Any) -> None:  # noqa: ARG001 - RIOS's arguments
    time.sleep(otherargs.seconds)
    outputs.tripled = inputs.scene * 3 + 1


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("scene")
    parser.add_argument("out")
    parser.add_argument("--workers", type=int, default=5)
    parser.add_argument("--coordinate-only", action="store_true")
    parser.add_argument("--sleep", type=float, default=1.0, help="seconds for each tile")
    arguments = parser.parse_args()

    infiles = applier.FilenameAssociations()
    outfiles = applier.FilenameAssociations()
    otherargs = applier.OtherInputs()
    infiles.scene = arguments.scene
    outfiles.tripled = arguments.out
    otherargs.seconds = arguments.sleep
    controls = applier.ApplierControls()
    controls.setWindowSize(256, 256)
    controls.setTileSize(256, 256)
    controls.setNumThreads(arguments.workers)
    controls.setJobManagerType("AWSBatch")
    controls.setCoordinateOnly(arguments.coordinate_only)
    result = applier.apply(triple, infiles, outfiles, otherargs, controls=controls)
    print(len(result.tiles), "tiles, computed by", sorted({tile.worker for tile in result.tiles}))


if __name__ == "__main__":
    main()
