"""Encoding pixels: GDAL writes a small TIFF in memory, and its blocks are taken out."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from osgeo import gdal

from rios_batch.gdalapi import (
    MemoryFolder,
    closing,
    gdal_type,
    memory_file,
    output_errors_named,
    set_nodata,
)
from rios_batch.model.encodedblocks import joined, take_blocks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rios_batch.model.encodedblocks import EncodedBlocks
    from rios_batch.model.spec import Array, Layout, OutputSpec


def new_tiff(path: str, output_spec: OutputSpec, layout: Layout, rows: int, cols: int) -> gdal.Dataset:
    """Create a TIFF with the output's own creation options.

    All but NUM_THREADS, which says how and not what: workers are the threads, see
    :func:`rios_batch.gdalapi.limit_gdal_resources`.
    """
    dataset = gdal.GetDriverByName("GTiff").Create(
        path,
        cols,
        rows,
        layout.nbands,
        gdal_type(layout.dtype),
        list(output_spec.creation_options.for_type(layout.dtype).but(NUM_THREADS=None).texts),
    )
    if output_spec.nodata is not None:  # decides which blocks SPARSE_OK leaves out
        set_nodata(dataset, output_spec.nodata, layout.dtype)
    return dataset


class SmallTiff:
    """A TIFF in memory, made for its encoded blocks."""

    def __init__(self, output_spec: OutputSpec, layout: Layout, rows: int, cols: int) -> None:
        self._output_spec, self._finished = output_spec, False
        self._memory = MemoryFolder()
        self._path = f"{self._memory.path}/tile.tif"
        self._may_be_sparse = output_spec.creation_options.is_on("SPARSE_OK")
        with output_errors_named(output_spec.path):
            self._dataset = new_tiff(self._path, output_spec, layout, rows, cols)

    def write(self, block: Array, col: int, row: int) -> None:
        """Write an array of shape (bands, rows, cols)."""
        with output_errors_named(self._output_spec.path):
            self._dataset.WriteArray(block, col, row)

    def finish(self, leading: Sequence[EncodedBlocks] = ()) -> EncodedBlocks:
        """Return the blocks, behind blocks of others; the file goes when they do."""
        with output_errors_named(self._output_spec.path):
            self._dataset.FlushCache()  # an encoder's error is raised here; the destructor would swallow it
            self._dataset = None
            encoded = take_blocks(memory_file(self._path))
            if not self._may_be_sparse and not encoded.byte_counts.all():
                raise RuntimeError("GDAL encoded a block to nothing")
        self._memory.remove_after(encoded.data)
        self._finished = True
        return joined([*leading, encoded])

    def abort(self) -> None:
        """Free what it holds; harmless after ``finish``."""
        if self._dataset is not None:
            # GDAL would try again to encode, and complain again; the cause is already on its way. Other threads
            # may be running, for which closing() is not meant, but this run has failed anyhow.
            with contextlib.suppress(RuntimeError), closing():
                self._dataset = None
        if not self._finished:
            self._memory.remove()
