"""Descriptions of what is sent to workers: the same texts in every process, and others if something else is sent.

The pickle itself cannot be compared: its bytes depend on the order of sets, on which equal values are one object, and
on random names. So a value is taken apart as cloudpickle takes the value apart, and what comes out is described.
Comments, line numbers and the names of files do not count. What installed packages define counts by name.

What cannot be taken apart has another description each time: where in doubt, a run is begun anew.
"""

from __future__ import annotations

import dis
import functools
import hashlib
import itertools
import secrets
import sys
import types
from collections import deque
from functools import singledispatchmethod
from typing import TYPE_CHECKING, Any

import numpy as np

from rios_batch.jobmanagers.culprits import globals_read
from rios_batch.jobmanagers.pickling import is_local
from rios_batch.jobmanagers.sourcelines import CACHED, dispatched_functions, reducer_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_PROTOCOL = 4  # 5 would leave arrays out
# What a module or a class has besides what its author has written.
_NOT_THE_AUTHORS = frozenset(
    {
        *(
            "__builtins__",
            "__file__",
            "__cached__",
            "__loader__",
            "__spec__",
            "__path__",
            "__doc__",
            "__name__",
        ),
        *("__package__", "__dict__", "__weakref__", "__module__", "_abc_impl", "__annotations__"),
    }
)
# Equal values of these are the same, whether they are one object or several.
_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis), type(NotImplemented), range)
_PLAIN_TYPES = frozenset(_PLAIN)
_BY_CONTENT = (*_PLAIN, tuple, frozenset, types.CodeType, np.dtype)


def digest_of(*values: Any) -> str:
    """Return a digest of values that are sent to workers."""
    return digest_of_texts(_Description().texts(values))


def digest_of_texts(texts: Iterable[str | bytes]) -> str:
    """Return a digest of texts, each for itself."""
    digest = hashlib.sha256()
    for text in texts:
        data = text.encode(errors="surrogatepass") if isinstance(text, str) else text
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


