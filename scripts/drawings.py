"""Make the drawings of the docs: docs/drawings/*.svg, which the pages include, so that they take the page's colours.

python scripts/drawings.py [FOLDER]
"""

from __future__ import annotations

import sys
from html import escape
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "docs" / "drawings"

# The page's colours; behind the comma stands what a viewer without the page takes.
INK = "var(--md-default-fg-color, #222)"
FAINT = "var(--md-default-fg-color--light, #777)"
MAIN = "#4f7fd9"
WORKER = "#2f9e6e"
STORE = "#c98a1b"
LINE_PX = 17


class Drawing:
    """Boxes, words and arrows; all places and sizes are in the drawing's own pixels."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self.width, self.height, self.title = width, height, title
        self.parts: list[str] = []

    def box(
        self, x: int, y: int, width: int, height: int, *lines: str, colour: str = INK, dashed: bool = False
    ) -> None:
        """Draw a box; the first of its lines is bold."""
        dashes = ' stroke-dasharray="5 4"' if dashed else ""
        self.parts.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" fill="{colour}" fill-opacity="0.13" '
            f'stroke="{colour}" stroke-width="1.5"{dashes}/>'
        )
        top = y + height / 2 - (len(lines) - 1) * LINE_PX / 2 + 5
        for number, line in enumerate(lines):
            self.words(
                x + width / 2,
                top + number * LINE_PX,
                line,
                bold=number == 0,
                colour=INK if number == 0 else FAINT,
            )

    def words(
        self,
        x: float,
        y: float,
        text: str,
        *,
        bold: bool = False,
        colour: str = INK,
        anchor: str = "middle",
        px: int = 13,
    ) -> None:
        weight = ' font-weight="600"' if bold else ""
        self.parts.append(
            f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-size="{px}"{weight} fill="{colour}">'
            f"{escape(text)}</text>"
        )

    def arrow(self, x1: int, y1: int, x2: int, y2: int, colour: str = INK) -> None:
        self.parts.append(
            f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{colour}" stroke-width="1.6" '
            'marker-end="url(#head)"/>'
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, colour: str = FAINT, width: float = 1) -> None:
        self.parts.append(
            f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" stroke="{colour}" '
            f'stroke-width="{width:g}"/>'
        )

    def area(
        self, x: float, y: float, width: float, height: float, colour: str, opacity: float = 0.3
    ) -> None:
        self.parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" fill="{colour}" '
            f'fill-opacity="{opacity:g}" stroke="{colour}"/>'
        )

    def svg(self) -> str:
        """Return the drawing. It has no empty line, which would end the HTML in a page of Markdown."""
        begin = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" role="img" '
            f'aria-label="{escape(self.title)}" font-family="system-ui, sans-serif">'
        )
        head = (
            '<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
            f'orient="auto-start-reverse"><path d="M0 0L10 5L0 10z" fill="{INK}"/></marker></defs>'
        )
        return "\n".join([begin, head, *self.parts, "</svg>\n"])


def way_of_the_data() -> Drawing:
    drawing = Drawing(
        760, 250, "Plan, read, compute, encode, assemble: main plans and assembles, workers do the rest"
    )
    drawing.box(4, 60, 132, 92, "plan", "grid, tiles,", "types, formats", "before any work", colour=MAIN)
    drawing.box(
        624, 60, 132, 92, "assemble", "bytes put together", "in tile order,", "then renamed", colour=MAIN
    )
    drawing.box(160, 24, 440, 150, colour=WORKER, dashed=True)
    drawing.words(380, 46, "a worker, one tile after the other", colour=WORKER, bold=True)
    drawing.box(172, 60, 126, 92, "read", "the blocks of a", "tile, resampled", "where needed", colour=WORKER)
    drawing.box(
        317, 60, 126, 92, "compute", "your function,", "called with each", "block's arrays", colour=WORKER
    )
    drawing.box(462, 60, 126, 92, "encode", "compression,", "overviews,", "statistics", colour=WORKER)
    for start, end in ((138, 170), (299, 315), (444, 460), (590, 622)):
        drawing.arrow(start, 106, end, 106)
    drawing.words(70, 190, "main, once", colour=MAIN, bold=True)
    drawing.words(690, 190, "main, for each tile", colour=MAIN, bold=True)
    drawing.words(154, 212, "RunSpec: all that is the same for every tile", anchor="start", colour=FAINT)
    drawing.words(
        606, 236, "TileResult: encoded blocks, statistics, changes of otherArgs", anchor="end", colour=FAINT
    )
    drawing.line(150, 207, 150, 112)
    drawing.line(610, 231, 610, 112)
    return drawing


def tiles_blocks_windows() -> Drawing:
    drawing = Drawing(760, 330, "A raster has tiles, a tile has blocks, and a block's array has a margin")
    left, top, size = 20, 50, 30
    columns, rows = 9, 8
    drawing.words(left + columns * size / 2, 30, "the raster, in blocks of 256 x 256", bold=True)
    drawing.area(left, top + 4 * size, columns * size, 2 * size, MAIN, 0.25)
    drawing.area(left + 3 * size, top + 4 * size, size, size, WORKER, 0.75)
    for column in range(columns + 1):
        drawing.line(left + column * size, top, left + column * size, top + rows * size)
    for row in range(rows + 1):
        colour, width = (INK, 2.2) if row % 2 == 0 else (FAINT, 1)
        drawing.line(left, top + row * size, left + columns * size, top + row * size, colour, width)
    for x in (left, left + columns * size):
        drawing.line(x, top, x, top + rows * size, INK, 2.2)
    drawing.words(
        left, 312, "between thick lines: tiles, a worker's unit of work", anchor="start", colour=FAINT
    )
    drawing.arrow(left + columns * size + 4, top + 5 * size + 15, 356, top + 5 * size + 15)
    drawing.words(362, top + 5 * size + 20, "one tile", anchor="start", bold=True, colour=MAIN)
    drawing.words(546, 30, "what your function gets of one block", anchor="middle", bold=True)
    drawing.area(440, 60, 212, 150, STORE, 0.2)
    drawing.area(462, 82, 168, 106, WORKER, 0.45)
    drawing.words(546, 132, "the block", bold=True)
    drawing.words(546, 150, "blockwidth x blockheight", colour=FAINT)
    drawing.words(546, 77, "margin of setOverlap", colour=INK, px=12)
    drawing.arrow(140, top + 4 * size + 4, 436, 100)
    drawing.words(440, 236, "the array: (bands, rows + 2 overlap, cols + 2 overlap)", anchor="start", px=12)
    drawing.words(440, 258, "outputs have the same rows and columns;", anchor="start", px=12, colour=FAINT)
    drawing.words(440, 274, "their margin is cut off", anchor="start", px=12, colour=FAINT)
    return drawing


def main_workers_queue() -> Drawing:
    drawing = Drawing(
        760, 400, "Main puts tiles into a queue; workers on AWS Batch lease them and leave results in S3"
    )
    drawing.box(
        8,
        30,
        190,
        130,
        "main",
        "your script, on your",
        "machine or as a job;",
        "a worker beside it",
        "begins at once",
        colour=MAIN,
    )
    drawing.box(300, 30, 170, 60, "queue (SQS)", "a message for each tile", colour=STORE)
    drawing.box(300, 120, 170, 60, "AWS Batch", "one array job", colour=STORE)
    drawing.box(
        572,
        30,
        180,
        150,
        "workers",
        "Spot machines, which",
        "may go at any time;",
        "a lease that ends",
        "gives the tile back",
        colour=WORKER,
    )
    drawing.box(
        300,
        270,
        170,
        90,
        "exchange bucket",
        "an object for each",
        "finished tile:",
        "that is its commit",
        colour=STORE,
    )
    drawing.box(8, 270, 190, 90, "the output", "on your machine, or", "put together in S3", colour=MAIN)
    drawing.box(572, 270, 180, 90, "the inputs", "in S3, or copied to", "the exchange bucket", colour=STORE)
    drawing.arrow(200, 55, 296, 55)
    drawing.words(248, 46, "1 tiles")
    drawing.arrow(200, 145, 296, 145)
    drawing.words(248, 136, "2 submit")
    drawing.arrow(568, 60, 474, 60)
    drawing.words(521, 51, "4 lease")
    drawing.arrow(474, 150, 568, 150)
    drawing.words(521, 141, "3 start")
    drawing.arrow(662, 266, 662, 184)
    drawing.words(670, 230, "5 read", anchor="start")
    drawing.arrow(590, 184, 474, 290)
    drawing.words(515, 222, "6 leave", anchor="end")
    drawing.arrow(296, 300, 160, 166)
    drawing.words(258, 232, "7 take in", anchor="start")
    drawing.arrow(60, 164, 60, 266)
    drawing.words(68, 222, "8 assemble", anchor="start")
    drawing.words(
        380,
        388,
        "with an output in S3, step 7 takes only a few bytes of each tile: S3 copies the rest by itself",
        colour=FAINT,
    )
    return drawing


def who_pays_what() -> Drawing:
    drawing = Drawing(760, 260, "Nothing is paid by the hour before and after a run")
    drawing.words(130, 26, "no run", bold=True)
    drawing.words(380, 26, "a run", bold=True)
    drawing.words(630, 26, "no run", bold=True)
    drawing.box(10, 40, 240, 150, "stays", "the image, about", "0.03 USD a month", colour=STORE)
    drawing.box(260, 40, 240, 46, "machines: by the second", colour=WORKER)
    drawing.box(260, 92, 240, 46, "requests: by the tile", colour=STORE)
    drawing.box(260, 144, 240, 46, "what leaves AWS: by the GB", colour=MAIN)
    drawing.box(
        510,
        40,
        240,
        150,
        "stays",
        "the image; no machine,",
        "no queue, no object",
        "of a finished run",
        colour=STORE,
    )
    drawing.arrow(10, 214, 750, 214)
    drawing.words(380, 240, "time", colour=FAINT)
    return drawing


def drawings() -> dict[str, str]:
    """Return the text of each drawing by its file's name."""
    made = (way_of_the_data, tiles_blocks_windows, main_workers_queue, who_pays_what)
    return {f"{make.__name__.replace('_', '-')}.svg": make().svg() for make in made}


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    for name, text in drawings().items():
        (folder / name).write_text(text)
