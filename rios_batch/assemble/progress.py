"""Telling a progress object of the script how far a run is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from rios_batch.errors import ProcessCancelledError

if TYPE_CHECKING:
    from rios_batch.model.protocols import Progress


class ProgressReport:
    """Tells a RIOS progress object about finished tiles, in per cent, when that changes."""

    def __init__(self, progress: Progress | None, ntiles: int) -> None:
        self._progress, self._ntiles, self._done, self._percent = progress, ntiles, 0, 0
        if progress is not None:
            progress.setTotalSteps(100)
            progress.setProgress(0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error is not None and self._progress is not None:
            self._progress.reset()  # a bar must not be drawn once more after the message

    def tile_done(self) -> None:
        """Count a tile.

        Raises
        ------
        ProcessCancelledError : the progress object says that the user cancelled.
        """
        self._done += 1
        if self._progress is None:
            return
        percent = 100 * self._done // self._ntiles
        if percent != self._percent:
            self._percent = percent
            self._progress.setProgress(percent)
        if self._progress.wasCancelled():
            raise ProcessCancelledError(
                f"cancelled after {self._done} of {self._ntiles} tiles; nothing was written"
            )
