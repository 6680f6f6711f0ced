# ruff: noqa: N802, N803 - named as the settings of ApplierControls are
"""What a run needs of a search: file names by band, dates, scales, and the pixel grid."""

from __future__ import annotations

import functools
import hashlib
import itertools
import math
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rios_batch.errors import GridError, ParameterError
from rios_batch.gdalapi import gdal_exceptions, same_projection
from rios_batch.model.grid import Extent
from rios_batch.read.extents import reprojected, wkt_of
from rios_batch.read.mosaics import write_mosaic
from rios_batch.stac.assets import BandScale, Layer, layer_of
from rios_batch.stac.items import items_of, solar_day

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import date

    import pystac

    from rios_batch.pixelgrid import PixelGridDefn
    from rios_batch.stac.items import Items

_DIGEST_DIGITS = 12
_BOUNDS_SLACK_PX = 1e-6  # so that bounds on a pixel's edge take no pixel more
_folders: list[tempfile.TemporaryDirectory[str]] = []  # removed when the process ends


@dataclass(frozen=True)
class FoundItems:
    """What a run needs of the items of a search.

    Attributes
    ----------
    items : the items, in the order of time.
    dates : the day of each element of the lists in ``files``, in order.
    files : for each band a list of file names, for ``FilenameAssociations(**files)``.
    scaling : for each band a list of :class:`BandScale`, one for each file. Pixels are read as they are in the files.
    """

    items: tuple[pystac.Item, ...]
    dates: list[date]
    files: dict[str, list[str]]
    scaling: dict[str, list[BandScale]]
    _layers: tuple[Layer, ...] = field(repr=False)

    def pixelGrid(
        self,
        resolution: float | None = None,
        bounds: Sequence[float] | None = None,
        boundsProjection: str = "EPSG:4326",
    ) -> PixelGridDefn:
        """Return the grid that all items lie on, for ``setReferencePixgrid``. No file is opened.

        Parameters
        ----------
        resolution : side of a pixel in units of the items' projection; default that of the finest of the bands.
        bounds : (x_min, y_min, x_max, y_max), with longitude before latitude; pixels that the bounds cut belong to the
            grid. Default the bounds of all items.
        boundsProjection : of the bounds, as a code such as ``EPSG:32633`` or WKT; default longitude and latitude.

        Raises
        ------
        GridError : items lie in several projections, do not say where they lie, or lie beside the bounds.
        ParameterError : resolution or bounds are no size or rectangle.
        """
        with gdal_exceptions():
            grids = [(layer, layer.grid) for layer in self._layers]
            _check_one_projection((layer.item.id, grid.projection) for layer, grid in grids)
            lattice = min((grid for _, grid in grids), key=lambda grid: grid.xRes)
            if resolution is not None:
                lattice = _with_resolution(lattice, resolution)
            extents = [grid.extent for _, grid in grids]
            everything = Extent(
                min(extent.x_min for extent in extents),
                min(extent.y_min for extent in extents),
                max(extent.x_max for extent in extents),
                max(extent.y_max for extent in extents),
                lattice.projection,
            )
            if bounds is None:
                return _around(everything, lattice)
            wanted = reprojected(_rectangle(bounds, boundsProjection), lattice.projection)
        if min(wanted.x_max, everything.x_max) <= max(wanted.x_min, everything.x_min) or min(
            wanted.y_max, everything.y_max
        ) <= max(wanted.y_min, everything.y_min):
            raise GridError(f"the bounds {tuple(bounds)} lie beside all items, which lie in {everything}")
        return _around(wanted, lattice)


def readItems(
    items: Items,
    bands: Sequence[str] | Mapping[str, str],
    *,
    sign: Callable[[str], str] | None = None,
    alternate: str | None = None,
    mosaic: bool = True,
    folder: str | os.PathLike[str] | None = None,
) -> FoundItems:
    """Return what a run needs of the items that a search has found.

    Parameters
    ----------
    items : an iterable of ``pystac.Item``, an ``ItemCollection``, its dict, or the name of a JSON file with one.
    bands : each a key of an asset, a common name or a name of a band; or ``{name in the function: band}``.
    sign : called with the address of each asset; returns the address to be read, such as
        ``planetary_computer.sign``. Default None: addresses are read as they are.
    alternate : key of the alternate location that is to be read, such as ``s3`` of USGS's items; default None for
        the asset's own address.
    mosaic : True (default) makes one element of all items of a solar day. Where they overlap, the earliest that has
        data counts. False makes an element of each item.
    folder : where the mosaics are written, each a VRT that only names the items' files; default a folder that
        is removed when the process ends. A run that is to be resumed needs a folder that stays.

    Raises
    ------
    ParameterError : there are no items, an item lacks a band, or items of one day have other scales.
    GridError : items of one day lie in several projections.
    FileOpenError : files of several items of one day cannot be opened.
    """
    wanted = _wanted(bands)
    found = items_of(items)
    days = [(solar_day(item), item) for item in found]
    days.sort(key=lambda pair: pair[0])  # stable: within a day by time
    grouped = (
        [
            (day, [item for _, item in group])
            for day, group in itertools.groupby(days, key=lambda pair: pair[0])
        ]
        if mosaic
        else [(day, [item]) for day, item in days]
    )
    layers: list[Layer] = []
    files: dict[str, list[str]] = {name: [] for name in wanted}
    scaling: dict[str, list[BandScale]] = {name: [] for name in wanted}
    place = functools.cache(lambda: _place(folder))
    # All items are looked through before the first file is opened.
    by_date = [
        (day, name, [layer_of(item, band, alternate=alternate, sign=sign) for item in group])
        for day, group in grouped
        for name, band in wanted.items()
    ]
    for day, name, group in by_date:
        layers += group
        scaling[name].append(_common_scale(day, name, group))
    for day, name, group in by_date:
        files[name].append(
            group[0].file
            if len(group) == 1
            else _mosaic(place() / _mosaics_name(day, name, group), day, group)
        )
    return FoundItems(tuple(found), [day for day, _ in grouped], files, scaling, tuple(layers))


