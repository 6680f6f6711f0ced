"""User functions on xarray's DataArrays: blocks become DataArrays on the way in, and arrays on the way out."""

from __future__ import annotations

import datetime as dt
import functools
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from rios_batch.associations import BlockAssociations
from rios_batch.errors import ArrayShapeError, ParameterError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import xarray
    from numpy.typing import NDArray

    from rios_batch.model.spec import Array, InputFile, InputSpec
    from rios_batch.read.xarrays import Place
    from rios_batch.readerinfo import ReaderInfo

Date = str | dt.date | np.datetime64

_DIMENSIONS = ("band", "y", "x")


class DataArrayFunction(functools.partial[object]):
    """A user function that is given DataArrays.

    It is a partial, which is known to travel to workers, and to be the user's function in all that is said of it.

    Attributes
    ----------
    dates : for names of lists of files, a date for each file, of type datetime64[ns].
    masked : whether nodata becomes NaN.
    """

    dates: Mapping[str, NDArray[np.datetime64]]
    masked: bool

    def __call__(self, info: ReaderInfo, inputs: BlockAssociations, outputs: object, *other: object) -> None:
        """Call the user's function on a block."""
        from rios_batch.read.xarrays import Place  # noqa: PLC0415 - imports xarray, in workers only

        x, y = info.getBlockCoordArrays()
        left, width, _, top, _, height = info.getTransform()
        col, row = info.getPixColRow(0, 0)
        corner = (left + col * width, width, 0.0, top + row * height, 0.0, height)
        block = _Block(info, Place(x[0], y[:, 0], corner, info.getProjection()), masked=self.masked)
        given = {
            name: block.stack(name, value, self.dates[name])
            if name in self.dates
            else block.arrays(name, value)
            for name, value in vars(inputs).items()
        }
        self.func(info, BlockAssociations(**given), outputs, *other)

    def check_inputs(self, inputs: Iterable[InputSpec]) -> None:
        """Refuse dates that do not fit the files.

        Raises
        ------
        ParameterError : there is no such list, or it has another length.
        """
        lists = {one.name: len(one.files) for one in inputs if one.is_list}
        for name, dates in self.dates.items():
            if name not in lists:
                raise ParameterError(
                    f"dates were given for infiles.{name}, which is no list of files; the lists are "
                    f"{', '.join(lists) or 'none'}"
                )
            if len(dates) != lists[name]:
                raise ParameterError(
                    f"{len(dates)} dates were given for the {lists[name]} files of infiles.{name}; "
                    "each file must have one, in the same order"
                )


def on_dataarrays(
    function: Callable[..., object], dates: Mapping[str, Sequence[Date]] | None, *, masked: bool
) -> DataArrayFunction:
    """Return what `applier.dataarrays` returns.

    Raises
    ------
    ParameterError : ``function`` is no function, or a date is none.
    ModuleNotFoundError : xarray is not installed.
    """
    if not callable(function):
        raise ParameterError(f"dataarrays was given a {type(function).__name__}, not a function")
    if find_spec("xarray") is None:
        import rios_batch.read.xarrays  # noqa: F401, PLC0415 - raises the sentence that says what to install
    made = DataArrayFunction(function)
    functools.update_wrapper(made, function, updated=())
    made.dates = {
        name: np.array([_moment(date, name) for date in several], "datetime64[ns]")
        for name, several in (dates or {}).items()
    }
    made.masked = masked
    return made


def _moment(date: Any, name: str) -> np.datetime64:
    """Return a date in UTC, which is what numpy's dates without a zone are taken for."""
    given = date
    try:
        if isinstance(date, str):  # numpy knows no zones, and takes 20240701 for a year
            date = dt.datetime.fromisoformat(date)
        if isinstance(date, dt.datetime) and date.tzinfo is not None:
            date = date.astimezone(dt.UTC).replace(tzinfo=None)
        moment = np.datetime64(date, "ns") if isinstance(date, Date) else np.datetime64("NaT")
    except ValueError:
        moment = np.datetime64("NaT")
    if np.isnat(moment):
        raise ParameterError(
            f"the dates of infiles.{name} have {given!r}; a date is a datetime.date, a numpy datetime64, or a text "
            "such as '2024-07-01'"
        )
    return moment


