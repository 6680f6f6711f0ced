"""Make the pages of the docs' tutorials from the notebooks beside them: docs/tutorials/*.md, with what the cells show.

.venv/bin/python -m scripts.tutorials

Runs the notebooks, in a minute. A page's words and code are the notebook's, which a test asks for; outputs are those of
the day on which the page was made.
"""

from __future__ import annotations

import base64
import itertools
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parent.parent / "docs" / "tutorials"
PICTURES = FOLDER / "pictures"
_COLOURS = re.compile(r"\x1b\[[\d;]*m")
_CELLS = re.compile(r"/tmp/ipykernel_\d+/\d+\.py|Cell In\[\d+\]|<ipython-input-[^>]*>")  # a kernel's names
_PICTURE = re.compile(r'<img src="data:image/png;base64,([^"]+)" alt="([^"]*)">')
_NOT_SHOWN = "application/vnd.jupyter.widget-view+json"  # a bar, which is full when the cell has ended


def page(notebook: Path, cells: list[dict[str, Any]], *, outputs: bool) -> Iterator[str]:
    """Yield the pieces of a page, with or without what the cells show."""
    number = 0
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            yield re.sub(r"\]\((\w+)\.ipynb\)", r"](\1.md)", source)
            if number == 0 and source.startswith("# "):
                number = 1
                yield f"This page is the notebook `docs/tutorials/{notebook.name}`, with what its cells have shown."
            continue
        yield f"```python\n{source}\n```"
        if outputs:
            for output in joined(cell["outputs"]):
                yield from shown(output, notebook.stem)


def joined(outputs: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield outputs, with lines that were printed one after the other in one piece."""
    for printed, together in itertools.groupby(outputs, lambda output: output["output_type"] == "stream"):
        if printed:
            yield {"output_type": "stream", "text": "".join(output["text"] for output in together)}
        else:
            yield from together


def shown(output: dict[str, Any], name: str) -> Iterator[str]:
    """Yield what one output of a cell becomes on a page."""
    data = output.get("data", {})
    if output["output_type"] == "stream":
        yield fenced(output["text"])
    elif output["output_type"] == "error":
        yield fenced("\n".join(output["traceback"]))
    elif _NOT_SHOWN in data:
        return
    elif "<iframe" in data.get("text/html", ""):
        yield "![The report of a run: when which worker computed what](../run-report.png)"
    elif "text/html" in data and "<style" not in data["text/html"]:
        yield from as_html(data["text/html"], name)
    else:
        yield fenced(data["text/plain"])


def fenced(text: str) -> str:
    return f"```text\n{_CELLS.sub('the cell', _COLOURS.sub('', text)).rstrip()}\n```"


def as_html(text: str, name: str) -> Iterator[str]:
    """Yield HTML as it is, and its pictures as files, which the site shows, and where code is hosted too."""
    yield f'<div class="output" markdown="0">{_PICTURE.sub("", text)}</div>'
    for encoded, alternative in _PICTURE.findall(text):
        picture = PICTURES / f"{name}.png"
        picture.write_bytes(base64.b64decode(encoded))
        yield f"![{alternative}](pictures/{picture.name})"


def text_of(notebook: Path, cells: list[dict[str, Any]], *, outputs: bool) -> str:
    return "\n\n".join(page(notebook, cells, outputs=outputs)) + "\n"


def run(path: Path) -> list[dict[str, Any]]:
    """Return the cells of a notebook that has been run in a folder of its own."""
    import nbclient  # noqa: PLC0415 - for tests that only read
    import nbformat  # noqa: PLC0415

    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    with tempfile.TemporaryDirectory() as folder:
        client = nbclient.NotebookClient(notebook, timeout=200, resources={"metadata": {"path": folder}})
        client.execute()
    cells: list[dict[str, Any]] = notebook.cells
    return cells


if __name__ == "__main__":
    PICTURES.mkdir(exist_ok=True)
    for path in sorted(FOLDER.glob("*.ipynb")):
        path.with_suffix(".md").write_text(text_of(path, run(path), outputs=True))
