"""Where plants became fewer or more between two dates, and where nobody can tell because of clouds.

python examples/change_detection.py before.tif after.tif difference.tif change.tif

Each date has three bands: red, near infrared (reflectance times 10,000), and a mask that is 1 where the sky is clear.
"""

import sys

import numpy as np

from rios_batch import applier

if len(sys.argv) != 5:
    sys.exit("usage: change_detection.py BEFORE AFTER DIFFERENCE CHANGE")

CLEAR = 1
MISSING = -9999  # in the difference
UNKNOWN, SAME, FEWER, MORE = range(4)  # the classes; UNKNOWN is nodata
COLOURS = {UNKNOWN: (255, 255, 255, 0), SAME: (225, 225, 225), FEWER: (200, 60, 40), MORE: (40, 120, 60)}
SIGMAS = 5  # a difference this far from the usual one is a change
EDGES = np.linspace(-4, 4, 8001)  # of the histogram of differences; the index is between -1.1 and 2.5

infiles = applier.FilenameAssociations()
infiles.before, infiles.after, difference, change = sys.argv[1:]


def index(date, nodata):
    """Return the two-band enhanced vegetation index of one date, with NaN where there is no clear pixel."""
    red, nir = date[:2].astype("f4") / 10_000  # integers without a sign cannot be subtracted
    clear = (date[2] == CLEAR) & (date[:2] != nodata).all(axis=0)
    return np.where(clear, 2.5 * (nir - red) / (nir + 2.4 * red + 1), np.nan)


def subtract(info, inputs):
    before, after = (index(date, info.getNoDataValueFor(date)) for date in (inputs.before, inputs.after))
    return after - before


# -- what differences are usual, where most of the land is as it was; nothing is written

usual = applier.OtherInputs()
usual.histogram = np.zeros(len(EDGES) - 1, np.int64)
controls = applier.ApplierControls()
controls.setNumThreads(2)
controls.setOtherArgsMerge("histogram", "sum")


def count(info, inputs, outputs, usual):
    values = subtract(info, inputs)
    usual.histogram = usual.histogram + np.histogram(values[~np.isnan(values)], EDGES)[0]


applier.apply(count, infiles, applier.FilenameAssociations(), usual, controls=controls)
if not usual.histogram.any():
    sys.exit("no pixel is clear on both dates")


def median(middles, counts):
    order = np.argsort(middles)
    return middles[order][np.searchsorted(np.cumsum(counts[order]), counts.sum() / 2)]


middles = (EDGES[:-1] + EDGES[1:]) / 2
shift = median(middles, usual.histogram)  # of haze and season, which is everywhere
sigma = 1.4826 * median(np.abs(middles - shift), usual.histogram)


# -- the difference and the classes

outfiles = applier.FilenameAssociations()
outfiles.difference, outfiles.change = difference, change

controls = applier.ApplierControls()
controls.setNumThreads(2)
controls.setStatsIgnore(MISSING, "difference")
controls.setStatsIgnore(UNKNOWN, "change")
controls.setThematic(True, "change")
controls.setColorTable(COLOURS, "change")
controls.setOtherArgsMerge("pixels", "sum")

limits = applier.OtherInputs()
limits.shift, limits.distance = (
    shift,
    SIGMAS * sigma + np.diff(EDGES)[0],
)  # at least one class of the histogram
limits.pixels = np.zeros(len(COLOURS), np.int64)


def compare(info, inputs, outputs, limits):
    values = subtract(info, inputs)
    fewer, more = values - limits.shift < -limits.distance, values - limits.shift > limits.distance
    classes = np.select([np.isnan(values), fewer, more], [UNKNOWN, FEWER, MORE], SAME)
    limits.pixels = limits.pixels + np.bincount(classes.ravel(), minlength=len(COLOURS))
    outputs.change = classes[None].astype("u1")
    outputs.difference = np.where(np.isnan(values), MISSING, values)[None].astype("f4")


applier.apply(compare, infiles, outfiles, limits, controls=controls)
for name, pixels in zip(("unknown", "same", "fewer", "more"), limits.pixels, strict=True):
    print(f"{name}: {pixels} pixels")
print(f"usual: {shift:.4f}, and {sigma:.4f} on either side")
