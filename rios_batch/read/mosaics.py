"""A mosaic as a VRT, which only names the files that the pixels are in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osgeo import gdal

from rios_batch.errors import ImageOpenError
from rios_batch.gdalapi import reason
from rios_batch.read.facts import open_raster
from rios_batch.read.opened import map_concurrently

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def write_mosaic(path: Path, names: Sequence[str], nodata: float | None) -> None:
    """Write a mosaic of files; GDAL's exceptions must be on. Nothing is written if the file has this content already.

    Parameters
    ----------
    names : where files overlap, the first that has data counts.
    nodata : of the pixels without data, for files that do not say.

    Raises
    ------
    FileOpenError : a file cannot be opened, or the files do not fit each other.
    """
    datasets = map_concurrently(open_raster, names)
    says = any(dataset.GetRasterBand(1).GetNoDataValue() is not None for dataset in datasets)
    new = path.with_name(f".{path.name}")
    try:
        # Of two sources that overlap the later one is on top. Without -strict a source that does not fit is left out.
        options = gdal.BuildVRTOptions(
            options=["-strict"],
            resolution="highest",
            srcNodata=None if says or nodata is None else nodata,
        )
        built = gdal.BuildVRT(str(new), datasets[::-1], options=options)
        built.FlushCache()
        del built
    except RuntimeError as error:
        new.unlink(missing_ok=True)
        raise ImageOpenError(
            f"no mosaic can be made of {', '.join(map(repr, names))}: {reason(error)}"
        ) from error
    new.chmod(0o600)  # addresses may be signed
    if path.is_file() and path.read_bytes() == new.read_bytes():
        new.unlink()
    else:
        new.replace(path)
