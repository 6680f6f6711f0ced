"""Reading one block of all inputs."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
from osgeo import gdal

from rios_batch.associations import BlockAssociations
from rios_batch.errors import FileOpenError, GdalWarpError, ImageOpenError
from rios_batch.gdalapi import buffer_type, reason
from rios_batch.read.credentials import generation_of_credentials
from rios_batch.read.facts import open_raster
from rios_batch.read.network import forget_answers, prepare_network
from rios_batch.read.vectors import Rasterizer
from rios_batch.read.warp import by_chunks, open_warped

if TYPE_CHECKING:
    from rios_batch.model.grid import PixelWindow
    from rios_batch.model.spec import Array, Burn, InputFile, RunSpec

log = logging.getLogger("rios_batch")


class BlockReader:
    """Reads blocks of all inputs of a run. Not for use by two threads at once: GDAL datasets are not."""

    def __init__(self, spec: RunSpec) -> None:
        self._spec = spec
        self._datasets: dict[str | InputFile, gdal.Dataset] = {}
        self._rasterizers: dict[InputFile, Rasterizer] = {}
        self._generation = 0

    def read(self, window: PixelWindow) -> tuple[BlockAssociations, dict[int, InputFile]]:
        """Read one block of every input, with the run's overlap as margin.

        Parameters
        ----------
        window : the block, in pixels of the working grid, without margin.

        Returns
        -------
        The arrays, of shape (bands, rows, cols), and for each array's ``id`` the file it came from.
        """
        if self._generation != (generation := generation_of_credentials()):
            self.close()
            self._generation = generation
        inputs = BlockAssociations(**dict.fromkeys(self._spec.absent_inputs))
        files: dict[int, InputFile] = {}
        wanted = window.grown(self._spec.overlap_px)
        for input_spec in self._spec.inputs:
            arrays = [self._read_file(file, wanted) for file in input_spec.files]
            files.update(zip(map(id, arrays), input_spec.files, strict=True))
            setattr(inputs, input_spec.name, arrays if input_spec.is_list else arrays[0])
        return inputs, files

    def close(self) -> None:
        """Close the files; reading opens them again."""
        self._datasets.clear()
        self._rasterizers.clear()

    def _read_file(self, file: InputFile, window: PixelWindow) -> Array:
        try:
            return self._read_open_file(file, window)
        except (FileOpenError, GdalWarpError) as error:
            if not forget_answers(file.path):
                raise
            log.info("input %r is opened and read once more: %s", file.name, error)
        # Credentials may have expired that were good when the file, or a file that it shares sources with, was opened.
        self.close()
        return self._read_open_file(file, window)

    def _read_open_file(self, file: InputFile, window: PixelWindow) -> Array:
        if file.burn is not None:
            return self._rasterizer(file, file.burn).read(window)
        wanted = window.shifted(file.col_offset, file.row_offset)
        inside = wanted.clipped(file.ncols, file.nrows)
        if inside == wanted:
            return self._read_pixels(file, wanted)
        block = np.empty((len(file.layers), wanted.height, wanted.width), file.dtype)
        for band, nodata in zip(block, file.nodata, strict=True):
            band.fill(0 if nodata is None else nodata)
        if inside.size_px:
            row, col = inside.row - wanted.row, inside.col - wanted.col
            block[:, row : row + inside.height, col : col + inside.width] = self._read_pixels(file, inside)
        return block

    def _read_pixels(self, file: InputFile, window: PixelWindow) -> Array:
        dataset = self._dataset(file)
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

    def _dataset(self, file: InputFile) -> gdal.Dataset:
        # One file may be several inputs: with other layers it is the same dataset, resampled it is not.
        key = file if file.warp else file.path
        if key not in self._datasets:
            prepare_network(file.name, file.path)
            self._datasets[key] = (
                open_warped(file, file.warp) if file.warp else open_raster(file.name, file.path)
            )
        return self._datasets[key]

    def _rasterizer(self, file: InputFile, burn: Burn) -> Rasterizer:
        if file not in self._rasterizers:
            prepare_network(file.name, file.path)
            spec = self._spec
            width_px = spec.plan.tile(0).window.width + 2 * spec.overlap_px
            self._rasterizers[file] = Rasterizer(file, burn, spec.grid, width_px)
        return self._rasterizers[file]
