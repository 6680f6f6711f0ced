"""How the reference pages of the docs show docstrings: sections become lists, with a name before its text.

An extension of griffe, which mkdocs.yml names. griffe itself takes the text in ``name : text`` for a type.
"""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING

from griffe import Extension

if TYPE_CHECKING:
    from typing import Any

    from griffe import Object

_HEADING = re.compile(r"^(Parameters|Attributes|Returns|Raises)\n-+$", re.MULTILINE)
_ROLE = re.compile(r":(?:class|mod|func|meth):(?=`)")


def as_markdown(docstring: str) -> str:
    """Return a docstring of this project as Markdown."""
    text = _ROLE.sub("", inspect.cleandoc(docstring))
    text = re.sub(r"\. ::$", ".", text, flags=re.MULTILINE)
    text = re.sub(r"::$", ":", text, flags=re.MULTILINE)
    summary, *sections = _HEADING.split(text)
    parts = [summary.strip()]
    for heading, body in zip(sections[::2], sections[1::2], strict=True):
        lines = body.strip("\n")
        parts += [f"**{heading}**", lines if heading == "Returns" else _listed(lines)]
    return "\n\n".join(parts)


def _listed(body: str) -> str:
    """Make an item of each ``name : text``, whose further lines are indented."""
    items = [re.sub(r"\s*\n\s*", " ", item) for item in re.split(r"\n(?=\S)", body)]
    return "\n".join(f"- {_item(*item.partition(' : '))}" for item in items)


def _item(name: str, colon: str, text: str) -> str:
    if not colon:
        return name
    return f"{name}: {text}" if name == "Nothing" else f"`{name}`: {text}"


class SectionsAsLists(Extension):
    """Rewrite the docstring of every object that griffe has read."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Be called by griffe with each object, when all its members are there."""
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)
