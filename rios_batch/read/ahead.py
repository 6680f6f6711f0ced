"""Reading ahead over the network: what the next windows of a tile need comes in a few requests, not one for each."""

from __future__ import annotations

import contextlib
import weakref
from typing import TYPE_CHECKING, Any

from osgeo import gdal

from rios_batch.model.grid import PixelWindow

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

_SHARE_OF_CACHE = 4  # outputs and blocks that are needed again are in GDAL's cache, too
_MOST_BYTES = 8 * 2**20


class ReadAhead:
    """Has GDAL read more than a window of remote GeoTIFFs into its block cache, from which the next windows come.

    GDAL asks for the blocks of one call together: neighbours in one request, rows of blocks at the same time. All that
    have been made share the cache of the process.
    """

    def __init__(self) -> None:
        self._read: dict[Hashable, PixelWindow] = {}
        _living.add(self)

    def of(
        self,
        key: Hashable,
        dataset: Any,
        bands: Sequence[int],
        window: PixelWindow,
        tile: PixelWindow,
        files: int,
    ) -> None:
        """Read ahead, unless the window is among what was read last.

        What cannot be read is told by who reads the window: it may lie in another one.

        Parameters
        ----------
        key : of the dataset.
        window : what is read next, in pixels of the file.
        tile : windows go on until its right edge, and then in the next row, until its lower edge.
        files : how many datasets are read at the same time.
        """
        before = self._read.get(key)
        if before is not None and before.contains(window):
            return
        if dataset.GetDriver().ShortName != "GTiff":  # others may read past the block cache
            return
        of_pixels = dataset.GetMetadataItem("INTERLEAVE", "IMAGE_STRUCTURE") == "PIXEL"
        cached = range(1, dataset.RasterCount + 1) if of_pixels else bands
        rasters = [dataset.GetRasterBand(number) for number in cached]
        pixel_bytes = sum(gdal.GetDataTypeSize(raster.DataType) // 8 for raster in rasters)
        bytes_each = min(_MOST_BYTES, gdal.GetCacheMax() // _SHARE_OF_CACHE) // len(_living) // files
        blocks = tuple(rasters[0].GetBlockSize())
        wanted = window_ahead(window, tile, blocks, bytes_each // pixel_bytes)
        if wanted == window:
            return
        self._read[key] = wanted
        with contextlib.suppress(RuntimeError):
            for number in bands:
                dataset.GetRasterBand(number).ReadRaster(wanted.col, wanted.row, wanted.width, wanted.height)

    def clear(self) -> None:
        """Forget what was read, since the datasets are closed."""
        self._read.clear()


_living: weakref.WeakSet[ReadAhead] = weakref.WeakSet()


def window_ahead(window: PixelWindow, tile: PixelWindow, block: tuple[int, int], most_px: int) -> PixelWindow:
    """Return what may be read at once: the window, its row as far as it fits, and more rows if the whole row fits.

    Parameters
    ----------
    tile : what is read altogether; the window lies inside.
    block : columns and rows of the file's blocks, which are read whole.
    most_px : pixels of whole blocks that may be read.
    """
    end_col, end_row = window.end_col, window.end_row
    while end_col < tile.end_col:
        further = min(end_col + window.width, tile.end_col)
        if _touched_px(window.col, window.row, further, end_row, block) > most_px:
            break
        end_col = further
    while (window.col, end_col) == (tile.col, tile.end_col) and end_row < tile.end_row:
        further = min(end_row + window.height, tile.end_row)
        if _touched_px(window.col, window.row, end_col, further, block) > most_px:
            break
        end_row = further
    return PixelWindow(window.col, window.row, end_col - window.col, end_row - window.row)


def _touched_px(col: int, row: int, end_col: int, end_row: int, block: tuple[int, int]) -> int:
    """Return the pixels of all blocks that a window touches."""
    cols, rows = block
    return (-(-end_col // cols) - col // cols) * cols * (-(-end_row // rows) - row // rows) * rows
