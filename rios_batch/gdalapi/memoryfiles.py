"""Files in GDAL's in-memory file system."""

from __future__ import annotations

import uuid
import weakref
from typing import TYPE_CHECKING

from osgeo import gdal

if TYPE_CHECKING:
    from rios_batch.model.spec import Array


class MemoryFolder:
    """A folder of GDAL's in-memory file system; as a context manager it is emptied at the end."""

    def __init__(self) -> None:
        self.path = f"/vsimem/rios_batch-{uuid.uuid4().hex}"

    def __enter__(self) -> str:
        return self.path

    def __exit__(self, *_: object) -> None:
        self.remove()

    def remove(self) -> None:
        """Remove every file; harmless when they are gone."""
        for name in gdal.ReadDirRecursive(self.path) or []:
            gdal.Unlink(f"{self.path}/{name}")

    def remove_after(self, array: Array) -> None:
        """Remove the files when ``array``, which looks into one of them, is no longer used."""
        weakref.finalize(array, self.remove)


def memory_file(path: str) -> memoryview:
    """Return the content of a file in GDAL's in-memory file system, without copying it.

    The view is valid until the file is removed; whoever keeps a part of it makes a copy.
    """
    view: memoryview = gdal.VSIGetMemFileBuffer_unsafe(path)
    return view


def has_memory_files() -> bool:
    """Say whether there is any file in GDAL's memory."""
    return bool(gdal.ReadDir("/vsimem/"))
