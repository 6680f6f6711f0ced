"""Environment variables: those that travel with a run, and those that a function reads although they stay."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import sys
import types
from typing import TYPE_CHECKING, Any

from rios_batch.jobmanagers.culprits import parts_of
from rios_batch.jobmanagers.pickling import is_local

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

log = logging.getLogger("rios_batch")

_READERS = frozenset({"environ", "environb", "getenv", "getenvb"})
# Every machine has these of its own, and those that begin so.
_OF_THE_MACHINE = frozenset({"HOME", "HOSTNAME", "LANG", "LOGNAME", "PATH", "PWD", "SHELL", "TMPDIR", "USER"})
_OF_THE_MACHINE_PREFIXES = ("AWS_", "LC_", "RIOS_")


@contextlib.contextmanager
def environment_with(variables: Mapping[str, str | None]) -> Iterator[None]:
    """Have these variables in the environment of this process for a while; None takes one away."""
    before = {name: os.environ.get(name) for name in variables}
    set_environment(variables)
    try:
        yield
    finally:
        set_environment(before)


def set_environment(variables: Mapping[str, str | None]) -> None:
    """Set variables of this process's environment; None takes one away."""
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def warn_of_variables_left_behind(function: Any, travelling: Mapping[str, str | None]) -> None:
    """Warn of `variables_left_behind`, if workers elsewhere have none of main's variables but those that travel."""
    if left := variables_left_behind(function, travelling):
        log.warning(
            "the function reads environment variables that workers on other machines do not get from here: %s; have "
            "them travel by controls.setWorkerEnvironment(%s), or pass the values in otherArgs",
            ", ".join(left),
            left,
        )


def variables_left_behind(function: Any, travelling: Mapping[str, str | None]) -> list[str]:
    """Return the variables that are set here and that a function reads, although they do not travel with the run.

    Names are found where they stand in the code of the function, or of the user's own functions that it uses. A name
    that is put together is not found.

    Parameters
    ----------
    travelling : what `set_environment` sets for every worker.
    """
    read = {
        name
        for code in _code_of(function, set())
        if _READERS.intersection(code.co_names)
        for name in code.co_consts
        if isinstance(name, str) and name in os.environ
    }
    return sorted(
        name
        for name in read - travelling.keys() - _OF_THE_MACHINE
        if not name.startswith(_OF_THE_MACHINE_PREFIXES)
    )


def _code_of(value: Any, seen: set[int]) -> Iterator[types.CodeType]:
    """Yield the code of a function, and of whatever it uses that is the user's own."""
    if id(value) in seen or not _is_users(value):
        return
    seen.add(id(value))
    if isinstance(value, types.FunctionType):
        yield from _nested(value.__code__)
    for _, part in parts_of(value):
        yield from _code_of(part, seen)


def _nested(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _nested(constant)


def _is_users(value: Any) -> bool:
    if isinstance(value, functools.partial):
        return True
    name = value.__name__ if isinstance(value, types.ModuleType) else getattr(value, "__module__", None)
    module = sys.modules.get(name or "")
    return name == "__main__" or (module is not None and is_local(module.__name__, module))