def _wanted(bands: Sequence[str] | Mapping[str, str]) -> dict[str, str]:
    """Return the bands by their names in the function."""
    if isinstance(bands, str) or not hasattr(bands, "__iter__"):
        raise ParameterError(f"bands must be a list of names, such as [{bands!r}], not {bands!r}")
    wanted = dict(bands) if hasattr(bands, "keys") else {band: band for band in bands}
    if not wanted:
        raise ParameterError("bands must name at least one band")
    for name in wanted:
        if not isinstance(name, str) or not name.isidentifier():
            raise ParameterError(
                f"band {name!r} cannot be a name of an input; give the band another name, as {{'name': {name!r}}}"
            )
    return wanted


def _common_scale(day: date, name: str, group: Sequence[Layer]) -> BandScale:
    for layer in group[1:]:
        if repr(layer.scale) != repr(group[0].scale):  # a nodata value that is NaN differs from itself
            raise ParameterError(
                f"items {group[0].item.id!r} and {layer.item.id!r} of {day} have other scales of {name!r}: "
                f"{group[0].scale} and {layer.scale}; leave one out of the search, or set mosaic=False"
            )
    return group[0].scale


def _mosaics_name(day: date, name: str, group: Sequence[Layer]) -> str:
    """Return a file name that no other items have, so that several searches can have one folder.

    The name is the same when the files are signed anew.
    """
    files = "\n".join(layer.href.partition("?")[0] for layer in group)
    return f"{day}-{name}-{hashlib.sha256(files.encode()).hexdigest()[:_DIGEST_DIGITS]}.vrt"


def _mosaic(path: Path, day: date, group: Sequence[Layer]) -> str:
    with gdal_exceptions():
        known = [(layer.item.id, found) for layer in group if (found := layer.projection) is not None]
        try:
            _check_one_projection(known)
        except GridError as error:
            raise GridError(
                f"no mosaic can be made of the items of {day}: {error}, or set mosaic=False"
            ) from None
        write_mosaic(path, [layer.file for layer in group], group[0].scale.nodata)
    return str(path)


def _place(folder: str | os.PathLike[str] | None) -> Path:
    if folder is None:
        _folders.append(tempfile.TemporaryDirectory(prefix="rios_batch-stac-"))
        return Path(_folders[-1].name)
    path = Path(folder).absolute()
    path.mkdir(parents=True, exist_ok=True)
    return path


def _check_one_projection(found: Iterable[tuple[str, str]]) -> None:
    """See that items lie in one projection.

    Parameters
    ----------
    found : pairs of an item's id and WKT.
    """
    by_projection: dict[str, str] = {}
    for item, projection in found:
        by_projection.setdefault(projection, item)
    for projection, other in by_projection.items():
        first, one = next(iter(by_projection.items()))
        if not same_projection(first, projection):
            raise GridError(
                f"items lie in several projections ({one!r} in {_title(first)}, {other!r} in {_title(projection)}); "
                "take the items of one UTM zone only, or name the grid yourself with setReferencePixgrid"
            )


def _title(projection: str) -> str:
    """Return the name that a projection's WKT begins with."""
    return projection.split('"')[1]


def _with_resolution(lattice: PixelGridDefn, resolution: object) -> PixelGridDefn:
    if not (isinstance(resolution, int | float) and math.isfinite(resolution) and resolution > 0):
        raise ParameterError(f"the resolution must be a size above 0, not {resolution!r}")
    origin = (lattice.xMin, resolution, 0.0, lattice.yMax, 0.0, -resolution)
    return type(lattice)(origin, 1, 1, lattice.projection)


def _rectangle(bounds: Sequence[float], projection: str) -> Extent:
    try:
        x_min, y_min, x_max, y_max = map(float, bounds)
        is_one = x_min < x_max and y_min < y_max
    except (TypeError, ValueError):
        is_one = False
    if not is_one:
        raise ParameterError(
            f"bounds must be (x_min, y_min, x_max, y_max), each minimum below its maximum, not {bounds!r}"
        )
    return Extent(x_min, y_min, x_max, y_max, wkt_of(projection, "boundsProjection"))


def _around(extent: Extent, lattice: PixelGridDefn) -> PixelGridDefn:
    """Return the pixels of a lattice that an extent touches."""

    def first(distance: float, side: float) -> int:
        return math.floor(distance / side + _BOUNDS_SLACK_PX)

    def end(distance: float, side: float) -> int:
        return math.ceil(distance / side - _BOUNDS_SLACK_PX)

    col, row = (
        first(extent.x_min - lattice.xMin, lattice.xRes),
        first(lattice.yMax - extent.y_max, lattice.yRes),
    )
    end_col = end(extent.x_max - lattice.xMin, lattice.xRes)
    end_row = end(lattice.yMax - extent.y_min, lattice.yRes)
    return lattice.window(col, row, max(1, end_col - col), max(1, end_row - row))
