"""Slope in degrees of an elevation model in metres, by Horn's formula as gdaldem has it, as a cloud-optimised GeoTIFF.

python examples/slope.py elevation.tif slope.tif
"""

import sys

import numpy as np

from rios_batch import applier

if len(sys.argv) != 3:
    sys.exit("usage: slope.py ELEVATION SLOPE")

NODATA = -9999

infiles = applier.FilenameAssociations()
outfiles = applier.FilenameAssociations()
infiles.elevation, outfiles.slope = sys.argv[1:]

controls = applier.ApplierControls()
controls.setOverlap(1)  # the formula looks at the eight neighbours
controls.setOutputDriverName("COG")
controls.setStatsIgnore(NODATA)
controls.setNumThreads(2)


def slope(info, inputs, outputs):
    height = inputs.elevation[0].astype("f8")
    height[inputs.elevation[0] == info.getNoDataValueFor(inputs.elevation)] = np.nan
    # Past the edge of the raster there is nothing, whatever stands in the margin.
    x, y = info.getBlockCoordArrays()
    grid = info.workingGrid
    height[(x < grid.xMin) | (x > grid.xMax) | (y < grid.yMin) | (y > grid.yMax)] = np.nan

    x_res, y_res = info.getPixelSize()
    across = height[:-2] + 2 * height[1:-1] + height[2:]
    down = height[:, :-2] + 2 * height[:, 1:-1] + height[:, 2:]
    steepness = np.hypot((across[:, 2:] - across[:, :-2]) / x_res, (down[2:] - down[:-2]) / y_res) / 8
    degrees = np.degrees(np.arctan(steepness))
    degrees[np.isnan(height[1:-1, 1:-1]) | np.isnan(degrees)] = NODATA

    # Outputs have the margin too, and it is cut off: what stands there does not matter.
    outputs.slope = np.pad(degrees, 1)[None].astype("f4")


applier.apply(slope, infiles, outfiles, controls=controls)
