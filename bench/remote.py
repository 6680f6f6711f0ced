"""Inputs over the network, on a server of files on loopback that answers after a while.

python -m bench.remote [--latency 0.03] [--files 200]

First requests and bytes of a tile, against the bytes of the blocks that its windows touch, for three sizes of tiles;
then seconds and requests until the first block of many files is read, of which the server's own work is a part.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from bench.calls import BLOCKS, SIDE_PX, scene
from bench.rangeserver import serving
from rios_batch.testing.rasters import make_raster

TILES_PX = (512, 1024, 2048)
HEIGHT = 2  # of the scene, in tiles of 2048

ONE = """
import sys
from rios_batch import applier

def add(info, inputs, outputs):
    outputs.out = inputs.scene.sum(axis=0, keepdims=True, dtype="u4")

infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
infiles.scene, outfiles.out = sys.argv[1:3]
controls = applier.ApplierControls()
controls.setTileSize(int(sys.argv[3]), int(sys.argv[3]))
controls.setStatsIgnore(None)
controls.setNumThreads(2)
applier.apply(add, infiles, outfiles, controls=controls)
"""
MANY = """
import sys, time
from rios_batch import applier

began = []
def add(info, inputs, outputs):
    began.append(time.perf_counter())
    outputs.out = sum(array.astype("u4") for array in inputs.scenes)

infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
infiles.scenes, outfiles.out = [f"{sys.argv[1]}/{n}.tif" for n in range(int(sys.argv[3]))], sys.argv[2]
controls = applier.ApplierControls()
controls.setStatsIgnore(None)
started = time.perf_counter()
applier.apply(add, infiles, outfiles, controls=controls)
print(f"{began[0] - started:.2f} s until the first block of {sys.argv[3]} files is read", flush=True)
"""


def tiles(folder: Path, latency_s: float) -> None:
    """Print requests and bytes of tiles of a scene of two bands."""
    stored = scene(folder, HEIGHT).stat().st_size
    for side_px in TILES_PX:
        with serving(folder, latency_s) as server:
            arguments = [f"{server.url}/scene.tif", str(folder / "out.tif"), str(side_px)]
            subprocess.run([sys.executable, "-c", ONE, *arguments], check=True)
        ntiles = 2 * HEIGHT * (SIDE_PX // side_px) ** 2
        gets = [request.nbytes for request in server.requests if request.method == "GET"]
        print(
            f"tiles of {side_px}: {len(gets) / ntiles:.1f} requests a tile, {sum(gets) / stored:.3f} of the bytes "
            f"of its blocks, {server.connections} connections for {len(server.requests)} requests"
        )


def many(folder: Path, number: int, latency_s: float) -> None:
    """Print the seconds until the first block of many files is read."""
    noise = np.random.default_rng(1).integers(0, 250, (1, 256, 256), np.uint8)
    for n in range(number):
        make_raster(folder / f"{n}.tif", noise, options=BLOCKS)
    with serving(folder, latency_s) as server:
        subprocess.run([sys.executable, "-c", MANY, server.url, folder / "out.tif", str(number)], check=True)
    print(f"{len(server.requests) / number:.1f} requests a file, {server.connections} connections")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Requests and bytes of remote inputs.")
    parser.add_argument("--latency", type=float, default=0.03, help="seconds until a request is answered")
    parser.add_argument("--files", type=int, default=200)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rios_batch-bench-") as name:
        tiles(Path(name), arguments.latency)
        many(Path(name), arguments.files, arguments.latency)
