"""Opening rasters, and what planning needs to know of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from osgeo import gdal

from rios_batch.errors import FileOpenError, GridError, ImageOpenError, MissingFileError
from rios_batch.gdalapi import GDAL_TYPES, dataset_files, nodata_or_none, numpy_name, reason
from rios_batch.model.geotransforms import check_finite, check_north_up
from rios_batch.model.grid import Extent, PixelGridDefn
from rios_batch.read.network import explain_failure, gdal_name, is_remote, prepare_network

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rios_batch.model.grid import PixelWindow
    from rios_batch.model.spec import Warp


@dataclass(frozen=True)
class RasterFacts:
    """What planning needs to know of a raster.

    ``geotransform`` has GDAL's six numbers. ``dtypes`` and ``nodata`` have a value for each band;
    ``block_xsize`` and ``block_ysize`` are the pixels that GDAL reads at once, of all bands if
    ``reads_all_bands``. Without ``has_georeference`` the geotransform only counts pixels. ``overviews`` has the
    columns and rows of each overview of the first band, if they were asked for. ``layer_names`` are GDAL's descriptions
    of the bands, empty texts where there are none. ``files`` are all the files of a local dataset.
    """

    path: str
    geotransform: tuple[float, ...]
    ncols: int
    nrows: int
    projection: str
    dtypes: tuple[str, ...]
    nodata: tuple[float | None, ...]
    block_xsize: int
    block_ysize: int
    reads_all_bands: bool
    has_georeference: bool
    overviews: tuple[tuple[int, int], ...] = ()
    layer_names: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    @property
    def nbands(self) -> int:
        return len(self.nodata)

    @property
    def itemsize(self) -> int:
        """Return the bytes of a pixel of the widest band."""
        return max(np.dtype(dtype).itemsize for dtype in self.dtypes)

    def dtype_of(self, layers: Sequence[int]) -> str:
        """Return the type that layers are read in: their own, or one that holds all values of all of them.

        Raises
        ------
        ImageOpenError : no type does by GDAL's way of reading.
        """
        found = sorted({self.dtypes[layer - 1] for layer in layers})
        if len(found) == 1:
            return found[0]
        # GDAL reads 64-bit integers together with others by way of float64, whose 53 bits hold all others' values.
        if {"int64", "uint64"} & {*found} or not GDAL_TYPES.keys() >= {*found}:
            raise ImageOpenError(
                f"input {self.path!r} has layers of {' and '.join(found)}, which GDAL cannot read as one type without "
                "loss; select layers of one type with selectInputImageLayers"
            )
        common = np.result_type(*found).name
        return "float64" if common == "int64" else common

    @property
    def is_north_up(self) -> bool:
        _, x_res, x_skew, _, y_skew, y_res = self.geotransform
        return x_skew == y_skew == 0 and x_res > 0 > y_res

    @property
    def grid(self) -> PixelGridDefn:
        """Return the pixel grid.

        Raises
        ------
        GridError : the raster is rotated or south-up, or its pixels are too small for where they lie.
        """
        check_north_up(self.geotransform, f"{self.path!r}")
        try:
            return PixelGridDefn(self.geotransform, self.nrows, self.ncols, self.projection)
        except GridError as error:
            raise GridError(f"the grid of {self.path!r} cannot be used: {error}") from None

    @property
    def extent(self) -> Extent:
        """Return the smallest upright rectangle around all pixels."""
        x0, x_res, x_skew, y0, y_skew, y_res = self.geotransform
        corners = [(col, row) for col in (0, self.ncols) for row in (0, self.nrows)]
        x = [x0 + col * x_res + row * x_skew for col, row in corners]
        y = [y0 + col * y_skew + row * y_res for col, row in corners]
        return Extent(min(x), min(y), max(x), max(y), self.projection)

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
        touched_px = min(
            width_px + 2 * self.block_xsize, -(-self.ncols // self.block_xsize) * self.block_xsize
        )
        touched_px *= min(
            window.height + 2 * self.block_ysize, -(-self.nrows // self.block_ysize) * self.block_ysize
        )
        return touched_px * nbands * self.itemsize

    def warp_cache_bytes(self, nlayers: int, warp: Warp, height_px: int, width_px: int) -> int:
        """Return the same for a reader that gets the file resampled: chunks, and the file's blocks below them.

        Parameters
        ----------
        height_px, width_px : of a window, and of a row of windows, in pixels of the working grid.
        """
        itemsize = self.itemsize
        width, height = width_px + 2 * warp.chunk_px, height_px + 2 * warp.chunk_px
        chunks = width * height * nlayers * itemsize
        # A row of chunks; the next one reads the file's blocks at its upper edge once more.
        source_width = min(width / warp.xscale, self.ncols) + 2 * self.block_xsize
        source_height = min(warp.chunk_px / warp.yscale, self.nrows) + 2 * self.block_ysize
        nbands = self.nbands if self.reads_all_bands else nlayers
        return chunks + math.ceil(source_width * source_height) * nbands * itemsize


def open_raster(name: str, path: str | None = None) -> gdal.Dataset:
    """Open a raster for reading; GDAL's exceptions must be on.

    Parameters
    ----------
    name : a file, a name of GDAL's own, or ``s3://``, ``gs://`` or ``https://``; errors speak of it.
    path : what is to be opened if it is not to be found under that name.

    Raises
    ------
    MissingFileError : there is no such file or object.
    FileOpenError : it is a pipe, a socket or a device.
    ImageOpenError : GDAL cannot open it; says why.
    S3Error : the AWS profile gives no credentials.
    """
    path = path or gdal_name(name)
    if is_file_name(path):
        check_is_file(name, Path(path))
    prepare_network(name, path)
    try:
        return gdal.Open(path)
    except RuntimeError as error:
        if is_remote(path):
            missing, why = explain_failure(name, reason(error))
            gdal.VSICurlPartialClearCache(path)  # or whoever tries again is told of it, but no longer why
            raise (MissingFileError if missing else ImageOpenError)(f"input {name!r} {why}") from error
        raise ImageOpenError(f"input {name!r} cannot be opened as a raster: {reason(error)}") from error


def check_is_file(name: str, path: Path) -> None:
    """See that an input is a file or a folder.

    Raises
    ------
    MissingFileError : there is nothing of that name.
    FileOpenError : it is a named pipe, whose opening may wait for ever, a socket or a device.
    """
    if not path.exists():
        raise MissingFileError(f"input file {name!r} does not exist")
    if not (path.is_file() or path.is_dir()):
        raise FileOpenError(
            f"input {name!r} is a pipe, a socket or a device, which cannot be read block by block; "
            "write what comes from there into a file, and name the file"
        )


def is_file_name(path: str) -> bool:
    """Tell a file's name from GDAL's own (``/vsis3/...``, ``NETCDF:"x.nc":v``, ``<VRTDataset>``)."""
    return not path.startswith(("/vsi", "<")) and ":" not in path


def describe(path: str, *, with_overviews: bool = False) -> RasterFacts:
    """Open a raster and tell its facts.

    Parameters
    ----------
    with_overviews : overviews are looked for too, which over the network is another request.

    Raises
    ------
    MissingFileError : there is no such file or object.
    ImageOpenError : GDAL cannot open it, or it has no bands (a container of subdatasets).
    GridError : where it lies is no finite number.
    """
    dataset = open_raster(path)
    bands = [dataset.GetRasterBand(i + 1) for i in range(dataset.RasterCount)]
    if not bands:
        names = [name for name, _ in dataset.GetSubDatasets()]
        hint = f"; name one of its subdatasets, such as {names[0]!r}" if names else ""
        raise ImageOpenError(f"input {path!r} has no bands{hint}")
    # A raster without georeference counts pixels from its top left corner; GDAL's own default is south-up.
    transform = dataset.GetGeoTransform(can_return_null=True)
    check_finite(transform or (), f"{path!r}")
    dtypes = tuple(map(numpy_name, bands))
    nodata = tuple(
        nodata_or_none(band.GetNoDataValue(), dtype) for band, dtype in zip(bands, dtypes, strict=True)
    )
    by_pixel = dataset.GetMetadataItem("INTERLEAVE", "IMAGE_STRUCTURE") == "PIXEL"
    block_xsize, block_ysize = bands[0].GetBlockSize()
    overviews = map(bands[0].GetOverview, range(bands[0].GetOverviewCount() if with_overviews else 0))
    return RasterFacts(
        path=path,
        geotransform=tuple(transform or (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)),
        ncols=dataset.RasterXSize,
        nrows=dataset.RasterYSize,
        projection=dataset.GetProjection(),
        dtypes=dtypes,
        nodata=nodata,
        block_xsize=block_xsize,
        block_ysize=block_ysize,
        reads_all_bands=by_pixel,
        has_georeference=transform is not None,
        overviews=tuple((overview.XSize, overview.YSize) for overview in overviews),
        layer_names=tuple(band.GetDescription() for band in bands),
        # Over the network, to ask for side files is a request for each.
        files=() if is_remote(gdal_name(path)) else dataset_files(gdal_name(path), dataset),
    )
