"""GDAL's creation options: ``NAME=VALUE`` texts in which the case of names does not matter."""

from __future__ import annotations

from dataclasses import dataclass

_ON = frozenset({"YES", "TRUE", "ON", "1"})


@dataclass(frozen=True)
class CreationOptions:
    """Creation options in the order in which GDAL gets them."""

    texts: tuple[str, ...] = ()

    def get(self, name: str) -> str | None:
        """Return an option's value, or None; of several the first counts, as it does for GDAL."""
        return next((text.partition("=")[2] for text in self.texts if _name(text) == name), None)

    def is_on(self, name: str) -> bool:
        """Say whether a switch is there and on."""
        return (self.get(name) or "").upper() in _ON

    def but(self, **changes: str | None) -> CreationOptions:
        """Return a copy in which these options have other values; None leaves an option out."""
        kept = [text for text in self.texts if _name(text) not in changes]
        added = [f"{name}={value}" for name, value in changes.items() if value is not None]
        return CreationOptions((*kept, *added))


def _name(text: str) -> str:
    return text.partition("=")[0].upper()
