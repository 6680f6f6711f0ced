"""How many bytes a run reads: those of the inputs' files that its pixels lie in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from osgeo import gdal

from rios_batch.model.forecast import Traffic
from rios_batch.model.grid import PixelWindow
from rios_batch.read.network import is_remote

if TYPE_CHECKING:
    from rios_batch.model.spec import InputFile, RunSpec


def traffic_of(spec: RunSpec, *, copies: bool) -> Traffic:
    """Return what a run reads. Margins are left out, and so is what neighbouring tiles read twice.

    Parameters
    ----------
    copies : local inputs are copied to S3, as whole files.
    """
    read = pixels = copied = without_size = 0
    shares: dict[str, float] = {}
    files = {file.path: file for input_spec in spec.inputs for file in input_spec.files}
    for input_spec in spec.inputs:
        for file in input_spec.files:
            share, used_px = _used(file, spec)
            pixels += used_px * len(file.layers) * np.dtype(file.dtype).itemsize
            shares[file.path] = max(share, shares.get(file.path, 0.0))
    for path, share in shares.items():
        size = None if files[path].unreadable else _stored_bytes(files[path])
        if size is None:
            without_size += not files[path].unreadable
            continue
        read += round(size * share)
        copied += size if copies and not is_remote(path) else 0
    return Traffic(read, without_size, pixels, copied)


def _used(file: InputFile, spec: RunSpec) -> tuple[float, int]:
    """Return the share of a file that the working grid needs, and how many pixels of the grid that is."""
    whole = PixelWindow(0, 0, spec.grid.ncols, spec.grid.nrows)
    if file.burn is not None:
        return 1.0, whole.size_px
    if file.warp is None:
        used = whole.shifted(file.col_offset, file.row_offset).clipped(file.ncols, file.nrows).size_px
        return used / max(1, file.ncols * file.nrows), used
    if file.reach is None:
        return 1.0, whole.size_px
    used = file.reach.clipped(spec.grid.ncols, spec.grid.nrows).size_px
    return used / file.reach.size_px, used


def _stored_bytes(file: InputFile) -> int | None:
    """Return the size of a file with all that belongs to it; None if nobody tells."""
    return sum(map(_size, file.files or [file.path])) or None


def _size(name: str) -> int:
    """Return a file's size; 0 for a folder, and if nobody tells."""
    if not name.startswith("/vsi"):
        path = Path(name)
        return path.stat().st_size if path.is_file() else 0
    found = gdal.VSIStatL(name)  # GDAL knows what it has had open, so the network is seldom asked
    return 0 if found is None or found.IsDirectory() else int(found.size)
