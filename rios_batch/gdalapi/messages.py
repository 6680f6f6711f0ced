"""What GDAL's errors say, in one line; for an output in a sentence that names the output."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import re
import tempfile
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from rios_batch.errors import OutputError
from rios_batch.model.s3names import SCHEME

if TYPE_CHECKING:
    from collections.abc import Iterator


def reason(error: Exception) -> str:
    """Return GDAL's message without line breaks, and without the names of files in memory."""
    text = re.sub(r"/vsimem/rios_batch-\w+/[\w.]+(: )?", "", str(error))
    return " ".join(text.split()) or "GDAL gives no reason"


@contextlib.contextmanager
def output_errors_named(path: str) -> Iterator[None]:
    """Turn what the system, S3 or GDAL says of writing an output into a sentence that names the output.

    Parameters
    ----------
    path : the output's path, as the script gave it.

    Raises
    ------
    OutputError : whenever the body raises OSError or RuntimeError; the original is its cause.
    """
    try:
        yield
    except OutputError:
        raise
    except (OSError, RuntimeError) as error:
        # The frames of a failed GDAL call hold the dataset, and would close it, with more complaints, only when
        # the script ends.
        traceback.clear_frames(error.__traceback__)
        raise OutputError(f"output {path!r} cannot be written: {_cause(error, path)}") from error


def _cause(error: OSError | RuntimeError, path: str) -> str:
    if getattr(error, "errno", None) == errno.EFBIG or "File too large" in str(error):
        return "the file would be larger than a file may be here; raise the limit (`ulimit -f`)"
    # GDAL reports a full disk as a failed write; asking the disk tells the difference.
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if full or (isinstance(error, RuntimeError) and _free_bytes(path) < 2**20):
        if path.startswith(SCHEME):
            return f"the disk is full; free some space in {tempfile.gettempdir()!r} or set TMPDIR"
        return "the disk is full; free some space or choose another folder"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return reason(error)


def _free_bytes(path: str) -> float:
    folder = Path(tempfile.gettempdir()) if path.startswith(SCHEME) else Path(path).parent
    try:
        stats = os.statvfs(folder)
    except FileNotFoundError:
        # A worker on another machine has no such folder, and writes nothing there.
        return math.inf
    return stats.f_bavail * stats.f_frsize
