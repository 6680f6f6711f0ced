"""The page on money, docs/cost.md, made from measurements (cost.json beside this script) and the project's prices.

python -m bench.cost              # writes the page anew
python -m bench.cost --measure    # measures first, some minutes, on an idle machine; needs rios_batch[emulation]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.costpage import FUNCTIONS, cost_page, with_prices
from bench.reckoning import Counted, Measured
from rios_batch.model.costs import Prices

if TYPE_CHECKING:
    from bench.tasks import Task
    from rios_batch.model.tileresult import TileRecord

MEASUREMENTS = Path(__file__).with_name("cost.json")
DOCS = Path(__file__).parents[1] / "docs"
PAGE, WHO_PAYS = DOCS / "cost.md", DOCS / "concepts" / "who-pays-what.md"
REPETITIONS, SCENE_PX = 3, 4000


@dataclass(frozen=True)
class Measurements:
    """What was measured: when, on what machine, requests by the output's type, and functions by name."""

    date: str
    machine: str
    counted: dict[str, Counted]
    measured: dict[str, Measured]


def read_measurements() -> Measurements:
    """Return what lies beside this script."""
    found = json.loads(MEASUREMENTS.read_text())
    return Measurements(
        found["date"],
        found["machine"],
        {kind: Counted(**values) for kind, values in found["counted"].items()},
        {name: Measured(**values) for name, values in found["measured"].items()},
    )


def pages() -> dict[Path, str]:
    """Return the text of each page that has costs, by its path."""
    found, prices = read_measurements(), Prices.read({})
    page = cost_page(found.date, found.machine, found.counted, found.measured, prices)
    return {PAGE: page, WHO_PAYS: with_prices(WHO_PAYS.read_text(), found.counted, prices)}


def measure() -> Measurements:
    """Count requests on an emulated AWS, and measure the functions of tasks.py on this machine."""
    from osgeo import gdal  # noqa: PLC0415 - not needed to make the page

    from bench.calls import KINDS, count  # noqa: PLC0415 - needs the emulation
    from bench.tasks import TASKS  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="rios_batch-bench-") as name:
        path = scene(Path(name))
        measured = {task: _measured(TASKS[task], path) for task in FUNCTIONS}
    processor = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line)
    machine = (
        f"{os.cpu_count()} cores of {processor.split(': ')[1]}, GDAL {gdal.VersionInfo('RELEASE_NAME')}, "
        f"numpy {np.__version__}"
    )
    counted = {kind: count(kind) for kind in KINDS}
    return Measurements(time.strftime("%Y-%m-%d"), machine, counted, measured)


def scene(folder: Path) -> Path:
    """Make the scene of field.py, and return its path."""
    sys.path.append(
        str(Path(__file__).parent)
    )  # where data.py, which is run from here otherwise, looks for tasks.py
    from bench.data import inputs  # noqa: PLC0415 - loads GDAL

    (path,) = inputs("light", folder, SCENE_PX)
    return path


def run_task(task: Task, path: Path, **options: Any) -> tuple[TileRecord, ...]:
    """Run a task, and return the records of its tiles; options are setters' names with their values."""
    from rios_batch import applier  # noqa: PLC0415 - loads GDAL

    def function(_info: Any, inputs: Any, outputs: Any) -> None:
        margin = [(task.margin_px, task.margin_px)] * 2
        outputs.out = np.pad(task.function(inputs.scene), ((0, 0), *margin))

    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.scene, outfiles.out = path, path.with_name("out.tif")
    controls = applier.ApplierControls()
    controls.selectInputImageLayers(list(task.bands))
    controls.setStatsIgnore(None)
    controls.setOverlap(task.margin_px)
    for setter, value in options.items():
        getattr(controls, setter)(*value if isinstance(value, tuple) else (value,))
    return applier.apply(function, infiles, outfiles, controls=controls).tiles


def _measured(task: Task, path: Path) -> Measured:
    """Run a task in one process, and return what a million pixels take in the fastest of a few runs."""
    runs = [run_task(task, path) for _ in range(REPETITIONS)]
    tiles = min(
        runs, key=lambda run: sum(t.reading_s + t.function_s + t.encoding_s + t.statistics_s for t in run)
    )
    mpx = sum(tile.window.size_px for tile in tiles) / 1e6
    return Measured(
        len(task.bands),
        round(sum(tile.reading_s for tile in tiles) / mpx, 4),
        round(sum(tile.function_s for tile in tiles) / mpx, 4),
        round(sum(tile.encoding_s + tile.statistics_s for tile in tiles) / mpx, 4),
        raw_in=2e6 * len(task.bands),
        raw_out=1e6 * task.nbands * np.dtype(task.dtype).itemsize,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the page on money.")
    parser.add_argument("--measure", action="store_true", help="measure before")
    if parser.parse_args().measure:
        MEASUREMENTS.write_text(json.dumps(asdict(measure()), indent=2) + "\n")
    for path, text in pages().items():
        path.write_text(text)


if __name__ == "__main__":
    main()
