"""Whose a hidden folder is: a process that lives, or one that has ended and left the folder behind.

A folder is taken for a dead process's only if three things agree: the process ran on this host, there is no such
process any more, and the folder's lock is free. Elsewhere nobody can tell: a network's file system may have no locks
that all hosts see, and another container's process numbers mean nothing here.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import shutil
from pathlib import Path

LOCK, OWNER = ".rios_batch.lock", ".rios_batch.owner"
MARKS = (LOCK, OWNER)
_NOBODY = ("", 0, "")  # a process that has let go of the folder


class Ownership:
    """Has a folder say that this process works in it, until this is closed or the process ends.

    Parameters
    ----------
    folder : a folder that nobody else knows yet, or a dead process's (`taken_over`).
    lock_fd : the locked lock of the latter.

    Attributes
    ----------
    folder : where the folder is; whoever moves it says so here.

    Raises
    ------
    OSError : the folder cannot be written.
    """

    def __init__(self, folder: Path, lock_fd: int | None = None) -> None:
        self.folder = folder
        new = folder / f"{LOCK}.new"
        # Nobody sees a lock before it is locked.
        self._fd = os.open(new, os.O_RDWR | os.O_CREAT, 0o600) if lock_fd is None else lock_fd
        try:
            _try_lock(self._fd)
            (folder / OWNER).write_text(json.dumps([platform.node(), os.getpid(), _started(os.getpid())]))
            if lock_fd is None:
                new.rename(folder / LOCK)
        except BaseException:
            os.close(self._fd)
            raise

    def close(self) -> None:
        """Let go of the folder, which anybody may take over or remove then. Harmless when called again."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):  # the folder is gone
                (self.folder / OWNER).write_text(json.dumps(_NOBODY))
            os.close(self._fd)
            self._fd = -1


def taken_over(folder: Path) -> Ownership | None:
    """Take a dead process's folder over; None if its process lives, or nobody can tell.

    Raises
    ------
    OSError : the folder cannot be written.
    """
    if not _may_be_dead(folder):
        return None
    fd = os.open(folder / LOCK, os.O_RDWR)
    if not _try_lock(fd):
        os.close(fd)
        return None
    return Ownership(folder, fd)


def owner_of(folder: Path) -> str:
    """Return who works in a folder, for a sentence."""
    owner = _read_owner(folder)
    return "an unknown process" if owner is None else f"process {owner[1]} on {owner[0]}"


def remove_dead_folders(parent: Path, beginning: str) -> None:
    """Remove the hidden folders of dead processes whose names begin so; what may not be removed stays."""
    for folder in _hidden_folders(parent, beginning):
        with contextlib.suppress(OSError):  # another process removes it, too
            if (ownership := taken_over(folder)) is not None:
                shutil.rmtree(folder, ignore_errors=True)
                ownership.close()


def _hidden_folders(parent: Path, beginning: str) -> list[Path]:
    try:
        with os.scandir(parent) as entries:
            return [
                Path(entry.path)
                for entry in entries
                if entry.name.startswith(beginning) and entry.is_dir(follow_symlinks=False)
            ]
    except OSError:  # who makes the folder says why
        return []


def _may_be_dead(folder: Path) -> bool:
    """Say whether the process that a folder names has ended. The lock is not touched: to close it would free it."""
    owner = _read_owner(folder)
    if owner is None or not (folder / LOCK).exists():
        return False
    if owner == _NOBODY:
        return True
    host, pid, started = owner
    if host != platform.node():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return started != _started(pid)  # another process has the number by now


def _read_owner(folder: Path) -> tuple[str, int, str] | None:
    with contextlib.suppress(OSError, ValueError, RecursionError):
        match json.loads((folder / OWNER).read_text()):
            case [str(host), int(pid), str(started)] if pid > 0 or (host, pid, started) == _NOBODY:
                return host, pid, started
    return None


def _try_lock(fd: int) -> bool:
    """Lock a file for this process, not for those that it forks; True also where there are no locks."""
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # the file system has none
        return True
    return True


def _started(pid: int) -> str:
    """Return when a process began, by the kernel's count since the machine's start; nothing where it has none.

    Nor of a process that has ended, and that its parent has not asked for yet.
    """
    with contextlib.suppress(OSError, IndexError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else f"{boot} {fields[19]}"
    return ""
