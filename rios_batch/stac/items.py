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
    from collections.abc import Iterable, Mapping

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
        return json.loads(path.read_text())
    except FileNotFoundError as error:
        raise MissingFileError(f"the file of items {str(path)!r} does not exist") from error
    except ValueError as error:
        raise ParameterError(f"the file of items {str(path)!r} is not JSON: {error}") from error


def _features(given: dict[str, Any]) -> list[Any]:
    kind = given.get("type")
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
    try:
        return pystac.Item.from_dict(one)
    except (pystac.STACError, pystac.STACTypeError, KeyError, TypeError, ValueError) as error:
        raise ParameterError(
            f"{one.get('id', 'a dict without id')!r} is not a STAC item: {type(error).__name__}: {error}"
        ) from error


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
    middle = (west + east) / 2
    return middle - 360 if middle > 180 else middle  # noqa: PLR2004 - degrees
