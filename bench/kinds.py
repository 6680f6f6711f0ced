"""Which job manager for which kind of function: wall-clock time of two threads, two processes and one thread.

python bench/kinds.py [REPETITIONS]

Each kind of function runs over a small raster that is made in a temporary folder. Repetitions are interleaved, and the
shortest time of each counts, which a busy machine disturbs least. sklearn's kind needs scikit-learn.
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from rios_batch import applier
from rios_batch.testing.rasters import make_raster

DATES, SIDE_PX = 12, 1024
CLOUD = 150  # brighter pixels are left out
MANAGERS = {"one thread": (1, None), "2 threads": (2, "threads"), "2 processes": (2, "multiprocessing")}


def ndvi(_info: Any, inputs: Any, outputs: Any, _model: Any) -> None:
    red, nir = inputs.dates[0].astype("f4"), inputs.dates[1].astype("f4")
    outputs.out = ((nir - red) / (nir + red))[None]


def nanmedian(_info: Any, inputs: Any, outputs: Any, _model: Any) -> None:
    dates = np.where(inputs.dates > CLOUD, np.nan, inputs.dates)
    outputs.out = np.nanmedian(dates, axis=0, keepdims=True).astype("f4")


def predict(_info: Any, inputs: Any, outputs: Any, model: Any) -> None:
    samples = inputs.dates.reshape(DATES, -1)[:, ::8].T
    outputs.out = np.repeat(model.forest.predict(samples), 8).reshape(1, *inputs.dates.shape[1:])


def sort(_info: Any, inputs: Any, outputs: Any, _model: Any) -> None:
    outputs.out = np.sort(inputs.dates.astype("f4"), axis=0)[DATES // 2][None]


def pure_python(_info: Any, inputs: Any, outputs: Any, _model: Any) -> None:
    out = np.zeros_like(inputs.dates[:1], "f4")
    for row, values in enumerate(inputs.dates[0, ::8].tolist()):
        out[0, 8 * row] = [math.sqrt(value) if value < CLOUD else 0.0 for value in values]
    outputs.out = out


def run(function: Any, model: Any, scene: str, folder: Path, manager: tuple[int, str | None]) -> float:
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.dates, outfiles.out = scene, folder / "out.tif"
    controls = applier.ApplierControls()
    controls.setStatsIgnore(None)
    controls.setCalcStats(False)
    controls.setNumThreads(manager[0])
    controls.setJobManagerType(manager[1])
    started = time.perf_counter()
    applier.apply(function, infiles, outfiles, model, controls=controls)
    return time.perf_counter() - started


def trained() -> Any:
    from sklearn.ensemble import RandomForestClassifier  # noqa: PLC0415 - an extra

    random = np.random.default_rng(1)
    samples = random.integers(1, 200, (2_000, DATES))
    return RandomForestClassifier(20, random_state=1).fit(samples, samples[:, 0] > samples[:, 1])


def main() -> None:
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    model = applier.OtherInputs(forest=trained())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        random = np.random.default_rng(1)
        pixels = random.integers(1, 200, (DATES, SIDE_PX, SIDE_PX), np.uint8)
        pixels[0] = 1  # always clear
        scene = make_raster(folder / "scene.tif", pixels, options=["TILED=YES"])
        kinds = (ndvi, sort, nanmedian, predict, pure_python)
        times: dict[tuple[Any, str], list[float]] = {(k, m): [] for k in kinds for m in MANAGERS}
        for _ in range(repetitions):
            for (kind, manager), measured in times.items():
                measured.append(run(kind, model, scene, folder, MANAGERS[manager]))
    print("| kind |", " | ".join(MANAGERS), "|")
    for kind in kinds:
        print(f"| {kind.__name__} |", " | ".join(f"{min(times[kind, m]):.2f} s" for m in MANAGERS), "|")


if __name__ == "__main__":
    main()
