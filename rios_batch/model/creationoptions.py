"""GDAL's creation options: ``NAME=VALUE`` texts in which the case of names does not matter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# Creation options that were chosen by looking at pixels; none are GDAL's defaults.
Compression = tuple[str, ...]

_ON = frozenset({"YES", "TRUE", "ON", "1"})


@dataclass(frozen=True)
class CreationOptions:
    """Creation options in the order in which GDAL gets them."""

    texts: tuple[str, ...] = ()

    def get(self, name: str) -> str | None:
        """Return an option's value, or None; of several the first counts, as it does for GDAL."""
        return next((text.partition("=")[2] for text in self.texts if _name(text) == name), None)

    @property
    def names(self) -> frozenset[str]:
        """The options' names, in capitals."""
        return frozenset(map(_name, self.texts))

    def is_on(self, name: str) -> bool:
        """Say whether a switch is there and on."""
        return (self.get(name) or "").upper() in _ON

    def but(self, **changes: str | None) -> CreationOptions:
        """Return a copy in which these options have other values; None leaves an option out."""
        kept = [text for text in self.texts if _name(text) not in changes]
        added = [f"{name}={value}" for name, value in changes.items() if value is not None]
        return CreationOptions((*kept, *added))

    def for_type(self, dtype: str) -> CreationOptions:
        """Return the options for pixels of a numpy type: PREDICTOR=YES becomes the predictor that suits the type."""
        if (self.get("PREDICTOR") or "").upper() != "YES":
            return self
        return self.but(PREDICTOR="3" if dtype.startswith("float") else "2")


def defaults_from(environment: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the creation options that environment variables give to drivers, by the driver's name.

    ``RIOS_DFLT_CREOPT_<driver>`` counts before the older ``RIOS_DFLT_DRIVEROPTIONS``, which is meant for the driver
    in ``RIOS_DFLT_DRIVER``, and where there is none for HFA, RIOS's default. Both are separated by spaces; ``None``
    stands for no options, for systems that drop empty variables.
    """
    prefix = "RIOS_DFLT_CREOPT_"
    given = {name.removeprefix(prefix): text for name, text in environment.items() if name.startswith(prefix)}
    if "RIOS_DFLT_DRIVEROPTIONS" in environment:
        given.setdefault(environment.get("RIOS_DFLT_DRIVER") or "HFA", environment["RIOS_DFLT_DRIVEROPTIONS"])
    return {driver: [] if text == "None" else text.split() for driver, text in given.items()}


def _name(text: str) -> str:
    return text.partition("=")[0].upper()
