"""Writing whole outputs: GeoTIFF assembled from encoded blocks, and everything else through GDAL."""

from __future__ import annotations

import contextlib
import errno
import gc
import logging
import os
import sys
import traceback
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from osgeo import gdal

from rios_batch.assemble.assembly import Assembly, create_dataset, incomplete
from rios_batch.assemble.bandinfo import describe
from rios_batch.assemble.staging import StagedFile, explained
from rios_batch.encode.overviews import CoarseOverviews, decimate, methods_within_tiles
from rios_batch.errors import ParameterError
from rios_batch.gdalapi import closing
from rios_batch.model.blobs import StoredBlocks
from rios_batch.model.s3names import SCHEME

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rios_batch.assemble.staging import StagingFolder
    from rios_batch.model.geotiff import EncodedBlocks
    from rios_batch.model.grid import PixelGridDefn
    from rios_batch.model.protocols import RasterSink
    from rios_batch.model.pyramid import Pyramid
    from rios_batch.model.spec import Layout, OutputSpec
    from rios_batch.model.statitems import BandStatistics
    from rios_batch.model.tileresult import TileOutput
    from rios_batch.model.tiles import Tile

    BeforeClose = Callable[[gdal.Dataset], object]


# Drivers that take the pixels of overviews from others; some crash.
TAKE_OVERVIEWS = frozenset({"GTiff", "HFA"})

log = logging.getLogger("rios_batch")


def open_sink(
    output: OutputSpec,
    grid: PixelGridDefn,
    before_close: BeforeClose | None = None,
) -> RasterSink:
    """Start writing an output.

    Parameters
    ----------
    before_close : called with the finished dataset, which it may change, before it is in its place.

    Raises
    ------
    OutputError : its folder or bucket cannot be written.
    """
    if output.stays_in_s3:
        # boto3 takes as long to import as everything else together; a run without S3 does without it.
        from rios_batch.assemble.s3sinks import MultipartAssembler  # noqa: PLC0415

        return MultipartAssembler(output, grid)
    if output.path.startswith(SCHEME):
        from rios_batch.assemble.s3sinks import StagedObject  # noqa: PLC0415

        staged: StagingFolder = StagedObject(output.path)
    else:
        staged = StagedFile(output.path)
    if output.encoded_by_workers:
        return GeoTiffAssembler(output, grid, staged, before_close)
    return GdalWriter(output, grid, staged, before_close)


class GeoTiffAssembler:
    """Writes encoded blocks one after the other, and then the directory that finds them, before them.

    Blocks are written as they come, in tile order, so a run's file does not depend on which worker was
    quicker.
    """

    def __init__(
        self,
        output: OutputSpec,
        grid: PixelGridDefn,
        staged: StagingFolder,
        before_close: BeforeClose | None = None,
    ) -> None:
        self._output, self._grid, self._staged = output, grid, staged
        self._before_close = before_close
        self._file: BinaryIO | None = None
        self._assembly: Assembly

    def write(self, tile: Tile, output: TileOutput) -> None:
        with explained(self._output.path):
            if self._file is None:
                self._assembly = Assembly(
                    self._output,
                    self._grid,
                    output.layout,
                    self._staged.path.parent,
                )
                self._file = self._staged.path.open("wb")
                self._file.seek(self._assembly.position)
            for blocks in self._assembly.tile(tile, output):
                self._append(blocks)

    def _append(self, blocks: EncodedBlocks | StoredBlocks) -> None:
        assert self._file is not None
        start = self._file.tell()
        self._file.write(_content(blocks))
        _start_writing_back(self._file, start, blocks.nbytes)

    def finish(self, statistics: Sequence[BandStatistics] = ()) -> None:
        if self._file is None:
            raise incomplete(self._output)
        with explained(self._output.path):
            for blocks in self._assembly.rest():
                self._append(blocks)
            index = self._assembly.index
            index.check(self._assembly.position)
            front, sidecars = index.front(statistics)
            self._file.seek(0)
            self._file.write(front)
            for name, content in sidecars.items():
                (self._staged.path.parent / name).write_bytes(content)
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        if self._before_close is not None:
            dataset = gdal.Open(str(self._staged.path), gdal.GA_Update)
            _call(self._before_close, dataset)
            with explained(self._output.path):
                dataset.FlushCache()
                with closing():
                    del dataset

    def commit(self) -> None:
        self._staged.commit()

    def abort(self) -> None:
        if self._file is not None:
            # On a full disk close() tries once more to write what did not fit; the cause is already on its way.
            with contextlib.suppress(OSError):
                self._file.close()
        self._staged.abort()


