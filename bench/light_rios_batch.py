"""NDVI with rios_batch; run by light.py, prints its own time as JSON.

python bench/light_rios_batch.py processes|threads|single|complete SCENE OUT
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from rios_batch import applier

_, variant, scene, out = sys.argv


def ndvi(_info: Any, inputs: Any, outputs: Any) -> None:
    red, nir = inputs.scene.astype("f4")
    outputs.ndvi = ((nir - red) / (nir + red))[None]


infiles = applier.FilenameAssociations()
outfiles = applier.FilenameAssociations()
infiles.scene, outfiles.ndvi = scene, out
controls = applier.ApplierControls()
controls.selectInputImageLayers([3, 4])
controls.setStatsIgnore(None)
controls.setCalcStats(variant == "complete")  # statistics, histogram, and overviews of 4, 8 and 16
controls.setCreationOptions(["TILED=YES", "BLOCKXSIZE=256", "BLOCKYSIZE=256", "COMPRESS=DEFLATE"])
if variant != "single":
    controls.setNumThreads(2)
if variant == "threads":
    controls.setJobManagerType("threads")

cpu_before, started = sum(os.times()[:4]), time.perf_counter()
applier.apply(ndvi, infiles, outfiles, controls=controls)
wall_s, cpu_s = time.perf_counter() - started, sum(os.times()[:4]) - cpu_before
print(json.dumps({"wall_s": wall_s, "cpu_s": cpu_s}))
