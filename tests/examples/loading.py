"""Examples as modules, for tests that call their functions."""

from __future__ import annotations

import contextlib
import importlib.util
from typing import TYPE_CHECKING, Any

from osgeo import gdal

from tests.support import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = ROOT / "examples"


@contextlib.contextmanager
def loaded(name: str) -> Iterator[Any]:
    """Load an example as a module; it switches GDAL's exceptions on for the whole process."""
    spec = importlib.util.spec_from_file_location(f"{name}_example", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    exceptions_were_on = gdal.GetUseExceptions()
    spec.loader.exec_module(module)
    yield module
    if not exceptions_were_on:
        gdal.DontUseExceptions()
