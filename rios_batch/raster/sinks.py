"""Writing whole outputs: GeoTIFF assembled from encoded blocks, and everything else through GDAL."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from osgeo import gdal

from rios_batch import geotiff
from rios_batch.errors import OutputError, RiosBatchError
from rios_batch.raster.gdalapi import MemoryFolder, closing, gdal_type, memory_file, set_nodata
from rios_batch.raster.staging import StagedFile, explained

if TYPE_CHECKING:
    from rios_batch.grid import PixelGridDefn
    from rios_batch.jobspec import Layout, OutputSpec, TileOutput
    from rios_batch.plan import Tile
    from rios_batch.protocols import RasterSink


def open_sink(output: OutputSpec, grid: PixelGridDefn) -> RasterSink:
    """Start writing an output.

    Raises
    ------
    OutputError : its folder cannot be written.
    """
    kind = GeoTiffAssembler if output.encoded_by_workers else GdalWriter
    return kind(output, grid, StagedFile(output.path))


def create_dataset(
    path: str, output: OutputSpec, grid: PixelGridDefn, layout: Layout, *, sparse: bool = False
) -> gdal.Dataset:
    """Create an output with all its metadata and no pixels.

    Raises
    ------
    RuntimeError : GDAL refuses the size, type or options.
    """
    options = [o for o in output.creation_options if not (sparse and o.upper().startswith("SPARSE_OK="))]
    dataset = gdal.GetDriverByName(output.driver).Create(
        path,
        grid.ncols,
        grid.nrows,
        layout.nbands,
        gdal_type(layout.dtype),
        options + (["SPARSE_OK=TRUE"] if sparse else []),
    )
    dataset.SetGeoTransform(grid.makeGeoTransform())
    if grid.projection:
        dataset.SetProjection(grid.projection)
    if output.nodata is not None:
        set_nodata(dataset, output.nodata, layout.dtype)
    for number in range(1, layout.nbands + 1):
        band = dataset.GetRasterBand(number)
        if output.thematic:
            band.SetMetadataItem("LAYER_TYPE", "thematic")
        if number <= len(output.layer_names):
            band.SetDescription(output.layer_names[number - 1])
    return dataset


class GeoTiffAssembler:
    """Writes encoded blocks one after the other, and the directory that finds them at the end.

    Blocks are written as they come, in tile order, so a run's file does not depend on which worker was
    quicker. GDAL itself makes the directory, as that of an empty file of the full size; only the block
    index is put in place of its own.
    """

    def __init__(self, output: OutputSpec, grid: PixelGridDefn, staged: StagedFile) -> None:
        self._output, self._grid, self._staged = output, grid, staged
        self._file: BinaryIO | None = None
        self._template: geotiff.TiledTiff
        self._layout: geotiff.BlockLayout
        self._position = 0

    def write(self, tile: Tile, output: TileOutput) -> None:
        assert isinstance(output.payload, geotiff.EncodedBlocks)
        with explained(self._output.path):
            if self._file is None:
                self._start(output.layout)
            self._place(tile, output.payload)

    def _start(self, layout: Layout) -> None:
        with MemoryFolder() as folder:
            path = f"{folder}/{self._staged.target.name}"
            dataset = create_dataset(path, self._output, self._grid, layout, sparse=True)
            block_xsize, block_ysize = dataset.GetRasterBand(1).GetBlockSize()
            by_band = dataset.GetMetadataItem("INTERLEAVE", "IMAGE_STRUCTURE") == "BAND"
            dataset.FlushCache()
            del dataset
            self._template = geotiff.parse_tiled_tiff(memory_file(path))
            for name in gdal.ReadDir(folder):  # .aux.xml, .tfw: what does not fit into the TIFF
                if name not in (".", "..", self._staged.target.name):
                    (self._staged.path.parent / name).write_bytes(memory_file(f"{folder}/{name}"))
        self._layout = geotiff.BlockLayout(
            block_xsize,
            block_ysize,
            -(-self._grid.ncols // block_xsize),
            -(-self._grid.nrows // block_ysize),
            layout.nbands if by_band else 1,
        )
        self._offsets = np.zeros(self._layout.nblocks, np.uint64)
        self._byte_counts = np.zeros(self._layout.nblocks, np.uint64)
        self._placed = np.zeros(self._layout.nblocks, np.bool_)
        self._file = self._staged.path.open("wb")
        self._position = self._file.write(geotiff.header(self._template, 0))

    def _place(self, tile: Tile, blocks: geotiff.EncodedBlocks) -> None:
        assert self._file is not None
        window = tile.window
        index = self._layout.index_of(window.col, window.row, window.width, window.height)
        ends = np.cumsum(blocks.byte_counts)
        self._offsets[index] = np.where(blocks.byte_counts > 0, self._position + ends - blocks.byte_counts, 0)
        self._byte_counts[index] = blocks.byte_counts
        self._placed[index] = True
        self._file.write(blocks.data.data)
        _start_writing_back(self._file, self._position, len(blocks.data))
        self._position += len(blocks.data)

    def finish(self) -> None:
        # A block that no tile brought would read as nodata without a word.
        if self._file is None or not self._placed.all():
            raise RiosBatchError(
                f"output {self._output.path!r} is incomplete: some of its tiles never arrived"
            )
        with explained(self._output.path):
            position = self._position + -self._position % 8
            end = geotiff.end_of_directory(self._template, position)
            if not self._template.big and end > geotiff.CLASSIC_LIMIT_BYTES:
                raise OutputError(
                    f"output {self._output.path!r} needs {end:,} bytes, more than the 4 GiB of a classic TIFF; "
                    "remove BIGTIFF from its creation options, or set BIGTIFF=YES"
                )
            index = geotiff.directory(self._template, self._offsets, self._byte_counts, position)
            self._file.write(bytes(position - self._position) + index)
            self._file.seek(0)
            self._file.write(geotiff.header(self._template, position))
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()

    def commit(self) -> None:
        self._staged.commit()

    def abort(self) -> None:
        if self._file is not None:
            # On a full disk close() tries once more to write what did not fit; the cause is already on its way.
            with contextlib.suppress(OSError):
                self._file.close()
        self._staged.abort()


def _start_writing_back(file: BinaryIO, offset: int, length: int) -> None:
    """Have the kernel begin to write what it was given, so that fsync at the end finds little left to do.

    On Linux that is what the advice does with pages that are still to be written; it keeps them in its cache.
    """
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(file.fileno(), offset, length, os.POSIX_FADV_DONTNEED)


class GdalWriter:
    """Writes arrays through GDAL, one tile after the other: for every format but tiled GeoTIFF."""

    def __init__(self, output: OutputSpec, grid: PixelGridDefn, staged: StagedFile) -> None:
        self._output, self._grid, self._staged = output, grid, staged
        self._dataset: gdal.Dataset | None = None
        self._nbands = 0

    def write(self, tile: Tile, output: TileOutput) -> None:
        with explained(self._output.path):
            if self._dataset is None:
                self._nbands = output.layout.nbands
                self._dataset = create_dataset(
                    str(self._staged.path), self._output, self._grid, output.layout
                )
            self._dataset.WriteArray(output.payload, tile.window.col, tile.window.row)

    def finish(self) -> None:
        if self._dataset is None:
            raise RiosBatchError(f"output {self._output.path!r} is incomplete: none of its tiles arrived")
        with explained(self._output.path):
            self._dataset.FlushCache()
            with closing():
                self._dataset = None
            self._check()

    def _check(self) -> None:
        """Refuse a file that GDAL says it wrote, but cannot read: some drivers do not notice a full disk."""
        dataset = gdal.Open(str(self._staged.path))
        size = (dataset.RasterXSize, dataset.RasterYSize, dataset.RasterCount)
        if size != (self._grid.ncols, self._grid.nrows, self._nbands):
            raise RuntimeError(
                f"it has {size[0]} x {size[1]} pixels and {size[2]} bands when it is read again"
            )
        for number in range(1, self._nbands + 1):
            dataset.GetRasterBand(number).ReadAsArray(self._grid.ncols - 1, self._grid.nrows - 1, 1, 1)
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
