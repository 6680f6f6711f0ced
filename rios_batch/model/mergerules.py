"""The rules by which the values of an attribute of otherArgs that tiles changed become one value."""

from __future__ import annotations

import functools
import itertools
import operator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from rios_batch.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


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


def _last(_initial: Any, values: list[Any]) -> Any:
    return values[-1]


def _scratch(initial: Any, _values: list[Any]) -> Any:
    return initial


def _extreme(choose: np.ufunc, initial: Any, values: list[Any]) -> Any:
    """Reduce with ``choose``; a plain number stays a plain number (numpy would make it its own)."""
    known = [value for value in [initial, *values] if value is not None]
    extreme = functools.reduce(choose, known)
    return extreme if isinstance(extreme, np.ndarray) else next(v for v in known if _same(v, extreme))


def _same(a: Any, b: Any) -> bool:
    return bool(a == b) or (a != a and b != b)  # noqa: PLR0124 - NaN is the value that differs from itself


SCRATCH = "scratch"
RULES: dict[str, MergeRule] = {
    "sum": _sum,
    "min": _min,
    "max": _max,
    "concat": _concat,
    "last": _last,
    SCRATCH: _scratch,
}
_CHOOSING: dict[str, Callable[..., Any]] = {"min": min, "max": max}


def scratch_names(rules: Mapping[str, MergeRule]) -> tuple[str, ...]:
    """Return the attributes whose changes nobody wants."""
    return tuple(sorted(name for name, rule in rules.items() if rule is _scratch))


def resolve_rule(rule: str | MergeRule, key: Callable[[Any], Any] | None = None) -> MergeRule:
    """Return the rule of a name, or the callable itself.

    Parameters
    ----------
    key : for 'min' and 'max', what values are compared by.

    Raises
    ------
    ParameterError : the rule is neither a known name nor callable, or a key is no function or for another rule.
    """
    if key is not None:
        return _rule_with_key(rule, key)
    if callable(rule):
        return rule
    if rule in RULES:
        return RULES[rule]
    raise ParameterError(
        f"{rule!r} is not a merge rule; use one of {', '.join(map(repr, RULES))} or a function (initial, values)"
    )


def _rule_with_key(rule: str | MergeRule, key: Callable[[Any], Any]) -> MergeRule:
    if not isinstance(rule, str) or rule not in _CHOOSING:
        raise ParameterError(f"a key is given for the merge rule {rule!r}; only 'min' and 'max' have one")
    if not callable(key):
        raise ParameterError(f"the key of merge rule {rule!r} is {key!r}; it must be a function of one value")
    choose = _CHOOSING[rule]
    return lambda initial, values: choose((v for v in [initial, *values] if v is not None), key=key)
