"""Versions that must agree between main, which pickles, and workers, which unpickle."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import TYPE_CHECKING

from rios_batch import __version__
from rios_batch.gdalapi import gdal_version

if TYPE_CHECKING:
    from collections.abc import Mapping


RUN_FORMAT = 2
"""Raised whenever the pickled classes of a run, or the layout of its objects in S3, change. Format 1 had no number."""


def versions() -> dict[str, str]:
    """Return this process's versions by name."""
    return {
        "Python": platform.python_version(),
        "rios_batch": __version__,
        "cloudpickle": version("cloudpickle"),
        "numpy": version("numpy"),
        "GDAL": gdal_version(),
    }


# How many of a version's numbers must agree. Bytecode, which cloudpickle sends, changes with Python's minor version;
# arrays pickled by numpy 2 name modules that numpy 1 does not have; a GDAL may differ, for it only computes.
_SIGNIFICANT = {"Python": 2, "rios_batch": 4, "cloudpickle": 1, "numpy": 1}


def mismatch(main: Mapping[str, str], worker: Mapping[str, str]) -> str:
    """Return the sentence for main, or an empty text when the versions fit."""
    wrong = [
        name
        for name, numbers in _SIGNIFICANT.items()
        if main.get(name, "").split(".")[:numbers] != worker.get(name, "").split(".")[:numbers]
    ]
    if not wrong:
        return ""
    said = "; ".join(
        f"main has {name} {main.get(name, '?')}, workers have {worker.get(name, '?')}" for name in wrong
    )
    return (
        f"{said}: the function cannot be sent to them; run main in the workers' image (`rios-batch submit script.py`), "
        "or build the image from a base with your versions (`npx cdk deploy -c base_image=...`)"
    )
