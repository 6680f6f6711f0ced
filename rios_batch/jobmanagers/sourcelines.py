"""Code that travels by value brings its file name and its source lines, so that a worker's traceback shows them.

cloudpickle leaves the file name out (from 3.1.3 on), and a worker on another machine lacks the file. Only the lines of
functions that travel come along: the rest of a script is nobody's business there.
"""

from __future__ import annotations

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
        """Add file name and source lines to code; leave everything else to cloudpickle."""
        if isinstance(value, types.ModuleType):
            self.modules.add(value.__name__)
        elif isinstance(value, _DEFINED) and value.__module__:
            self.modules.add(value.__module__)
        if not isinstance(value, types.CodeType):
            return super().reducer_override(value)
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
