"""One task with rasterio, two threads; run by field.py.

python bench/field_rasterio.py TASK WAY OUT INPUT...

``blocks``: a loop over the output's blocks; ``inside``: the same, then overviews, statistics and a histogram by
rasterio; ``read``: blocks are read only; ``merge``: `rasterio.merge`. Runs where rasterio is, which carries a GDAL of
its own: nothing here imports osgeo or rios_batch.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
import rasterio.merge
from rasterio.enums import Resampling
from rasterio.transform import from_origin
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window
from tasks import TASKS, WARP_CRS, WARP_RESOLUTION_M  # type: ignore[import-not-found]  # beside this script

if TYPE_CHECKING:
    from collections.abc import Iterator

_, name, way, out, *paths = sys.argv
task = TASKS[name]
THREADS = 2


def opened(stack: ExitStack) -> list[Any]:
    sources = [stack.enter_context(rasterio.open(path)) for path in paths]
    if name == "warp":
        left, bottom, right, top = json.loads(os.environ["WARP_BOUNDS_M"])
        size = (round((right - left) / WARP_RESOLUTION_M), round((top - bottom) / WARP_RESOLUTION_M))
        transform = from_origin(left, top, WARP_RESOLUTION_M, WARP_RESOLUTION_M)
        grid = {"crs": WARP_CRS, "transform": transform, "width": size[0], "height": size[1]}
        sources = [stack.enter_context(WarpedVRT(sources[0], **grid, nodata=0))]
    return sources


def compute(windows: Iterator[Any], taking: threading.Lock, target: Any, writing: threading.Lock) -> None:
    """Take windows until there are none left; a dataset may be read by one thread at a time."""
    with ExitStack() as stack:
        sources = opened(stack)
        while True:
            with taking:
                window = next(windows, None)
            if window is None:
                return
            images = [read(source, window) for source in sources]
            if target is None:
                continue
            found = task.function(images[0] if len(images) == 1 else np.stack(images))
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


def profile(source: Any) -> dict[str, Any]:
    return {
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


def loop() -> None:
    with ExitStack() as stack:
        source = opened(stack)[0]
        options = profile(source)
        windows = iter(
            [
                Window(col, row, min(256, source.width - col), min(256, source.height - row))
                for row in range(0, source.height, 256)
                for col in range(0, source.width, 256)
            ]
        )
        taking, writing = threading.Lock(), threading.Lock()
        target = None if way == "read" else stack.enter_context(rasterio.open(out, "w", **options))
        with ThreadPoolExecutor(THREADS) as pool:
            for job in [pool.submit(compute, windows, taking, target, writing) for _ in range(THREADS)]:
                job.result()


def complete() -> None:
    """Add what rios_batch writes unless told otherwise: overviews, statistics, histogram."""
    with rasterio.Env(GDAL_NUM_THREADS=THREADS), rasterio.open(out, "r+") as target:
        target.build_overviews([4, 8, 16], Resampling.nearest)
        target.update_stats()
        for number in range(1, task.nbands + 1):
            values = target.read(number)
            counts, _ = np.histogram(values, 256, (values.min(), values.max()))
            target.update_tags(number, STATISTICS_HISTOBINVALUES="|".join(map(str, counts)))


def merge() -> None:
    options = {"compress": "deflate", "tiled": True, "interleave": "band", "NUM_THREADS": THREADS}
    rasterio.merge.merge(paths, method="last", nodata=0, dst_path=out, dst_kwds=options)


if way == "merge":
    merge()
else:
    loop()
    if way == "inside":
        complete()
