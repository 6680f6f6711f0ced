"""Median of the cloud-free pixels of several dates. A date may be in another projection than the first one.

python examples/cloud_free_median.py median.tif count.tif date1.tif date2.tif ...

Each date has three bands: red, near infrared, and a mask that is 1 where the sky is clear.
"""

import sys

import numpy as np

from rios_batch import applier

if len(sys.argv) < 4:
    sys.exit("usage: cloud_free_median.py MEDIAN COUNT DATE...")

CLEAR = 1
NODATA = 0  # where no date is clear

infiles = applier.FilenameAssociations()
outfiles = applier.FilenameAssociations()
outfiles.median, outfiles.count, *infiles.dates = sys.argv[1:]

controls = applier.ApplierControls()
controls.setReferenceImage(
    infiles.dates[0]
)  # dates on other grids are resampled onto this one, by nearest neighbour
controls.setFootprintType(applier.BOUNDS_FROM_REFERENCE)
controls.setStatsIgnore(NODATA, "median")
controls.setStatsIgnore(None, "count")  # 0 clear dates is a number like any other
controls.setLayerNames(["red", "near infrared"], "median")
controls.setNumThreads(2)


def median(info, inputs, outputs):
    dates = np.array(inputs.dates)  # (dates, bands, rows, cols)
    clear = dates[:, 2] == CLEAR
    count = clear.sum(axis=0, dtype="u1")
    values = np.where(clear[:, None], dates[:, :2], np.nan)
    values[:, :, count == 0] = NODATA  # nanmedian warns of pixels that are always NaN
    outputs.median = np.rint(np.nanmedian(values, axis=0)).astype("u2")
    outputs.count = count[None]


applier.apply(median, infiles, outfiles, controls=controls)
