"""Count and mean of every band, nodata left out; nothing is written.

python examples/band_means.py image.tif
"""

import sys

import numpy as np

from rios_batch import applier

if len(sys.argv) != 2:
    sys.exit("usage: band_means.py IMAGE")

infiles = applier.FilenameAssociations()
outfiles = applier.FilenameAssociations()
infiles.image = sys.argv[1]

otherargs = applier.OtherInputs()
otherargs.count = 0
otherargs.sum = 0.0

# With one worker every block changes the same otherArgs, and the two lines of rules are not needed. With
# more, every tile starts from a copy, and the rules say how the copies become one.
controls = applier.ApplierControls()
controls.setNumThreads(2)
controls.setOtherArgsMerge("count", "sum")
controls.setOtherArgsMerge("sum", "sum")


def accumulate(info, inputs, outputs, otherargs):
    valid = np.ones(inputs.image.shape, bool)
    nodata = info.getNoDataValueFor(inputs.image)
    if nodata is not None:
        valid = inputs.image != nodata
    # One number per band: the zeros from before the first block become arrays here.
    otherargs.count = otherargs.count + valid.sum(axis=(1, 2))
    otherargs.sum = otherargs.sum + inputs.image.sum(axis=(1, 2), where=valid, dtype="f8")


applier.apply(accumulate, infiles, outfiles, otherargs, controls=controls)

for band, (count, total) in enumerate(zip(otherargs.count, otherargs.sum, strict=True), start=1):
    mean = f"mean {total / count:.6f}" if count else "no mean"
    print(f"band {band}: {count} pixels with data, {mean}")
