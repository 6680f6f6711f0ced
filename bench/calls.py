"""Requests to AWS, counted on the emulated AWS: by main, by workers, and for inputs. Needs rios_batch[emulation].

python -m bench.calls

Two rasters of different height are run over, so that what a run asks once and what a tile asks can be told apart.
Outputs are in S3, inputs on a server of files; tiles have 2048 x 2048 pixels.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.rangeserver import serving
from bench.reckoning import Counted
from rios_batch.jobmanagers.environment import environment_with
from rios_batch.testing.emulation.deployed import deployed
from rios_batch.testing.rasters import make_raster

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rios_batch.testing.emulation import Call, Emulator

SIDE_PX = 2048
HEIGHTS = (9, 27)  # in tiles, of rasters that are two tiles wide
DATA = "bench-data"
KINDS = ("float32", "uint8")
BLOCKS = ["TILED=YES", "BLOCKXSIZE=256", "BLOCKYSIZE=256", "COMPRESS=DEFLATE"]

SCRIPT = f"""
import sys
from rios_batch import applier

def index(info, inputs, outputs):
    red, nir = inputs.scene.astype("f4")
    found = ((nir - red) / (nir + red))[None]
    outputs.out = found if kind == "float32" else (found * 100 + 120).astype("u1")

kind = sys.argv[1]
infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
infiles.scene, outfiles.out = sys.argv[2], "s3://{DATA}/out.tif"
controls = applier.ApplierControls()
controls.setTileSize({SIDE_PX}, {SIDE_PX})
controls.setStatsIgnore(None)
controls.setNumThreads(3)
controls.setJobManagerType("AWSBatch")
controls.setCoordinateOnly(True)
applier.apply(index, infiles, outfiles, controls=controls)
"""


def scene(folder: Path, height: int) -> Path:
    """Write two bands that compress like satellite data: slopes of reflectance, and noise."""
    random = np.random.default_rng(height)
    rows, cols = height * SIDE_PX, 2 * SIDE_PX
    slope = np.add.outer(np.arange(rows, dtype="f4"), np.arange(cols, dtype="f4")) / 8
    bands = [slope % 900 + base + 15 * random.standard_normal(slope.shape, "f4") for base in (400, 2400)]
    path = folder / "scene.tif"
    make_raster(path, np.stack(bands).astype("u2"), options=[*BLOCKS, "INTERLEAVE=BAND"])
    return path


@dataclass
class _Run:
    """The requests of one run."""

    tiles: int
    seconds: float
    main: Counter[str]
    workers: Counter[str]
    inputs: Counter[str]
    input_bytes: int
    stored_bytes: int


def _run(cloud: Emulator, folder: Path, kind: str, height: int) -> _Run:
    path, script = scene(folder, height), folder / "script.py"
    script.write_text(SCRIPT)
    cloud.forget_calls()
    with serving(folder) as server:
        started = time.monotonic()
        subprocess.run([sys.executable, script, kind, f"{server.url}/scene.tif"], check=True)
        seconds = time.monotonic() - started
    calls = [call for call in cloud.calls() if call.service in {"s3", "sqs"}]
    return _Run(
        2 * height,
        seconds,
        _counted([call for call in calls if call.caller == "root"]),
        _counted([call for call in calls if call.caller != "root"]),
        Counter(request.method for request in server.requests),
        sum(request.nbytes for request in server.requests),
        path.stat().st_size,
    )


def _counted(calls: Sequence[Call]) -> Counter[str]:
    return Counter(call.operation for call in calls)


def _by_tile(few: Counter[str], many: Counter[str], tiles: int) -> dict[str, float]:
    slopes = {name: round((many[name] - few[name]) / tiles, 2) for name in sorted(many | few)}
    return {name: slope for name, slope in slopes.items() if slope > 0}


def count(kind: str) -> Counted:
    """Run twice on an emulated AWS, and return what a tile asks."""
    with (
        tempfile.TemporaryDirectory(prefix="rios_batch-bench-") as name,
        deployed() as cloud,
        environment_with(cloud.environment()),
    ):
        cloud.client("s3").create_bucket(
            Bucket=DATA, CreateBucketConfiguration={"LocationConstraint": cloud.region}
        )
        few, many = (_run(cloud, Path(name), kind, height) for height in HEIGHTS)
    tiles = many.tiles - few.tiles
    lists = many.main.pop("list_objects_v2") / many.seconds
    del few.main["list_objects_v2"]
    for run in (few, many):
        run.workers.pop("change_message_visibility_batch", None)  # three in a lease, however many tiles
    main, workers = _by_tile(few.main, many.main, tiles), _by_tile(few.workers, many.workers, tiles)
    return Counted(
        main,
        workers,
        _by_tile(few.inputs, many.inputs, tiles),
        lists=round(lists, 1),
        input_bytes=round((many.input_bytes - few.input_bytes) / tiles),
        stored_bytes=round((many.stored_bytes - few.stored_bytes) / tiles),
    )


if __name__ == "__main__":
    for each in KINDS:
        print(each, json.dumps(asdict(count(each)), indent=2))
