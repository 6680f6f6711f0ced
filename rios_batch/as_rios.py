"""``import rios_batch.as_rios`` as a script's first line: ``rios.applier`` and its like are those of this package then.

``python -m rios_batch as-rios script.py`` does the same for a script that stays as it is. Worker processes do it before
they load the script's function. Of an installed RIOS the helper modules (``rios.rat``, ``rios.fileinfo``, ...) remain.
"""

from __future__ import annotations

import importlib
import importlib.util
import runpy
import sys
from types import ModuleType
from typing import TYPE_CHECKING

import rios_batch
from rios_batch import applier, batch, cuiprogress, jobmanagers, pixelgrid, readerinfo, rioserrors, structures
from rios_batch.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_RIOS = "rios"
# By RIOS's names. The rest of RIOS works on files, whoever wrote them.
MODULES = {
    f"{_RIOS}.applier": applier,
    f"{_RIOS}.cuiprogress": cuiprogress,
    f"{_RIOS}.pixelgrid": pixelgrid,
    f"{_RIOS}.readerinfo": readerinfo,
    f"{_RIOS}.rioserrors": rioserrors,
    f"{_RIOS}.structures": structures,
    f"{_RIOS}.parallel.jobmanager": jobmanagers,
    f"{_RIOS}.parallel.aws.batch": batch,
}


def take_over() -> None:
    """Have ``rios.applier`` and the other names of `MODULES` lead here, in this process.

    Raises
    ------
    ParameterError : RIOS's own modules of these names were imported before.
    """
    early = [name for name, module in MODULES.items() if sys.modules.get(name, module) is not module]
    if early:
        raise ParameterError(
            f"{', '.join(early)} was imported before rios_batch.as_rios, and both would be in use; "
            "make `import rios_batch.as_rios` the script's first line"
        )
    package = _package(_RIOS)
    # Scripts ask for a version before they use a newer name.
    vars(package).update(RIOS_VERSION=rios_batch.RIOS_VERSION, __version__=rios_batch.RIOS_VERSION)
    for name, module in MODULES.items():
        parent, _, child = name.rpartition(".")
        sys.modules[name] = module
        setattr(_package(parent), child, module)
    if not any(isinstance(finder, _Explainer) for finder in sys.meta_path):
        sys.meta_path.append(_Explainer())


def _package(name: str) -> ModuleType:
    """Return a package of the installed RIOS; an empty one if there is no RIOS, or RIOS has no such package."""
    if name in sys.modules:
        return sys.modules[name]
    parent, _, child = name.rpartition(".")
    outer = _package(parent) if parent else None
    if importlib.util.find_spec(name) is not None:
        return importlib.import_module(name)
    package = ModuleType(name, "RIOS's names, which lead to rios_batch.")
    package.__path__ = []
    sys.modules[name] = package
    if outer is not None:
        setattr(outer, child, package)
    return package


class _Explainer:
    """The last of Python's finders: says why there is no module of RIOS."""

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> None:
        """Find nothing.

        Raises
        ------
        ModuleNotFoundError : a module of RIOS is wanted.
        """
        if name.startswith(f"{_RIOS}."):
            # With the module's own name Python would take the error for "it is no module" and say less.
            raise ModuleNotFoundError(
                f"rios_batch stands in for RIOS here, and has no {name}; install RIOS to have its helper modules too",
                name=_RIOS,
            )


def run_script(script: Path, arguments: Sequence[str]) -> None:
    """Run a script as ``python script.py`` does, with RIOS's names leading here.

    Raises
    ------
    BaseException : whatever the script raises.
    """
    take_over()
    sys.argv = [str(script), *arguments]
    sys.path[0] = str(script.resolve().parent)
    runpy.run_path(str(script), run_name="__main__")


take_over()
