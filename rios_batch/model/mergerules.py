"""The rules by which the values of an attribute of otherArgs that tiles changed become one value."""

from __future__ import annotations

import functools
import itertools
import operator
from typing import Any, Protocol

import numpy as np

from rios_batch.errors import ParameterError


class MergeRule(Protocol):
    """How an attribute that tiles changed becomes one value again."""

    def __call__(self, initial: Any, values: list[Any], /) -> Any:
        """Combine the values of all tiles that changed it, in tile order, each grown from ``initial``."""


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
