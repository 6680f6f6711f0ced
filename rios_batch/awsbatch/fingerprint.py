"""Digests of everything that the pixels of a run depend on, so that another run is not resumed as this one.

The pickled job cannot be compared: cloudpickle's bytes differ from one process to the next.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import pickle
import sys
import types
from dataclasses import asdict
from functools import singledispatchmethod
from typing import TYPE_CHECKING, Any

import numpy as np

from rios_batch import __version__
from rios_batch.compute.otherargs import attributes_of
from rios_batch.errors import JobMgrError
from rios_batch.gdalapi import dataset_stamps
from rios_batch.jobmanagers.pickling import is_local

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rios_batch.model.spec import RunSpec


def fingerprints(spec: RunSpec, other_args: Any) -> dict[str, str]:
    """Return a digest for each part of a run, by what a person would call the part.

    Parameters
    ----------
    spec : the run.
    other_args : the caller's object, or None.
    """
    found = {
        "the version of rios_batch": __version__,
        "the function": function_digest(spec.function),
        "the working grid": _hex(repr(spec.grid), repr(spec.plan.blocks), repr(spec.overlap_px)),
    }
    for input_spec in spec.inputs:
        there = [file for file in input_spec.files if not file.unreadable]
        stamps = [dataset_stamps(file.path, file.files) for file in there]
        found[f"infiles.{input_spec.name}"] = _hex(repr(input_spec), repr(stamps))
    for name, value in spec.environment.items():
        found[f"environment variable {name}"] = _hex(repr(value))
    for output in spec.outputs:
        described = asdict(output)
        del described["encoded_overviews"]  # they follow from the tile plan, and a resumed run keeps its plan
        found[output.label.replace("outputs.", "outfiles.")] = _hex(repr(described))
    for name, value in sorted((attributes_of(other_args) if other_args is not None else {}).items()):
        found[f"otherArgs.{name}"] = _hex(*_Code().describe(value))
    return found


def check_same(begun: Mapping[str, str], now: Mapping[str, str], run_id: str) -> None:
    """Refuse to go on with a run that is not this one.

    Raises
    ------
    JobMgrError : some parts differ. The message names these parts.
    """
    changed = [part for part in {**begun, **now} if begun.get(part) != now.get(part)]
    if changed:
        raise JobMgrError(
            f"run {run_id} cannot be resumed, because {', '.join(changed)} changed since it began, and old and new "
            "tiles would be mixed; undo the change, or begin anew without setResume"
        )


def function_digest(function: Any) -> str:
    """Return a digest of a function's code, and of the user's own code that the function uses, however nested.

    Comments and line numbers do not count. Installed packages count by name.
    """
    return _hex(*_Code().describe(function))


def _hex(*texts: str | bytes) -> str:
    digest = hashlib.sha256()
    for text in texts:
        data = text.encode() if isinstance(text, str) else text
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


class _Code:
    """Describes values by texts that are the same in every process."""

    def __init__(self) -> None:
        self._seen: dict[
            int, Any
        ] = {}  # holds the values: the id of a value that is gone could become another's

    def describe(self, value: Any) -> Iterator[str | bytes]:
        if id(value) in self._seen and not isinstance(value, int | str | float):
            yield "seen"
            return
        self._seen[id(value)] = value
        yield type(value).__qualname__
        yield from self._parts(value)

    @singledispatchmethod
    def _parts(self, value: Any) -> Iterator[str | bytes]:
        if _is_users(type(value)) and hasattr(value, "__dict__"):  # an object of the user's own
            yield from self.describe(type(value))
            yield from self.describe(vars(value))
        else:
            yield _plain(value)

    @_parts.register(types.MethodType)
    def _method(self, method: types.MethodType) -> Iterator[str | bytes]:
        yield from self.describe(method.__func__)
        yield from self.describe(method.__self__)

    @_parts.register(functools.partial)
    def _partial(self, partial: functools.partial[Any]) -> Iterator[str | bytes]:
        yield from self.describe([partial.func, partial.args, partial.keywords])

    @_parts.register(types.ModuleType)
    def _module(self, module: types.ModuleType) -> Iterator[str | bytes]:
        yield module.__name__
        if not is_local(module.__name__, module):
            return
        yield inspect.getsource(module)
        # The user's modules that the module imports, in part or whole.
        for name, value in sorted(vars(module).items()):
            home = value if isinstance(value, types.ModuleType) else _home_of(value)
            if home is not None and home is not module and is_local(home.__name__, home):
                yield name
                yield from self.describe(home)

    @_parts.register(np.ndarray)
    def _array(self, array: np.ndarray[Any, Any]) -> Iterator[str | bytes]:
        yield repr((array.dtype.str, array.shape))
        yield array.tobytes() if array.dtype.kind != "O" else _plain(array)

    @_parts.register(types.FunctionType)
    def _function(self, function: types.FunctionType) -> Iterator[str | bytes]:
        yield function.__qualname__
        module = sys.modules.get(function.__module__)
        if module is not None and module.__name__ != "__main__" and not is_local(module.__name__, module):
            yield function.__module__  # of an installed package
            return
        yield from self._code(function.__code__)
        for value in (function.__defaults__, function.__kwdefaults__):
            yield from self.describe(value)
        for name, value in inspect.getclosurevars(function).nonlocals.items():
            yield name
            yield from self.describe(value)
        for name in sorted(_names(function.__code__)):
            if name in function.__globals__:
                yield name
                yield from self.describe(function.__globals__[name])

    @_parts.register(types.CodeType)
    def _code(self, code: types.CodeType) -> Iterator[str | bytes]:
        yield code.co_code
        yield repr((code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars))
        for constant in code.co_consts:
            yield from self.describe(constant)

    @_parts.register(type)
    def _class(self, kind: type) -> Iterator[str | bytes]:
        for one in kind.__mro__:
            yield f"{one.__module__}.{one.__qualname__}"
            if _is_users(one):
                for name, value in sorted(vars(one).items()):
                    if isinstance(value, _CLASS_PARTS):
                        yield name
                        yield from self.describe(getattr(value, "__func__", getattr(value, "fget", value)))

    @_parts.register(list)
    @_parts.register(tuple)
    @_parts.register(set)
    @_parts.register(frozenset)
    @_parts.register(dict)
    def _collection(self, value: Any) -> Iterator[str | bytes]:
        items = value.items() if isinstance(value, dict) else value
        described = [_hex(*self.describe(item)) for item in items]
        yield from sorted(described) if isinstance(value, set | frozenset) else described


_CLASS_PARTS: tuple[type, ...] = (
    types.FunctionType,
    staticmethod,
    classmethod,
    property,
    int,
    float,
    str,
    tuple,
    list,
    dict,
    np.ndarray,
)


def _home_of(value: Any) -> types.ModuleType | None:
    return sys.modules.get(getattr(value, "__module__", None) or "")


def _is_users(kind: type) -> bool:
    home = _home_of(kind)
    return kind.__module__ == "__main__" or (home is not None and is_local(kind.__module__, home))


def _plain(value: Any) -> str | bytes:
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return repr(value)
    try:
        return pickle.dumps(value)
    except Exception:  # noqa: BLE001 - any type may raise anything; its type is what is left to compare
        return "no pickle"


def _names(code: types.CodeType) -> set[str]:
    """Return the names that a function and the functions inside it look up."""
    inner = (constant for constant in code.co_consts if isinstance(constant, types.CodeType))
    return set(code.co_names).union(*map(_names, inner))
