"""Building blocks of the deployment settings: documented fields and the text of lists.

An option says its unit, default, allowed values and effect in one place; error messages and the table in
docs/infrastructure.md are made of these words.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pydantic import Field

if TYPE_CHECKING:
    from collections.abc import Iterable


def option(default: Any, effect: str, *, allowed: str, unit: str = "-", env: str = "", **limits: Any) -> Any:
    """Declare a setting.

    Parameters
    ----------
    default : value when nobody sets it.
    effect : what it changes, for a person who deploys.
    allowed : allowed values in words, for errors and documentation.
    unit : unit of the value, ``-`` where there is none.
    env : name of the environment variable when it is not ``RIOS_BATCH_`` and the key in capitals.
    limits : pydantic's own limits, such as ``ge`` and ``le``.
    """
    words: dict[str, Any] = {"allowed": allowed, "unit": unit, "env": env}
    return Field(default, description=effect, json_schema_extra=words, **limits)


def whole(default: int, effect: str, *, low: int, high: int, unit: str) -> Any:
    """Declare a whole number within limits."""
    return option(default, effect, allowed=f"{low} to {high}", unit=unit, ge=low, le=high)


def split_list(value: object) -> object:
    """Turn ``a, b c`` into three items; a JSON list stays as it is."""
    return tuple(part for part in re.split(r"[,\s]+", value) if part) if isinstance(value, str) else value


def split_words(value: object) -> object:
    """Turn ``a b`` into two items; commas stay, they are part of version limits."""
    return tuple(value.split()) if isinstance(value, str) else value


def split_pairs(value: object) -> object:
    """Turn ``k=v, k2=v2`` into a mapping; a JSON object stays as it is."""
    if not isinstance(value, str):
        return value
    pairs = [part.partition("=") for part in re.split(r"[,\s]+", value) if part]
    broken = [key for key, equals, text in pairs if not (key and equals and text)]
    if broken:
        raise ValueError(f"{broken[0]!r} is not of the form key=value")
    return {key: text for key, _, text in pairs}


def every(values: Iterable[str], pattern: str, what: str) -> tuple[str, ...]:
    """Require that every item matches a whole pattern."""
    items = tuple(values)
    for item in items:
        if not re.fullmatch(pattern, item):
            raise ValueError(f"{item!r} is not {what}")
    return items