def _call(before_close: BeforeClose, dataset: gdal.Dataset) -> None:
    """Let the script have the dataset, for as long as the call lasts.

    Raises
    ------
    ParameterError : it kept the dataset, which therefore cannot be closed now. From GDAL 3.8 on it could.
    """
    before = sys.getrefcount(dataset)
    try:
        before_close(dataset)
    except BaseException as error:
        traceback.clear_frames(error.__traceback__)  # they hold the dataset
        error.add_note("in the function given to setCallBeforeClose; the output was not written")
        raise
    gc.collect()
    if sys.getrefcount(dataset) > before:
        raise ParameterError(
            "the function given to setCallBeforeClose kept the dataset, which must be closed after it; keep what was "
            "read from it instead"
        )


def _content(blocks: EncodedBlocks | StoredBlocks) -> bytes | memoryview:
    return blocks.blob_store.read(blocks.blob) if isinstance(blocks, StoredBlocks) else blocks.data.data


def _start_writing_back(file: BinaryIO, offset: int, length: int) -> None:
    """Have the kernel begin to write what it was given, so that fsync at the end finds little left to do.

    On Linux that is what the advice does with pages that are still to be written; it keeps them in its cache.
    """
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(file.fileno(), offset, length, os.POSIX_FADV_DONTNEED)


class GdalWriter:
    """Writes arrays through GDAL, one tile after the other: for every format but tiled GeoTIFF.

    Overviews are made of the tiles as they come where GDAL's driver takes their pixels; else GDAL makes them of the
    finished file.
    """

    def __init__(
        self,
        output: OutputSpec,
        grid: PixelGridDefn,
        staged: StagingFolder,
        before_close: BeforeClose | None = None,
    ) -> None:
        self._output, self._grid, self._staged = output, grid, staged
        self._before_close = before_close
        self._dataset: gdal.Dataset | None = None
        self._layout: Layout
        self._coarse_overviews: CoarseOverviews | None = None

    def write(self, tile: Tile, output: TileOutput) -> None:
        pyramid = self._output.pyramid
        with explained(self._output.path):
            if self._dataset is None:
                self._layout = output.layout
                self._dataset = create_dataset(
                    str(self._staged.path), self._output, self._grid, output.layout
                )
                if pyramid is not None and self._takes_overviews(pyramid, tile):
                    self._dataset.FlushCache()
                    self._dataset.BuildOverviews("NONE", list(pyramid.factors))
                    self._coarse_overviews = self._new_coarse_overviews(pyramid)
            self._dataset.WriteArray(output.payload, tile.window.col, tile.window.row)
            if self._coarse_overviews is not None:
                assert pyramid is not None
                assert isinstance(output.payload, np.ndarray)
                nodata = self._output.nodata
                self._coarse_overviews.add(
                    tile, decimate(output.payload, pyramid.first_factor, pyramid.method, nodata)
                )

    def _takes_overviews(self, pyramid: Pyramid, first_tile: Tile) -> bool:
        """Say whether overviews can be made of tiles, which all are as large as the first but at the far edges."""
        window, factor = first_tile.window, pyramid.first_factor
        return (
            self._output.driver in TAKE_OVERVIEWS
            and pyramid.fits_tiles
            and pyramid.method in methods_within_tiles(self._layout.dtype)
            and (window.width == self._grid.ncols or window.width % factor == 0)
            and (window.height == self._grid.nrows or window.height % factor == 0)
        )

    def _new_coarse_overviews(self, pyramid: Pyramid) -> CoarseOverviews:
        shape = (self._layout.nbands, self._grid.nrows, self._grid.ncols)
        factor, folder = pyramid.first_factor, self._staged.path.parent
        return CoarseOverviews(self._output, factor, pyramid.factors, shape, self._layout.dtype, folder)

    def finish(self, statistics: Sequence[BandStatistics] = ()) -> None:
        if self._dataset is None:
            raise incomplete(self._output)
        with explained(self._output.path):
            self._write_overviews(self._dataset)
            # Afterwards, or GDAL would average colours instead of values.
            describe(self._dataset, self._output, self._layout, statistics)
        if self._before_close is not None:
            _call(self._before_close, self._dataset)
        with explained(self._output.path):
            self._dataset.FlushCache()
            with closing():
                self._dataset = None
            self._check()

    def _write_overviews(self, dataset: gdal.Dataset) -> None:
        pyramid = self._output.pyramid
        if pyramid is None:
            return
        if self._coarse_overviews is not None:
            for part in self._coarse_overviews.overviews():
                level = pyramid.factors.index(part.factor)
                for number, pixels in enumerate(part.pixels, start=1):
                    dataset.GetRasterBand(number).GetOverview(level).WriteArray(pixels, part.col, part.row)
            return
        dataset.FlushCache()
        try:
            dataset.BuildOverviews(pyramid.method, list(pyramid.factors))
        except RuntimeError as error:
            if "not supported" not in str(error):
                raise
            log.warning(
                "%s has no overviews: GDAL's %s driver makes none", self._output.path, self._output.driver
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
        if self._dataset is not None:
            # After a failed write GDAL complains once more while it closes; the cause is already on its way.
            with contextlib.suppress(RuntimeError), closing():
                self._dataset = None
        self._staged.abort()
