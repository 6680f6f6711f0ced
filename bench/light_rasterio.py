"""NDVI with a loop over rasterio's blocks; run by light.py, prints its own time as JSON.

python bench/light_rasterio.py threads|single|complete SCENE OUT

Runs where rasterio is, which carries a GDAL of its own: nothing here imports osgeo or rios_batch.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio

if TYPE_CHECKING:
    from collections.abc import Iterator

_, variant, scene, out = sys.argv


def compute(windows: Iterator[Any], taking: threading.Lock, target: Any, writing: threading.Lock) -> None:
    """Take windows until there are none left; a dataset may be read by one thread at a time."""
    with rasterio.open(scene) as source:
        while True:
            with taking:
                window = next(windows, None)
            if window is None:
                return
            red, nir = source.read([3, 4], window=window).astype("f4")
            ndvi = (nir - red) / (nir + red)
            with writing:
                target.write(ndvi, 1, window=window)


def run(num_threads: int, extra: dict[str, Any]) -> None:
    with rasterio.open(scene) as source:
        windows = [window for _, window in source.block_windows(1)]
        profile = {
            "driver": "GTiff",
            "width": source.width,
            "height": source.height,
            "count": 1,
            "dtype": "float32",
            "crs": source.crs,
            "transform": source.transform,
            "tiled": True,
            "blockxsize": 256,
            "blockysize": 256,
            "compress": "deflate",
        }
    taking, writing, todo = threading.Lock(), threading.Lock(), iter(windows)
    with rasterio.open(out, "w", **profile, **extra) as target, ThreadPoolExecutor(num_threads) as pool:
        jobs = [pool.submit(compute, todo, taking, target, writing) for _ in range(num_threads)]
        for job in jobs:
            job.result()


def complete() -> None:
    """Add what rios_batch writes unless told otherwise: overviews, statistics, histogram."""
    with rasterio.open(out, "r+") as target:
        target.build_overviews([4, 8, 16], rasterio.enums.Resampling.nearest)
        target.update_stats()
        values = target.read(1)
        counts, _ = np.histogram(values, 256, (values.min(), values.max()))
        target.update_tags(1, STATISTICS_HISTOBINVALUES="|".join(map(str, counts)))


cpu_before, started = sum(os.times()[:4]), time.perf_counter()
if variant in ("threads", "complete"):
    run(2, {"NUM_THREADS": 2})
else:
    run(1, {})
if variant == "complete":
    complete()
wall_s, cpu_s = time.perf_counter() - started, sum(os.times()[:4]) - cpu_before
print(json.dumps({"wall_s": wall_s, "cpu_s": cpu_s}))
