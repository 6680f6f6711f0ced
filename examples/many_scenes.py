"""NDVI of many scenes, one after the other. A scene that cannot be done is named at the end and stops nobody else.

python examples/many_scenes.py FOLDER scene1.tif scene2.tif ...

Each scene has red and near infrared as its first bands.
"""

import sys
from pathlib import Path

import numpy as np

from rios_batch import applier
from rios_batch.rioserrors import RiosError

if len(sys.argv) < 3:
    sys.exit("usage: many_scenes.py FOLDER SCENE...")

folder, *scenes = map(Path, sys.argv[1:])

NODATA = -2  # NDVI itself lies between -1 and 1

controls = applier.ApplierControls()  # the same for all scenes
controls.selectInputImageLayers([1, 2])
controls.setStatsIgnore(NODATA)


def ndvi(info, inputs, outputs):
    scene = np.ma.masked_equal(inputs.scene, info.getNoDataValueFor(inputs.scene)).astype("f4")
    red, nir = scene
    outputs.ndvi = ((nir - red) / (nir + red))[None]  # masked pixels, 0 / 0 among them, become NODATA


failed = []
for scene in scenes:
    infiles = applier.FilenameAssociations()
    outfiles = applier.FilenameAssociations()
    infiles.scene, outfiles.ndvi = scene, folder / f"{scene.stem}_ndvi.tif"
    try:
        applier.apply(ndvi, infiles, outfiles, controls=controls)
    except RiosError as error:
        failed.append(f"{scene}: {error}")

print(f"{len(scenes) - len(failed)} of {len(scenes)} scenes are done.")
if failed:
    sys.exit("\n".join(failed))
