"""Whether inputs are still what they were when a run began."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rios_batch.errors import FileOpenError
from rios_batch.gdalapi import file_stamp
from rios_batch.read.network import is_remote

if TYPE_CHECKING:
    from rios_batch.model.spec import RunSpec


class InputsAsTheyWere:
    """The local files of a run's inputs, as they are when this is made.

    GDAL keeps what it knows of bands (statistics) in .aux.xml files, which may be written at any time.
    A file that is taken away is no mixture: who has the file open reads the old pixels, and who opens it later gets an
    error.
    """

    def __init__(self, spec: RunSpec) -> None:
        inputs = {file.path: file for input_spec in spec.inputs for file in input_spec.files}
        self._stamps = {
            name: (file.name, _stamp(name))
            for path, file in inputs.items()
            if not is_remote(path)
            for name in file.files
            if not name.startswith("/vsi") and not name.endswith(".aux.xml")
        }

    def check(self) -> None:
        """See that the files are the same.

        Raises
        ------
        FileOpenError : names the file that somebody has written to or replaced.
        """
        for name, (called, stamp) in self._stamps.items():
            # None: the file is gone.
            if _stamp(name) not in (stamp, None):
                part = "" if name.endswith(called) else f" ({name!r})"
                raise FileOpenError(
                    f"input {called!r}{part} was changed while the run was reading it, so that outputs would mix old "
                    "and new pixels; run again when nobody writes to the file"
                )


def _stamp(name: str) -> tuple[int, ...] | None:
    """Return size, time of change and inode; not the time of a change of the file's permissions or names."""
    stamp = file_stamp(name)
    return None if stamp is None else stamp[:3]
