"""The brightest of the pixels around each one, on one worker here or on several of AWS Batch.

python brightest.py SCENE OUT [--workers 5]

Without arguments the environment says it (SCENE, OUT, WORKERS), as it does where this runs as a main job.
"""

from __future__ import annotations

import argparse
import os
import time
from typing import Any

from neighbours import maximum_around  # type: ignore[import-not-found]  # a script finds its neighbours

from rios_batch import applier

DISTANCE = 2


def brightest(info: Any, inputs: Any, outputs: Any, otherargs: Any) -> None:  # noqa: ARG001 - RIOS's arguments
    time.sleep(otherargs.seconds)
    outputs.brightest = maximum_around(inputs.scene, DISTANCE)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("scene", nargs="?", default=os.environ.get("SCENE"))
    parser.add_argument("out", nargs="?", default=os.environ.get("OUT"))
    parser.add_argument("--workers", type=int, default=int(os.environ.get("WORKERS", "5")))
    arguments = parser.parse_args()

    infiles = applier.FilenameAssociations()
    outfiles = applier.FilenameAssociations()
    otherargs = applier.OtherInputs()
    infiles.scene = arguments.scene
    outfiles.brightest = arguments.out
    # Slow enough for workers to find something to do when they come; one alone need not wait for anybody.
    otherargs.seconds = 0.0 if arguments.workers == 1 else 0.75
    controls = applier.ApplierControls()
    controls.setOverlap(DISTANCE)
    controls.setTileSize(256, 256)
    if arguments.workers > 1:
        controls.setNumThreads(arguments.workers)
        controls.setJobManagerType("AWSBatch")
    result = applier.apply(brightest, infiles, outfiles, otherargs, controls=controls)
    print("computed by", sorted({tile.worker for tile in result.tiles}))


if __name__ == "__main__":
    main()
