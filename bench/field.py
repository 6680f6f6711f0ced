"""The field's table: tasks with rios_batch and its peers, each a process of its own, in turn; prints Markdown.

python bench/field.py [--repetitions 5] [--size 6000] [--folder .bench] [--rios FOLDER] [--json FILE] [--tasks ...]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from data import inputs, warp_bounds_m  # type: ignore[import-not-found]  # beside this script
from osgeo import gdal
from peers import Field  # type: ignore[import-not-found]  # beside this script
from tasks import TASKS  # type: ignore[import-not-found]  # beside this script

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray
    from peers import Peer

gdal.UseExceptions()

SAMPLE_SECONDS = 0.05


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


def measure(peer: Peer, environment: dict[str, str]) -> None:
    """Run a peer's commands, and note their time, their processor time, and the most memory."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    most_mb = max(run(command, environment) for command in peer.commands)
    wall_s, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    peer.wall_s.append(wall_s)
    peer.cpu_s.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    peer.pss_mb.append(most_mb)


def run(command: list[str], environment: dict[str, str]) -> float:
    """Run a command, and return the most memory that it and its processes had, in megabytes."""
    with tempfile.TemporaryFile() as said:
        # GDAL 3.6 says much that means nothing when threads decompress blocks.
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said, env=environment)
        samples, ended = [0.0], threading.Event()

        def watch() -> None:
            while not ended.wait(SAMPLE_SECONDS):
                samples.append(proportional_mb(child.pid))

        watching = threading.Thread(target=watch)
        watching.start()
        status = child.wait()
        ended.set()
        watching.join()
        if status:
            said.seek(0)
            sys.stderr.write(said.read().decode())
            sys.exit(f"field: {' '.join(command)[:200]} ended with exit code {status}; its message is above.")
    return max(samples)


def pixels(path: Path) -> NDArray[Any]:
    return gdal.Open(str(path)).ReadAsArray()  # type: ignore[no-any-return]


def compared(found: NDArray[Any], expected: NDArray[Any]) -> str:
    """Say in how many pixels two results differ."""
    if found.shape != expected.shape:
        return f"{found.shape} for {expected.shape}"
    different = found != expected
    if found.dtype.kind == "f":
        different &= ~(np.isnan(found) & np.isnan(expected))
    return f"{different.mean():.2%} differ" if different.any() else "equal"


def ratio(peer: Peer, base: Peer, figure: str) -> float:
    """Return the median of ratios within the repetitions: the machine's speed drifts."""
    pairs = zip(getattr(peer, figure), getattr(base, figure), strict=True)
    found: float = statistics.median(a / b for a, b in pairs)
    return found


def table(measured: list[Peer]) -> str:
    lines = [
        "| | | wall s | CPU s | wall, ratio | CPU, ratio | peak PSS MB | file MB | pixels |",
        "|---" * 9 + "|",
    ]
    group = ""
    for peer in measured:
        base = next(other for other in measured if other.group == peer.group and other.is_baseline)
        medians = [statistics.median(figure) for figure in (peer.wall_s, peer.cpu_s, peer.pss_mb)]
        lines.append(
            f"| {peer.group if peer.group != group else ''} | {peer.name} | {medians[0]:.2f} | {medians[1]:.2f} | "
            f"{ratio(peer, base, 'wall_s'):.2f} | {ratio(peer, base, 'cpu_s'):.2f} | {medians[2]:.0f} | "
            f"{f'{peer.mb:.1f}' if peer.mb else ''} | {peer.pixels} |"
        )
        group = peer.group
    return "\n".join(lines)


def run_task(runs: list[Peer], out: Path, plain: Path, repetitions: int, environment: dict[str, str]) -> None:
    """Measure the peers of a task in turn, each repetition from another one on, after one that warms up."""
    first = next(peer for peer in runs if peer.is_baseline)
    for command in first.commands:
        run(command, environment)
    expected = pixels(out)
    gdal.Translate(str(plain), str(out), creationOptions=["TILED=YES"])
    for repetition in range(repetitions + 1):
        begin = repetition % len(runs)
        for peer in runs[begin:] + runs[:begin]:
            for left in (out, Path(f"{out}.aux.xml"), Path(f"{out}.vrt")):
                left.unlink(missing_ok=True)
            measure(peer, environment)
            if not peer.is_limit:
                peer.pixels, peer.mb = compared(pixels(out), expected), out.stat().st_size / 1e6
    for peer in runs:
        del peer.wall_s[0], peer.cpu_s[0], peer.pss_mb[0]


def tables(tasks: Iterable[str], arguments: argparse.Namespace) -> list[Peer]:
    """Measure tasks, print a table of each, and return all rows."""
    folder: Path = arguments.folder
    out, plain = folder / "field_out.tif", folder / "field_plain.tif"
    # Compiled modules are kept, as they are for users.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    found: list[Peer] = []
    for task in tasks:
        paths = inputs(task, folder, arguments.size)
        for path in paths:
            path.read_bytes()  # the first peer must not be the one that waits for the disk
        bounds_m = warp_bounds_m(paths[0]) if task == "warp" else (0.0, 0.0, 0.0, 0.0)
        environment["WARP_BOUNDS_M"] = json.dumps(bounds_m)
        field = Field(
            task,
            paths,
            out,
            plain=plain,
            rios_batch_python=folder / "rios_batch/bin/python",
            rasterio_python=folder / "venv/bin/python",
            rios=arguments.rios,
            bounds_m=bounds_m,
        )
        runs = field.peers()
        run_task(runs, out, plain, arguments.repetitions, environment)
        print(f"\n{table(runs)}", flush=True)
        found += runs
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Tasks with rios_batch and its peers.")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--size", type=int, default=6000, help="rows and columns of a scene, default 6000")
    parser.add_argument("--folder", type=Path, default=Path(".bench"), help="where `make bench` put rasterio")
    parser.add_argument("--rios", type=Path, help="folder that has RIOS's package `rios`, for rows of it")
    parser.add_argument("--json", type=Path, help="file for all that was measured, which bench/plot.py draws")
    parser.add_argument("--tasks", nargs="*", choices=list(TASKS), default=list(TASKS))
    arguments = parser.parse_args()
    for environment, package in (("venv", "rasterio"), ("rios_batch", "rios_batch")):
        if not (arguments.folder / environment / "bin/python").exists():
            sys.exit(f"field: there is no {package} in {arguments.folder}; `make bench` installs it.")
    machine = {
        "date": time.strftime("%Y-%m-%d"),
        "cores": os.cpu_count(),
        "gdal": gdal.VersionInfo("RELEASE_NAME"),
        "python": platform.python_version(),
        "size_px": arguments.size,
        "repetitions": arguments.repetitions,
    }
    print(", ".join(f"{name}: {value}" for name, value in machine.items()))
    rows = tables(arguments.tasks, arguments)
    if arguments.json:
        shown = [{name: value for name, value in asdict(row).items() if name != "commands"} for row in rows]
        arguments.json.write_text(json.dumps({"machine": machine, "rows": shown}, indent=1) + "\n")


if __name__ == "__main__":
    main()
