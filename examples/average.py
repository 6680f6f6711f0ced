"""Average of two images.

python examples/average.py first.tif second.tif average.tif
"""

import sys

from rios_batch import applier

if len(sys.argv) != 4:
    sys.exit("usage: average.py FIRST SECOND OUTPUT")

infiles = applier.FilenameAssociations()
outfiles = applier.FilenameAssociations()
infiles.first, infiles.second, outfiles.average = sys.argv[1:]


def average(info, inputs, outputs):
    # As float: the sum of two bytes does not fit into a byte.
    outputs.average = (inputs.first.astype("f4") + inputs.second) / 2


applier.apply(average, infiles, outfiles)
