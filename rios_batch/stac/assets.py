"""The asset of an item that a script asks for by name: where it is, what its numbers mean, and its pixel grid."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit

from rios_batch.errors import GridError, ParameterError
from rios_batch.pixelgrid import PixelGridDefn
from rios_batch.read.extents import wkt_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pystac

Default = TypeVar("Default", float, None)

_PROJECTIONS = ("proj:code", "proj:epsg", "proj:wkt2", "proj:projjson")
_LISTS_OF_BANDS = ("bands", "eo:bands", "raster:bands")
_NUMBERS_OF_THREE_ROWS = 9
_NUMBERS_WITH_HEIGHTS = 6
_HOW_TO_NAME_A_GRID = "name the grid with setReferencePixgrid or setReferenceImage"


@dataclass(frozen=True)
class BandScale:
    """What the catalogue says of the numbers of a band; nothing of it is applied to pixels.

    Attributes
    ----------
    scale, offset : a pixel's number times ``scale`` plus ``offset`` is the value. ``offset`` is 0 where the item says
        that its pixels have it already (``earthsearch:boa_offset_applied``).
    nodata : the number of pixels without data; None if the catalogue names none.
    unit : of the value; None if the catalogue names none.
    """

    scale: float = 1.0
    offset: float = 0.0
    nodata: float | None = None
    unit: str | None = None


@dataclass(frozen=True)
class Layer:
    """A band of an item: a file with the pixels, and what the item says of the file.

    ``href`` is as in the item, and ``file`` what is to be opened, which may be signed.
    """

    item: pystac.Item
    key: str
    href: str
    file: str
    scale: BandScale

    @property
    def _levels(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the fields of the asset, which count first, and those of the item."""
        return self.item.assets[self.key].extra_fields, self.item.properties

    @property
    def projection(self) -> str | None:
        """Return the projection as WKT; None if the item does not say.

        Raises
        ------
        GridError : PROJ does not know it.
        """
        # All that an asset says goes before what its item says, however it is said.
        said = (fields.get(name) for fields in self._levels for name in _PROJECTIONS)
        found = next((projection for projection in said if projection is not None), None)
        if found is None:
            return None
        if isinstance(found, int | float):
            found = f"EPSG:{found:.0f}"
        text = found if isinstance(found, str) else json.dumps(found)
        return wkt_of(text, f"item {self.item.id!r}")

    @property
    def grid(self) -> PixelGridDefn:
        """Return the pixel grid.

        Raises
        ------
        GridError : the item does not say, or the grid is rotated or south-up.
        """
        projection = self.projection
        shape, transform, bbox = self._pixels()
        if projection is None or not shape or not (transform or bbox):
            raise GridError(
                f"item {self.item.id!r} does not say on which pixels its asset {self.key!r} lies; needed are proj:code "
                f"or proj:epsg, proj:shape, and proj:transform or proj:bbox; {_HOW_TO_NAME_A_GRID}"
            )
        try:
            rows, cols = (int(side) for side in shape if int(side) == side)
            place = _of_matrix(transform) if transform else _of_bounds(bbox, rows, cols)
            return PixelGridDefn(place, rows, cols, projection)
        except GridError as error:
            raise GridError(f"the grid of asset {self.key!r} of item {self.item.id!r}: {error}") from None
        except (TypeError, ValueError, ZeroDivisionError):
            raise GridError(
                f"asset {self.key!r} of item {self.item.id!r} has proj:shape {shape!r} and "
                f"{'proj:transform' if transform else 'proj:bbox'} {transform or bbox!r}; a shape must be 2 whole "
                f"numbers, a transform 6 or 9 numbers, a bbox 4 or 6; {_HOW_TO_NAME_A_GRID}"
            ) from None

    def _pixels(self) -> tuple[Any, Any, Any]:
        """Return proj:shape, proj:transform and proj:bbox; None for what is not said.

        The item's transform is that of other pixels where the asset has a shape or bounds of its own.
        """
        own, common = self._levels

        def differs(field: str) -> bool:
            return bool(own.get(field) and common.get(field)) and own[field] != common[field]

        shape, bbox = (own.get(field) or common.get(field) for field in ("proj:shape", "proj:bbox"))
        transform = own.get("proj:transform")
        if not transform and not differs("proj:shape") and not differs("proj:bbox"):
            transform = common.get("proj:transform")
        return shape, transform, bbox


def _of_matrix(matrix: Sequence[float]) -> tuple[float, ...]:
    """Return GDAL's six numbers; STAC has them in the order of an affine matrix of two or three rows."""
    numbers = [float(number) for number in matrix]
    a, b, c, d, e, f = numbers[:6] if len(numbers) == _NUMBERS_OF_THREE_ROWS else numbers
    return (c, a, b, f, d, e)


