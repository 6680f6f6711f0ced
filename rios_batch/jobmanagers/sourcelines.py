"""Code that travels by value brings its file name and its source lines, so that a worker's traceback shows them.

cloudpickle leaves the file name out (from 3.1.3 on), and a worker on another machine lacks the file. Only the lines of
functions that travel come along: the rest of a script is nobody's business there.
"""

from __future__ import annotations

import functools
import io
import linecache
import sys
import types
from typing import IO, TYPE_CHECKING, Any

import cloudpickle

if TYPE_CHECKING:
    from collections.abc import Callable

_DEFINED = (type, types.FunctionType, types.BuiltinFunctionType)


class SourcePickler(cloudpickle.Pickler):  # type: ignore[misc] # cloudpickle ships no types
    """cloudpickle's pickler; what it writes is read with ``cloudpickle.loads``.

    Attributes
    ----------
    modules : names of modules that define what was pickled; the reader needs those that do not travel by value.
    """

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)
        self.modules: set[str] = set()

    def reducer_override(self, value: Any) -> Any:
        """Add file name and source lines to code; take apart functools' wrappers, and leave the rest to cloudpickle."""
        if isinstance(value, types.ModuleType):
            self.modules.add(value.__name__)
        elif isinstance(value, _DEFINED) and value.__module__:
            self.modules.add(value.__module__)
        if not isinstance(value, types.CodeType):
            reduced = _taken_apart(value)
            return super().reducer_override(value) if reduced is None else reduced
        make, arguments = self.dispatch_table[types.CodeType](value)
        first, last = _line_numbers(value)
        lines = linecache.getlines(value.co_filename)[first - 1 : last]
        return _code_with_source, (make, arguments, value.co_filename, first, lines)


def dumps(value: Any, modules: set[str] | None = None) -> bytes:
    """Pickle a value with :class:`SourcePickler`; names of its parts' modules are added to ``modules``."""
    with io.BytesIO() as file:
        pickler = SourcePickler(file)
        taken_over = sys.modules.get(_AS_RIOS)
        pickler.dump(value if taken_over is None else _After(taken_over.take_over, value))
        if modules is not None:
            modules |= pickler.modules
        return file.getvalue()


# RIOS's names may lead to this package (rios_batch.as_rios), and then must do so where a script's function is loaded,
# since the function may import them.
_AS_RIOS = "rios_batch.as_rios"


class _After:
    """Unpickled, it is the value; a function is called before the value is unpickled."""

    def __init__(self, function: Callable[[], None], value: Any) -> None:
        self._function, self._value = function, value

    def __reduce__(self) -> tuple[Any, ...]:
        return _second, (_Call(self._function), self._value)


class _Call:
    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function

    def __reduce__(self) -> tuple[Any, ...]:
        return self._function, ()


def _second(_first: object, second: object) -> object:
    return second


def _line_numbers(code: types.CodeType) -> tuple[int, int]:
    """Return the 1-based numbers of the first and last line of a function."""
    ends = [end for _, end, _, _ in code.co_positions() if end is not None]
    return code.co_firstlineno, max([code.co_firstlineno, *ends])


def _code_with_source(make: Any, arguments: Any, file: str, first: int, lines: list[str]) -> types.CodeType:
    """Make code again; called where it is unpickled."""
    known = linecache.getlines(file)
    if lines and known[first - 1 : first - 1 + len(lines)] != lines:
        padded = known + ["\n"] * (first - 1 + len(lines) - len(known))
        padded[first - 1 : first - 1 + len(lines)] = lines
        # Without a time of change: what a loader has brought, which linecache does not look for on disk.
        linecache.cache[file] = (sum(map(len, padded)), None, padded, file)
    code: types.CodeType = make(*arguments)
    return code.replace(co_filename=file)


# -- what functools makes of functions, which cloudpickle sends by name or not at all


class _Later:
    """Stands for a function that may lead to its own wrapper, so that the wrapper must be made first."""

    function: Callable[..., Any]

    def __call__(self, *args: Any, **more: Any) -> Any:
        return self.function(*args, **more)


def dispatched_functions(value: Any) -> list[tuple[type, Any]] | None:
    """Return the functions behind a ``functools.singledispatch`` with their types; None for anything else."""
    is_one = isinstance(value, types.FunctionType) and value.__code__ is _DISPATCHING
    return list(value.registry.items()) if is_one else None


_DISPATCHING = vars(types.FunctionType)["__code__"].__get__(functools.singledispatch(_second))
CACHED = type(functools.lru_cache(_second))
"""The type of what ``functools.lru_cache`` makes."""


def reducer_of(kind: type) -> Callable[[Any], Any] | None:
    """Return how a type's values are taken apart, if by a function that is registered for the type."""
    return cloudpickle.Pickler.dispatch_table.get(kind)  # type: ignore[no-any-return]


def _taken_apart(value: Any) -> tuple[Any, ...] | None:
    """Return how to make a wrapper again, for those that travel by value; None for anything else."""
    if type(value) is functools.cached_property:
        return _empty_property, (value.attrname,), value.func, None, None, _fill_property
    if isinstance(value, CACHED) and _travels_by_value(value):
        return _empty_cache, (value.cache_parameters(),), value.__wrapped__, None, None, _fill_cache
    if (functions := dispatched_functions(value)) is not None and _travels_by_value(value):
        return _empty_dispatch, (), functions, None, None, _fill_dispatch
    return None


def _travels_by_value(function: Any) -> bool:
    by_value = {"__main__", *cloudpickle.list_registry_pickle_by_value()}
    return function.__module__ in by_value or "<locals>" in function.__qualname__


def _empty_property(name: str | None) -> functools.cached_property[Any]:
    made = functools.cached_property(_Later())
    made.attrname = name
    return made


def _fill_property(made: functools.cached_property[Any], function: Any) -> None:
    made.func, made.__doc__ = function, function.__doc__


def _empty_cache(parameters: dict[str, Any]) -> Any:
    return functools.lru_cache(**parameters)(_Later())


def _fill_cache(made: Any, function: Any) -> None:
    made.__wrapped__.function = function
    functools.update_wrapper(made, function)


def _empty_dispatch() -> Any:
    return functools.singledispatch(_Later())


def _fill_dispatch(made: Any, functions: list[tuple[type, Any]]) -> None:
    for kind, function in functions:
        if kind is object:
            made.registry[object].function = function
            functools.update_wrapper(made, function)
        else:
            made.register(kind, function)
