"""The asset of an item that a script asks for by name: where it is, what its numbers mean, and its pixel grid."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from rios_batch.errors import GridError, ParameterError
from rios_batch.pixelgrid import PixelGridDefn
from rios_batch.read.extents import wkt_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import pystac

_LISTS_OF_BANDS = ("bands", "eo:bands", "raster:bands")
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

    def said(self, field: str) -> Any:
        """Return a field of the asset, or else of the item; None if neither has it."""
        own = self.item.assets[self.key].extra_fields.get(field)
        return self.item.properties.get(field) if own is None else own

    @property
    def projection(self) -> str | None:
        """Return the projection as WKT; None if the item does not say.

        Raises
        ------
        GridError : PROJ does not know it.
        """
        code = self.said("proj:code") or self.said("proj:epsg") or self.said("proj:wkt2")
        text = f"EPSG:{code}" if isinstance(code, int) else code
        if text is None and (projjson := self.said("proj:projjson")) is not None:
            text = json.dumps(projjson)
        return None if text is None else wkt_of(text, f"item {self.item.id!r}")

    @property
    def grid(self) -> PixelGridDefn:
        """Return the pixel grid.

        Raises
        ------
        GridError : the item does not say, or the grid is rotated or south-up.
        """
        projection, shape, transform = self.projection, self.said("proj:shape"), self._transform()
        if projection is None or shape is None or transform is None:
            raise GridError(
                f"item {self.item.id!r} does not say on which pixels its asset {self.key!r} lies; needed are proj:code "
                f"or proj:epsg, proj:shape, and proj:transform or proj:bbox; {_HOW_TO_NAME_A_GRID}"
            )
        try:
            return PixelGridDefn(transform, shape[0], shape[1], projection)
        except GridError as error:
            raise GridError(f"the grid of asset {self.key!r} of item {self.item.id!r}: {error}") from None

    def _transform(self) -> tuple[float, ...] | None:
        """Return GDAL's six numbers; STAC has them in the order of an affine matrix."""
        if matrix := self.said("proj:transform"):
            a, b, c, d, e, f = matrix[:6]
            return (c, a, b, f, d, e)
        bbox, shape = self.said("proj:bbox"), self.said("proj:shape")
        if not bbox or not shape:
            return None
        (x_min, y_min), (x_max, y_max) = bbox[:2], bbox[len(bbox) // 2 :][:2]
        return (x_min, (x_max - x_min) / shape[1], 0.0, y_max, 0.0, (y_min - y_max) / shape[0])


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
    href = asset.get_absolute_href() or asset.href
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
            band.update(more)
    return merged


def _names(bands: list[dict[str, Any]]) -> set[str]:
    fields = ("common_name", "eo:common_name", "name")
    return {band[field] for band in bands for field in fields if field in band}


def _alternate(item: pystac.Item, key: str, alternate: str) -> str:
    known = item.assets[key].extra_fields.get("alternate") or {}
    if alternate not in known:
        raise ParameterError(
            f"asset {key!r} of item {item.id!r} has no alternate location {alternate!r}; it has "
            f"{', '.join(known) or 'none'}"
        )
    return str(known[alternate]["href"])


def _scale(item: pystac.Item, asset: pystac.Asset) -> BandScale:
    """Return the scale of the asset's first band; where bands differ, the script knows which it selects."""
    said = dict(asset.extra_fields)
    for band in _bands(asset)[:1]:
        said.update(band)

    def number(field: str, default: float) -> float:
        found = said.get(field, said.get(f"raster:{field}"))
        return default if found is None else float(found)

    applied = item.properties.get("earthsearch:boa_offset_applied") is True
    nodata = said.get("nodata")
    return BandScale(
        scale=number("scale", 1.0),
        offset=0.0 if applied else number("offset", 0.0),
        nodata=None if nodata is None else float(nodata),
        unit=said.get("unit"),
    )
