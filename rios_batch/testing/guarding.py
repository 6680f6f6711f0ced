"""Files that a script changes while it is rehearsed, kept and put back.

Whatever this process opens for writing, renames or removes, by Python or by GDAL's Python functions, is kept before and
put back at the end. What was not there is removed. What other programs write that a script starts is not seen, and
neither is what the user function writes in workers.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osgeo import gdal, ogr

from rios_batch.errors import OutputError
from rios_batch.gdalapi import dataset_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

JOURNAL = "journal"
KEPT_PREFIX = ".rios-batch-rehearsal-"
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_NOT_FILES = ("/dev/", "/proc/", "/sys/")
# GDAL's functions that change files, and where the name stands among their arguments.
_GDAL_WRITERS = (
    *((gdal.Driver, name, 1) for name in ("Create", "CreateCopy", "Delete", "CreateVector")),
    *(
        (gdal, name, 0)
        for name in ("Translate", "Warp", "BuildVRT", "Rasterize", "VectorTranslate", "DEMProcessing")
    ),
    (gdal, "Unlink", 0),
    *((ogr.Driver, name, 1) for name in ("CreateDataSource", "DeleteDataSource")),
)
_GDAL_OPENERS = (
    *((gdal, name) for name in ("Open", "OpenEx", "OpenShared")),
    *((ogr, name) for name in ("Open", "OpenShared")),
)


class _HiddenFolders:
    """Folders of the rehearsal's own on the file systems of files, so that a link is as good as a copy."""

    def __init__(self, told: Callable[[Path], None]) -> None:
        self._told = told
        self._found: dict[Path, Path | None] = {}

    @property
    def made(self) -> list[Path]:
        return [folder for folder in self._found.values() if folder is not None]

    def near(self, path: str) -> Path | None:
        """Return a folder on a file's file system; None if none can be made there."""
        device = os.lstat(path).st_dev
        for parent in (Path.cwd(), Path(path).parent):
            if parent.stat().st_dev == device and (found := self._near(parent)):
                return found
        return None

    def _near(self, parent: Path) -> Path | None:
        if parent not in self._found:
            try:
                made = Path(tempfile.mkdtemp(prefix=KEPT_PREFIX, dir=parent))
            except OSError:
                self._found[parent] = None
            else:
                self._found[parent] = made
                self._told(made)
        return self._found[parent]


class Guard:
    """Keeps what is about to change.

    Parameters
    ----------
    scratch : a folder of the rehearsal's own, in which nothing is kept or removed.
    """

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._journal = scratch / JOURNAL
        self._known: dict[str, str | None] = {}
        self._busy = threading.local()
        self._lock = threading.RLock()
        self._active = False
        self._own_folders = _HiddenFolders(lambda made: self._note(str(made), None))
        self._outputs = _HiddenFolders(lambda _: None)

    def watch(self) -> None:
        """Begin; audit hooks stay, so a process watches once."""
        self._active = True
        sys.addaudithook(self._audit)
        for owner, name, place in _GDAL_WRITERS:
            if hasattr(owner, name):
                self._wrap(owner, name, place, always=True)
        for owner, name in _GDAL_OPENERS:
            self._wrap(owner, name, 0, always=False)

    def keep(self, path: str, *, in_place: bool) -> None:
        """Keep a file as it is now, or note that there is none; what is known already stays known.

        Parameters
        ----------
        in_place : the file's bytes are about to change; else the file is going to be replaced or removed as a whole.

        Raises
        ------
        OutputError : a copy of it cannot be made.
        """
        path = os.path.abspath(path)  # noqa: PTH100 - a link itself, not resolved
        is_no_file = path.startswith(_NOT_FILES) and not path.startswith("/dev/shm/")  # noqa: S108 - whoever keeps files there
        if is_no_file or path.startswith(f"{self._scratch}/") or KEPT_PREFIX in path:
            return
        if not self._active or getattr(self._busy, "on", False):  # it is the guard itself that writes
            return
        self._busy.on = True
        try:
            for one in dict.fromkeys((path, os.path.realpath(path))):
                with self._lock:
                    self._keep(one, in_place=in_place)
        finally:
            self._busy.on = False

    def _keep(self, path: str, *, in_place: bool) -> None:
        if path in self._known:
            kept = self._known[path]
            if in_place and kept and Path(path).is_file() and Path(kept).samefile(path):
                self._copy(path, kept)
            return
        if _is_folder(path) or self._is_in_new_folder(path):
            return
        kept = self._place_for(path) if os.path.lexists(path) else None
        if kept is not None:
            self._copy(path, kept) if in_place or not _linked(path, kept) else None
        self._note(path, kept)
        if kept is None:
            self._note_new_folders(path)

    def _is_in_new_folder(self, path: str) -> bool:
        return any(self._known.get(str(folder), "") is None for folder in Path(path).parents)

    def _note(self, path: str, kept: str | None) -> None:
        self._known[path] = kept
        with self._journal.open("a") as journal:
            journal.write(json.dumps([path, kept]) + "\n")

    def _note_new_folders(self, path: str) -> None:
        """Have folders that are about to be made removed, the outermost first in the journal."""
        new = [folder for folder in Path(path).parents if not folder.exists()]
        for folder in reversed(new):
            if str(folder) not in self._known:
                self._note(str(folder), None)

    def _place_for(self, path: str) -> str:
        """Return where to keep a file: on its own file system if that can be, so that a link is enough."""
        name = f"{len(self._known)}-{Path(path).name[:64]}"
        own = self._own_folders.near(path)
        return str((own or self._scratch) / name)

    def save_output(self, path: str) -> str:
        """Keep an output as it is now, also after everything was put back; return where.

        The folders are in `output_folders`, and whoever has compared the outputs removes them.
        """
        self._busy.on = True
        try:
            real = os.path.realpath(path)
            folder = Path(tempfile.mkdtemp(dir=self._outputs.near(real) or self._scratch))
            for file in {real, *map(os.path.realpath, dataset_files(real))}:
                kept = str(folder / Path(file).name)
                if not _linked(file, kept):
                    self._copy(file, kept)
        finally:
            self._busy.on = False
        return str(folder / Path(real).name)

    def new_folder(self) -> Path:
        """Make a folder in the rehearsal's own."""
        return Path(tempfile.mkdtemp(dir=self._scratch))

    @property
    def output_folders(self) -> list[str]:
        return [str(folder) for folder in self._outputs.made]

    def _copy(self, path: str, kept: str) -> None:
        try:
            shutil.copy2(path, f"{kept}~", follow_symlinks=False)
            os.replace(f"{kept}~", kept)  # noqa: PTH105
        except OSError as error:
            raise OutputError(
                f"{path!r} is about to be changed by the script, and a copy to put back cannot be made: "
                f"{error.strerror} ({kept!r}); make room, or rehearse a script that writes elsewhere"
            ) from error

    # -- who is about to change something

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        for path, in_place in _changed(event, arguments):
            self.keep(path, in_place=in_place)

    def _wrap(self, owner: Any, name: str, place: int, *, always: bool) -> None:
        original: Callable[..., Any] = getattr(owner, name)

        @functools.wraps(original)
        def guarded(*arguments: Any, **named: Any) -> Any:
            if always or _for_update(arguments[place + 1 :], named):
                given = [*arguments[place : place + 1], named.get("destName"), named.get("destNameOrDestDS")]
                for path in (os.fspath(one) for one in given if isinstance(one, str | os.PathLike)):
                    for suffix in ("", ".aux.xml", ".ovr", ".msk") if _is_local(path) else ():
                        self.keep(f"{path}{suffix}", in_place=True)
            return original(*arguments, **named)

        setattr(owner, name, guarded)

    def put_back(self) -> None:
        """Put everything back as it was."""
        self._active = False
        put_back(self._scratch)


