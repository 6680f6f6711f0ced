"""Rasters and blocks as xarray's DataArrays. Only what a script asks for needs xarray, which is an extra."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rios_batch.gdalapi import gdal_exceptions, nodata_or_none, numpy_name
from rios_batch.read.facts import open_raster


def _missing(error: ModuleNotFoundError) -> ModuleNotFoundError:
    message = f"DataArrays need {error.name}, and it is not installed; use pip install 'rios_batch[xarray]'"
    return ModuleNotFoundError(message, name=error.name)


try:
    import xarray
    from xarray.backends import BackendArray, BackendEntrypoint
    from xarray.core import indexing
except ModuleNotFoundError as error:
    raise _missing(error) from error

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from numpy.typing import NDArray

_VARIABLE = "pixels"
GEOREFERENCE = "spatial_ref"  # the name that rioxarray looks for
_LARGEST_IN_FLOAT32 = 2  # bytes of an integer


@dataclass(frozen=True)
class Place:
    """Where the pixels of an array lie, north-up.

    Attributes
    ----------
    x, y : coordinates of the centres of columns and rows, in the units of the projection.
    geotransform : GDAL's six numbers; the first pixel is the array's.
    projection : WKT; empty if there is none.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    geotransform: tuple[float, ...]
    projection: str

    def coordinates(self) -> dict[Hashable, Any]:
        """Return the coordinates ``y``, ``x`` and ``spatial_ref``; rioxarray finds projection and grid in the last."""
        reference: dict[str, Any] = {"GeoTransform": " ".join(map(repr, map(float, self.geotransform)))}
        if self.projection:
            reference |= {"crs_wkt": self.projection, "spatial_ref": self.projection}
        return {"y": self.y, "x": self.x, GEOREFERENCE: xarray.Variable((), 0, reference)}


def band_labels(names: Sequence[str], nbands: int) -> list[Any]:
    """Return the coordinate of ``band``: the bands' names if each has one of its own, else numbers from 1."""
    is_named = len(names) == nbands == len(set(names)) and all(names)
    return list(names) if is_named else list(range(1, nbands + 1))


def float_for(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type that holds all values of a type, and NaN; of 64-bit integers those below 2**53."""
    if dtype.kind in "fc":
        return dtype
    return np.dtype("float32" if dtype.itemsize <= _LARGEST_IN_FLOAT32 else "float64")


def open_dataarray(name: str, *, masked: bool) -> xarray.DataArray:
    """Return a raster as a DataArray of shape (bands, rows, cols), whose pixels are read when they are looked at.

    Parameters
    ----------
    name : a file, or an ``s3://`` name.
    masked : whether nodata becomes NaN, and integers therefore floats.

    Raises
    ------
    ModuleNotFoundError : rioxarray is not installed.
    FileOpenError, S3Error : the file is gone, or cannot be read.
    """
    try:
        import rioxarray  # noqa: F401, PLC0415 - gives DataArrays their attribute ``rio``; blocks do without
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    dataset = xarray.open_dataset(name, engine=_GdalBackend, masked=masked)
    array: xarray.DataArray = dataset[_VARIABLE].rename(None)
    array.encoding["source"] = name
    return array


class _GdalBackend(BackendEntrypoint):
    """xarray's way to a file by way of the GDAL that wrote it, with the credentials that a run has."""

    def open_dataset(  # type: ignore[override]
        self, filename_or_obj: str, *, drop_variables: object = None, masked: bool
    ) -> xarray.Dataset:
        """Return a dataset with one variable."""
        del drop_variables
        with gdal_exceptions():
            opened = open_raster(filename_or_obj)
            bands = [opened.GetRasterBand(number) for number in range(1, opened.RasterCount + 1)]
            left, width, _, top, _, height = opened.GetGeoTransform()
            place = Place(
                x=left + (np.arange(opened.RasterXSize) + 0.5) * width,
                y=top + (np.arange(opened.RasterYSize) + 0.5) * height,
                geotransform=opened.GetGeoTransform(),
                projection=opened.GetProjection(),
            )
            dtype = np.dtype(numpy_name(bands[0]))
            nodata = nodata_or_none(bands[0].GetNoDataValue(), dtype.name)
            labels = band_labels([band.GetDescription() for band in bands], len(bands))
        shape = (len(bands), len(place.y), len(place.x))
        pixels = indexing.LazilyIndexedArray(_Pixels(filename_or_obj, shape, dtype))
        attributes = {} if nodata is None else {"_FillValue": dtype.type(nodata)}
        variable = xarray.Variable(("band", "y", "x"), pixels, attributes)
        found = xarray.Dataset({_VARIABLE: variable}, {"band": labels, **place.coordinates()})
        if masked:
            found = xarray.decode_cf(found, decode_times=False, decode_coords=False)
        found[_VARIABLE].encoding["grid_mapping"] = GEOREFERENCE
        return found


class _Pixels(BackendArray):
    """The pixels of a file, which is opened for each look: threads and processes share no dataset."""

    def __init__(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._name, self.shape, self.dtype = name, shape, dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> NDArray[Any]:
        return indexing.explicit_indexing_adapter(  # type: ignore[no-any-return, unused-ignore]
            key, self.shape, indexing.IndexingSupport.BASIC, self._read
        )

    def _read(self, key: tuple[int | slice, ...]) -> NDArray[Any]:
        """Return the pixels of places and slices with positive steps, one for each dimension."""
        bands, rows, cols = (
            range(size)[part] if isinstance(part, slice) else range(part, part + 1)
            for part, size in zip(key, self.shape, strict=True)
        )
        pixels = np.empty((len(bands), len(rows), len(cols)), self.dtype)
        if pixels.size:
            window = (cols[0], rows[0], cols[-1] - cols[0] + 1, rows[-1] - rows[0] + 1)
            with gdal_exceptions():
                opened = open_raster(self._name)
                for place, band in enumerate(bands):
                    whole = opened.GetRasterBand(band + 1).ReadAsArray(*window)
                    pixels[place] = whole.view(self.dtype)[:: rows.step, :: cols.step]
        return pixels[tuple(slice(None) if isinstance(part, slice) else 0 for part in key)]
