"""One task with rios_batch; run by field.py.

python bench/field_rios_batch.py TASK image|complete|defaults SCENE OUT [processes|threads]

``image`` writes pixels only, as DEFLATE of the default level; ``complete`` adds statistics, histogram and overviews;
``defaults`` is ``complete`` without any setting of how it is written.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from tasks import TASKS  # type: ignore[import-not-found]  # beside this script

from rios_batch import applier

_, name, kind, scene, out, *manager = sys.argv
task = TASKS[name]


def function(_info: Any, inputs: Any, outputs: Any) -> None:
    found = task.function(inputs.scene)
    # rios_batch's blocks have the margin, also those that are returned.
    outputs.out = np.pad(found, ((0, 0), *[(task.margin_px, task.margin_px)] * 2))


infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
infiles.scene, outfiles.out = scene, out
controls = applier.ApplierControls()
controls.selectInputImageLayers(list(task.bands))
controls.setStatsIgnore(None)
controls.setOverlap(task.margin_px)
controls.setNumThreads(2)
if manager:
    controls.setJobManagerType({"processes": "multiprocessing"}.get(manager[0], manager[0]))
if kind == "image":
    controls.setCalcStats(False)
if kind != "defaults":
    controls.setCreationOptions(["TILED=YES", "INTERLEAVE=BAND", "COMPRESS=DEFLATE", "BIGTIFF=IF_SAFER"])
applier.apply(function, infiles, outfiles, controls=controls)