def put_back(scratch: Path) -> None:
    """Put back what a journal says, if somebody has not done so already."""
    journal = scratch / JOURNAL
    if not journal.exists():
        return
    entries = [json.loads(line) for line in journal.read_text().splitlines() if line.endswith("]")]
    folders = []
    for path, kept in entries:
        if kept is not None and os.path.lexists(kept):
            _move_back(kept, path)
        elif kept is None and _is_folder(path):
            folders.append(path)
        elif kept is None:
            Path(path).unlink(missing_ok=True)
    for folder in reversed(folders):
        shutil.rmtree(folder, ignore_errors=True)
    journal.unlink()


def _move_back(kept: str, path: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    try:
        os.replace(kept, path)  # noqa: PTH105
    except OSError:  # another file system
        shutil.copy2(kept, path, follow_symlinks=False)
        Path(kept).unlink()


def _changed(event: str, arguments: tuple[Any, ...]) -> Iterator[tuple[str, bool]]:
    """Yield the files that are about to change, and whether their bytes change in place."""
    match event, arguments:
        case "open", (str() | bytes() as path, _, int(flags)) if flags & _WRITES:
            yield os.fsdecode(path), True
        case "os.truncate", (str() | bytes() as path, _):
            yield os.fsdecode(path), True
        case "os.remove", (path, folder):
            yield _in(folder, path), False
        case "os.rename", (source, target, source_folder, target_folder):
            yield _in(source_folder, source), False
            yield _in(target_folder, target), False
        case ("os.link", (_, target, _, folder)) | ("os.symlink", (_, target, folder)):
            yield _in(folder, target), False
        case "os.mkdir", (path, _, folder):
            yield os.path.join(_in(folder, path), "_"), False  # noqa: PTH118


def _in(folder: int, path: Any) -> str:
    name = os.fsdecode(path)
    return name if folder == -1 else os.path.join(os.readlink(f"/proc/self/fd/{folder}"), name)  # noqa: PTH115, PTH118


def _linked(path: str, kept: str) -> bool:
    """Keep a file by another link to it, if its file system has links."""
    try:
        os.link(path, kept, follow_symlinks=False)
    except OSError:
        return False
    return True


def _for_update(arguments: tuple[Any, ...], named: dict[str, Any]) -> bool:
    flags = [
        *arguments[:1],
        named.get("nOpenFlags"),
        named.get("eAccess"),
        named.get("nFlags"),
        named.get("update"),
    ]
    return any(isinstance(flag, int) and flag & gdal.GA_Update for flag in flags)


def _is_local(path: str) -> bool:
    """Say whether a name is a file's; ``MEM:...`` and the like have a colon in their beginning."""
    return bool(path) and not path.startswith("/vsi") and ":" not in path.partition("/")[0]


def _is_folder(path: str) -> bool:
    return Path(path).is_dir() and not Path(path).is_symlink()
