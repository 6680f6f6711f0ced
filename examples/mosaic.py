"""Mosaic of scenes on one pixel grid. Where scenes overlap, the first one that has data counts.

python examples/mosaic.py mosaic.tif scene1.tif scene2.tif ...
"""

import sys

import numpy as np

from rios_batch import applier

if len(sys.argv) < 3:
    sys.exit("usage: mosaic.py MOSAIC SCENE...")

NODATA = 0

infiles = applier.FilenameAssociations()
outfiles = applier.FilenameAssociations()
outfiles.mosaic, *infiles.scenes = sys.argv[1:]

controls = applier.ApplierControls()
controls.setFootprintType(applier.UNION)
controls.setInputNoDataValue(NODATA)  # what a scene has beside itself
controls.setStatsIgnore(NODATA)
controls.setNumThreads(2)


def mosaic(info, inputs, outputs):
    result = np.zeros_like(inputs.scenes[0])
    for scene in inputs.scenes:
        result = np.where(result == NODATA, scene, result)
    outputs.mosaic = result


applier.apply(mosaic, infiles, outfiles, controls=controls)
