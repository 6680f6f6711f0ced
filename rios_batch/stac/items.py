"""Items in all the forms that a search or a file gives them, and the day of each."""

from __future__ import annotations

import json
import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rios_batch.errors import MissingFileError, ParameterError

try:
    import pystac
except ImportError as error:
    raise ImportError("rios_batch.stac needs pystac; run: pip install 'rios_batch[stac]'") from error

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    Items = (
        str
        | os.PathLike[str]
        | pystac.Item
        | pystac.ItemCollection
        | Mapping[str, Any]
        | Iterable[pystac.Item | Mapping[str, Any]]
    )

_DEGREES_PER_HOUR = 15  # the sun's way over the earth


def items_of(given: Items) -> list[pystac.Item]:
    """Return items in the order of time. An item that is there twice counts once.

    Parameters
    ----------
    given : items, an ItemCollection, its dict, or the name of a JSON file with one.

    Raises
    ------
    ParameterError : there are no items, or something else is among them.
    MissingFileError : there is no such file.
    """
    several: Any = _from_file(Path(given)) if isinstance(given, str | os.PathLike) else given
    if isinstance(several, dict):
        several = _features(several)
    elif isinstance(several, pystac.Item):
        several = [several]
    elif not hasattr(several, "__iter__"):
        raise ParameterError(
            f"items must be an iterable of items, not {type(several).__name__}; of a search they are search.items()"
        )
    found: dict[tuple[str | None, str], pystac.Item] = {}
    for one in several:
        item = one if isinstance(one, pystac.Item) else _parsed(one)
        found.setdefault((item.collection_id, item.id), item)
    if not found:
        raise ParameterError("there are no items; the search found none, or a generator was used up before")
    return sorted(found.values(), key=lambda item: (moment(item), item.id))


def _from_file(path: Path) -> Any:
    try:
        several = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise MissingFileError(f"the file of items {str(path)!r} does not exist") from error
    except OSError as error:
        raise ParameterError(f"the file of items {str(path)!r} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ParameterError(f"the file of items {str(path)!r} is not JSON: {error}") from error
    items = several if isinstance(several, list) else _features(several)
    return [_from_folder(one, path.absolute().parent) for one in items]


def _from_folder(one: Any, folder: Path) -> pystac.Item:
    """Return an item of a file, whose relative addresses count from the item's own address, or else from the file's."""
    item = _parsed(one)
    if item.get_self_href() is None:
        for asset in item.assets.values():
            asset.href = pystac.utils.make_absolute_href(asset.href, str(folder), start_is_dir=True)
    return item


def _features(given: Any) -> list[Any]:
    kind = given.get("type") if isinstance(given, dict) else type(given).__name__
    if kind == "Feature":
        return [given]
    if kind != "FeatureCollection" or not isinstance(given.get("features"), list):
        raise ParameterError(
            f"a dict or file of items must be of type FeatureCollection, with features, or Feature; it is {kind!r}"
        )
    return list(given["features"])


def _parsed(one: Any) -> pystac.Item:
    if not isinstance(one, dict):
        raise ParameterError(f"items must be pystac.Item or dicts of items, not {type(one).__name__}")
    if not _has_a_time(one.get("properties")):
        raise ParameterError(
            f"item {one.get('id')!r} has neither datetime nor start_datetime and end_datetime; leave the "
            "item out of the search"
        )
    try:
        return pystac.Item.from_dict(one)
    except (pystac.STACError, pystac.STACTypeError, KeyError, TypeError, ValueError) as error:
        raise ParameterError(
            f"{one.get('id', 'a dict without id')!r} is not a STAC item: {type(error).__name__}: {error}"
        ) from error


def _has_a_time(properties: Any) -> bool:
    """Say whether there is a time; what are no properties is for pystac to refuse."""
    if not isinstance(properties, dict):
        return True
    given = {name for name, value in properties.items() if value is not None}
    return "datetime" in given or {"start_datetime", "end_datetime"} <= given


def moment(item: pystac.Item) -> datetime:
    """Return when an item was acquired, in UTC: its datetime, or the start of its time.

    Raises
    ------
    ParameterError : the item has neither.
    """
    found = item.datetime or item.common_metadata.start_datetime
    if found is None:
        raise ParameterError(f"item {item.id!r} has neither datetime nor start_datetime")
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def solar_day(item: pystac.Item) -> date:
    """Return the day at the place of an item by the sun: UTC, shifted by an hour for each 15 degrees of longitude."""
    return (moment(item) + timedelta(hours=_longitude(item) / _DEGREES_PER_HOUR)).date()


def _longitude(item: pystac.Item) -> float:
    """Return the longitude of the middle of an item in degrees; 0 for an item without a place."""
    if not item.bbox:
        return 0.0
    west, east = item.bbox[0], item.bbox[len(item.bbox) // 2]
    if west > east:  # across the antimeridian
        east += 360
    if east - west > 180 and (around := _across_antimeridian(item.geometry)):  # noqa: PLR2004 - degrees
        west, east = around
    middle = (west + east) / 2
    return middle - 360 if middle > 180 else middle  # noqa: PLR2004 - degrees


def _across_antimeridian(geometry: dict[str, Any] | None) -> tuple[float, float] | None:
    """Return west and east of a geometry at the antimeridian, eastwards from 0 to 360; None if it lies elsewhere.

    Catalogues have items there whose bbox reaches from -180 to 180.
    """
    longitudes = [longitude % 360 for longitude in _longitudes((geometry or {}).get("coordinates") or [])]
    if not longitudes or not 0 < max(longitudes) - min(longitudes) < 180:  # noqa: PLR2004 - degrees
        return None
    return min(longitudes), max(longitudes)


def _longitudes(coordinates: Sequence[Any]) -> Iterator[float]:
    if coordinates and isinstance(coordinates[0], int | float):
        yield float(coordinates[0])
        return
    for part in coordinates:
        yield from _longitudes(part)
