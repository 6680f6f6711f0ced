"""Pickling a run for another process: the user's own modules travel by value."""

from __future__ import annotations

import contextlib
import io
import os
import site
import sys
import sysconfig
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle

from rios_batch.compute.otherargs import attributes_of, pickle_or_none
from rios_batch.errors import PicklingFailedError
from rios_batch.jobmanagers.culprits import culprit_of
from rios_batch.jobmanagers.sourcelines import SourcePickler, dumps

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from rios_batch.model.spec import RunSpec

_OWN_PACKAGE = __name__.partition(".")[0]
_OWN_FOLDER = str(Path(__file__).parents[1]) + os.sep


def dump_spec(spec: RunSpec, *, same_machine: bool = False, modules: set[str] | None = None) -> bytes:
    """Pickle a run.

    Parameters
    ----------
    same_machine : a module that holds a lock, and nothing else that cannot be pickled, may travel by name: a lock of
        its own is what each process needs. What else cannot be pickled may have been set by the script, which a module
        that the worker imports knows nothing of.
    modules : the names of modules that the pickle's parts come from are added here.

    Raises
    ------
    PicklingFailedError : the user function, or something it uses, cannot be pickled; names it.
    """
    try:
        with _local_modules_by_value():
            return dumps(spec, modules)
    except Exception as error:
        with _local_modules_by_value():
            only_locks = _can_travel(spec, _LocksTravel)
            culprit = culprit_of(
                spec.function, partial(_can_travel, kind=SourcePickler if only_locks else _LocksTravel)
            )
        if same_machine and only_locks:
            with contextlib.suppress(Exception):
                return dumps(spec, modules)
        name = getattr(spec.function, "__qualname__", repr(spec.function))
        raise PicklingFailedError(
            f"the function {name} cannot be sent to another process: {error}{culprit and f' ({culprit})'}; "
            "open files, datasets and locks inside the function, or use setJobManagerType('threads')"
        ) from error


class _LocksTravel(SourcePickler):
    """Finds out whether a value could be pickled if locks could; what it writes is of no use."""

    def reducer_override(self, value: Any) -> Any:
        return (int, ()) if isinstance(value, _LOCKS) else super().reducer_override(value)


_LOCKS = (type(threading.Lock()), type(threading.RLock()))


def _can_travel(value: Any, kind: type[SourcePickler]) -> bool:
    try:
        kind(io.BytesIO()).dump(value)
    except Exception:  # noqa: BLE001 - the caller knows already that something cannot be pickled
        return False
    return True


def dump_other_args(other_args: Any, *, modules: set[str] | None = None) -> bytes:
    """Pickle otherArgs.

    Parameters
    ----------
    modules : the names of modules that the pickle's parts come from are added here.

    Raises
    ------
    PicklingFailedError : an attribute cannot be pickled; names it.
    ParameterError : it is of a kind whose changes could not be brought back.
    """
    attributes = attributes_of(other_args) if other_args is not None else {}
    try:
        with _local_modules_by_value():
            return dumps(other_args, modules)
    except Exception as error:
        culprits = [name for name, value in attributes.items() if pickle_or_none(value) is None]
        raise PicklingFailedError(
            f"otherArgs.{', otherArgs.'.join(culprits) or '?'} cannot be copied for each worker: {error}; "
            "open files, datasets and locks inside the function, or use one thread"
        ) from error


@contextlib.contextmanager
def _local_modules_by_value() -> Iterator[None]:
    """Have cloudpickle send functions of modules that are not installed packages as code.

    By reference they would have to be importable in the worker, and ``my_helpers.py`` beside a script
    is not importable on another machine.
    """
    modules = [module for name, module in list(sys.modules.items()) if is_local(name, module)]
    already = cloudpickle.list_registry_pickle_by_value()
    added = [module for module in modules if module.__name__ not in already]
    for module in added:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in added:
            cloudpickle.unregister_pickle_by_value(module)


def is_local(name: str, module: ModuleType) -> bool:
    """Say whether a module is the user's own file rather than an installed package."""
    file = getattr(module, "__file__", None)
    if not file or name.partition(".")[0] in {_OWN_PACKAGE, "__main__"} | sys.stdlib_module_names:
        return False
    return getattr(module, "__name__", None) == name and not _is_installed(file)


def is_users_file(file: str) -> bool:
    """Say whether code comes from a file, or a notebook's cell, that is neither installed nor this package's."""
    return not (file.startswith(_OWN_FOLDER) or _is_installed(file))


def _is_installed(file: str) -> bool:
    # Resolving is slow, there are hundreds of modules, and nearly all pass the first test.
    return file.startswith(_INSTALLED) or str(Path(file).resolve()).startswith(_INSTALLED)


def _installed_folders() -> Iterator[str]:
    for folder in {
        *sysconfig.get_paths().values(),
        *site.getsitepackages(),
        site.getusersitepackages(),
        *(entry for entry in sys.path if entry.endswith("dist-packages")),
    }:
        yield folder + os.sep
        yield str(Path(folder).resolve()) + os.sep


_INSTALLED = tuple(_installed_folders())
