"""The docs as a site: built strictly, no link is broken, and a browser shows it narrow and wide, light and dark."""

from __future__ import annotations

import functools
import html
import inspect
import json
import re
import shutil
import subprocess
import sys
import threading
from html.parser import HTMLParser
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urldefrag, urlsplit

import pytest

from rios_batch.controls import ApplierControls
from scripts.drawings import drawings
from tests.docs.fences import DOCS, PAGES
from tests.once import once_per_run
from tests.s3server import ON_LOOPBACK
from tests.support import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ON_THE_WEB = ("http:", "https:", "mailto:", "data:")


def build(folder: Path) -> None:
    """Build the site from a copy of the docs, as `make docs` does, into ``site`` below a folder."""
    shutil.copy(ROOT / "mkdocs.yml", folder)
    shutil.copytree(DOCS, folder / "docs")
    for name in ("examples", "rios_batch", "scripts"):
        (folder / name).symlink_to(ROOT / name)
    done = subprocess.run(
        [Path(sys.executable).parent / "zensical", "build", "--strict"],
        cwd=folder, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    return once_per_run(tmp_path_factory, worker_id, "docs-site", build) / "site"


class Page(HTMLParser):
    """What a page leads to, what it loads, and the places in it that one can lead to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        self.ids: set[str] = set()
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.ids.add(value)
            if (name == "href" and tag != "link") and value is not None:
                self.links.add(value)
            if name == "src" or (name == "href" and tag == "link"):
                self.loaded.add(value or "")


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in site.rglob("*.html")}


def broken(page: Path, link: str, site: Path, pages: dict[Path, Page]) -> bool:
    """Say whether a link leads to no file of the site, or to no such place in the file."""
    address, place = urldefrag(link)
    path = unquote(urlsplit(address).path)
    target = site / path.lstrip("/") if path.startswith("/") else page.parent / path if path else page
    target = Path(str(target / "index.html" if target.is_dir() else target)).resolve()
    return not target.is_file() or bool(place and target in pages and unquote(place) not in pages[target].ids)


def test_no_link_is_broken_and_no_place_in_a_page_is_missing(site: Path, pages: dict[Path, Page]) -> None:
    assert sum(len(page.links) for page in pages.values()) > 1000
    assert [
        f"{path.relative_to(site)}: {link}"
        for path, page in pages.items()
        for link in sorted(page.links | page.loaded)
        if not link.startswith(ON_THE_WEB) and broken(path, link, site.resolve(), pages)
    ] == []


def test_the_reference_shows_every_setting_with_its_default_and_effect(site: Path) -> None:
    text = html.unescape(re.sub(r"<[^>]+>", "", (site / "reference" / "settings" / "index.html").read_text()))
    shown = " ".join(text.split())
    setters = [name for name in vars(ApplierControls) if name.startswith(("set", "select"))]
    assert len(setters) > 40
    for setter in setters:
        first = inspect.cleandoc(getattr(ApplierControls, setter).__doc__).partition("\n\n")[0]
        said = re.sub(r":\w+:(?=`)|`", "", " ".join(first.split()))
        assert f"{setter} {said}" in shown, (
            "the table of methods has the first sentence, which has the default"
        )
        assert shown.count(said) >= 2, setter  # and so has the method itself


def test_a_broken_link_is_found(site: Path, pages: dict[Path, Page]) -> None:
    home = site / "index.html"

    assert not broken(home, "reference/settings/#rios_batch.controls.ApplierControls.setOverlap", site, pages)
    assert broken(home, "reference/settings/#setNothing", site, pages)
    assert broken(home, "reference/nothing/", site, pages)
    assert broken(home, "/nothing.png", site, pages)


def test_a_page_loads_nothing_from_anybody_else(pages: dict[Path, Page]) -> None:
    assert [one for page in pages.values() for one in page.loaded if re.match(r"(https?:)?//", one)] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_page_is_in_the_navigation(page: str) -> None:
    assert re.search(rf"(- |: ){re.escape(page)}$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE), (
        f"add docs/{page} to the nav of mkdocs.yml"
    )


@pytest.mark.parametrize("decision", sorted(path.name for path in (DOCS / "decisions").glob("0*.md")))
def test_every_decision_is_on_the_page_of_decisions_with_its_title_and_date(decision: str) -> None:
    heading = (DOCS / "decisions" / decision).read_text().partition("\n")[0]
    found = re.fullmatch(r"# (\d+\. .*) \((\d{4}-\d\d-\d\d)\)", heading)

    assert found
    assert f"| [{found[1]}]({decision}) | {found[2]} |\n" in (DOCS / "decisions" / "index.md").read_text()


def test_the_drawings_are_those_of_the_script() -> None:
    assert {path.name: path.read_text() for path in (DOCS / "drawings").iterdir()} == drawings()


def test_every_recipe_of_the_cookbook_is_on_its_first_page_and_has_a_picture() -> None:
    first = (DOCS / "cookbook" / "index.md").read_text()
    for path in (DOCS / "cookbook").glob("*.md"):
        if path.name != "index.md":
            assert f"]({path.name})" in first
            assert re.search(r"!\[.+\]\(\S+\)", path.read_text())


# -- in a browser

SHOWN = (
    *(
        "/",
        "/concepts/main-workers-queue/",
        "/concepts/tiles-blocks-windows/",
        "/cookbook/cloud-free-median/",
    ),
    *("/reference/settings/", "/reference/errors/", "/operations/", "/compression/", "/design/"),
    *(
        "/quick-start/local/",
        "/performance/",
        "/tutorials/plan_and_report/",
        "/decisions/0021-a-site-by-zensical/",
    ),
)
WIDTHS_PX = (390, 1440)
MEASURE = """
onload = () => {
  const colours = (frame, page) => {
    const word = page.querySelector("figure.drawing text"), style = frame.contentWindow.getComputedStyle
    return [style(page.body).backgroundColor, word && style(word).fill]
  }
  const found = [...document.querySelectorAll("iframe")].map(frame => {
    const page = frame.contentDocument
    const sizes = {page: frame.getAttribute("src"), given: frame.clientWidth, needed: page.documentElement.scrollWidth}
    const asTheSystem = colours(frame, page)
    page.body.dataset.mdColorScheme = "default"
    return {...sizes, dark: asTheSystem, light: colours(frame, page)}
  })
  document.body.dataset.found = JSON.stringify(found)
}
"""


class _Server(SimpleHTTPRequestHandler):
    """Serves the site, and at ``/frames`` its pages in a narrow and in a wide frame."""

    def do_GET(self) -> None:
        if self.path != "/frames":
            super().do_GET()
            return
        frames = "".join(
            f'<iframe src="{page}" style="border:0;width:{width}px;height:900px"></iframe>'
            for width in WIDTHS_PX
            for page in SHOWN
        )
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(f"<!doctype html><body>{frames}<script>{MEASURE}</script>".encode())

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def address(site: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Server, directory=str(site)))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def shown(address: str, profile: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Return what was measured of each page, on a system that is dark, and what the browser's console says."""
    assert BROWSER is not None
    done = subprocess.run(
        [
            *(BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *("--blink-settings=preferredColorScheme=0", "--enable-logging=stderr", "--dump-dom"),
            *(f"--user-data-dir={profile}", f"{address}/frames"),
        ],
        capture_output=True, text=True, check=True, timeout=200,
    )  # fmt: skip
    found = re.search(r'data-found="([^"]*)"', done.stdout)
    assert found, done.stderr
    measured: list[dict[str, Any]] = json.loads(html.unescape(found[1]))
    return measured, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def brightness(colour: str) -> float:
    """Return 0 for black to 255 for white, of a colour as ``rgb(1, 2, 3)``."""
    red, green, blue = map(float, re.findall(r"[\d.]+", colour)[:3])
    return 0.3 * red + 0.6 * green + 0.1 * blue


@pytest.mark.slow
@ON_LOOPBACK
@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium (scripts/browser installs it)")
def test_a_browser_shows_pages_narrow_and_wide_light_and_dark_and_finds_no_error(
    address: str, tmp_path: Path
) -> None:
    measured, console = shown(address, tmp_path)

    assert [(one["given"], one["page"]) for one in measured] == [
        (w, page) for w in WIDTHS_PX for page in SHOWN
    ]
    assert [one for one in measured if not 0 < one["needed"] <= one["given"]] == []
    assert console == []
    for one in measured:
        (dark, word_in_dark), (light, word_in_light) = one["dark"], one["light"]
        assert brightness(dark) < 60
        assert brightness(light) > 200
        if word_in_dark is not None:
            assert brightness(word_in_dark) - brightness(dark) > 120
            assert brightness(light) - brightness(word_in_light) > 120
    assert sum(one["light"][1] is not None for one in measured) == 3 * len(WIDTHS_PX)
