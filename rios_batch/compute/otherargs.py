"""otherArgs with more than one worker: what a tile changed, and how the changes become one value.

RIOS 1.4 loses changes made in workers silently; RIOS 2 leaves copies for the script to merge. Here each
tile starts from a fresh copy, the attributes it changed come back, and a rule declared with
``controls.setOtherArgsMerge`` merges them into the caller's object in tile order. An attribute without a
rule ends the run, unless the script merges the copies itself, as scripts for RIOS 2 do.
"""

from __future__ import annotations

import copy
import hashlib
import io
from typing import TYPE_CHECKING, Any, NoReturn

import cloudpickle

from rios_batch.associations import OtherInputs
from rios_batch.errors import ParameterError
from rios_batch.model.mergerules import RULES

if TYPE_CHECKING:
    import pickle
    from collections.abc import Container, Iterable, Mapping

    from rios_batch.model.mergerules import MergeRule


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


def unpickled(changes: Mapping[str, bytes | None]) -> dict[str, Any]:
    """Return the values of attributes that a tile has changed; None for one that cannot be pickled."""
    return {
        name: None if pickled is None else cloudpickle.loads(pickled) for name, pickled in changes.items()
    }


class ChangeDetector:
    """Gives a worker its copies of otherArgs, and tells which attributes a tile changed.

    A change is a change of the attribute's pickle. A copy that a tile left as it was serves the next tile
    too, so a large attribute that is only read (a classifier, a look-up table) is unpickled once per worker.

    Parameters
    ----------
    pickled : otherArgs as they are when the run begins.
    scratch : attributes whose changes nobody wants; the worker's next tile may find what a tile left there.
    """

    def __init__(self, pickled: bytes, scratch: Container[str] = ()) -> None:
        self._pickled, self._scratch = pickled, scratch
        self._before: dict[str, bytes | None] = {}
        self._unchanged: Any = None

    def load(self) -> None:
        """Make the first copy now.

        Raises
        ------
        Exception : whatever unpickling raises, such as ModuleNotFoundError.
        """
        self._unchanged = self.fresh_copy()

    def fresh_copy(self) -> Any:
        """Return a copy of otherArgs as it was when the run began."""
        if self._unchanged is not None:
            return self._unchanged
        other_args = cloudpickle.loads(self._pickled)
        if not self._before and other_args is not None:
            self._before = self._digests(other_args)
        return other_args

    def changes(self, other_args: Any) -> dict[str, bytes | None]:
        """Return the pickled values of attributes that differ from the fresh copy's.

        A value that cannot be pickled, or was deleted, is given as None.
        """
        if other_args is None:
            return {}
        after = self._digests(other_args)
        changed = [name for name in after if name not in self._before or after[name] != self._before[name]]
        deleted = self._before.keys() - after.keys()
        self._unchanged = None if changed or deleted else other_args
        attributes = attributes_of(other_args)
        return {name: pickle_or_none(attributes[name]) for name in changed} | dict.fromkeys(deleted)

    def _digests(self, other_args: Any) -> dict[str, bytes | None]:
        attributes = attributes_of(other_args).items()
        return {name: _digest(value) for name, value in attributes if name not in self._scratch}


def pickle_or_none(value: Any) -> bytes | None:
    """Return the pickle of a value, or None if it has none (an open file, a lock, a GDAL dataset)."""
    try:
        return bytes(cloudpickle.dumps(value))
    except Exception:  # noqa: BLE001 - any type may raise anything here; None is reported, not hidden
        return None


def _class_named(module: str, name: str) -> NoReturn:
    """Stand for a class in a pickle that nobody reads."""
    raise NotImplementedError(f"{module}.{name}")


class _DigestPickler(cloudpickle.Pickler):  # type: ignore[misc] # cloudpickle ships no types
    """Pickles classes by their names.

    A class of the script is one object for all threads, which cloudpickle fills anew each time that it unpickles an
    instance; the bytes of the class would differ though nobody has changed the class.
    """

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, type):
            return _class_named, (value.__module__, value.__qualname__)
        return super().reducer_override(value)


def _digest(value: Any) -> bytes | None:
    """Hash a value's pickle, arrays where they lie; None if it has none."""
    buffers: list[pickle.PickleBuffer] = []
    try:
        with io.BytesIO() as file:
            _DigestPickler(file, protocol=5, buffer_callback=buffers.append).dump(value)
            digest = hashlib.sha256(file.getbuffer())
    except Exception:  # noqa: BLE001 - any type may raise anything here
        return None
    for buffer in buffers:
        digest.update(buffer.raw())
    return digest.digest()


def check_rules(changed: Iterable[str], rules: Mapping[str, MergeRule]) -> None:
    """See that no change of a tile will be lost.

    Parameters
    ----------
    changed : names of the attributes that a tile changed.
    rules : by attribute name.

    Raises
    ------
    ParameterError : an attribute has no rule; says which there are.
    """
    lost = sorted(set(changed) - rules.keys())
    if lost:
        names = ", ".join(f"otherArgs.{name}" for name in lost)
        raise ParameterError(
            f"{names} changed in blocks that a worker computed, but {'have' if len(lost) > 1 else 'has'} no merge "
            f"rule, so that the change would be lost; use controls.setOtherArgsMerge({lost[0]!r}, rule) with "
            f"{', '.join(map(repr, RULES))} (nobody wants the change) or a function, or use one thread"
        )


def merge(
    other_args: Any, tile_changes: Iterable[Mapping[str, bytes | None]], rules: Mapping[str, MergeRule]
) -> list[Any]:
    """Merge the tiles' changes into ``other_args``, which is changed in place.

    Parameters
    ----------
    tile_changes : for each tile in order, the pickled values of the attributes it changed.
    rules : by attribute name.

    Returns
    -------
    The tiles' copies of otherArgs.

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
    return copies
