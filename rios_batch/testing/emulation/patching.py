"""How moto is patched: visibly, and not silently in vain."""

from __future__ import annotations

from typing import Any


def replace(owner: type, name: str, new: Any) -> None:
    """Put something in place of an attribute of moto's class.

    Raises
    ------
    AttributeError : there is no such attribute; another release of moto has renamed it.
    """
    getattr(owner, name)
    setattr(owner, name, new)


def add(owner: type, name: str, new: Any) -> None:
    """Give moto's class what it lacks.

    Raises
    ------
    AttributeError : it has one; another release of moto needs no patch.
    """
    if hasattr(owner, name):
        raise AttributeError(f"{owner.__name__} of this moto has {name}; the emulation need not add it")
    setattr(owner, name, new)
