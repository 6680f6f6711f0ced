"""Files are made beside their place and moved there when they are complete."""

from __future__ import annotations

import os
import shutil
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path

from rios_batch.errors import OutputError
from rios_batch.gdalapi import output_errors_named

# What GDAL keeps beside a raster. Left over from an older file they would describe the new one.
SIDE_FILE_SUFFIXES = (".aux.xml", ".ovr", ".msk", ".msk.ovr")


class StagingFolder(ABC):
    """A hidden folder in which one file, and whatever GDAL puts next to it, is made; ``path`` is that file."""

    def __init__(self, name: str, parent: Path) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix=f".{name[:32]}.", dir=parent)).absolute()
        self.path = self._folder / name

    @abstractmethod
    def commit(self) -> None:
        """Bring everything to its place, the file itself last."""

    def side_files(self) -> list[Path]:
        """Return what was made next to the file."""
        return sorted(made for made in self._folder.iterdir() if made != self.path)

    def disk_is_full(self) -> bool:
        """Say whether not one block is free where the file is made."""
        return os.statvfs(self._folder).f_bavail == 0

    def abort(self) -> None:
        """Remove the folder with everything in it."""
        shutil.rmtree(self._folder, ignore_errors=True)


class StagedFile(StagingFolder):
    """A file that is made beside its target, on the same file system, so that moving into place is a rename.

    Raises
    ------
    OutputError : the target's folder does not exist or cannot be written.
    """

    def __init__(self, target: str) -> None:
        if target.startswith("/vsi") or "://" in target:
            raise OutputError(
                f"output {target!r} is not a local file; for an object in S3 write s3://bucket/folder/file"
            )
        self.target = Path(target)
        if self.target.is_dir():
            raise OutputError(f"output {target!r} is a folder; give a file name")
        try:
            super().__init__(self.target.name, self.target.parent)
        except OSError as error:
            raise OutputError(
                f"output {target!r} cannot be written: {error.strerror} ({str(self.target.parent)!r})"
            ) from error
        # The user function may change the working directory; and through a link it is the linked file that is written.
        self.target = self.target.resolve()
        self.path = self.path.with_name(self.target.name)

    def commit(self) -> None:
        """Move everything into place; older side files are removed."""
        with output_errors_named(str(self.target)):
            for suffix in SIDE_FILE_SUFFIXES:
                Path(f"{self.target}{suffix}").unlink(missing_ok=True)
            for made in [*self.side_files(), self.path]:
                made.replace(self.target.parent / made.name)
        self.abort()
