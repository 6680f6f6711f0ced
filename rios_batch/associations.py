"""The plain attribute containers of RIOS's API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    Key = str | tuple[str, int | None]


class _Attributes:
    """An object whose attributes are set by name and listed in the order of setting."""

    if TYPE_CHECKING:  # any attribute may be read or set; what it holds is the script's business

        def __getattr__(self, name: str) -> Any: ...
        def __setattr__(self, name: str, value: Any) -> None: ...

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.__dict__)

    def __contains__(self, name: Any) -> bool:
        return name in self.__dict__

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.__dict__.items())})"


class _Indexed(_Attributes):
    """RIOS 2's second way to the values: ``[name, sequence]``, with None where the value is not a list."""

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
    """Symbolic names for files: each attribute is a file name, or a list of them.

    ``str`` and ``os.PathLike`` are accepted, a list or tuple gives the user function a list of arrays
    in the same order, and None means that the name is absent. As in RIOS 2, iteration yields ``(name, sequence, file)``
    for every file, with None for the sequence where there is no list; as in RIOS 1.4, ``len`` counts the names.
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

    Every array has shape (bands, rows, cols), the margin of ``setOverlap`` included.
    """

    def __setitem__(self, key: Key, array: Any) -> None:
        name, sequence = (key, None) if isinstance(key, str) else key
        if sequence is None:
            self.__dict__[name] = array
            return
        arrays = self.__dict__.setdefault(name, [])
        arrays.extend([None] * (sequence + 1 - len(arrays)))
        arrays[sequence] = array


class OtherInputs(_Attributes):
    """Anything else that the user function should see or change; free attributes."""
