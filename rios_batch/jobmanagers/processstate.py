"""What a worker process has of the process that started it: only what is named here."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from rios_batch.gdalapi import GdalSettings
from rios_batch.read.credentials import handed_over, take_over

if TYPE_CHECKING:
    from rios_batch.aws.credentials import Keys

_LIMITS = tuple(getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_"))


@dataclass(frozen=True)
class _WarningFilter:
    """An entry of ``warnings.filters``; the category by its names, since its module need not be here."""

    action: str
    message: re.Pattern[str] | str | None
    category: tuple[str, str]
    module: re.Pattern[str] | str | None
    line: int


@dataclass(frozen=True)
class ProcessState:
    """A process's surroundings and settings, as a script may change them at any time before the run.

    Output streams and the working directory come with the process itself (`workerstart.start_worker`).
    """

    pid: int
    environment: dict[str, str]
    import_path: list[str]
    arguments: list[str]
    umask: int
    limits: tuple[tuple[int, int], ...]
    niceness: int
    cpus: frozenset[int]
    warning_filters: tuple[_WarningFilter, ...]
    numpy_errors: Any
    encodings: tuple[tuple[str, str], ...]
    gdal: GdalSettings
    keys: Keys | None

    @classmethod
    def of_this_process(cls) -> Self:
        """Return the state of the process that is to start workers."""
        return cls(
            pid=os.getpid(),
            environment=dict(os.environ),
            import_path=list(sys.path),
            arguments=list(sys.argv),
            umask=_umask(),
            limits=tuple(map(resource.getrlimit, _LIMITS)),
            niceness=os.getpriority(os.PRIO_PROCESS, 0),
            cpus=frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else frozenset(),
            warning_filters=tuple(map(_by_name, warnings.filters)),
            numpy_errors=np.geterr(),
            encodings=tuple(map(_encoding, (sys.stdout, sys.stderr))),
            gdal=GdalSettings.of_this_process(),
            keys=handed_over(),
        )

    def take_on(self) -> None:
        """Give this process, a worker, the state."""
        os.environ.clear()
        os.environ.update(self.environment)
        sys.path[:] = self.import_path
        sys.argv[:] = self.arguments
        sys.stdout, sys.stderr = (
            open(fd, "w", encoding=encoding, errors=errors, buffering=fd == 2 or -1, closefd=False)  # noqa: PLR2004, SIM115
            for fd, (encoding, errors) in enumerate(self.encodings, start=1)
        )
        os.umask(self.umask)
        warnings.filters[:] = [found for entry in self.warning_filters if (found := _with_category(entry))]  # type: ignore[index]
        warnings._filters_mutated()  # type: ignore[attr-defined] # noqa: SLF001 - or remembered answers stay
        np.seterr(**self.numpy_errors)
        np.random.seed()  # noqa: NPY002 - a script's; all workers are copies of one process, and would draw the same
        self.gdal.take_on()
        take_over(self.keys)
        if self.cpus:
            os.sched_setaffinity(0, self.cpus)
        with contextlib.suppress(PermissionError):  # the server is nicer than main has become
            os.setpriority(os.PRIO_PROCESS, 0, self.niceness)
        for limit, (soft, hard) in zip(_LIMITS, self.limits, strict=True):
            most = resource.getrlimit(limit)[1]  # this process may not have more than the server had
            resource.setrlimit(limit, (_at_most(soft, most), _at_most(hard, most)))

    def main_is_gone(self) -> bool:
        """Say whether the process whose state this was has ended."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False


def _umask() -> int:
    """Return the file mode creation mask; asking for it elsewhere than on Linux means to set it for a moment."""
    status = Path("/proc/self/status")
    if status.exists() and (found := re.search(r"^Umask:\s*(\d+)", status.read_text(), re.MULTILINE)):
        return int(found.group(1), 8)
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _at_most(value: int, most: int) -> int:
    unlimited = resource.RLIM_INFINITY
    return most if value == unlimited or (most != unlimited and value > most) else value


def _encoding(stream: Any) -> tuple[str, str]:
    return (
        getattr(stream, "encoding", None) or "utf-8",
        getattr(stream, "errors", None) or "backslashreplace",
    )


def _by_name(entry: Any) -> _WarningFilter:
    action, message, category, module, line = entry
    return _WarningFilter(action, message, (category.__module__, category.__qualname__), module, line)


def _with_category(entry: _WarningFilter) -> tuple[Any, ...] | None:
    """Return the filter, or None if its category's module is not loaded: nothing here warns by that."""
    module, name = entry.category
    category = getattr(sys.modules.get(module), name, None)
    return category and (entry.action, entry.message, category, entry.module, entry.line)
