"""Run the notebooks of docs/tutorials, and write each beside it as a page of the site: cells, what they show, pictures.

.venv/bin/python scripts/tutorial-pages.py
"""

from __future__ import annotations

import base64
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbclient
import nbformat

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "tutorials"
PICTURE = re.compile(r'<img src="data:image/png;base64,([^"]+)"')
RESULT, TABLE = "<p>ApplierReturn(", re.compile(r"<table>.*?</table>|<pre>.*?</pre>", re.DOTALL)
COLOURS = re.compile(r"\x1b\[[\d;]*m")
CELL_FILE = re.compile(r'"\S*ipykernel_\d+/\d+\.py"')


def executed(notebook: Path) -> Any:
    """Run a notebook in a folder of its own, and return it with outputs that do not name the folder."""
    os.environ["PYTHONPATH"] = str(ROOT)
    content = nbformat.read(notebook, as_version=4)  # type: ignore[no-untyped-call]
    with tempfile.TemporaryDirectory() as folder:
        place = {"metadata": {"path": folder}}
        nbclient.NotebookClient(content, timeout=200, coalesce_streams=True, resources=place).execute()
        return nbformat.reads(nbformat.writes(content).replace(f"{folder}/", ""), as_version=4)  # type: ignore[no-untyped-call]


def pieces(notebook: Any, stem: str) -> Iterator[str]:
    """Yield a page's pieces: a cell of text as it is, one of code as a fence, each followed by what it shows."""
    for number, cell in enumerate(notebook.cells):
        yield cell.source if cell.cell_type == "markdown" else f"```python\n{cell.source}\n```"
        for output in cell.get("outputs", ()):
            text, html = shown(output), output.get("data", {}).get("text/html", "")
            if text:
                yield f"```text\n{text}\n```"
            if "<iframe" in html:
                yield "![A report, of another run](../run-report.png)"
            if html.startswith(RESULT):
                yield from TABLE.findall(html)
            found = PICTURE.search(html)
            if found:
                picture = FOLDER / f"{stem}-{number}.png"
                picture.write_bytes(base64.b64decode(found[1]))
                yield f"![What the cell shows]({picture.name})"


def shown(output: Any) -> str:
    """Return an output as text; nothing for a bar of progress, or for a page within the page."""
    if output.output_type == "error":
        text = "\n".join(output.traceback)
    elif output.output_type == "stream":
        text = output.text
    elif {"application/vnd.jupyter.widget-view+json"} & set(output.data) or "<iframe" in str(output.data):
        text = ""
    else:
        text = output.data["text/plain"]
    return CELL_FILE.sub('"notebook"', COLOURS.sub("", text)).strip("\n")


if __name__ == "__main__":
    for path in sorted(FOLDER.glob("*.ipynb")):
        page = "\n\n".join(pieces(executed(path), path.stem))
        note = f"\n\n[The notebook]({path.name}) as a file.\n"
        path.with_suffix(".md").write_text(page + note)
