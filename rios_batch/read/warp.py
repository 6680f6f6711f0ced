"""Resampling a raster onto the working grid, by a warped VRT that each worker builds in memory.

GDAL's result for a pixel depends a little on the chunk it is computed in: on the scale that is measured
there, on whether nodata occurs, on rounding. Here nothing is left to the chunk. The transformation is exact, the
scale is given, and chunks lie on a lattice of their own, which starts at the working grid's corner and does
not know of windows and tiles.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import numpy as np
from osgeo import gdal

from rios_batch.errors import GdalWarpError, GridError
from rios_batch.gdalapi import GDAL_TYPES, reason, same_projection, thread_option
from rios_batch.model.grid import PixelWindow
from rios_batch.model.spec import Warp
from rios_batch.read.extents import reprojected, spatial_reference, transformation

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Sequence

    from rios_batch.model.grid import PixelGridDefn
    from rios_batch.model.spec import InputFile
    from rios_batch.read.facts import RasterFacts

LARGEST_CHUNK_PX, SMALLEST_CHUNK_PX = 256, 16
LARGEST_SOURCE_BYTES = 64 * 2**20  # of the source pixels of a chunk, which are in memory at once
REACH_EXTRA_PX = 2  # beyond a file's extent, whose curved edges are looked at in 101 points only
SOURCE_EXTRA_PX = 8  # read around what a chunk's edges say, since they are looked at in 21 points only


def plan_warp(
    fact: RasterFacts,
    nlayers: int,
    grid: PixelGridDefn,
    overlap_px: int,
    method: str,
    *,
    overviews_allowed: bool,
) -> Warp:
    """Decide how a raster is resampled onto the working grid, so that every worker does it alike.

    Parameters
    ----------
    nlayers : number of bands that are resampled.
    overlap_px : how far beyond the working grid pixels are wanted.
    overviews_allowed : the source may be one of the overviews in ``fact``, where it is as fine as the grid.

    Raises
    ------
    GdalWarpError : GDAL cannot resample this raster.
    """
    _check_can_be_warped(fact, grid)
    xscale, yscale = scale_of(fact, grid)
    overview = None
    if overviews_allowed:
        overview, factor_x, factor_y = _coarsest_overview(fact, xscale, yscale)
        xscale, yscale = xscale * factor_x, yscale * factor_y
    chunk_px = _chunk_side(xscale * yscale, nlayers * fact.itemsize)
    # Whole chunks, so that the lattice of chunks begins at the grid's corner whatever the overlap.
    margin = -(-overlap_px // chunk_px) * chunk_px
    onto = grid.window(-margin, -margin, grid.ncols + 2 * margin, grid.nrows + 2 * margin)
    return Warp(method, onto, chunk_px, xscale, yscale, overview)


def reach_of(fact: RasterFacts, grid: PixelGridDefn) -> PixelWindow | None:
    """Return a window of the grid outside of which the resampled file has no pixels, or None if that is not known.

    On a grid in degrees one place may have several longitudes.
    """
    if not grid.projection or spatial_reference(grid.projection).IsGeographic():
        return None
    try:
        there = reprojected(fact.extent, grid.projection)
    except GridError:
        return None
    col = math.floor((there.x_min - grid.xMin) / grid.xRes) - REACH_EXTRA_PX
    row = math.floor((grid.yMax - there.y_max) / grid.yRes) - REACH_EXTRA_PX
    end_col = math.ceil((there.x_max - grid.xMin) / grid.xRes) + REACH_EXTRA_PX
    end_row = math.ceil((grid.yMax - there.y_min) / grid.yRes) + REACH_EXTRA_PX
    return PixelWindow(col, row, end_col - col, end_row - row)


def _check_can_be_warped(fact: RasterFacts, grid: PixelGridDefn) -> None:
    problem = ""
    if bool(fact.projection) != bool(grid.projection):
        problem = "only one of them has a projection"
    elif unknown := [dtype for dtype in fact.dtypes if dtype not in GDAL_TYPES]:
        problem = f"this version of GDAL cannot resample {unknown[0]}"
    elif not fact.has_georeference:
        problem = "it has no georeference"
    if problem:
        raise GdalWarpError(f"input {fact.path!r} cannot be resampled onto the working grid: {problem}")


def scale_of(fact: RasterFacts, grid: PixelGridDefn) -> tuple[float, float]:
    """Return how many pixels of the grid there are to a pixel of the file, along the file's columns and rows.

    Measured at the middle of what they have in common; 1 and 1 where that is nothing.
    """
    try:
        here = reprojected(grid.extent, fact.projection)
    except GridError:
        return (1.0, 1.0)
    left, right = max(here.x_min, fact.extent.x_min), min(here.x_max, fact.extent.x_max)
    bottom, top = max(here.y_min, fact.extent.y_min), min(here.y_max, fact.extent.y_max)
    if left >= right or bottom >= top:
        return (1.0, 1.0)
    middle = ((left + right) / 2, (bottom + top) / 2)
    alike = same_projection(fact.projection, grid.projection)
    x, y = middle if alike else transformation(fact.projection, grid.projection).TransformPoint(*middle)[:2]
    half_x, half_y = grid.xRes / 2, grid.yRes / 2
    around = [(x - half_x, y), (x + half_x, y), (x, y - half_y), (x, y + half_y)]
    if not alike:
        around = transformation(grid.projection, fact.projection).TransformPoints(around)
    inverse = gdal.InvGeoTransform(list(fact.geotransform))
    west, east, south, north = (np.array(gdal.ApplyGeoTransform(inverse, p[0], p[1])) for p in around)
    columns, rows = np.hypot(east - west, north - south)  # file pixels that one grid pixel spans
    usable = math.isfinite(columns) and math.isfinite(rows) and columns > 0 and rows > 0
    return (float(1 / columns), float(1 / rows)) if usable else (1.0, 1.0)


def _coarsest_overview(fact: RasterFacts, xscale: float, yscale: float) -> tuple[int | None, float, float]:
    """Return the coarsest overview that is at least as fine as the grid, and its pixel's size in file pixels."""
    best: tuple[int | None, float, float] = (None, 1.0, 1.0)
    for number, (ncols, nrows) in enumerate(fact.overviews):
        factor_x, factor_y = fact.ncols / ncols, fact.nrows / nrows
        if xscale * factor_x <= 1 and yscale * factor_y <= 1 and factor_x > best[1]:
            best = (number, factor_x, factor_y)
    return best


