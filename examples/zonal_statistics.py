"""Count, mean, minimum and maximum of a raster's first band in each zone, as a table. Zones are polygons.

python examples/zonal_statistics.py values.tif zones.geojson table.csv

The polygons have the number of their zone, 1 to 9999, in the attribute ``zone``.
"""

import csv
import sys
from pathlib import Path

import numpy as np

from rios_batch import applier

if len(sys.argv) != 4:
    sys.exit("usage: zonal_statistics.py VALUES ZONES TABLE")

infiles = applier.FilenameAssociations()
outfiles = applier.FilenameAssociations()
infiles.values, infiles.zones, table = sys.argv[1:]

ZONES = 10_000

# One place for each zone. The rules say how the numbers of several workers become one.
found = applier.OtherInputs()
found.count = np.zeros(ZONES, np.int64)
found.sum = np.zeros(ZONES)
found.lowest = np.full(ZONES, np.inf)
found.highest = np.full(ZONES, -np.inf)

controls = applier.ApplierControls()
controls.selectInputImageLayers([1], "values")
controls.setBurnAttribute("zone", "zones")
controls.setVectorDatatype(np.uint16, "zones")
controls.setNumThreads(2)
controls.setOtherArgsMerge("count", "sum")
controls.setOtherArgsMerge("sum", "sum")
controls.setOtherArgsMerge("lowest", "min")
controls.setOtherArgsMerge("highest", "max")


def add_up(info, inputs, outputs, found):
    valid = (inputs.zones > 0) & (inputs.values != info.getNoDataValueFor(inputs.values))
    zones, values = inputs.zones[valid], inputs.values[valid].astype("f8")
    found.count = found.count + np.bincount(zones, minlength=ZONES)
    found.sum = found.sum + np.bincount(zones, weights=values, minlength=ZONES)
    np.minimum.at(found.lowest, zones, values)
    np.maximum.at(found.highest, zones, values)


applier.apply(add_up, infiles, outfiles, found, controls=controls)

with Path(table).open("w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["zone", "count", "mean", "minimum", "maximum"])
    for zone in np.flatnonzero(found.count):
        mean = found.sum[zone] / found.count[zone]
        writer.writerow([zone, found.count[zone], round(mean, 3), found.lowest[zone], found.highest[zone]])
