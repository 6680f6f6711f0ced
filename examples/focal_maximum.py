"""Maximum of the 5 x 5 pixels around every pixel, in each band.

python examples/focal_maximum.py image.tif maximum.tif
"""

import sys

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from rios_batch import applier

if len(sys.argv) != 3:
    sys.exit("usage: focal_maximum.py IMAGE OUTPUT")

infiles = applier.FilenameAssociations()
outfiles = applier.FilenameAssociations()
infiles.image, outfiles.maximum = sys.argv[1:]

NODATA = -1e38  # less than any pixel, so that a pixel with data wins

controls = applier.ApplierControls()
controls.setOverlap(2)  # 5 x 5 reaches two pixels past the block
controls.setStatsIgnore(NODATA)


def maximum(info, inputs, outputs):
    margin = info.getOverlapSize()
    size = 2 * margin + 1
    nodata = info.getNoDataValueFor(inputs.image)
    image = inputs.image.astype("f8")
    image[inputs.image == nodata] = NODATA
    # Outputs have the margin too, and it is cut off: what stands there does not matter. Past the image's
    # edge, inputs are the image's nodata value, or 0.
    result = np.zeros_like(image)
    result[:, margin:-margin, margin:-margin] = sliding_window_view(image, (1, size, size)).max(
        axis=(3, 4, 5)
    )
    outputs.maximum = result


applier.apply(maximum, infiles, outfiles, controls=controls)