def _chunk_side(grid_px_per_source_px: float, bytes_per_px: int) -> int:
    side = LARGEST_CHUNK_PX
    while side > SMALLEST_CHUNK_PX and side**2 / grid_px_per_source_px * bytes_per_px > LARGEST_SOURCE_BYTES:
        side //= 2
    return side


def open_warped(file: InputFile, warp: Warp) -> gdal.Dataset:
    """Return the file as a raster on ``warp.grid`` with the bands ``file.layers``.

    Raises
    ------
    GdalWarpError : GDAL cannot resample it; says why.
    """
    try:
        return gdal.Open(_vrt(file, warp))
    except RuntimeError as error:
        raise GdalWarpError(
            f"input {file.name!r} cannot be resampled onto the working grid: {reason(error)}"
        ) from error


def _vrt(file: InputFile, warp: Warp) -> str:
    """Let GDAL write the VRT, and set in it what GDAL's functions have no argument for before version 3.7."""
    grid = warp.grid
    level = [] if warp.overview is None else [f"OVERVIEW_LEVEL={warp.overview}"]
    source = gdal.OpenEx(file.path, gdal.OF_RASTER | gdal.OF_VERBOSE_ERROR, open_options=level)
    dataset = gdal.Warp(
        "",
        source,
        format="VRT",
        dstSRS=grid.projection or None,
        outputBounds=(grid.xMin, grid.yMin, grid.xMax, grid.yMax),
        xRes=grid.xRes,
        yRes=grid.yRes,
        resampleAlg=warp.method,
        errorThreshold=0,
        overviewLevel="NONE",
        srcNodata="None",
        options=["-nosrcalpha"],
        warpOptions=[
            f"XSCALE={warp.xscale!r}",
            f"YSCALE={warp.yscale!r}",
            "SAMPLE_GRID=YES",
            f"SOURCE_EXTRA={SOURCE_EXTRA_PX}",
            "UNIFIED_SRC_NODATA=NO",
        ],
    )
    root = ET.fromstring(dataset.GetMetadata("xml:VRT")[0])  # noqa: S314 - GDAL's own text  # nosec B314
    for name in ("BlockXSize", "BlockYSize"):
        _child(root, name).text = str(warp.chunk_px)
    for band in root.findall("VRTRasterBand"):
        root.remove(band)
    kind = gdal.GetDataTypeName(GDAL_TYPES[file.dtype])
    for number in range(1, len(file.layers) + 1):
        ET.SubElement(root, "VRTRasterBand", dataType=kind, band=str(number), subClass="VRTWarpedRasterBand")
    options = _child(root, "GDALWarpOptions")
    _child(options, "WorkingDataType").text = kind
    _child(options, "Option[@name='INIT_DEST']").text = ",".join(
        "0" if nodata is None else "NO_DATA" for nodata in file.nodata
    )
    options.remove(_child(options, "BandList"))
    options.append(_band_list(file.layers, file.nodata))
    return ET.tostring(root, encoding="unicode")


def _child(element: ET.Element, name: str) -> ET.Element:
    found = element.find(name)
    if found is None:
        raise LookupError(f"the warped VRT that GDAL wrote has no {name}")
    return found


def _band_list(layers: Sequence[int], nodata: Sequence[float | None]) -> ET.Element:
    bands = ET.Element("BandList")
    for number, (layer, value) in enumerate(zip(layers, nodata, strict=True), start=1):
        band = ET.SubElement(bands, "BandMapping", src=str(layer), dst=str(number))
        if value is not None:
            for name in ("SrcNoDataReal", "DstNoDataReal"):
                ET.SubElement(band, name).text = repr(value)
            for name in ("SrcNoDataImag", "DstNoDataImag"):
                ET.SubElement(band, name).text = "0"
    return bands


def by_chunks() -> contextlib.AbstractContextManager[None]:
    """Have GDAL compute a warped VRT chunk by chunk.

    Newer versions than 3.6 otherwise take a large window as one chunk, with all its source pixels in memory, and what
    depends on the chunk depends on the window.
    """
    return thread_option("GDAL_VRT_WARP_USE_DATASET_RASTERIO", "NO")
