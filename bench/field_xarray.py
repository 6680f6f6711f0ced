"""One task with rioxarray and dask, two threads; run by field.py, where rasterio is.

python bench/field_xarray.py TASK raster|cog OUT INPUT...

``raster`` writes with rioxarray; ``cog`` with odc-geo, which adds overviews.
"""

from __future__ import annotations

import sys
import threading
import warnings
from typing import Any

import dask
import dask.array
import odc.geo.xr  # noqa: F401 - gives DataArrays their attribute `odc`
import rioxarray
import xarray
from odc.geo.cog import write_cog
from tasks import TASKS  # type: ignore[import-not-found]  # beside this script

_, name, way, out, *paths = sys.argv
task = TASKS[name]
CHUNK_PX = 2048
warnings.filterwarnings("ignore", category=UserWarning)


def opened(path: str) -> Any:
    scene: Any = rioxarray.open_rasterio(path, chunks={"band": -1, "y": CHUNK_PX, "x": CHUNK_PX}, lock=False)
    return scene.isel(band=[band - 1 for band in task.bands])


with dask.config.set(scheduler="threads", num_workers=2):
    first = opened(paths[0])
    if len(paths) > 1:
        stacked = dask.array.stack([opened(path).data for path in paths])
        stacked = stacked.rechunk({0: -1})
        computed = stacked.map_blocks(
            task.function, dtype=task.dtype, drop_axis=0, chunks=((task.nbands,), *first.data.chunks[1:])
        )
    elif task.margin_px:
        depth = {0: 0, 1: task.margin_px, 2: task.margin_px}
        wider = dask.array.overlap.overlap(first.data, depth, boundary=0)
        computed = wider.map_blocks(
            task.function, dtype=task.dtype, chunks=((task.nbands,), *first.data.chunks[1:])
        )
    else:
        computed = first.data.rechunk({0: -1}).map_blocks(
            task.function, dtype=task.dtype, chunks=((task.nbands,), *first.data.chunks[1:])
        )
    result = xarray.DataArray(
        computed,
        dims=("band", "y", "x"),
        coords={"y": first.y, "x": first.x, "spatial_ref": first.spatial_ref},
    )
    if way == "cog":
        write_cog(
            result.compute(),
            out,
            overwrite=True,
            compress="deflate",
            overview_levels=[4, 8, 16],
            blocksize=256,
            num_threads=2,
        )
    else:
        result.rio.to_raster(
            out, tiled=True, compress="deflate", interleave="band", num_threads=2, lock=threading.Lock()
        )
