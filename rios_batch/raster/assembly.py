"""What GeoTIFFs put together from encoded blocks have in common, wherever their bytes go."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np
from osgeo import gdal

from rios_batch import geotiff
from rios_batch.errors import OutputError, RiosBatchError
from rios_batch.raster.gdalapi import MemoryFolder, gdal_type, memory_file, set_nodata

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rios_batch.grid import PixelGridDefn
    from rios_batch.jobspec import Layout, OutputSpec
    from rios_batch.plan import Tile


def create_dataset(path: str, output: OutputSpec, grid: PixelGridDefn, layout: Layout) -> gdal.Dataset:
    """Create an output with all its metadata and no pixels.

    Raises
    ------
    RuntimeError : GDAL refuses the size, type or options.
    """
    dataset = gdal.GetDriverByName(output.driver).Create(
        path,
        grid.ncols,
        grid.nrows,
        layout.nbands,
        gdal_type(layout.dtype),
        list(output.creation_options.texts),
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


class BlockIndex:
    """Everything in a tiled GeoTIFF but the blocks: header, directory, and where each block stands.

    GDAL itself makes the directory, as that of an empty file of the full size; only the block index is put in
    place of its own.

    Attributes
    ----------
    sidecars : what does not fit into the TIFF (.aux.xml, .tfw): content by file name.
    raw_bytes : what all blocks would take if they were not compressed.
    directory_bytes : size of the directory at any position that is a multiple of 8.
    """

    def __init__(self, output: OutputSpec, grid: PixelGridDefn, layout: Layout) -> None:
        self._output = output
        name = PurePath(output.path).name
        sparse = replace(output, creation_options=output.creation_options.but(SPARSE_OK="TRUE"))
        with MemoryFolder() as folder:
            dataset = create_dataset(f"{folder}/{name}", sparse, grid, layout)
            block_xsize, block_ysize = dataset.GetRasterBand(1).GetBlockSize()
            by_band = dataset.GetMetadataItem("INTERLEAVE", "IMAGE_STRUCTURE") == "BAND"
            dataset.FlushCache()
            del dataset
            self._template = geotiff.parse_tiled_tiff(memory_file(f"{folder}/{name}"))
            others = [other for other in gdal.ReadDir(folder) if other not in (".", "..", name)]
            self.sidecars = {other: bytes(memory_file(f"{folder}/{other}")) for other in others}
        self._layout = geotiff.BlockLayout(
            block_xsize,
            block_ysize,
            -(-grid.ncols // block_xsize),
            -(-grid.nrows // block_ysize),
            layout.nbands if by_band else 1,
        )
        nblocks = self._layout.nblocks
        bands_per_block = layout.nbands // self._layout.nplanes
        self.raw_bytes = (
            nblocks * block_xsize * block_ysize * bands_per_block * np.dtype(layout.dtype).itemsize
        )
        self._offsets = np.zeros(nblocks, np.uint64)
        self._byte_counts = np.zeros(nblocks, np.uint64)
        self._placed = np.zeros(nblocks, np.bool_)
        self.directory_bytes = len(self.directory(self.header_bytes))

    @property
    def header_bytes(self) -> int:
        return geotiff.header_size(self._template)

    def place(self, tile: Tile, byte_counts: NDArray[np.uint64], nbytes: int, position: int) -> None:
        """Note that a tile's blocks stand end to end at ``position``.

        Raises
        ------
        RiosBatchError : the blocks have not ``nbytes`` bytes, so those that follow would be in the wrong place.
        """
        ends = np.cumsum(byte_counts)
        if int(ends[-1]) != nbytes:
            raise RiosBatchError(
                f"tile {tile.index} of output {self._output.path!r} has {nbytes:,} bytes, but its blocks need "
                f"{int(ends[-1]):,}"
            )
        window = tile.window
        index = self._layout.index_of(window.col, window.row, window.width, window.height)
        self._offsets[index] = np.where(byte_counts > 0, position + ends - byte_counts, 0)
        self._byte_counts[index] = byte_counts
        self._placed[index] = True

    def header(self, directory_at: int) -> bytes:
        """Return the first bytes of the file."""
        return geotiff.header(self._template, directory_at)

    def directory(self, position: int) -> bytes:
        """Return the directory, to be put at ``position``."""
        return geotiff.directory(self._template, self._offsets, self._byte_counts, position)

    def check(self, end: int) -> None:
        """See that every block has its place in a file whose last byte comes before ``end``.

        Raises
        ------
        RiosBatchError : a tile is missing; it would read as nodata without a word.
        OutputError : the file is too large for a classic TIFF.
        """
        if not self._placed.all():
            raise incomplete(self._output)
        if not self._template.big and end > geotiff.CLASSIC_LIMIT_BYTES:
            raise OutputError(
                f"output {self._output.path!r} needs {end:,} bytes, more than the 4 GiB of a classic TIFF; "
                "remove BIGTIFF from its creation options, or set BIGTIFF=YES"
            )


def incomplete(output: OutputSpec) -> RiosBatchError:
    """Return the error for an output that not all tiles came for."""
    return RiosBatchError(f"output {output.path!r} is incomplete: some of its tiles never arrived")