def _of_bounds(bbox: Sequence[float], rows: int, cols: int) -> tuple[float, ...]:
    """Return GDAL's six numbers; bounds may have heights as well."""
    numbers = [float(number) for number in bbox]
    x_min, y_min, x_max, y_max = (
        numbers if len(numbers) != _NUMBERS_WITH_HEIGHTS else numbers[:2] + numbers[3:5]
    )
    return (x_min, (x_max - x_min) / cols, 0.0, y_max, 0.0, (y_min - y_max) / rows)


def layer_of(
    item: pystac.Item, name: str, *, alternate: str | None, sign: Callable[[str], str] | None
) -> Layer:
    """Find a band of an item.

    Parameters
    ----------
    name : key of an asset, or else the common name or name of the band in an asset that has this band only.
    alternate : key of the alternate location that is to be read, such as ``s3``; None for the asset's own.
    sign : gets the asset's address and returns the one to be read; None if it needs no signature.

    Raises
    ------
    ParameterError : the item has no such asset, several of them, or no such location of it.
    """
    key = _key_of(item, name)
    asset = item.assets[key]
    # A path from the root is one of this machine or of GDAL (/vsis3/), not of the server that has the item.
    href = asset.href if asset.href.startswith("/") else asset.get_absolute_href() or asset.href
    if alternate is not None:
        href = _alternate(item, key, alternate)
    if href.startswith("file://"):
        href = unquote(urlsplit(href).path)
    file = href if sign is None else sign(href)
    if not isinstance(file, str):
        raise ParameterError(f"sign must return the signed address as a str, not {type(file).__name__}")
    return Layer(item, key, href, file, _scale(item, asset))


def _key_of(item: pystac.Item, name: str) -> str:
    if name in item.assets:
        return name
    named = {key: bands for key, asset in item.assets.items() if name in _names(bands := _bands(asset))}
    alone = [key for key, bands in named.items() if len(bands) == 1]
    if len(alone) == 1:
        return alone[0]
    tiffs = [key for key in alone if "tiff" in (item.assets[key].media_type or "")]
    if len(tiffs) == 1:
        return tiffs[0]
    if alone:
        raise ParameterError(
            f"item {item.id!r} has band {name!r} in several assets: {', '.join(alone)}; name one of these"
        )
    if named:
        raise ParameterError(
            f"item {item.id!r} has band {name!r} only together with others, in asset {', '.join(named)}; name the "
            "asset, and choose the band with selectInputImageLayers"
        )
    raise ParameterError(
        f"item {item.id!r} has no asset and no band {name!r}; its assets are {', '.join(item.assets) or 'none'}; "
        "leave the item out of the search, or name another band"
    )


def _bands(asset: pystac.Asset) -> list[dict[str, Any]]:
    """Return what the asset says of its bands, which may stand in several lists of the same length."""
    lists = [asset.extra_fields.get(field) or [] for field in _LISTS_OF_BANDS]
    merged: list[dict[str, Any]] = [{} for _ in range(max(map(len, lists)))]
    for bands in lists:
        for band, more in zip(merged, bands, strict=False):
            band.update(more or {})
    return merged


def _names(bands: list[dict[str, Any]]) -> set[str]:
    fields = ("common_name", "eo:common_name", "name")
    return {band[field] for band in bands for field in fields if field in band}


def _alternate(item: pystac.Item, key: str, alternate: str) -> str:
    given = item.assets[key].extra_fields.get("alternate") or {}
    known = {name: place["href"] for name, place in given.items() if place.get("href")}
    if alternate not in known:
        raise ParameterError(
            f"asset {key!r} of item {item.id!r} has no alternate location {alternate!r}; it has "
            f"{', '.join(known) or 'none'}"
        )
    return str(known[alternate])


def _scale(item: pystac.Item, asset: pystac.Asset) -> BandScale:
    """Return the scale of the asset's first band; where bands differ, the script knows which it selects."""
    said = dict(asset.extra_fields)
    for band in _bands(asset)[:1]:
        said.update(band)

    def number(field: str, default: Default) -> float | Default:
        found = said.get(field, said.get(f"raster:{field}"))
        try:
            return default if found is None else float(found)
        except (TypeError, ValueError):
            raise ParameterError(
                f"an asset of item {item.id!r} has the {field} {found!r}, which is no number; leave the "
                "item out of the search"
            ) from None

    applied = item.properties.get("earthsearch:boa_offset_applied") is True
    return BandScale(
        scale=number("scale", 1.0),
        offset=0.0 if applied else number("offset", 0.0),
        nodata=number("nodata", None),
        unit=said.get("unit"),
    )
