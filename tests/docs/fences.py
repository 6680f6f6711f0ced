"""The fenced pieces of the docs' pages: what language they are in, and what they say."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = ROOT / "docs"
PAGES = sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))
_FENCE = re.compile(
    r"^(?P<indent> *)(?P<ticks>```+)(?P<language>[^\n]*)\n(?P<text>.*?)^ *(?P=ticks)$",
    re.MULTILINE | re.DOTALL,
)
_INCLUDED = re.compile(r'^--8<-- "(.+)"$', re.MULTILINE)


@dataclass(frozen=True)
class Fence:
    """One fenced piece; ``page`` is a name below docs/, and ``line`` is counted from 1."""

    page: str
    line: int
    language: str
    text: str

    @property
    def included(self) -> list[str]:
        """The files that the page takes this piece from; none if the page has the words itself."""
        return _INCLUDED.findall(self.text)

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def _fences_of(page: str) -> Iterator[Fence]:
    text = (DOCS / page).read_text()
    for found in _FENCE.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        language = found["language"].split(" ")[0]
        yield Fence(
            page, line, language, re.sub(f"^{found['indent']}", "", found["text"], flags=re.MULTILINE)
        )


FENCES = [fence for page in PAGES for fence in _fences_of(page)]
