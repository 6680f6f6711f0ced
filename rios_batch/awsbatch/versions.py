"""Versions that must agree between main, which pickles, and workers, which unpickle."""

from __future__ import annotations

import hashlib
import platform
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from rios_batch import __version__
from rios_batch.errors import VersionMismatchError
from rios_batch.gdalapi import gdal_version

if TYPE_CHECKING:
    from collections.abc import Mapping


RUN_FORMAT = 4
"""Raised whenever the pickled classes of a run, or the layout of its objects in S3, change. Format 1 had no number."""


def versions() -> dict[str, str]:
    """Return this process's versions by name."""
    from importlib.metadata import version  # noqa: PLC0415 - a tenth of what a script's start takes

    return {
        "Python": platform.python_version(),
        "rios_batch": f"{__version__} (code {_code()})",
        "cloudpickle": version("cloudpickle"),
        "numpy": version("numpy"),
        "GDAL": gdal_version(),
    }


@cache
def _code() -> str:
    return code_digest(Path(__file__).parents[1])


def code_digest(package: Path) -> str:
    """Return a short digest of a package's modules.

    The digest tells two states of a checkout apart, between which the version written at installation stays the same.
    """
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        if path.name != "_version.py":  # written by the build, and compared by itself
            digest.update(f"{path.relative_to(package)}\0{len(path.read_bytes())}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


# How many of a version's numbers must agree; None stands for the whole text. Bytecode, which cloudpickle sends,
# changes with Python's minor version; arrays pickled by numpy 2 name modules that numpy 1 does not have; a GDAL may
# differ, for it only computes.
_SIGNIFICANT = {"Python": 2, "rios_batch": None, "cloudpickle": 1, "numpy": 1}


def check_python(stack_name: str, workers_python: str) -> None:
    """See, before anything is submitted, that workers will have main's Python.

    Parameters
    ----------
    workers_python : what the stack says, such as ``3.13``, or ``unknown``; then the first worker compares.

    Raises
    ------
    VersionMismatchError : they have another one; says what to type.
    """
    here = _minor(platform.python_version())
    if workers_python not in {here, "unknown"}:
        raise VersionMismatchError(
            f"main has Python {here}, stack {stack_name}'s workers have {workers_python}: the function cannot be "
            f"sent to them; deploy an image with main's Python (`npx cdk deploy -c python={here}`), or run main in the "
            "workers' image (`rios-batch submit script.py`)"
        )


def differing_versions(one: Mapping[str, str], other: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Return the versions between which no pickle can travel, by name."""
    return {
        name: (one.get(name, "?"), other.get(name, "?"))
        for name, numbers in _SIGNIFICANT.items()
        if one.get(name, "").split(".")[:numbers] != other.get(name, "").split(".")[:numbers]
    }


def mismatch(main: Mapping[str, str], worker: Mapping[str, str]) -> str:
    """Return the sentence for main, or an empty text when the versions fit."""
    wrong = differing_versions(main, worker)
    if not wrong:
        return ""
    said = "; ".join(
        f"main has {name} {mains}, workers have {theirs}" for name, (mains, theirs) in wrong.items()
    )
    return (
        f"{said}: the function cannot be sent to them; run main in the workers' image (`rios-batch submit script.py`), "
        f"or deploy an image with your versions (`npx cdk deploy -c python={_minor(main.get('Python', '?'))}`)"
    )


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])
