"""RIOS 2's module name for its containers: ``from rios_batch import structures``."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref

from rios_batch.associations import BlockAssociations, FilenameAssociations, OtherInputs
from rios_batch.model.concurrency import ConcurrencyStyle
from rios_batch.result import ApplierReturn, Timers

__all__ = [
    "ApplierReturn",
    "BlockAssociations",
    "ConcurrencyStyle",
    "FilenameAssociations",
    "OtherInputs",
    "TempfileManager",
    "Timers",
]


class TempfileManager:
    """Makes temporary files for a script, in a folder that is removed together with the object.

    Parameters
    ----------
    tempdir : the folder below which the object's own folder is made; default '.'.

    Raises
    ------
    OSError : the folder cannot be made.
    """

    def __init__(self, tempdir: str | os.PathLike[str] = ".") -> None:
        self.tempsubdir = tempfile.mkdtemp(prefix="rios_", dir=tempdir)
        self._remove = weakref.finalize(self, shutil.rmtree, self.tempsubdir, ignore_errors=True)

    def cleanup(self) -> None:
        """Remove the folder and its files now; what is not there any more is no error."""
        self._remove()

    def mktempfile(self, prefix: str | None = None, suffix: str | None = None) -> str:
        """Return the path of a new, empty file.

        Parameters
        ----------
        prefix, suffix : how the file's name begins and ends, such as ``.tif``; default None, as Python likes.

        Raises
        ------
        OSError : the file cannot be made.
        """
        descriptor, path = tempfile.mkstemp(prefix=prefix, suffix=suffix, dir=self.tempsubdir)
        os.close(descriptor)
        return path
