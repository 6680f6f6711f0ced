"""An output that GDAL writes from arrays, for every format but tiled GeoTIFF."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from typing import TYPE_CHECKING

import numpy as np
from osgeo import gdal

from rios_batch.assemble.bandinfo import describe
from rios_batch.assemble.beforeclose import call_before_close
from rios_batch.assemble.newdataset import create_dataset
from rios_batch.encode.coarseoverviews import CoarseOverviews
from rios_batch.encode.reducing import decimate, methods_within_tiles, parts
from rios_batch.errors import RiosBatchError
from rios_batch.gdalapi import closing, output_errors_named
from rios_batch.model.grid import PixelWindow

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rios_batch.assemble.beforeclose import BeforeClose
    from rios_batch.assemble.staging import StagingFolder
    from rios_batch.model.grid import PixelGridDefn
    from rios_batch.model.pyramid import Pyramid
    from rios_batch.model.spec import Array, Layout, OutputSpec
    from rios_batch.model.statitems import BandStatistics
    from rios_batch.model.tileresult import TileOutput
    from rios_batch.model.tiles import Tile

# Drivers that take the pixels of overviews from others; some crash.
TAKE_OVERVIEWS = frozenset({"GTiff", "HFA"})

log = logging.getLogger("rios_batch")


class GdalWriter:
    """Writes arrays into a file in a staging folder, one tile after the other.

    Overviews are made of the tiles as they come where GDAL's driver takes their pixels. Where tiles do not begin at
    whole pixels of the overviews, these are made in the same way of the file, which is read again. Else GDAL makes them
    of the finished file.

    Parameters
    ----------
    first_window : the first tile's; all tiles are as large, but at the far edges.
    before_close : called with the finished dataset, which it may change, before it is in its place.

    Raises
    ------
    OutputError : GDAL cannot create the file.
    """

    def __init__(
        self,
        output_spec: OutputSpec,
        grid: PixelGridDefn,
        layout: Layout,
        staged: StagingFolder,
        first_window: PixelWindow,
        before_close: BeforeClose | None = None,
    ) -> None:
        self._output_spec, self._grid, self._layout = output_spec, grid, layout
        self._staged, self._before_close = staged, before_close
        self._overviews: _OwnOverviews | None = None
        pyramid = output_spec.pyramid
        self._reads_again = pyramid is not None and not _fits_overviews(first_window, pyramid, grid)
        with output_errors_named(output_spec.path):
            self._dataset = create_dataset(str(staged.path), output_spec, grid, layout)
            try:
                if pyramid is not None and _takes_overviews(output_spec, pyramid, layout):
                    self._overviews = _OwnOverviews(
                        self._dataset, output_spec, pyramid, grid, layout, staged.path.parent
                    )
            except BaseException:
                self._close_quietly()  # the file stays: a disk that it fills is recognised by being full
                raise

    def write(self, tile: Tile, tile_output: TileOutput) -> None:
        pixels = tile_output.payload
        assert isinstance(pixels, np.ndarray)
        self._check_fills(tile, pixels)
        with output_errors_named(self._output_spec.path):
            self._dataset.WriteArray(pixels, tile.window.col, tile.window.row)
            if self._overviews is not None and not self._reads_again:
                self._overviews.add(tile.window, pixels)

    def _check_fills(self, tile: Tile, pixels: Array) -> None:
        """Refuse an array that is smaller or larger than its tile: GDAL would write it all the same."""
        wanted = (self._layout.nbands, tile.window.height, tile.window.width)
        if pixels.shape != wanted or pixels.dtype.name != self._layout.dtype:
            raise RiosBatchError(
                f"tile {tile.index} of output {self._output_spec.path!r} is an array of {pixels.dtype.name} of shape "
                f"{pixels.shape}, but it must be of {self._layout.dtype} and of shape {wanted}"
            )

    def finish(self, statistics: Sequence[BandStatistics] = ()) -> None:
        with output_errors_named(self._output_spec.path):
            self._write_overviews()
            # Afterwards, or GDAL would average colours instead of values.
            describe(self._dataset, self._output_spec, self._layout, statistics)
        if self._before_close is not None:
            call_before_close(self._before_close, self._dataset)
        with output_errors_named(self._output_spec.path):
            self._dataset.FlushCache()
            with closing():
                self._dataset = None
            self._check()

    def _write_overviews(self) -> None:
        pyramid = self._output_spec.pyramid
        if self._overviews is not None:
            if self._reads_again:
                self._overviews.add_all(self._dataset)
            self._overviews.write_to(self._dataset)
        elif pyramid is not None:
            self._dataset.FlushCache()
            self._warn_of_rounded_modes(pyramid)
            try:
                self._dataset.BuildOverviews(pyramid.method, list(pyramid.factors))
            except RuntimeError as error:
                if "not supported" not in str(error):
                    raise
                path, driver = self._output_spec.path, self._output_spec.driver
                log.warning("%s has no overviews: GDAL's %s driver makes none", path, driver)

    def _warn_of_rounded_modes(self, pyramid: Pyramid) -> None:
        path, dtype = self._output_spec.path, self._layout.dtype
        if pyramid.method == "MODE" and not np.can_cast(dtype, np.float32):
            log.warning(
                "%s: GDAL makes these overviews, and finds the mode of %s in float32, so that values which float32 "
                "does not hold are rounded; write a GeoTIFF or HFA with levels such as 4, 8, 16, or use NEAREST",
                path,
                dtype,
            )

    def _check(self) -> None:
        """Refuse a file that GDAL says it wrote, but cannot read: some drivers do not notice a full disk."""
        whole = gdal.Open(str(self._staged.path))
        # Several bands of netCDF and Zarr are read as subdatasets, besides those of the coordinates.
        parts = [whole] if whole.RasterCount else [gdal.Open(name) for name, _ in whole.GetSubDatasets()]
        ncols, nrows = self._grid.ncols, self._grid.nrows
        found = [part for part in parts if (part.RasterXSize, part.RasterYSize) == (ncols, nrows)]
        nbands = sum(part.RasterCount for part in found)
        if nbands != self._layout.nbands:
            wanted = f"{self._layout.nbands} bands of {ncols} x {nrows} pixels"
            raise RuntimeError(f"it has {nbands} of the {wanted} when it is read again")
        for part in found:
            for number in range(1, part.RasterCount + 1):
                part.GetRasterBand(number).ReadAsArray(ncols - 1, nrows - 1, 1, 1)
        if self._staged.disk_is_full():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def commit(self) -> None:
        self._staged.commit()

    def abort(self) -> None:
        self._close_quietly()
        self._staged.abort()

    def _close_quietly(self) -> None:
        if self._dataset is not None:
            # After a failed write GDAL complains once more while it closes; the cause is already on its way.
            with contextlib.suppress(RuntimeError), closing():
                self._dataset = None


def _takes_overviews(output_spec: OutputSpec, pyramid: Pyramid, layout: Layout) -> bool:
    """Say whether overviews can be made here, and be given to GDAL."""
    return (
        output_spec.driver in TAKE_OVERVIEWS
        and pyramid.fits_tiles
        and pyramid.method in methods_within_tiles(layout.dtype)
    )


def _fits_overviews(first_window: PixelWindow, pyramid: Pyramid, grid: PixelGridDefn) -> bool:
    """Say whether all tiles begin at whole pixels of the first overview."""
    factor = pyramid.first_factor
    return (first_window.width == grid.ncols or first_window.width % factor == 0) and (
        first_window.height == grid.nrows or first_window.height % factor == 0
    )


class _OwnOverviews:
    """Makes the overviews of a dataset, which has to have none yet, out of its tiles."""

    def __init__(
        self,
        dataset: gdal.Dataset,
        output_spec: OutputSpec,
        pyramid: Pyramid,
        grid: PixelGridDefn,
        layout: Layout,
        folder: Path,
    ) -> None:
        self._pyramid, self._nodata = pyramid, output_spec.nodata
        dataset.FlushCache()
        dataset.BuildOverviews("NONE", list(pyramid.factors))
        self._shape = (layout.nbands, grid.nrows, grid.ncols)
        self._pixels = CoarseOverviews(
            output_spec, pyramid, pyramid.first_factor, pyramid.factors, self._shape, layout.dtype, folder
        )

    def add(self, window: PixelWindow, pixels: Array) -> None:
        """Take an array of shape (bands, rows, cols) for a window that begins at whole pixels of the first overview."""
        pyramid = self._pyramid
        self._pixels.add(window, decimate(pixels, pyramid.first_factor, pyramid.method, self._nodata))

    def add_all(self, dataset: gdal.Dataset) -> None:
        """Take all pixels of the dataset."""
        for rows, cols in parts(self._shape, self._pyramid.first_factor):
            window = PixelWindow(cols.start, rows.start, cols.stop - cols.start, rows.stop - rows.start)
            pixels = dataset.ReadAsArray(window.col, window.row, window.width, window.height)
            self.add(window, pixels.reshape(self._shape[0], window.height, window.width))

    def write_to(self, dataset: gdal.Dataset) -> None:
        """Write all overviews."""
        for part in self._pixels.overviews():
            level = self._pyramid.factors.index(part.factor)
            for number, pixels in enumerate(part.pixels, start=1):
                dataset.GetRasterBand(number).GetOverview(level).WriteArray(pixels, part.col, part.row)
