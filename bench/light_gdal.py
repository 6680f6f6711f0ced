"""NDVI with a plain loop over blocks through GDAL's own bindings; run by light.py, prints its time as JSON.

python bench/light_gdal.py single SCENE OUT

The same GDAL as rios_batch uses, which need not be as fast as that in rasterio's wheel.
"""

from __future__ import annotations

import json
import os
import sys
import time

from osgeo import gdal

gdal.UseExceptions()

_, _, scene, out = sys.argv
BLOCK_PX = 256


def run() -> None:
    source = gdal.Open(scene)
    width, height = source.RasterXSize, source.RasterYSize
    options = ["TILED=YES", f"BLOCKXSIZE={BLOCK_PX}", f"BLOCKYSIZE={BLOCK_PX}", "COMPRESS=DEFLATE"]
    target = gdal.GetDriverByName("GTiff").Create(out, width, height, 1, gdal.GDT_Float32, options)
    target.SetGeoTransform(source.GetGeoTransform())
    for top in range(0, height, BLOCK_PX):
        for left in range(0, width, BLOCK_PX):
            size = min(BLOCK_PX, width - left), min(BLOCK_PX, height - top)
            red = source.GetRasterBand(3).ReadAsArray(left, top, *size).astype("f4")
            nir = source.GetRasterBand(4).ReadAsArray(left, top, *size).astype("f4")
            target.GetRasterBand(1).WriteArray((nir - red) / (nir + red), left, top)


cpu_before, started = sum(os.times()[:4]), time.perf_counter()
run()  # the datasets are closed, and the file complete, when it returns
wall_s, cpu_s = time.perf_counter() - started, sum(os.times()[:4]) - cpu_before
print(json.dumps({"wall_s": wall_s, "cpu_s": cpu_s}))