class _Block:
    """Makes the DataArrays of one block."""

    def __init__(self, info: ReaderInfo, place: Place, *, masked: bool) -> None:
        self._info, self._masked = info, masked
        self._coordinates = place.coordinates()
        self._crs = {"crs": place.projection} if place.projection else {}

    def arrays(self, name: str, value: Any) -> Any:
        """Return a DataArray for an array, a list for a list, and None for None."""
        if isinstance(value, list | tuple):
            return [self.arrays(name, array) for array in value]
        if value is None:
            return None
        file = self._file_of(value)
        made = self._made(name, self._pixels(value, file), file, set(_nodata_of(value, file)))
        self._info._takes_for(made, value)  # noqa: SLF001 - not for user functions
        return made

    def stack(self, name: str, values: Sequence[Array | None], dates: NDArray[np.datetime64]) -> Any:
        """Return one DataArray with the dimension ``time``; files without an array have no date there."""
        there = [(array, date) for array, date in zip(values, dates, strict=True) if array is not None]
        if not there:
            return None
        files = [self._file_of(array) for array, _ in there]
        counts = {array.shape[0] for array, _ in there}
        if len(counts) > 1:
            raise ParameterError(
                f"the files of infiles.{name} have {' and '.join(map(str, sorted(counts)))} bands; files with dates "
                "must have the same number of them, or layers be chosen with selectInputImageLayers"
            )
        pixels = np.stack([self._pixels(array, file) for (array, _), file in zip(there, files, strict=True)])
        nodata = {
            value for (array, _), file in zip(there, files, strict=True) for value in _nodata_of(array, file)
        }
        return self._made(name, pixels, files[0], nodata, time=[date for _, date in there])

    def _file_of(self, array: Array) -> InputFile:
        return self._info._file_of(array)  # noqa: SLF001 - not for user functions

    def _made(
        self,
        name: str,
        pixels: Array,
        file: InputFile,
        nodata: set[Any],
        time: Sequence[np.datetime64] = (),
    ) -> xarray.DataArray:
        import xarray  # noqa: PLC0415

        from rios_batch.read.xarrays import band_labels  # noqa: PLC0415

        attributes: dict[str, Any] = dict(self._crs)
        if len(nodata) == 1 and not self._masked and None not in nodata:
            value = pixels.dtype.type(*nodata)
            attributes |= {"nodata": value, "_FillValue": value}
        coordinates = {"band": band_labels(file.layer_names, pixels.shape[-3]), **self._coordinates}
        dimensions = _DIMENSIONS
        if len(time):
            coordinates["time"] = np.array(time)
            return xarray.DataArray(pixels, coordinates, ("time", *dimensions), name, attributes)
        return xarray.DataArray(pixels, coordinates, dimensions, name, attributes)

    def _pixels(self, array: Array, file: InputFile) -> Array:
        if not self._masked:
            return array
        from rios_batch.read.xarrays import float_for  # noqa: PLC0415

        pixels = array.astype(float_for(array.dtype))
        for band, nodata in enumerate(_nodata_of(array, file)):
            if nodata is not None:
                pixels[band][array[band] == nodata] = np.nan
        return pixels


def _nodata_of(array: Array, file: InputFile) -> list[Any]:
    """Return the nodata values of an array's bands, in the array's type; None where there is none."""
    return [None if value is None else np.array(value).astype(array.dtype)[()] for value in file.nodata]


def as_array(value: Any, what: str, *, has_nodata: bool) -> Any:
    """Return a DataArray that a user function has set as an array of shape (bands, rows, cols); all else as it is.

    Parameters
    ----------
    what : the output and "in" its block, for messages.
    has_nodata : whether the output has a nodata value, for which NaN stands. NaN is then masked.

    Raises
    ------
    ArrayShapeError : the dimensions are others than band, y and x, or the DataArray was turned over.
    """
    xarray = sys.modules.get("xarray")
    if xarray is None or not isinstance(value, xarray.DataArray):
        return value
    if set(value.dims) - {"band"} != {"y", "x"}:
        raise ArrayShapeError(
            f"{what} is a DataArray with the dimensions ({', '.join(map(str, value.dims))}); it must have "
            "(band, y, x) or (y, x)"
        )
    if "band" not in value.dims:
        value = value.expand_dims("band")
    value = value.transpose(*_DIMENSIONS)
    for name, step in (("x", 1), ("y", -1)):
        if name in value.coords and (np.diff(value[name].to_numpy()) * step <= 0).any():
            raise ArrayShapeError(
                f"{what} is a DataArray whose {name} coordinates are not in the inputs' order; x must rise and y fall, "
                "as in the inputs"
            )
    pixels = value.to_numpy()
    if has_nodata and pixels.dtype.kind in "fc" and (missing := np.isnan(pixels)).any():
        return np.ma.masked_where(missing, pixels)  # type: ignore[no-untyped-call]
    return pixels
