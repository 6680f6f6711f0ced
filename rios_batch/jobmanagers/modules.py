"""Modules that a pickle refers to by name: which versions main has, and what to say when a worker cannot load them."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# The runtime's own, whose versions are compared before anything is unpickled.
_COMPARED = {"rios_batch", "cloudpickle", "numpy", "osgeo"}


def packages_of(modules: Iterable[str]) -> dict[str, str]:
    """Return the installed packages that modules come from, as versions by name.

    Parameters
    ----------
    modules : names such as ``sklearn.tree``; modules of Python itself, and those of no package, are left out.
    """
    top = {name.partition(".")[0] for name in modules} - sys.stdlib_module_names - _COMPARED - {"__main__"}
    if not top:
        return {}
    known = packages_distributions()  # reads the files of all installed packages
    return {package: version(package) for name in sorted(top) for package in known.get(name, [])[:1]}


def why_unloadable(what: str, error: Exception, mains: Mapping[str, str] | None) -> str:
    """Say why something cannot be unpickled in this process, and what to add to the image.

    Parameters
    ----------
    what : the part of the job.
    mains : the packages that the job refers to, with main's versions (`packages_of`); None on main's own machine.
    """
    said = f"{what} cannot be loaded in a worker: {type(error).__name__}: {error}"
    if mains is None:
        return (
            f"{said}; a worker process imports what the script has imported, from where the script's sys.path says; "
            "make that work there, or use setJobManagerType('threads')"
        )
    here = {package: _version_or_none(package) for package in mains}
    if differences := differing_packages(mains, here, "this worker has"):
        return f"{said}; {differences}"
    return (
        f"{said}; a module that the worker's image lacks comes into it with EXTRA_PACKAGES or PIP_PACKAGES (see "
        "docs/infrastructure.md)"
    )


def differing_packages(mains: Mapping[str, str], there: Mapping[str, str | None], who_has: str) -> str:
    """Say which packages differ, with both versions and what to type; nothing if none differs.

    Parameters
    ----------
    mains : the packages that the job refers to, with main's versions (`packages_of`).
    there : versions elsewhere; a package that is missing there has none.
    who_has : begins the part of the sentence about these.
    """
    wrong = {package: mine for package, mine in mains.items() if there.get(package) != mine}
    if not wrong:
        return ""
    both = "; ".join(
        f"main has {package} {mine}, {who_has} {there.get(package) or 'none'}"
        for package, mine in wrong.items()
    )
    wanted = " ".join(f"{package}=={mine}" for package, mine in wrong.items())
    return (
        f"{both}; give the workers' image main's versions (`PIP_PACKAGES='{wanted}' npx cdk deploy`, with the packages "
        "that were in it before)"
    )


def _version_or_none(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
