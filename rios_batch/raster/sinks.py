"""Writing whole outputs: GeoTIFF assembled from encoded blocks, and everything else through GDAL."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING, BinaryIO

from osgeo import gdal

from rios_batch.geotiff import EncodedBlocks
from rios_batch.jobspec import StoredBlocks
from rios_batch.raster.assembly import BlockIndex, create_dataset, incomplete
from rios_batch.raster.bandinfo import describe
from rios_batch.raster.gdalapi import closing
from rios_batch.raster.staging import StagedFile, explained
from rios_batch.s3names import SCHEME

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rios_batch.grid import PixelGridDefn
    from rios_batch.jobspec import Layout, OutputSpec, TileOutput
    from rios_batch.plan import Tile
    from rios_batch.protocols import RasterSink
    from rios_batch.raster.staging import StagingFolder
    from rios_batch.statitems import BandStatistics


def open_sink(output: OutputSpec, grid: PixelGridDefn) -> RasterSink:
    """Start writing an output.

    Raises
    ------
    OutputError : its folder or bucket cannot be written.
    """
    if output.path.startswith(SCHEME):
        # boto3 takes as long to import as everything else together; a run without S3 does without it.
        from rios_batch.raster.s3sinks import MultipartAssembler, StagedObject  # noqa: PLC0415

        if output.encoded_by_workers:
            return MultipartAssembler(output, grid)
        return GdalWriter(output, grid, StagedObject(output.path))
    kind = GeoTiffAssembler if output.encoded_by_workers else GdalWriter
    return kind(output, grid, StagedFile(output.path))


class GeoTiffAssembler:
    """Writes encoded blocks one after the other, and the directory that finds them at the end.

    Blocks are written as they come, in tile order, so a run's file does not depend on which worker was
    quicker.
    """

    def __init__(self, output: OutputSpec, grid: PixelGridDefn, staged: StagedFile) -> None:
        self._output, self._grid, self._staged = output, grid, staged
        self._file: BinaryIO | None = None
        self._index: BlockIndex
        self._position = 0

    def write(self, tile: Tile, output: TileOutput) -> None:
        blocks = output.payload
        assert isinstance(blocks, EncodedBlocks | StoredBlocks)
        with explained(self._output.path):
            if self._file is None:
                self._start(output.layout)
            assert self._file is not None
            self._index.place(tile, blocks.byte_counts, blocks.nbytes, self._position)
            self._file.write(_content(blocks))
            _start_writing_back(self._file, self._position, blocks.nbytes)
            self._position += blocks.nbytes

    def _start(self, layout: Layout) -> None:
        self._index = BlockIndex(self._output, self._grid, layout)
        for name, content in self._index.sidecars.items():
            (self._staged.path.parent / name).write_bytes(content)
        self._file = self._staged.path.open("wb")
        self._position = self._file.write(self._index.header(0))

    def finish(self, statistics: Sequence[BandStatistics]) -> None:
        del statistics
        if self._file is None:
            raise incomplete(self._output)
        with explained(self._output.path):
            position = self._position + -self._position % 8
            self._index.check(position + self._index.directory_bytes)
            self._file.write(bytes(position - self._position) + self._index.directory(position))
            self._file.seek(0)
            self._file.write(self._index.header(position))
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


def _content(blocks: EncodedBlocks | StoredBlocks) -> bytes | memoryview:
    return blocks.shelf.read(blocks.blob) if isinstance(blocks, StoredBlocks) else blocks.data.data


def _start_writing_back(file: BinaryIO, offset: int, length: int) -> None:
    """Have the kernel begin to write what it was given, so that fsync at the end finds little left to do.

    On Linux that is what the advice does with pages that are still to be written; it keeps them in its cache.
    """
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(file.fileno(), offset, length, os.POSIX_FADV_DONTNEED)


class GdalWriter:
    """Writes arrays through GDAL, one tile after the other: for every format but tiled GeoTIFF."""

    def __init__(self, output: OutputSpec, grid: PixelGridDefn, staged: StagingFolder) -> None:
        self._output, self._grid, self._staged = output, grid, staged
        self._dataset: gdal.Dataset | None = None
        self._layout: Layout | None = None

    def write(self, tile: Tile, output: TileOutput) -> None:
        with explained(self._output.path):
            if self._dataset is None:
                self._layout = output.layout
                self._dataset = create_dataset(
                    str(self._staged.path), self._output, self._grid, output.layout
                )
            self._dataset.WriteArray(output.payload, tile.window.col, tile.window.row)

    def finish(self, statistics: Sequence[BandStatistics]) -> None:
        if self._dataset is None or self._layout is None:
            raise incomplete(self._output)
        with explained(self._output.path):
            describe(self._dataset, self._output, self._layout, statistics)
            self._dataset.FlushCache()
            with closing():
                self._dataset = None
            self._check(self._layout.nbands)

    def _check(self, nbands: int) -> None:
        """Refuse a file that GDAL says it wrote, but cannot read: some drivers do not notice a full disk."""
        dataset = gdal.Open(str(self._staged.path))
        size = (dataset.RasterXSize, dataset.RasterYSize, dataset.RasterCount)
        if size != (self._grid.ncols, self._grid.nrows, nbands):
            raise RuntimeError(
                f"it has {size[0]} x {size[1]} pixels and {size[2]} bands when it is read again"
            )
        for number in range(1, nbands + 1):
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
