"""Average of two images.

python examples/average.py first.tif second.tif average.tif
"""

import sys

import numpy as np

from rios_batch import applier

if len(sys.argv) != 4:
    sys.exit("usage: average.py FIRST SECOND OUTPUT")

infiles = applier.FilenameAssociations()
outfiles = applier.FilenameAssociations()
infiles.first, infiles.second, outfiles.average = sys.argv[1:]

controls = applier.ApplierControls()
controls.setStatsIgnore(-9999)  # without this line 0 would be nodata, and an average of 0 is as good as any


def average(info, inputs, outputs):
    # As float: the sum of two bytes does not fit into a byte. Where one image has no data, there is no average.
    first = np.ma.masked_equal(inputs.first, info.getNoDataValueFor(inputs.first)).astype("f4")
    second = np.ma.masked_equal(inputs.second, info.getNoDataValueFor(inputs.second)).astype("f4")
    outputs.average = (first + second) / 2


applier.apply(average, infiles, outfiles, controls=controls)
