"""Files are made beside their place and moved there when they are complete."""

from __future__ import annotations

import os
import shutil
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path

from rios_batch.errors import OutputError
from rios_batch.gdalapi import output_errors_named
from rios_batch.jobmanagers.ownership import MARKS, Ownership, remove_dead_folders

# What GDAL keeps beside a raster. Left over from an older file they would describe the new one.
SIDE_FILE_SUFFIXES = (".aux.xml", ".ovr", ".msk", ".msk.ovr")


_LONGEST_NAME_BYTES = 255  # of every file system in use


class StagingFolder(ABC):
    """A hidden folder in which one file, and whatever GDAL puts next to it, is made; ``path`` is that file.

    Folders for a file of that name that processes have left which were killed are removed.
    """

    def __init__(self, name: str, parent: Path) -> None:
        beginning = f".{name[:32]}."
        remove_dead_folders(parent, beginning)
        self._folder = Path(tempfile.mkdtemp(prefix=beginning, dir=parent)).absolute()
        try:
            self._ownership = Ownership(self._folder)
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        self.path = self._folder / name

    @abstractmethod
    def commit(self) -> None:
        """Bring everything to its place, the file itself last."""

    def side_files(self) -> list[Path]:
        """Return what was made next to the file."""
        return sorted(made for made in self._folder.iterdir() if made != self.path and made.name not in MARKS)

    def disk_is_full(self) -> bool:
        """Say whether not one block is free where the file is made."""
        return os.statvfs(self._folder).f_bavail == 0

    def abort(self) -> None:
        """Remove the folder with everything in it."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._ownership.close()


class StagedFile(StagingFolder):
    """A file that is made beside its target, on the same file system, so that moving into place is a rename.

    Through a symbolic link it is the linked file that is made anew; the link stays. Side files stand beside the linked
    file and have its name.

    Raises
    ------
    OutputError : the target's folder does not exist or cannot be written, or the target is no file that can be
        replaced, or its name is too long.
    """

    def __init__(self, target: str) -> None:
        if target.startswith("/vsi") or "://" in target:
            raise OutputError(
                f"output {target!r} is not a local file; for an object in S3 write s3://bucket/folder/file"
            )
        # Resolved at once: the user function may change the working directory.
        self.target = Path(os.path.realpath(target))
        self._link = Path(os.path.abspath(target))  # noqa: PTH100 - the link itself, not resolved
        _check_length(self.target.name, target)
        _check_can_be_replaced(self.target, target)
        try:
            super().__init__(self.target.name, self.target.parent)
        except OSError as error:
            folder = str(self.target.parent if self._link.is_symlink() else Path(target).parent)
            raise OutputError(
                f"output {target!r} cannot be written: {error.strerror} ({folder!r})"
            ) from error

    def commit(self) -> None:
        """Move everything into place; older side files are removed."""
        with output_errors_named(str(self.target)):
            if self.target.exists():
                _write_to_disk(self.path)
            for suffix in SIDE_FILE_SUFFIXES:
                for old in {self.target, self._link}:
                    Path(f"{old}{suffix}").unlink(missing_ok=True)
            for made in [*self.side_files(), self.path]:
                made.replace(self.target.parent / made.name)
        self.abort()


def _write_to_disk(path: Path) -> None:
    """Wait until a file outlives a power cut.

    That is for a file which replaces another one: without, both could be lost. A new file is left to the system, as
    other programs do. After a power cut its run is begun again in any case, and waiting takes a tenth of a light run.
    """
    with path.open("rb") as file:
        os.fsync(file.fileno())


def side_file_name(name: str, suffix: str) -> str:
    """Return the name of a file beside a file: GDAL's own suffixes are appended, others take the extension's place."""
    return name + suffix if suffix in SIDE_FILE_SUFFIXES else Path(name).stem + suffix


def _check_can_be_replaced(target: Path, given: str) -> None:
    if target.is_symlink():  # what is left when all links are followed
        raise OutputError(f"output {given!r} is a symbolic link that leads to itself; remove the link")
    if target.is_dir():
        raise OutputError(f"output {given!r} is a folder; give a file name")
    if target.exists() and not target.is_file():
        raise OutputError(
            f"output {given!r} is a pipe, a device or a socket, which an output cannot be; give the name of a file"
        )


def _check_length(name: str, given: str) -> None:
    """Refuse a name that leaves no room for those of side files, which would be noticed only at the end."""
    longest_bytes = _LONGEST_NAME_BYTES - max(map(len, SIDE_FILE_SUFFIXES))
    if (length_bytes := len(os.fsencode(name))) > longest_bytes:
        raise OutputError(
            f"output {given!r} has a name of {length_bytes} bytes; at most {longest_bytes} leave room for the names of "
            "side files such as .aux.xml, so give a shorter name"
        )
