"""What keeps a function from being pickled, by the name that the script gives it."""

from __future__ import annotations

import dis
import functools
import inspect
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_READS_A_GLOBAL = frozenset({"LOAD_GLOBAL", "LOAD_NAME"})


def culprit_of(value: Any, can_travel: Callable[[Any], bool], label: str = "") -> str:
    """Return the name of what a value uses and what cannot travel, such as ``global 'SCENE' of module helpers``.

    Parameters
    ----------
    value : a function, say, that cannot travel.
    can_travel : says whether a value can be pickled.
    label : returned if all parts of the value can travel, so that the value itself is to blame.
    """
    return _search(value, can_travel, label, {id(value)})


def _search(value: Any, can_travel: Callable[[Any], bool], label: str, seen: set[int]) -> str:
    for name, part in parts_of(value):
        if id(part) not in seen and not can_travel(part):
            seen.add(id(part))
            return _search(part, can_travel, name or label, seen)
    return label


def parts_of(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what a function, class, module or callable object uses, each with its name for a person."""
    match value:
        case types.FunctionType():
            yield from _parts_of_function(value)
        case types.MethodType():
            yield from (("", value.__func__), ("", value.__self__))
        case functools.partial():
            yield from (("", value.func), ("an argument of a partial", (value.args, value.keywords)))
        case types.ModuleType():
            yield from _named(vars(value), f"global {{!r}} of module {value.__name__}")
        case type():
            yield from _named(vars(value), f"attribute {{!r}} of class {value.__qualname__}")
        case _ if callable(value):
            yield "", type(value)
            yield from _named(
                getattr(value, "__dict__", {}), f"attribute {{!r}} of a {type(value).__qualname__}"
            )


def _parts_of_function(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    used = inspect.getclosurevars(function).nonlocals
    yield from _named(used, f"variable {{!r}} around {function.__qualname__}")
    read = globals_read(function.__code__)
    used = {name: value for name, value in function.__globals__.items() if name in read}
    yield from _named(used, f"global {{!r}} of module {function.__module__}")
    yield f"a default of {function.__qualname__}", (function.__defaults__, function.__kwdefaults__)


def _named(values: Mapping[str, Any], label: str) -> Iterator[tuple[str, Any]]:
    yield from ((label.format(name), value) for name, value in values.items())


def globals_read(code: types.CodeType) -> set[str]:
    """Return the names of the globals that a function and the functions inside it read."""
    inner = (constant for constant in code.co_consts if isinstance(constant, types.CodeType))
    own = {step.argval for step in dis.get_instructions(code) if step.opname in _READS_A_GLOBAL}
    return own.union(*map(globals_read, inner))
