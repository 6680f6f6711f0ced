"""The plain attribute containers of RIOS's API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Attributes:
    """An object whose attributes are set by name and listed in the order of setting."""

    if TYPE_CHECKING:  # any attribute may be read or set; what it holds is the script's business

        def __getattr__(self, name: str) -> Any: ...
        def __setattr__(self, name: str, value: Any) -> None: ...

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)

    def __iter__(self) -> Iterator[str]:
        return iter(self.__dict__)

    def __contains__(self, name: str) -> bool:
        return name in self.__dict__

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.__dict__.items())})"


class FilenameAssociations(_Attributes):
    """Symbolic names for files: each attribute is a file name, or a list of them.

    ``str`` and ``os.PathLike`` are accepted, a list or tuple gives the user function a list of arrays
    in the same order, and None means that the name is absent.
    """

    def __len__(self) -> int:
        return len(self.__dict__)


class BlockAssociations(_Attributes):
    """The arrays of one block, under the symbolic names of the files.

    Every array has shape (bands, rows, cols), the margin of ``setOverlap`` included.
    """


class OtherInputs(_Attributes):
    """Anything else that the user function should see or change; free attributes."""
