"""A run's report: what stands in it, whose words can do no harm in it, and how a browser shows it."""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from osgeo import gdal

from rios_batch import applier
from rios_batch.assemble.reportdrawings import MOST_SHAPES, duration
from rios_batch.assemble.reporting import write_report
from rios_batch.assemble.reportpage import page
from rios_batch.errors import OutputError, ParameterError, UserFunctionError
from rios_batch.model.runreport import FailedTile, RunFacts, RunReport
from rios_batch.model.tileresult import TileRecord
from rios_batch.model.tiles import BlockGrid, TilePlan
from tests.s3server import ON_LOOPBACK
from tests.support import files_below, make_raster, ramp

if TYPE_CHECKING:
    from pathlib import Path

    from rios_batch.aws.objects import Bucket
    from tests.support import Array

PAYLOAD = "</title><script>document.body.dataset.owned=1</script><img src=x onerror='document.body.dataset.owned=1'>\"&"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def report_of(tiles: int, workers: int = 3, *, words: str = "", **changes: Any) -> RunReport:
    """Give a made-up run of so many tiles in two columns; every third worker has two processes."""
    plan = TilePlan(BlockGrid(512, 256 * -(-tiles // 2), 256, 256), 1, 1)
    records = tuple(
        TileRecord(
            tile.index, tile.window, f"worker {number % workers + 1} (job x){words}, process {number % 2}",
            *(1, 0.5, 2.0, 1.0, 0.25, 1000),
            skipped=((f"scene{words}", f"damaged{words}"),) if words else (),
            began_at=1_790_000_000 + number // workers * 4.0, ended_at=1_790_000_003 + number // workers * 4.0,
        )
        for number, tile in enumerate(plan)
    )  # fmt: skip
    given = {
        "state": f"finished{words}",
        "good": True,
        "manager": "AWSBatch",
        "outputs": (f"out{words}.tif",),
    }
    return RunReport(plan=plan, records=records, **{**given, **changes})


class Elements(HTMLParser):
    """Counts elements, and keeps the text and the attributes that lead somewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.counts: dict[str, int] = {}
        self.text = ""
        self.links: list[str | None] = []
        self.handlers: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.links += [value for name, value in attrs if name in ("href", "src", "xlink:href", "action")]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_page_tells_of_tiles_workers_time_failures_and_cost() -> None:
    facts = RunFacts(
        "run-1", "about 0.71 USD", (FailedTile(3, "worker 2", "no memory"), FailedTile(None, "w", "x"))
    )
    found = Elements(page(report_of(12, facts=facts, picture=b"\x89PNG", main_seconds={"walltime": 20.0})))

    assert found.counts["svg"] == 3 + 6 + 2  # maps, worker processes, speed and shares
    for told in ("Run run-1", "finished", "out.tif", "of 12 tiles", "3workers, 6 processes", "20.0 s", "about 0.71 USD",
                 "no memory", "reading 13%", "user function 53%", "worker 1, process 0"):  # fmt: skip
        assert told in found.text
    assert found.links == ["data:image/png;base64,iVBORw=="]


def test_names_and_errors_are_text_whatever_stands_in_them() -> None:
    facts = RunFacts(PAYLOAD, PAYLOAD, (FailedTile(1, PAYLOAD, PAYLOAD + "\ud800\x00"),))
    text = page(report_of(6, words=PAYLOAD, facts=facts, picture=b"x"))

    found, plain = (
        Elements(text),
        Elements(page(report_of(6, words="", facts=RunFacts("", "", facts.failures)))),
    )
    assert "script" not in found.counts
    assert found.counts["img"] == 1
    assert found.counts["title"] - plain.counts["title"] == 0
    assert found.handlers == []
    assert [link for link in found.links if not str(link).startswith("data:image/png;base64,")] == []
    assert "default-src 'none'" in text
    assert not re.search(r"https?://|@import|url\(", text)


def test_a_run_of_very_many_tiles_is_a_page_that_opens() -> None:
    text = page(report_of(50_000, workers=40))
    found = Elements(text)
    assert found.counts["rect"] < 4 * MOST_SHAPES + 1000
    assert len(text) < 5_000_000
    assert "some are drawn" in found.text
    assert "50,000" in found.text


def test_a_run_without_finished_tiles_has_a_page() -> None:
    plan = TilePlan(BlockGrid(10, 10, 256, 256), 1, 1)
    found = Elements(
        page(RunReport("stopped", good=False, manager="AWSBatch", plan=plan, records=(), outputs=()))
    )
    assert "0of 1 tiles" in found.text
    assert "svg" not in found.counts


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.0204, "20 ms"), (3.21, "3.2 s"), (125, "2:05"), (3725, "1:02:05")]
)
def test_times_read_well(seconds: float, told: str) -> None:
    assert duration(seconds) == told


# -- runs that write their own


def run(
    folder: Path, report: Any, *, manager: str = "in-process", fails: bool = False
) -> applier.ApplierReturn:
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.image = make_raster(folder / "scene.tif", ramp(1, 512, 512))
    outfiles.result = folder / "out.tif"
    controls = applier.ApplierControls()
    controls.setTileSize(256, 256)
    controls.setStatsIgnore(None)
    controls.setNumThreads(2)
    controls.setJobManagerType(manager)
    controls.setReport(report)

    def double(_: Any, inputs: Any, outputs: Any) -> None:
        if fails:
            raise ValueError(PAYLOAD)
        outputs.result = inputs.image * 2

    return applier.apply(double, infiles, outfiles, controls=controls)


@pytest.mark.parametrize("manager", ["in-process", "threads"])
def test_a_run_on_this_machine_writes_its_report(tmp_path: Path, manager: str) -> None:
    (tmp_path / "report.html").write_text("an older one")

    done = run(tmp_path, tmp_path / "report.html", manager=manager)

    found = Elements((tmp_path / "report.html").read_text())
    assert "4of 4 tiles" in found.text
    assert f"Tiles were computed by {manager}" in found.text
    assert found.counts["img"] == 1
    assert all(0 < one.began_at <= one.ended_at for one in done.tiles)
    assert files_below(tmp_path) == ["out.tif", "report.html", "scene.tif"]


def test_a_run_that_fails_writes_its_report_too(tmp_path: Path) -> None:
    with pytest.raises(UserFunctionError):
        run(tmp_path, tmp_path / "report.html", fails=True)
    text = (tmp_path / "report.html").read_text()
    assert "failed: UserFunctionError: double raised ValueError" in text
    assert "<script" not in text


def test_a_report_that_cannot_be_written_is_refused_before_the_run(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "no" / "report.html"):
        with pytest.raises(OutputError, match="name a file in a folder that exists"):
            run(tmp_path, place)
    with pytest.raises(ParameterError, match="does not name an object in S3"):
        run(tmp_path, "s3://bucket")
    for name in ("scene.tif", "out.tif"):
        with pytest.raises(ParameterError, match="would replace an input or an output"):
            run(tmp_path, tmp_path / name)
    with pytest.raises(ParameterError, match="a report is the name of a file"):
        run(tmp_path, 3)
    assert files_below(tmp_path) == ["scene.tif"]


def test_a_report_that_cannot_be_written_in_the_end_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rios_batch.assemble.reporting.write_report", full)
    with caplog.at_level(logging.WARNING, "rios_batch"):
        run(tmp_path, tmp_path / "report.html")
    assert "was not written: [Errno 28] No space left on device" in caplog.text
    assert (tmp_path / "out.tif").exists()


@ON_LOOPBACK
def test_a_report_may_be_an_object_in_s3(tmp_path: Path, bucket: Bucket) -> None:
    run(tmp_path, f"s3://{bucket.name}/reports/one.html")
    assert b"4</b><span>of 4 tiles" in bucket.get("reports/one.html")


# -- in a browser

needs_browser = pytest.mark.skipif(
    BROWSER is None, reason="there is no Chromium (scripts/browser installs it)"
)
_MEASURE = """<script>document.body.dataset.measured = [document.documentElement.scrollWidth, innerWidth,
  getComputedStyle(document.body).backgroundColor, document.querySelectorAll('rect').length].join(';')</script>"""


def shown(folder: Path, *options: str) -> str:
    assert BROWSER is not None
    command = [
        BROWSER,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={folder / 'profile'}",
    ]
    done = subprocess.run(
        [*command, "--hide-scrollbars", *options, (folder / "report.html").as_uri()],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout


@needs_browser
def test_a_browser_runs_nothing_of_what_names_hold_and_the_page_fits_a_narrow_window_in_the_dark(
    tmp_path: Path,
) -> None:
    facts = RunFacts(PAYLOAD, PAYLOAD, (FailedTile(1, PAYLOAD, PAYLOAD * 20),))
    text = page(report_of(40, words=PAYLOAD, facts=facts))
    # Without the policy that forbids scripts, so that this page can be measured and escaping alone is tried.
    plain = re.sub(r"<meta http-equiv[^>]*>", "", text).replace("</body>", f"{_MEASURE}</body>")
    (tmp_path / "report.html").write_text(plain, "utf-8", "backslashreplace")

    dark = shown(tmp_path, "--blink-settings=preferredColorScheme=0", "--window-size=500,900", "--dump-dom")

    assert "data-owned" not in dark
    measured = re.search(r'data-measured="([^"]*)"', dark)
    assert measured
    needed_px, given_px, background, shapes = measured[1].split(";")
    assert int(needed_px) <= int(given_px) <= 500
    assert background == "rgb(20, 23, 26)"
    assert int(shapes) == 3 * 41 + 40 + 20 + 4 or int(shapes) > 3 * 41 + 40


@needs_browser
def test_a_browser_draws_maps_and_bars_in_colour(tmp_path: Path) -> None:
    write_report(str(tmp_path / "report.html"), report_of(12))

    shown(tmp_path, "--window-size=900,1400", f"--screenshot={tmp_path / 'page.png'}")

    pixels: Array = gdal.Open(str(tmp_path / "page.png")).ReadAsArray()[:3].astype("i4")
    coloured = (pixels.max(axis=0) - pixels.min(axis=0)) > 60
    assert 0.08 < coloured.mean() < 0.6
    assert np.median(pixels) > 230  # a light page
    assert len(np.unique(pixels[:, coloured].T // 16, axis=0)) > 15
