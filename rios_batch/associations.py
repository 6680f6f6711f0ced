"""The containers of RIOS's API: objects whose attributes are files, arrays, or anything that the script likes."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    Key = str | tuple[str, int | None]


class _Attributes:
    """An object whose attributes are set by name. Iteration yields the names in the order of setting."""

    if TYPE_CHECKING:  # any attribute may be set; the script decides what an attribute holds

        def __setattr__(self, name: str, value: Any) -> None: ...

    def __getattr__(self, name: str) -> Any:
        """Say what names there are; Python asks only where there is no such attribute."""
        names = [str(known) for known in vars(self)]
        nearest = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"the names are {', '.join(names) or 'none'}"
        raise AttributeError(f"{type(self).__name__} has no {name!r}; {hint}")

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.__dict__)

    def __contains__(self, name: Any) -> bool:
        return name in self.__dict__

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.__dict__.items())})"


class _Indexed(_Attributes):
    """Attributes that can be read by ``[name, sequence]`` too, as in RIOS 2.

    ``sequence`` is the place in a list, counted from 0. ``sequence`` is None where the value is not a list.

    Raises
    ------
    KeyError : by ``[name, sequence]``: there is no such name, or no such place in the list.
    """

    def __getitem__(self, key: Key) -> Any:
        name, sequence = (key, None) if isinstance(key, str) else key
        value = self.__dict__[name]
        if sequence is None:
            return value
        if not isinstance(value, list | tuple) or not 0 <= sequence < len(value):
            raise KeyError(key)
        return value[sequence]

    def __contains__(self, key: Any) -> bool:
        try:
            self[key]
        except KeyError:
            return False
        return True


class FilenameAssociations(_Indexed):
    """Symbolic names for files: each attribute is a file name, or a list of file names.

    A file name is a ``str`` or an ``os.PathLike``. A list or tuple gives the user function a list of arrays in the same
    order. None means that there is no file: the user function gets None, and what the function sets is not written. As
    in RIOS 2, iteration yields ``(name, sequence, file)`` for every file, and the sequence is None where there is no
    list. As in RIOS 1.4, ``len`` counts the symbolic names.
    """

    def __len__(self) -> int:
        return len(self.__dict__)

    def __iter__(self) -> Iterator[tuple[str, int | None, Any]]:
        for name, value in self.__dict__.items():
            if isinstance(value, list | tuple):
                yield from ((name, sequence, file) for sequence, file in enumerate(value))
            elif value is not None:
                yield name, None, value


class BlockAssociations(_Indexed):
    """The arrays of one block, under the symbolic names of the files.

    Every array has shape (bands, rows, cols). Rows and columns include the margin of ``setOverlap`` on every side. A
    symbolic name that stands for a list of files has a list of arrays. A symbolic name without a file is None, and is
    neither iterated over nor ``in`` the object.
    """

    def __iter__(self) -> Iterator[str]:
        return (name for name, value in self.__dict__.items() if value is not None)

    def __contains__(self, key: Any) -> bool:
        return super().__contains__(key) and self[key] is not None

    def __setitem__(self, key: Key, array: Any) -> None:
        name, sequence = (key, None) if isinstance(key, str) else key
        if sequence is None:
            self.__dict__[name] = array
            return
        arrays = self.__dict__.setdefault(name, [])
        arrays.extend([None] * (sequence + 1 - len(arrays)))
        arrays[sequence] = array


class OtherInputs(_Attributes):
    """What the user function sees or changes beside arrays. The script sets any attributes that it likes."""
