"""otherArgs with more than one worker: what a tile changed, and how the changes become one value.

RIOS 1.4 loses changes made in workers silently; RIOS 2 leaves copies for the script to merge. Here each
tile starts from a fresh copy, the attributes it changed come back, and a rule declared with
``controls.setOtherArgsMerge`` merges them into the caller's object in tile order. Without a rule they
stay in the result's ``otherArgsList`` and a warning names them.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import itertools
import operator
from typing import TYPE_CHECKING, Any, Protocol

import cloudpickle
import numpy as np

from rios_batch.associations import OtherInputs
from rios_batch.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def attributes_of(other_args: Any) -> dict[str, Any]:
    """Return the named values of otherArgs: its attributes, or a dict's items.

    Raises
    ------
    ParameterError : it has neither, so changes could not be brought back.
    """
    attributes: dict[str, Any] | None = (
        other_args if isinstance(other_args, dict) else getattr(other_args, "__dict__", None)
    )
    if attributes is not None:
        return attributes
    raise ParameterError(
        f"otherArgs is a {type(other_args).__name__}, which has no attributes; with more than one worker use "
        "an applier.OtherInputs or a dict, so that changes made in blocks can be brought back"
    )


class MergeRule(Protocol):
    """How an attribute that tiles changed becomes one value again."""

    def __call__(self, initial: Any, values: list[Any], /) -> Any:
        """Combine the values of all tiles that changed it, in tile order, each grown from ``initial``."""


class ChangeDetector:
    """Tells which attributes a tile changed, by comparing their pickles before and after."""

    def __init__(self, pickled: bytes) -> None:
        self._pickled = pickled
        self._before: dict[str, bytes | None] | None = None

    def fresh_copy(self) -> Any:
        """Return a copy of otherArgs as it was when the run began."""
        other_args = cloudpickle.loads(self._pickled)
        if self._before is None and other_args is not None:
            attributes = attributes_of(other_args)
            self._before = {name: _digest(pickle_or_none(value)) for name, value in attributes.items()}
        return other_args

    def changes(self, other_args: Any) -> dict[str, bytes | None]:
        """Return the pickled values of attributes that differ from the fresh copy's.

        A value that cannot be pickled is given as None.
        """
        if other_args is None:
            return {}
        assert self._before is not None
        after = {name: pickle_or_none(value) for name, value in attributes_of(other_args).items()}
        return {
            name: pickled
            for name, pickled in after.items()
            if name not in self._before or _digest(pickled) != self._before[name]
        }


def pickle_or_none(value: Any) -> bytes | None:
    """Return the pickle of a value, or None if it has none (an open file, a lock, a GDAL dataset)."""
    try:
        return bytes(cloudpickle.dumps(value))
    except Exception:  # noqa: BLE001 - any type may raise anything here; None is reported, not hidden
        return None


def _digest(pickled: bytes | None) -> bytes | None:
    return None if pickled is None else hashlib.sha256(pickled).digest()


def _sum(initial: Any, values: list[Any]) -> Any:
    if initial is None:
        return functools.reduce(operator.add, values)
    return functools.reduce(lambda total, value: total + (value - initial), values, initial)


def _concat(initial: Any, values: list[Any]) -> Any:
    initial = [] if initial is None else initial
    if any(not isinstance(part, list | tuple) or len(part) < len(initial) for part in [initial, *values]):
        raise TypeError("'concat' wants lists or tuples that the user function only appends to")
    tails = (value[len(initial) :] for value in values)
    return type(initial)(itertools.chain(initial, *tails))


def _min(initial: Any, values: list[Any]) -> Any:
    return _extreme(np.minimum, initial, values)


def _max(initial: Any, values: list[Any]) -> Any:
    return _extreme(np.maximum, initial, values)


def _extreme(choose: np.ufunc, initial: Any, values: list[Any]) -> Any:
    """Reduce with ``choose``; a plain number stays a plain number (numpy would make it its own)."""
    known = [value for value in [initial, *values] if value is not None]
    extreme = functools.reduce(choose, known)
    return extreme if isinstance(extreme, np.ndarray) else next(v for v in known if _same(v, extreme))


def _same(a: Any, b: Any) -> bool:
    return bool(a == b) or (a != a and b != b)  # noqa: PLR0124 - NaN is the value that differs from itself


RULES: dict[str, MergeRule] = {"sum": _sum, "min": _min, "max": _max, "concat": _concat}


def resolve_rule(rule: str | MergeRule) -> MergeRule:
    """Return the rule of a name, or the callable itself.

    Raises
    ------
    ParameterError : neither a known name nor callable.
    """
    if callable(rule):
        return rule
    if rule in RULES:
        return RULES[rule]
    raise ParameterError(
        f"{rule!r} is not a merge rule; use one of {', '.join(map(repr, RULES))} or a function (initial, values)"
    )


def merge(
    other_args: Any, tile_changes: Iterable[Mapping[str, bytes | None]], rules: Mapping[str, MergeRule]
) -> tuple[list[Any], list[str]]:
    """Merge the tiles' changes into ``other_args``, which is changed in place.

    Parameters
    ----------
    tile_changes : for each tile in order, the pickled values of the attributes it changed.
    rules : by attribute name.

    Returns
    -------
    The tiles' copies of otherArgs, and the names of attributes that changed without a rule.

    Raises
    ------
    ParameterError : a rule failed on the values; names the attribute.
    """
    copies: list[Any] = []
    values: dict[str, list[Any]] = {}
    for changes in tile_changes:
        tile_copy = copy.copy(other_args) if other_args is not None else OtherInputs()
        for name, pickled in changes.items():
            value = None if pickled is None else cloudpickle.loads(pickled)
            attributes_of(tile_copy)[name] = value
            values.setdefault(name, []).append(value)
        copies.append(tile_copy)
    target = attributes_of(other_args) if values else {}
    for name in values.keys() & rules.keys():
        try:
            target[name] = rules[name](target.get(name), values[name])
        except Exception as error:
            raise ParameterError(f"the merge rule of otherArgs.{name} failed: {error}") from error
    return copies, sorted(values.keys() - rules.keys())