class _Description:
    """Numbers values as they come, and describes each once, one after the other: chains of values may be long."""

    def __init__(self) -> None:
        # Holds the values: the id of a value that is gone could become another's.
        self._numbers: dict[int, tuple[int, Any]] = {}
        self._to_describe: deque[Any] = deque()

    def texts(self, values: Iterable[Any]) -> Iterator[str | bytes]:
        for value in values:
            yield from self.describe(value)
        while self._to_describe:
            value = self._to_describe.popleft()
            yield type(value).__qualname__
            yield from self._parts(value)

    def describe(self, value: Any) -> Iterator[str | bytes]:
        """Describe a value, or say its number."""
        if not isinstance(value, _BY_CONTENT):
            yield self._numbered(value)
            return
        yield type(value).__qualname__
        if type(value) in _PLAIN_TYPES:
            yield repr(value)
        else:
            yield from self._parts(value)

    def _numbered(self, value: Any) -> str:
        if id(value) not in self._numbers:
            self._numbers[id(value)] = len(self._numbers), value
            self._to_describe.append(value)
        return f"number {self._numbers[id(value)][0]}"

    def _named(self, values: dict[str, Any]) -> Iterator[str | bytes]:
        for name in sorted(values, key=str):
            if name not in _NOT_THE_AUTHORS:
                yield str(name)
                yield from self.describe(values[name])

    @singledispatchmethod
    def _parts(self, value: Any) -> Iterator[str | bytes]:
        return self._reduction(value)

    def _reduction(self, value: Any) -> Iterator[str | bytes]:
        try:
            reduce = reducer_of(type(value))
            reduced = value.__reduce_ex__(_PROTOCOL) if reduce is None else reduce(value)
        except Exception:  # noqa: BLE001 - any type may raise anything; sending the value will say what is wrong
            yield secrets.token_hex()
            return
        if isinstance(reduced, str):
            yield from (getattr(value, "__module__", None) or "", reduced)
            return
        for part in reduced[:3]:
            yield from self.describe(part)
        for items in reduced[3:5]:
            for item in items or ():
                yield from self.describe(item)

    @_parts.register(types.MethodType)
    def _method(self, method: types.MethodType) -> Iterator[str | bytes]:
        yield from self.describe(method.__func__)
        yield from self.describe(method.__self__)

    @_parts.register(staticmethod)
    @_parts.register(classmethod)
    @_parts.register(property)
    @_parts.register(functools.cached_property)
    def _wrapper(self, value: Any) -> Iterator[str | bytes]:
        for name in ("__func__", "func", "fget", "fset", "fdel"):
            yield from self.describe(getattr(value, name, None))

    @_parts.register(CACHED)
    def _cache(self, value: Any) -> Iterator[str | bytes]:
        yield from self.describe(value.cache_parameters())
        yield from self.describe(value.__wrapped__)

    @_parts.register(types.MemberDescriptorType)
    @_parts.register(types.GetSetDescriptorType)
    @_parts.register(types.WrapperDescriptorType)
    @_parts.register(types.MethodDescriptorType)
    @_parts.register(types.ClassMethodDescriptorType)
    def _descriptor(self, value: Any) -> Iterator[str | bytes]:
        yield value.__qualname__

    @_parts.register(types.CellType)
    def _cell(self, cell: types.CellType) -> Iterator[str | bytes]:
        yield from self.describe(cell.cell_contents) if _is_full(cell) else ["empty"]

    @_parts.register(types.ModuleType)
    def _module(self, module: types.ModuleType) -> Iterator[str | bytes]:
        yield module.__name__
        if is_local(module.__name__, module):
            yield from self._named(vars(module))

    @_parts.register(np.ndarray)
    def _array(self, array: np.ndarray[Any, Any]) -> Iterator[str | bytes]:
        if type(array) is not np.ndarray:  # a mask, say
            yield from self._reduction(array)
            return
        yield repr((array.dtype.descr if array.dtype.names else array.dtype.str, array.shape))
        yield from [array.tobytes()] if not array.dtype.hasobject else self.describe(array.tolist())

    @_parts.register(np.dtype)
    def _dtype(self, dtype: np.dtype[Any]) -> Iterator[str | bytes]:
        yield repr(dtype)

    @_parts.register(types.FunctionType)
    def _function(self, function: types.FunctionType) -> Iterator[str | bytes]:
        yield function.__qualname__
        if not _is_users(function):
            yield function.__module__ or ""
            return
        if (dispatched := dispatched_functions(function)) is not None:
            for kind, implementation in dispatched:
                yield from self.describe(kind)
                yield from self.describe(implementation)
            return
        yield from self.describe(function.__code__)
        for value in (function.__defaults__, function.__kwdefaults__, function.__dict__):
            yield from self.describe(value)
        for cell in function.__closure__ or ():
            yield from self.describe(cell)
        read = globals_read(function.__code__)
        yield from self._named({name: value for name, value in function.__globals__.items() if name in read})
        # A submodule is reached through its package, and is no global itself.
        for name in sorted(_imported(function.__code__)):
            yield from self.describe(sys.modules.get(name, name))

    @_parts.register(types.CodeType)
    def _code(self, code: types.CodeType) -> Iterator[str | bytes]:
        yield code.co_code
        yield code.co_exceptiontable
        counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
        yield repr((code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars, counts))
        for constant in code.co_consts:
            yield from self.describe(constant)

    @_parts.register(type)
    def _class(self, kind: type) -> Iterator[str | bytes]:
        yield f"{kind.__module__}.{kind.__qualname__}"
        if _is_users(kind):
            for base in kind.__bases__:
                yield from self.describe(base)
            yield from self.describe(type(kind))
            yield from self._named(dict(vars(kind)))

    @_parts.register(list)
    @_parts.register(tuple)
    @_parts.register(set)
    @_parts.register(frozenset)
    @_parts.register(dict)
    def _collection(self, value: Any) -> Iterator[str | bytes]:
        if type(value) not in (list, tuple, set, frozenset, dict):  # more than its items
            if not isinstance(value, tuple):
                yield from self.describe(getattr(value, "__dict__", None))
            yield from self.describe(type(value))
        items = list(value.items() if isinstance(value, dict) else value)
        yield str(len(items))
        is_plain = _PLAIN_TYPES.issuperset(
            map(type, itertools.chain(*items) if isinstance(value, dict) else items)
        )
        if isinstance(value, set | frozenset):
            # Each for itself, so that the order in which the set gives its items has no part in it.
            yield from sorted(map(repr, items) if is_plain else map(digest_of, items))
            return
        if is_plain:  # at once, as there may be millions
            yield repr(items)
            return
        for item in items:
            yield from self.describe(item)


def _is_users(value: Any) -> bool:
    """Say whether a function or class travels by value: it is the script's, or that of a module of the user's own."""
    module = getattr(value, "__module__", None) or ""
    home = sys.modules.get(module)
    return module == "__main__" or home is None or is_local(module, home)


def _is_full(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - raises
    except ValueError:
        return False
    return True


def _imported(code: types.CodeType) -> set[str]:
    """Return the names of modules that a function and the functions inside it import."""
    inner = (constant for constant in code.co_consts if isinstance(constant, types.CodeType))
    own = {step.argval for step in dis.get_instructions(code) if step.opname == "IMPORT_NAME"}
    return own.union(*map(_imported, inner))
