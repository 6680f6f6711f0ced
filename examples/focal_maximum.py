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

controls = applier.ApplierControls()
controls.setOverlap(2)  # 5 x 5 reaches two pixels past the block


def maximum(info, inputs, outputs):
    margin = info.getOverlapSize()
    size = 2 * margin + 1
    windows = sliding_window_view(inputs.image, (1, size, size))
    # Outputs have the margin too, and it is cut off: what stands there does not matter. Past the image's
    # edge, inputs are its nodata value, or 0.
    result = np.zeros_like(inputs.image)
    result[:, margin:-margin, margin:-margin] = windows.max(axis=(3, 4, 5))
    outputs.maximum = result


applier.apply(maximum, infiles, outfiles, controls=controls)
