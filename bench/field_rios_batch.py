"""One task with rios_batch, two workers; run by field.py.

python bench/field_rios_batch.py TASK image|complete|defaults|zstd|aside MANAGER OUT INPUT...

``image`` writes pixels only, as DEFLATE of the default level; ``complete`` adds statistics, histogram and overviews;
``defaults`` is ``complete`` without any setting of how it is written; ``zstd`` is that with COMPRESS=ZSTD.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
from osgeo import osr

from rios_batch import applier
from rios_batch.pixelgrid import PixelGridDefn

_, name, way, manager, out, *paths = sys.argv
# As if the function stood in this script, as people's do: a module beside it would be one that workers must load anew.
tasks = runpy.run_path(str(Path(__file__).parent / "tasks.py"))
task = tasks["TASKS"][name]
compute, margin_px = task.function, task.margin_px


def function(_info: Any, inputs: Any, outputs: Any) -> None:
    found = compute(inputs.scene)
    if margin_px:  # rios_batch's blocks have the margin, also those that are returned
        whole = np.zeros((len(found), *inputs.scene.shape[1:]), found.dtype)
        whole[:, margin_px:-margin_px, margin_px:-margin_px] = found
        found = whole
    outputs.out = found


def median(_info: Any, inputs: Any, outputs: Any) -> None:
    outputs.out = compute(np.stack(inputs.scene))


def last(_info: Any, inputs: Any, outputs: Any) -> None:
    """Take the last scene that has data."""
    first, *others = [scene for scene in inputs.scene if scene is not None]
    outputs.out = first.copy()
    for scene in others:
        np.copyto(outputs.out, scene, where=scene != 0)


infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
infiles.scene, outfiles.out = (paths[0] if len(paths) == 1 else paths), out
controls = applier.ApplierControls()
controls.selectInputImageLayers(list(task.bands))
controls.setStatsIgnore(0 if name in ("mosaic", "warp") else None)
controls.setOverlap(margin_px)
controls.setNumThreads(2)
controls.setJobManagerType(manager)
if name == "mosaic":
    controls.setFootprintType(applier.UNION)
    controls.setOutsideAsNone(True)
if name == "warp":
    left, bottom, right, top = json.loads(os.environ["WARP_BOUNDS_M"])
    resolution = tasks["WARP_RESOLUTION_M"]
    transform = (left, resolution, 0, top, 0, -resolution)
    size = (round((top - bottom) / resolution), round((right - left) / resolution))
    projection = osr.SpatialReference()
    projection.SetFromUserInput(tasks["WARP_CRS"])
    controls.setReferencePixgrid(PixelGridDefn(transform, *size, projection.ExportToWkt()))
    controls.setFootprintType(applier.BOUNDS_FROM_REFERENCE)
    controls.setResampleMethod("near")
if way == "image":
    controls.setCalcStats(False)
if way in ("image", "complete"):
    controls.setCreationOptions(["TILED=YES", "INTERLEAVE=BAND", "COMPRESS=DEFLATE", "BIGTIFF=IF_SAFER"])
predictor = "PREDICTOR=3" if task.dtype == "float32" else "PREDICTOR=2"
if way == "zstd":
    controls.setCreationOptions(["TILED=YES", "INTERLEAVE=BAND", "COMPRESS=ZSTD", "ZSTD_LEVEL=1", predictor])
applier.apply({"dates": median, "mosaic": last}.get(name, function), infiles, outfiles, controls=controls)
