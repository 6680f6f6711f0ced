"""Light work on many pixels: NDVI of a 4000 x 4000 file, rios_batch against loops over rasterio's blocks.

python bench/light.py [--repetitions 5] [--folder .bench]

Every measurement is a process of its own; see README.md beside this file for what is compared.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from osgeo import gdal

if TYPE_CHECKING:
    from numpy.typing import NDArray

gdal.UseExceptions()

HERE = Path(__file__).parent
SIZE_PX, BANDS = 4000, 6
BASELINE = "rasterio, 2 threads"


@dataclass
class Peer:
    """One way to do the work, and what it took so far."""

    name: str
    script: str
    variant: str
    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)


def peers() -> list[Peer]:
    return [
        Peer("rios_batch, 2 processes", "light_rios_batch.py", "processes"),
        Peer("rios_batch, 2 threads", "light_rios_batch.py", "threads"),
        Peer("rios_batch, 1 thread", "light_rios_batch.py", "single"),
        Peer(BASELINE, "light_rasterio.py", "threads"),
        Peer("rasterio, 1 thread", "light_rasterio.py", "single"),
        Peer("rios_batch, complete", "light_rios_batch.py", "complete"),
        Peer("rasterio, complete", "light_rasterio.py", "complete"),
        Peer("GDAL, 1 thread", "light_gdal.py", "single"),
    ]


def make_scene(scene: Path) -> None:
    """Write a file that compresses like satellite data: hills and valleys of reflectance, and noise."""
    rng = np.random.default_rng(20240101)
    unfinished = scene.with_name(f"{scene.name}.unfinished")
    options = ["TILED=YES", "BLOCKXSIZE=256", "BLOCKYSIZE=256", "COMPRESS=DEFLATE", "INTERLEAVE=BAND"]
    target = gdal.GetDriverByName("GTiff").Create(
        str(unfinished), SIZE_PX, SIZE_PX, BANDS, gdal.GDT_UInt16, options
    )
    target.SetGeoTransform((500_000, 30, 0, 7_000_000, 0, -30))
    for number in range(1, BANDS + 1):
        coarse = gdal.GetDriverByName("MEM").Create("", 80, 80, 1, gdal.GDT_Float32)
        coarse.WriteArray(rng.uniform(400 * number, 900 * number, (80, 80)).astype("f4"))
        smooth = gdal.Translate(
            "", coarse, format="MEM", width=SIZE_PX, height=SIZE_PX, resampleAlg="cubicspline"
        ).ReadAsArray()
        noise = rng.standard_normal(smooth.shape, dtype="f4") * 15
        target.GetRasterBand(number).WriteArray((smooth + noise).astype("u2"))
    target = None  # GDAL writes the rest of the file when the dataset goes
    unfinished.rename(scene)


def measure(peer: Peer, python: Path, scene: Path, out: Path) -> None:
    out.unlink(missing_ok=True)
    command = [str(python), str(HERE / peer.script), peer.variant, str(scene), str(out)]
    child = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if child.returncode:
        sys.exit(f"light: {peer.name} ended with exit code {child.returncode}; its message is above.")
    report = json.loads(child.stdout)
    peer.wall_s.append(report["wall_s"])
    peer.cpu_s.append(report["cpu_s"])


def pixels(path: Path) -> NDArray[Any]:
    return gdal.Open(str(path)).ReadAsArray()  # type: ignore[no-any-return]


def table(measured: list[Peer]) -> str:
    """Return minima and medians, and ratios to the baseline.

    The median ratio is that of the ratios within each repetition: the machine's speed drifts by a third in
    minutes, and what ran next to each other ran at the same speed.
    """
    base = next(peer for peer in measured if peer.name == BASELINE)
    lines = [f"{'':<26}{'wall s':>16}{'ratio':>16}{'CPU s':>8}", f"{'':<26}" + f"{'min':>8}{'median':>8}" * 2]
    for peer in measured:
        low, median = min(peer.wall_s), statistics.median(peer.wall_s)
        low_ratio = low / min(base.wall_s)
        median_ratio = statistics.median(a / b for a, b in zip(peer.wall_s, base.wall_s, strict=True))
        lines.append(
            f"{peer.name:<26}{low:>8.2f}{median:>8.2f}{low_ratio:>8.2f}{median_ratio:>8.2f}"
            f"{statistics.median(peer.cpu_s):>8.2f}"
        )
    lines.append(f"ratio: to {BASELINE}, in the same repetition; CPU: median, of all threads and processes")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description="NDVI with rios_batch and with loops over rasterio's blocks."
    )
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path(".bench"), help="where `make bench` put rasterio")
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    rasterio_python = folder / "venv/bin/python"
    if not rasterio_python.exists():
        sys.exit(f"light: there is no rasterio in {folder}; `make bench` installs it.")
    scene = folder / "light.tif"
    if not scene.exists():
        print(f"Making {scene}, {SIZE_PX} x {SIZE_PX} pixels with {BANDS} bands, once.", flush=True)
        make_scene(scene)
    scene.read_bytes()  # the first peer must not be the one that waits for the disk
    measured = peers()
    expected: NDArray[Any] | None = None
    for repetition in range(arguments.repetitions):
        print(f"Repetition {repetition + 1} of {arguments.repetitions}", flush=True)
        # Each repetition starts with another peer, so that none always follows the same neighbour.
        first = repetition % len(measured)
        for peer in measured[first:] + measured[:first]:
            out = folder / "light_out.tif"
            python = rasterio_python if "rasterio" in peer.script else Path(sys.executable)
            measure(peer, python, scene, out)
            result = pixels(out)
            out.unlink()
            expected = result if expected is None else expected
            if not np.array_equal(result, expected):
                sys.exit(f"light: the pixels of {peer.name} differ from those of {measured[0].name}.")
    print(f"All outputs have equal pixels.\n\n{table(measured)}")


if __name__ == "__main__":
    main()
