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
    import pickle
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
        f"otherArgs is a {type(other_args).__name__}, which has no attributes; for workers use "
        "an applier.OtherInputs or a dict, so that changes made in blocks can be brought back"
    )


class MergeRule(Protocol):
    """How an attribute that tiles changed becomes one value again."""

    def __call__(self, initial: Any, values: list[Any], /) -> Any:
        """Combine the values of all tiles that changed it, in tile order, each grown from ``initial``."""


class ChangeDetector:
    """Gives a worker its copies of otherArgs, and tells which attributes a tile changed.

    A change is a change of the attribute's pickle. A copy that a tile left as it was serves the next tile
    too, so a large attribute that is only read (a classifier, a look-up table) is unpickled once per worker.
    """

    def __init__(self, pickled: bytes) -> None:
        self._pickled = pickled
        self._before: dict[str, bytes | None] | None = None
        self._unchanged: Any = None

    def fresh_copy(self) -> Any:
        """Return a copy of otherArgs as it was when the run began."""
        if self._unchanged is not None:
            return self._unchanged
        other_args = cloudpickle.loads(self._pickled)
        if self._before is None and other_args is not None:
            self._before = _digests(other_args)
        return other_args

    def changes(self, other_args: Any) -> dict[str, bytes | None]:
        """Return the pickled values of attributes that differ from the fresh copy's.

        A value that cannot be pickled, or was deleted, is given as None.
        """
        if other_args is None:
            return {}
        assert self._before is not None
        after = _digests(other_args)
        changed = [name for name in after if name not in self._before or after[name] != self._before[name]]
        deleted = self._before.keys() - after.keys()
        self._unchanged = None if changed or deleted else other_args
        attributes = attributes_of(other_args)
        return {name: pickle_or_none(attributes[name]) for name in changed} | dict.fromkeys(deleted)


def pickle_or_none(value: Any) -> bytes | None:
    """Return the pickle of a value, or None if it has none (an open file, a lock, a GDAL dataset)."""
    try:
        return bytes(cloudpickle.dumps(value))
    except Exception:  # noqa: BLE001 - any type may raise anything here; None is reported, not hidden
        return None


def _digests(other_args: Any) -> dict[str, bytes | None]:
    return {name: _digest(value) for name, value in attributes_of(other_args).items()}


def _digest(value: Any) -> bytes | None:
    """Hash a value's pickle, arrays where they lie; None if it has none."""
    buffers: list[pickle.PickleBuffer] = []
    try:
        digest = hashlib.sha256(cloudpickle.dumps(value, protocol=5, buffer_callback=buffers.append))
    except Exception:  # noqa: BLE001 - as in pickle_or_none
        return None
    for buffer in buffers:
        digest.update(buffer.raw())
    return digest.digest()


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
