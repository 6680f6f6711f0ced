# ruff: noqa: ARG001, N802 - user functions have the arguments they are called with; RIOS's names
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from rios_batch import applier
from rios_batch.errors import ParameterError, ProcessCancelledError, UserFunctionError
from tests.support import make_raster, ramp

if TYPE_CHECKING:
    from pathlib import Path


class Smallest:
    """What RIOS 2 asks of a progress object."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def setTotalSteps(self, steps: int) -> None:
        self.total = steps

    def setProgress(self, progress: int) -> None:
        self.seen.append(progress)


class Cancelling(Smallest):
    def wasCancelled(self) -> bool:
        return self.seen[-1] > 0


def run(folder: Path, function: Any, progress: Any) -> None:
    controls = applier.ApplierControls()
    controls.setWindowSize(16, 16)
    controls.setTileSize(16, 16)
    controls.setProgress(progress)
    infiles = applier.FilenameAssociations(a=make_raster(folder / "a.tif", ramp(1, 32, 32)))
    applier.apply(function, infiles, applier.FilenameAssociations(), controls=controls)


def look(info: Any, inputs: Any, outputs: Any) -> None:
    """See each block and do nothing."""


def fail(info: Any, inputs: Any, outputs: Any) -> None:
    raise ZeroDivisionError("nothing left")


def test_a_progress_object_needs_two_methods_only(tmp_path: Path) -> None:
    progress = Smallest()

    run(tmp_path, look, progress)

    assert (progress.total, progress.seen) == (100, [0, 25, 50, 75, 100])


def test_a_progress_object_without_reset_does_not_hide_what_went_wrong(tmp_path: Path) -> None:
    with pytest.raises(UserFunctionError, match="ZeroDivisionError: nothing left"):
        run(tmp_path, fail, Smallest())


def test_a_progress_object_may_cancel_without_a_method_reset(tmp_path: Path) -> None:
    with pytest.raises(ProcessCancelledError, match="after 1 of 4 tiles"):
        run(tmp_path, look, Cancelling())


def test_an_object_that_lacks_one_of_the_two_methods_is_refused() -> None:
    class Deaf:
        def setTotalSteps(self, steps: int) -> None: ...

    with pytest.raises(ParameterError, match="needs setTotalSteps and setProgress"):
        applier.ApplierControls().setProgress(Deaf())  # type: ignore[arg-type]
