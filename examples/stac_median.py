"""Median red of the clear Sentinel-2 pixels of a search: python examples/stac_median.py ITEMS.json MEDIAN.tif."""

import sys

import numpy as np

from rios_batch import applier, stac

found = stac.readItems(sys.argv[1], ["red", "scl"])  # a list of files for each band, by date
infiles = applier.FilenameAssociations(**found.files)
outfiles = applier.FilenameAssociations(median=sys.argv[2])
controls = applier.ApplierControls()
controls.setReferencePixgrid(found.pixelGrid())  # 10 m; the classes of 20 m come onto it by nearest neighbour
controls.setFootprintType(applier.BOUNDS_FROM_REFERENCE)
controls.setNumThreads(2)


def median(info, inputs, outputs):
    red, classes = np.array(inputs.red), np.array(inputs.scl)  # (dates, bands, rows, cols)
    clear = np.isin(classes, [4, 5, 6, 7]) & (red != 0)  # vegetation, bare soil, water, unclassified
    outputs.median = np.rint(np.ma.median(np.ma.array(red, mask=~clear), axis=0)).filled(0).astype("u2")


applier.apply(median, infiles, outfiles, controls=controls)
stac.writeItem(sys.argv[2], found, median)
