"""NDVI = (nir - red) / (nir + red), with two workers and a progress bar.

python examples/ndvi.py scene.tif ndvi.tif --red 3 --nir 4
"""

import argparse

import numpy as np

from rios_batch import applier, cuiprogress

parser = argparse.ArgumentParser(description="NDVI of a multispectral image.")
parser.add_argument("image")
parser.add_argument("output")
parser.add_argument("--red", type=int, default=3, help="band number, counted from 1 (default 3)")
parser.add_argument("--nir", type=int, default=4, help="band number, counted from 1 (default 4)")
arguments = parser.parse_args()

NODATA = -2  # NDVI itself lies between -1 and 1

infiles = applier.FilenameAssociations()
outfiles = applier.FilenameAssociations()
infiles.image = arguments.image
outfiles.ndvi = arguments.output

controls = applier.ApplierControls()
controls.selectInputImageLayers([arguments.red, arguments.nir])
controls.setStatsIgnore(NODATA)
controls.setNumThreads(2)
controls.setProgress(cuiprogress.CUIProgressBar())


def ndvi(info, inputs, outputs):
    red, nir = inputs.image.astype("f4")
    total = nir + red
    valid = total != 0
    nodata = info.getNoDataValueFor(inputs.image)
    if nodata is not None:
        valid &= (inputs.image != nodata).all(axis=0)
    result = np.full_like(total, NODATA)
    np.divide(nir - red, total, out=result, where=valid)
    outputs.ndvi = result[np.newaxis]


applier.apply(ndvi, infiles, outfiles, controls=controls)
