"""How well a dry run predicts the memory of a worker process: predicted and measured peaks for ten functions.

    .venv/bin/python bench/memory_prediction.py

Every function runs in a process of its own, first as a dry run and then for real with two worker processes, whose
resident memory Linux is asked for every 20 ms.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from osgeo import gdal, ogr, osr

from rios_batch import applier

if TYPE_CHECKING:
    from collections.abc import Callable

SIDE_PX = 4000
MIB = 2**20
LOOK_SECONDS = 0.02


@dataclass(frozen=True)
class Kind:
    """A function with its inputs and settings."""

    name: str
    function: Callable[..., None]
    inputs: dict[str, Any]
    settings: Callable[[applier.ApplierControls], object] = lambda _: None
    other_args: Callable[[], Any] = lambda: None


def ndvi(_info: Any, inputs: Any, outputs: Any) -> None:
    image = inputs.image.astype("f4")
    outputs.result = ((image[3] - image[2]) / (image[3] + image[2] + 1))[None]


def median(_info: Any, inputs: Any, outputs: Any) -> None:
    outputs.result = np.median(np.stack([date[0] for date in inputs.dates]), axis=0)[None].astype("u2")


def wide_intermediates(_info: Any, inputs: Any, outputs: Any) -> None:
    image = inputs.image.astype("f8")
    powers = np.stack([image**n for n in (0.5, 1.5, 2.0)])
    outputs.result = (powers.sum(axis=0) / powers.max(axis=0)).mean(axis=0)[None].astype("f4")


def big_overlap(_info: Any, inputs: Any, outputs: Any) -> None:
    band = inputs.image[:1].astype("f8")
    sums = band.cumsum(axis=1).cumsum(axis=2)
    outputs.result = (sums / sums.max()).astype("f4")


def convolution(_info: Any, inputs: Any, outputs: Any) -> None:
    band = inputs.image[0].astype("f8")
    kernel = np.hanning(31)
    kernel /= kernel.sum()
    rows = np.stack([np.convolve(row, kernel, "same") for row in band])
    outputs.result = np.stack([np.convolve(col, kernel, "same") for col in rows.T]).T[None].astype("f4")


def look_up(_info: Any, inputs: Any, outputs: Any, args: Any) -> None:
    outputs.result = args.table[inputs.image[0] % len(args.table)][None]


def classes(_info: Any, inputs: Any, outputs: Any) -> None:
    centres = np.linspace(500, 3000, 24)[:, None]
    pixels = inputs.image.reshape(6, -1).mean(axis=0)
    nearest = np.abs(pixels[None] - centres).argmin(axis=0)
    outputs.result = nearest.reshape(1, *inputs.image.shape[1:]).astype("u1")


def many_bands(_info: Any, inputs: Any, outputs: Any) -> None:
    outputs.result = np.concatenate([inputs.image * np.float32(n) for n in range(1, 11)])


def resampled(_info: Any, inputs: Any, outputs: Any) -> None:
    outputs.result = inputs.image[:1] + inputs.other[:1]


def rasterized(_info: Any, inputs: Any, outputs: Any) -> None:
    outputs.result = np.where(inputs.fields == 0, 0, inputs.image[:1])


def resample(controls: applier.ApplierControls) -> None:
    controls.setReferenceImage("image")
    controls.setResampleMethod("cubic")


def table() -> applier.OtherInputs:
    return applier.OtherInputs(table=np.arange(20_000_000, dtype="f4"))


DATES = [f"date{n}.tif" for n in range(12)]
KINDS = (
    Kind("NDVI", ndvi, {"image": "scene.tif"}),
    Kind("median of 12 dates", median, {"dates": DATES}, lambda c: c.setWindowSize(512, 512)),
    Kind(
        "float64 intermediates",
        wide_intermediates,
        {"image": "scene.tif"},
        lambda c: c.setWindowSize(1024, 1024),
    ),
    Kind("overlap of 200", big_overlap, {"image": "scene.tif"}, lambda c: c.setOverlap(200)),
    Kind("convolution", convolution, {"image": "date0.tif"}, lambda c: c.setOverlap(15)),
    Kind("80 MB of otherArgs", look_up, {"image": "scene.tif"}, other_args=table),
    Kind("classes", classes, {"image": "scene.tif"}, lambda c: c.setThematic(True)),
    Kind("60 bands of float32", many_bands, {"image": "scene.tif"}),
    Kind("reprojection", resampled, {"image": "scene.tif", "other": "other.tif"}, resample),
    Kind("vector input", rasterized, {"image": "scene.tif", "fields": "fields.gpkg"}),
)


def make_inputs(folder: Path) -> None:
    random = np.random.default_rng(1)
    ramp = np.add.outer(np.arange(SIDE_PX), np.arange(SIDE_PX)) / 4
    pixels = (ramp + random.integers(0, 40, (SIDE_PX, SIDE_PX))).astype("u2")
    make_raster(folder / "scene.tif", pixels, 6, 32655)
    for name in DATES:
        make_raster(folder / name, pixels, 1, 32655)
    make_raster(folder / "other.tif", pixels, 1, 32654)
    reference = osr.SpatialReference()
    reference.ImportFromEPSG(32655)
    fields = ogr.GetDriverByName("GPKG").CreateDataSource(str(folder / "fields.gpkg"))
    layer = fields.CreateLayer("fields", reference, ogr.wkbPolygon)
    for number in range(2000):
        x, y = 500_000 + random.uniform(0, 30 * SIDE_PX), 5_000_000 - random.uniform(0, 30 * SIDE_PX)
        feature = ogr.Feature(layer.GetLayerDefn())
        feature.SetGeometry(ogr.CreateGeometryFromWkt(f"POINT ({x} {y})").Buffer(600 + number % 7 * 100))
        layer.CreateFeature(feature)


def make_raster(path: Path, pixels: Any, nbands: int, epsg: int) -> None:
    options = ["TILED=YES", "COMPRESS=DEFLATE", "ZLEVEL=1"]
    dataset = gdal.GetDriverByName("GTiff").Create(
        str(path), SIDE_PX, SIDE_PX, nbands, gdal.GDT_UInt16, options
    )
    # In the neighbouring zone the same place has another easting.
    dataset.SetGeoTransform((500_000 if epsg == 32655 else 960_000, 30, 0, 5_000_000, 0, -30))  # noqa: PLR2004
    reference = osr.SpatialReference()
    reference.ImportFromEPSG(epsg)
    dataset.SetProjection(reference.ExportToWkt())
    for number in range(nbands):
        dataset.GetRasterBand(number + 1).WriteArray(pixels + number * 100)


class Watch:
    """Asks Linux for the peak of every worker process, as long as they live."""

    def __init__(self) -> None:
        self._peaks: dict[int, int] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    @property
    def peak_bytes(self) -> int:
        return max(self._peaks.values())

    def _look(self) -> None:
        while not self._stopped.wait(LOOK_SECONDS):
            parents = {pid: status["PPid"] for pid, status in statuses().items()}
            for pid, status in statuses().items():
                if parents.get(status["PPid"]) == os.getpid():  # a child of this process's fork server
                    # One that has just ended has none.
                    self._peaks[pid] = max(self._peaks.get(pid, 0), status.get("VmHWM", 0) * 1024)


def statuses() -> dict[int, dict[str, int]]:
    found = {}
    for path in Path("/proc").glob("[0-9]*/status"):
        try:
            text = path.read_text()
        except OSError:  # has ended
            continue
        numbers = re.findall(r"^(PPid|VmHWM):\s+(\d+)", text, re.MULTILINE)
        found[int(path.parent.name)] = {name: int(value) for name, value in numbers}
    return found


def predict_and_measure(kind: Kind) -> dict[str, float]:
    controls = applier.ApplierControls()
    controls.setNumThreads(2)
    kind.settings(controls)
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    vars(infiles).update(kind.inputs)
    outfiles.result = "result.tif"
    other_args = kind.other_args()
    controls.setDryRun(True)
    planned = applier.apply(kind.function, infiles, outfiles, other_args, controls=controls).forecast
    assert planned is not None
    assert planned.memory_mib is not None
    controls.setDryRun(False)
    with Watch() as watch:
        applier.apply(kind.function, infiles, outfiles, other_args, controls=controls)
    return {"predicted": planned.memory_mib, "measured": watch.peak_bytes / MIB}


def main() -> None:
    if sys.argv[1:]:
        print(json.dumps(predict_and_measure(KINDS[int(sys.argv[1])])))
        return
    print("| Function | Predicted, MiB | Measured, MiB | Ratio |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        make_inputs(Path(folder))
        for number, kind in enumerate(KINDS):
            done = subprocess.run(
                [sys.executable, str(Path(__file__).resolve()), str(number)],
                cwd=folder,
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            )
            found = json.loads(done.stdout.splitlines()[-1])
            predicted, measured = found["predicted"], found["measured"]
            print(
                f"| {kind.name} | {predicted:.0f} | {measured:.0f} | {predicted / measured:.2f} |", flush=True
            )


if __name__ == "__main__":
    main()
