"""One task with a loop over rasterio's blocks, two threads; run by field.py.

python bench/field_rasterio.py TASK image|complete SCENE OUT

Runs where rasterio is, which carries a GDAL of its own: nothing here imports osgeo or rios_batch.
"""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
from rasterio.windows import Window
from tasks import TASKS  # type: ignore[import-not-found]  # beside this script

if TYPE_CHECKING:
    from collections.abc import Iterator

_, name, kind, scene, out = sys.argv
task = TASKS[name]
THREADS = 2


def compute(windows: Iterator[Any], taking: threading.Lock, target: Any, writing: threading.Lock) -> None:
    """Take windows until there are none left; a dataset may be read by one thread at a time."""
    with rasterio.open(scene) as source:
        while True:
            with taking:
                window = next(windows, None)
            if window is None:
                return
            found = task.function(read(source, window))
            with writing:
                target.write(found, window=window)


def read(source: Any, window: Any) -> Any:
    margin = task.margin_px
    if not margin:
        return source.read(task.bands, window=window)
    wider = Window(
        window.col_off - margin,
        window.row_off - margin,
        window.width + 2 * margin,
        window.height + 2 * margin,
    )
    return source.read(task.bands, window=wider, boundless=True, fill_value=0)


def main() -> None:
    with rasterio.open(scene) as source:
        windows = iter([window for _, window in source.block_windows(1)])
        profile = {
            "driver": "GTiff",
            "width": source.width,
            "height": source.height,
            "count": task.nbands,
            "dtype": task.dtype,
            "crs": source.crs,
            "transform": source.transform,
            "tiled": True,
            "blockxsize": 256,
            "blockysize": 256,
            "interleave": "band",
            "compress": "deflate",
            "NUM_THREADS": THREADS,
        }
    taking, writing = threading.Lock(), threading.Lock()
    with rasterio.open(out, "w", **profile) as target, ThreadPoolExecutor(THREADS) as pool:
        for job in [pool.submit(compute, windows, taking, target, writing) for _ in range(THREADS)]:
            job.result()
    if kind == "complete":
        complete()


def complete() -> None:
    """Add what rios_batch writes unless told otherwise: overviews, statistics, histogram."""
    with rasterio.open(out, "r+") as target:
        target.build_overviews([4, 8, 16], rasterio.enums.Resampling.nearest)
        target.update_stats()
        for number in range(1, task.nbands + 1):
            values = target.read(number)
            counts, _ = np.histogram(values, 256, (values.min(), values.max()))
            target.update_tags(number, STATISTICS_HISTOBINVALUES="|".join(map(str, counts)))


main()
