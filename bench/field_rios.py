"""One task with RIOS 2, two threads that compute and read; run by field.py.

python bench/field_rios.py FOLDER TASK image|complete OUT INPUT...

FOLDER has RIOS's package ``rios``, as its source archive has.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from tasks import TASKS  # type: ignore[import-not-found]  # beside this script

sys.path.insert(0, sys.argv[1])

from rios import applier  # type: ignore[import-not-found]

_, _, name, way, out, *paths = sys.argv
task = TASKS[name]


def function(_info: Any, inputs: Any, outputs: Any) -> None:
    found = task.function(inputs.scene if len(paths) == 1 else np.stack(inputs.scene))
    outputs.out = (
        np.pad(found, ((0, 0), *[(task.margin_px, task.margin_px)] * 2)) if task.margin_px else found
    )


infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
infiles.scene, outfiles.out = (paths[0] if len(paths) == 1 else paths), out
controls = applier.ApplierControls()
controls.setOutputDriverName("GTiff")
controls.selectInputImageLayers(list(task.bands))
controls.setStatsIgnore(None)
controls.setOverlap(task.margin_px)
controls.setConcurrencyStyle(
    applier.ConcurrencyStyle(numReadWorkers=1, numComputeWorkers=2, computeWorkerKind=applier.CW_THREADS)
)
controls.setCalcStats(way == "complete")
controls.setOmitPyramids(way != "complete")
controls.setCreationOptions(["TILED=YES", "INTERLEAVE=BAND", "COMPRESS=DEFLATE", "BIGTIFF=IF_SAFER"])
applier.apply(function, infiles, outfiles, controls=controls)
