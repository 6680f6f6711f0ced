"""Opening input rasters, and reading one block of all of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from osgeo import gdal

from rios_batch.associations import BlockAssociations
from rios_batch.errors import ImageOpenError, MissingFileError, UnavailableError
from rios_batch.grid import PixelGridDefn, check_north_up
from rios_batch.raster.cloud import explain_failure, gdal_name, is_remote, prepare_network
from rios_batch.raster.gdalapi import buffer_type, nodata_or_none, numpy_name, reason

if TYPE_CHECKING:
    from rios_batch.grid import PixelWindow
    from rios_batch.jobspec import Array, InputFile, TileJob


@dataclass(frozen=True)
class RasterFacts:
    """What planning needs to know of a raster.

    ``dtype`` is the first band's; ``nodata`` has a value for each band; ``block_xsize`` and ``block_ysize`` are
    the pixels that GDAL reads at once, of all bands if ``reads_all_bands``.
    """

    path: str
    grid: PixelGridDefn
    dtype: str
    nodata: tuple[float | None, ...]
    block_xsize: int
    block_ysize: int
    reads_all_bands: bool

    @property
    def nbands(self) -> int:
        return len(self.nodata)

    @property
    def bytes_per_px(self) -> int:
        """Return what a pixel takes with all its bands."""
        return self.nbands * np.dtype(self.dtype).itemsize

    def cache_bytes(self, nlayers: int, window: PixelWindow, width_px: int) -> int:
        """Return how much of the file a reader should keep, so that no block is read twice in a tile.

        Parameters
        ----------
        window : the first window read, margin included, in pixels of the file.
        width_px : how far windows go on from there before the next row of windows begins.
        """
        place = (window.col, window.width, window.row, window.height)
        block = (self.block_xsize, self.block_xsize, self.block_ysize, self.block_ysize)
        if all(pixels % side == 0 for pixels, side in zip(place, block, strict=True)):
            return 0  # windows are whole blocks, and each block is read once
        nbands = self.nbands if self.reads_all_bands else nlayers
        # Wherever the windows lie, they touch at most one block more at either end.
        touched_px = (width_px + 2 * self.block_xsize) * (window.height + 2 * self.block_ysize)
        return touched_px * nbands * np.dtype(self.dtype).itemsize


def open_raster(name: str, path: str | None = None) -> gdal.Dataset:
    """Open a raster for reading; GDAL's exceptions must be on.

    Parameters
    ----------
    name : a file, a name of GDAL's own, or ``s3://``, ``gs://`` or ``https://``; errors speak of it.
    path : what is to be opened if it is not to be found under that name.

    Raises
    ------
    MissingFileError : there is no such file or object.
    UnavailableError : it is a vector file.
    ImageOpenError : GDAL cannot open it; says why.
    """
    path = path or gdal_name(name)
    if is_file_name(path) and not Path(path).exists():
        raise MissingFileError(f"input file {name!r} does not exist")
    if is_remote(path):
        prepare_network()
    try:
        return gdal.Open(path)
    except RuntimeError as error:
        if is_remote(path):
            missing, why = explain_failure(name, reason(error))
            gdal.VSICurlPartialClearCache(path)  # or whoever tries again is told of it, but no longer why
            raise (MissingFileError if missing else ImageOpenError)(f"input {name!r} {why}") from error
        if _is_vector(path):
            raise UnavailableError(
                f"input {name!r} is a vector file, which this version cannot read; "
                "rasterise it onto the working grid with gdal_rasterize first"
            ) from error
        raise ImageOpenError(f"input {name!r} cannot be opened as a raster: {reason(error)}") from error


def is_file_name(path: str) -> bool:
    """Tell a file's name from GDAL's own (``/vsis3/...``, ``NETCDF:"x.nc":v``, ``<VRTDataset>``)."""
    return not path.startswith(("/vsi", "<")) and ":" not in path


def _is_vector(path: str) -> bool:
    try:
        return gdal.OpenEx(path, gdal.OF_VECTOR) is not None
    except RuntimeError:
        return False


def describe(path: str) -> RasterFacts:
    """Open a raster and tell its facts.

    Raises
    ------
    GridError : the raster is rotated or south-up.
    ImageOpenError : it has no bands (a container of subdatasets), or as in :func:`open_raster`.
    """
    dataset = open_raster(path)
    bands = [dataset.GetRasterBand(i + 1) for i in range(dataset.RasterCount)]
    if not bands:
        names = [name for name, _ in dataset.GetSubDatasets()]
        hint = f"; name one of its subdatasets, such as {names[0]!r}" if names else ""
        raise ImageOpenError(f"input {path!r} has no bands{hint}")
    # A raster without georeference counts pixels from its top left corner; GDAL's own default is south-up.
    transform = dataset.GetGeoTransform(can_return_null=True) or (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
    check_north_up(transform, f"input {path!r}")
    grid = PixelGridDefn(transform, dataset.RasterYSize, dataset.RasterXSize, dataset.GetProjection())
    dtype = numpy_name(bands[0])
    nodata = tuple(nodata_or_none(band.GetNoDataValue(), dtype) for band in bands)
    by_pixel = dataset.GetMetadataItem("INTERLEAVE", "IMAGE_STRUCTURE") == "PIXEL"
    block_xsize, block_ysize = bands[0].GetBlockSize()
    return RasterFacts(path, grid, dtype, nodata, block_xsize, block_ysize, by_pixel)


class BlockReader:
    """Reads blocks of all inputs of a job. Not for use by two threads at once: GDAL datasets are not."""

    def __init__(self, job: TileJob) -> None:
        self._job = job
        self._datasets: dict[str, gdal.Dataset] = {}

    def read(self, window: PixelWindow) -> tuple[BlockAssociations, dict[int, InputFile]]:
        """Read one block of every input, with the job's overlap as margin.

        Parameters
        ----------
        window : the block, in pixels of the working grid, without margin.

        Returns
        -------
        The arrays, of shape (bands, rows, cols), and for each array's ``id`` the file it came from.
        """
        inputs = BlockAssociations()
        files: dict[int, InputFile] = {}
        wanted = window.grown(self._job.overlap_px)
        for spec in self._job.inputs:
            arrays = [self._read_file(file, wanted) for file in spec.files]
            files.update(zip(map(id, arrays), spec.files, strict=True))
            setattr(inputs, spec.name, arrays if spec.is_list else arrays[0])
        return inputs, files

    def close(self) -> None:
        """Close the files; reading opens them again."""
        self._datasets.clear()

    def _read_file(self, file: InputFile, window: PixelWindow) -> Array:
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
        try:
            pixels: Any = self._dataset(file).ReadAsArray(
                window.col,
                window.row,
                window.width,
                window.height,
                band_list=list(file.layers),
                buf_type=buffer_type(file.dtype),  # bands of other types become that of the first
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
        if file.path not in self._datasets:
            self._datasets[file.path] = open_raster(file.name, file.path)
        return self._datasets[file.path]
