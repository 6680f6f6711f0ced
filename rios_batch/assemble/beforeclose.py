"""Letting a script change its finished output (RIOS's setCallBeforeClose)."""

from __future__ import annotations

import gc
import sys
import traceback
from collections.abc import Callable

from osgeo import gdal

from rios_batch.errors import ParameterError

BeforeClose = Callable[[gdal.Dataset], object]


def call_before_close(before_close: BeforeClose, dataset: gdal.Dataset) -> None:
    """Let the script have the dataset, for as long as the call lasts.

    Raises
    ------
    ParameterError : the script kept the dataset, which therefore cannot be closed now. From GDAL 3.8 on it could.
    """
    before = sys.getrefcount(dataset)
    try:
        before_close(dataset)
    except BaseException as error:
        traceback.clear_frames(error.__traceback__)  # they hold the dataset
        error.add_note("in the function given to setCallBeforeClose; the output was not written")
        raise
    gc.collect()
    if sys.getrefcount(dataset) > before:
        raise ParameterError(
            "the function given to setCallBeforeClose kept the dataset, which must be closed after it; keep what was "
            "read from it instead"
        )
