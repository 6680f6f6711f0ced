"""Reading one block of all inputs."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from osgeo import gdal

from rios_batch.associations import BlockAssociations
from rios_batch.errors import FileOpenError, GdalWarpError, ImageOpenError, without_secrets
from rios_batch.gdalapi import buffer_type, reason
from rios_batch.read.ahead import ReadAhead
from rios_batch.read.credentials import generation_of_credentials
from rios_batch.read.facts import open_raster
from rios_batch.read.network import forget_answers, is_remote, prepare_network
from rios_batch.read.opened import OPENED_AT_ONCE, OpenDatasets
from rios_batch.read.vectors import Rasterizer
from rios_batch.read.warp import by_chunks, open_warped

if TYPE_CHECKING:
    from rios_batch.model.grid import PixelWindow
    from rios_batch.model.spec import Array, InputFile, RunSpec

log = logging.getLogger("rios_batch")


class BlockReader:
    """Reads blocks of all inputs of a run. Not for use by two threads at once: GDAL datasets are not.

    Attributes
    ----------
    skipped : why files could not be read that the script wants as nodata then, by the files' names.
    """

    def __init__(self, spec: RunSpec) -> None:
        self._spec = spec
        self._opened: OpenDatasets[Any] = OpenDatasets()
        self._ahead = ReadAhead()
        self._tile: PixelWindow | None = None
        self._together = 0
        self.skipped: dict[str, str] = {}
        self._generation = 0

    def read(
        self, window: PixelWindow, tile: PixelWindow | None = None
    ) -> tuple[BlockAssociations, dict[int, InputFile]]:
        """Read one block of every input, with the run's overlap as margin.

        Parameters
        ----------
        window : the block, in pixels of the working grid, without margin.
        tile : what is read next, row by row, so that files over the network can be read ahead; None for nothing.

        Returns
        -------
        The arrays, of shape (bands, rows, cols), and for each array's ``id`` the file it came from. None stands for a
        file that the block is wholly outside of, where the script wants that.
        """
        if self._generation != (generation := generation_of_credentials()):
            self.close()
            self._generation = generation
        inputs = BlockAssociations(**dict.fromkeys(self._spec.absent_inputs))
        files: dict[int, InputFile] = {}
        wanted = window.grown(self._spec.overlap_px)
        self._opened.next_block()
        tile = tile and tile.grown(self._spec.overlap_px)
        if tile != self._tile:
            self._tile, self._together = tile, self._read_ahead_together(tile)
        self._open_remote_files(wanted)
        for input_spec in self._spec.inputs:
            arrays = [
                None
                if input_spec.outside_as_none and not file.touches(wanted)
                else self._read_or_skip(file, wanted, errors_as_nodata=input_spec.errors_as_nodata)
                for file in input_spec.files
            ]
            found = zip(arrays, input_spec.files, strict=True)
            files.update({id(array): file for array, file in found if array is not None})
            setattr(inputs, input_spec.name, arrays if input_spec.is_list else arrays[0])
        return inputs, files

    def close(self) -> None:
        """Close the files; reading opens them again."""
        self._opened.clear()
        self._ahead.clear()

    def _read_ahead_together(self, tile: PixelWindow | None) -> int:
        """Return how many files over the network share the cache in a tile."""
        if tile is None:
            return 0
        files = (file for given in self._spec.inputs for file in given.files)
        return sum(_is_read_ahead(file) and file.touches(tile) for file in files)

    def _open_remote_files(self, window: PixelWindow) -> None:
        """Open what a window needs and the network has, several files at a time."""
        files = (file for input_spec in self._spec.inputs for file in input_spec.files)
        missing = {
            _key(file): file
            for file in files
            if is_remote(file.path) and file.touches(window) and _key(file) not in self._opened
        }
        if len(missing) < 2:  # noqa: PLR2004 - nothing to do at the same time
            return
        with ThreadPoolExecutor(OPENED_AT_ONCE, thread_name_prefix="rios_batch opening") as pool:
            some = islice(missing.items(), max(0, self._opened.room))
            opening = {key: pool.submit(self._open, file) for key, file in some}
        for key, done in opening.items():
            # What cannot be opened is opened once more when it is read, and the error is raised there.
            if done.exception() is None:
                self._opened.get(key, done.result)

    def _read_or_skip(self, file: InputFile, window: PixelWindow, *, errors_as_nodata: bool) -> Array:
        if not errors_as_nodata:
            return self._read_file(file, window)
        try:
            return self._read_file(file, window)
        except (FileOpenError, GdalWarpError) as error:
            self.skipped.setdefault(without_secrets(file.name), str(error))
            return _nodata(file, window)

    def _read_file(self, file: InputFile, window: PixelWindow) -> Array:
        try:
            return self._read_open_file(file, window)
        except (FileOpenError, GdalWarpError) as error:
            if not forget_answers(file.path):
                raise
            log.info("input %r is opened and read once more: %s", without_secrets(file.name), error)
        # Credentials may have expired that were good when the file, or a file that it shares sources with, was opened.
        self.close()
        return self._read_open_file(file, window)

    def _read_open_file(self, file: InputFile, window: PixelWindow) -> Array:
        if file.burn is not None:
            rasterizer: Rasterizer = self._dataset(file)
            return rasterizer.read(window)
        wanted = window.shifted(file.col_offset, file.row_offset)
        inside = wanted.clipped(file.ncols, file.nrows)
        if inside == wanted and file.touches(window):
            return self._read_pixels(file, wanted)
        block = _nodata(file, wanted)
        if file.touches(window):
            row, col = inside.row - wanted.row, inside.col - wanted.col
            block[:, row : row + inside.height, col : col + inside.width] = self._read_pixels(file, inside)
        return block

    def _read_pixels(self, file: InputFile, window: PixelWindow) -> Array:
        dataset = self._dataset(file)
        if self._tile is not None and _is_read_ahead(file):
            tile = self._tile.shifted(file.col_offset, file.row_offset).clipped(file.ncols, file.nrows)
            self._ahead.of(_key(file), dataset, file.layers, window, tile, self._together)
        # A warped raster has the wanted layers only.
        bands = file.layers if file.warp is None else range(1, len(file.layers) + 1)
        try:
            with by_chunks():
                pixels: Any = dataset.ReadAsArray(
                    window.col,
                    window.row,
                    window.width,
                    window.height,
                    band_list=list(bands),
                    buf_type=buffer_type(file.dtype),  # holds the values of all wanted bands
                )
        except RuntimeError as error:
            raise ImageOpenError(
                f"input {file.name!r} cannot be read at {window}; it may be damaged or cut short: {reason(error)}"
            ) from error
        if pixels is None:  # another thread has switched GDAL's exceptions off for a moment
            raise ImageOpenError(f"input {file.name!r} cannot be read at {window}: {gdal.GetLastErrorMsg()}")
        array: Array = pixels.reshape(len(file.layers), window.height, window.width)
        return array.view(file.dtype)

    def _dataset(self, file: InputFile) -> Any:
        """Return an input's open dataset, or its rasterizer."""
        return self._opened.get(_key(file), lambda: self._open(file))

    def _open(self, file: InputFile) -> Any:
        prepare_network(file.name, file.path)
        if file.burn is not None:
            spec = self._spec
            width_px = spec.plan.tile(0).window.width + 2 * spec.overlap_px
            return Rasterizer(file, file.burn, spec.grid, width_px)
        return open_warped(file, file.warp) if file.warp else open_raster(file.name, file.path)


def _is_read_ahead(file: InputFile) -> bool:
    return file.warp is None and file.burn is None and is_remote(file.path)


def _nodata(file: InputFile, window: PixelWindow) -> Array:
    block = np.empty((len(file.layers), window.height, window.width), file.dtype)
    for band, nodata in zip(block, file.nodata, strict=True):
        band.fill(0 if nodata is None else nodata)
    return block


def _key(file: InputFile) -> str | InputFile:
    """Return what is the same for inputs that share a dataset: other layers of a file do, and nothing resampled."""
    return file if file.warp or file.burn else file.path
