"""What has become greener or less green between two dates, beyond what differs everywhere.

python examples/change_detection.py before.tif after.tif change.tif

The scenes have red, near infrared, and a mask in which 1 is clear.
"""

import sys

import numpy as np

from rios_batch import applier

if len(sys.argv) != 4:
    sys.exit("usage: change_detection.py BEFORE AFTER CHANGE")

NODATA, UNCHANGED, LESS_GREEN, GREENER = 0, 1, 2, 3
COLOURS = {NODATA: (255, 255, 255, 0), 1: (235, 230, 215), 2: (200, 60, 30), 3: (30, 120, 60)}
CLEAR, DEVIATIONS = 1, 3

infiles = applier.FilenameAssociations()
infiles.before, infiles.after = sys.argv[1:3]


def difference(info, inputs):
    """Return by how much NDVI has changed, in whole thousandths, and where both dates have data and are clear."""
    valid, ndvi = True, []
    for scene in (inputs.before, inputs.after):
        valid = valid & (scene != info.getNoDataValueFor(scene)).all(axis=0) & (scene[2] == CLEAR)
        red, nir = scene[:2].astype("f8")
        ndvi.append((nir - red) / np.maximum(nir + red, 1))
    # Sums of whole numbers are the same in any order, so the result does not depend on the number of workers.
    return np.rint(1000 * (ndvi[1] - ndvi[0])).astype("i8"), valid


# -- how much all pixels differ, gathered on otherArgs; nothing is written

controls = applier.ApplierControls()
controls.setNumThreads(2)
for name in ("count", "sum", "squares"):
    controls.setOtherArgsMerge(name, "sum")

found = applier.OtherInputs()
found.count = found.sum = found.squares = 0


def add_up(info, inputs, outputs, found):
    change, valid = difference(info, inputs)
    found.count += int(valid.sum())
    found.sum += int(change[valid].sum())
    found.squares += int((change[valid] ** 2).sum())


applier.apply(add_up, infiles, applier.FilenameAssociations(), found, controls=controls)
if not found.count:
    sys.exit("no pixel is clear on both dates")


# -- which pixels differ by more than three standard deviations from that

limits = applier.OtherInputs()
limits.mean = found.sum / found.count
limits.deviation = np.sqrt(found.squares / found.count - limits.mean**2)

outfiles = applier.FilenameAssociations(change=sys.argv[3])
controls = applier.ApplierControls()
controls.setNumThreads(2)
controls.setThematic(True)
controls.setStatsIgnore(NODATA)
controls.setColorTable(COLOURS)


def classify(info, inputs, outputs, limits):
    change, valid = difference(info, inputs)
    away = change - limits.mean
    classes = np.full(change.shape, UNCHANGED, np.uint8)
    classes[away < -DEVIATIONS * limits.deviation] = LESS_GREEN
    classes[away > DEVIATIONS * limits.deviation] = GREENER
    classes[~valid] = NODATA
    outputs.change = classes[None]


applier.apply(classify, infiles, outfiles, limits, controls=controls)
print(f"NDVI has changed by {limits.mean / 1000:.3f} +- {limits.deviation / 1000:.3f}")
