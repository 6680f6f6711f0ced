"""The field's table: tasks with rios_batch and its peers, each a process of its own, in turn; prints Markdown.

python bench/field.py [--repetitions 5] [--folder .bench] [--tasks light medium heavy]
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from light import make_scene  # type: ignore[import-not-found]  # beside this script
from osgeo import gdal
from tasks import TASKS  # type: ignore[import-not-found]  # beside this script

if TYPE_CHECKING:
    from numpy.typing import NDArray

gdal.UseExceptions()

HERE = Path(__file__).parent
SAMPLE_SECONDS = 0.05


@dataclass
class Peer:
    """One way to do a task; the ratios of its row are to the peer of the same group that is named best."""

    group: str
    name: str
    command: list[str]
    is_baseline: bool = False
    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    pss_mb: list[float] = field(default_factory=list)
    mb: float = 0.0


def peers(task: str, scene: Path, folder: Path) -> list[Peer]:
    ours = [sys.executable, str(HERE / "field_rios_batch.py"), task]
    theirs = [str(folder / "venv/bin/python"), str(HERE / "field_rasterio.py"), task]
    image, whole = f"{task}, image only", f"{task}, complete file"
    files = [str(scene), str(folder / "field_out.tif")]
    found = [
        Peer(image, "rasterio, 2 threads", [*theirs, "image", *files], is_baseline=True),
        Peer(image, "rios_batch, 2 processes", [*ours, "image", *files]),
        Peer(image, "rios_batch, 2 threads", [*ours, "image", *files, "threads"]),
        Peer(whole, "rasterio, 2 threads", [*theirs, "complete", *files], is_baseline=True),
        Peer(whole, "rios_batch, same options", [*ours, "complete", *files]),
        Peer(whole, "rios_batch, defaults", [*ours, "defaults", *files]),
    ]
    if task == "light":
        calc = "(B.astype('f4')-A.astype('f4'))/(B.astype('f4')+A.astype('f4'))"
        options = [f"--co={option}" for option in ("TILED=YES", "COMPRESS=DEFLATE", "NUM_THREADS=2")]
        inputs = ["-A", files[0], "--A_band=3", "-B", files[0], "--B_band=4"]
        command = [sys.executable, "-m", "osgeo_utils.gdal_calc", *inputs, f"--outfile={files[1]}"]
        more = [f"--calc={calc}", "--type=Float32", "--quiet", "--hideNoData", *options]
        found.insert(3, Peer(image, "gdal_calc", [*command, *more]))
    return found


def proportional_mb(pid: int) -> float:
    """Return the proportional set size of a process and those below it, in megabytes."""
    total = 0
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        total += next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (OSError, StopIteration):  # it has just ended
        return total * 1024 / 1e6
    return total * 1024 / 1e6 + sum(proportional_mb(int(child)) for child in children)


def measure(peer: Peer, out: Path) -> None:
    out.unlink(missing_ok=True)
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    child = subprocess.Popen(peer.command, stdout=subprocess.DEVNULL, env=_environment())
    samples, ended = [0.0], threading.Event()

    def watch() -> None:
        while not ended.wait(SAMPLE_SECONDS):
            samples.append(proportional_mb(child.pid))

    watching = threading.Thread(target=watch)
    watching.start()
    status = child.wait()
    wall_s, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    ended.set()
    watching.join()
    if status:
        sys.exit(f"field: {peer.name} ended with exit code {status}; its message is above.")
    peer.wall_s.append(wall_s)
    peer.cpu_s.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    peer.pss_mb.append(max(samples))
    peer.mb = out.stat().st_size / 1e6


def _environment() -> dict[str, str]:
    # Compiled modules are kept, as they are for users.
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def pixels(path: Path) -> NDArray[Any]:
    return gdal.Open(str(path)).ReadAsArray()  # type: ignore[no-any-return]


def ratio(peer: Peer, base: Peer, figure: str) -> float:
    """Return the median of ratios within the repetitions: the machine's speed drifts."""
    pairs = zip(getattr(peer, figure), getattr(base, figure), strict=True)
    found: float = statistics.median(a / b for a, b in pairs)
    return found


def table(measured: list[Peer]) -> str:
    lines = ["| | | wall s | CPU s | wall, ratio | CPU, ratio | peak PSS MB | file MB |", "|---" * 8 + "|"]
    for peer in measured:
        base = next(other for other in measured if other.group == peer.group and other.is_baseline)
        group = peer.group if peer.is_baseline else ""
        medians = [statistics.median(figure) for figure in (peer.wall_s, peer.cpu_s, peer.pss_mb)]
        lines.append(
            f"| {group} | {peer.name} | {medians[0]:.2f} | {medians[1]:.2f} | {ratio(peer, base, 'wall_s'):.2f} | "
            f"{ratio(peer, base, 'cpu_s'):.2f} | {medians[2]:.0f} | {peer.mb:.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Tasks with rios_batch and its peers.")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path(".bench"), help="where `make bench` put rasterio")
    parser.add_argument("--tasks", nargs="*", choices=list(TASKS), default=list(TASKS))
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    if not (folder / "venv/bin/python").exists():
        sys.exit(f"field: there is no rasterio in {folder}; `make bench` installs it.")
    scene, out = folder / "light.tif", folder / "field_out.tif"
    if not scene.exists():
        make_scene(scene)
    scene.read_bytes()  # the first peer must not be the one that waits for the disk
    cores, version = os.cpu_count(), gdal.VersionInfo("RELEASE_NAME")
    print(f"{time.strftime('%Y-%m-%d')}, {cores} cores, GDAL {version}, medians of {arguments.repetitions}")
    for task in arguments.tasks:
        print(f"\n{table(run_task(peers(task, scene, folder), out, arguments.repetitions))}", flush=True)


def run_task(runs: list[Peer], out: Path, repetitions: int) -> list[Peer]:
    """Measure the peers of a task in turn, each repetition from another one on, after one that warms up."""
    expected: NDArray[Any] | None = None
    for repetition in range(repetitions + 1):
        first = repetition % len(runs)
        for peer in runs[first:] + runs[:first]:
            measure(peer, out)
            found = pixels(out)
            out.unlink()
            expected = found if expected is None else expected
            if not np.array_equal(found, expected, equal_nan=found.dtype.kind == "f"):
                sys.exit(
                    f"field: the pixels of {peer.name} ({peer.group}) differ from those of {runs[0].name}."
                )
    for peer in runs:
        del peer.wall_s[0], peer.cpu_s[0], peer.pss_mb[0]
    return runs


if __name__ == "__main__":
    main()
