"""Runs over items whose files are on a loopback server."""

from __future__ import annotations

import json
import logging
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rios_batch import applier, stac
from rios_batch.errors import ImageOpenError
from tests.stac.loopback import Server, median_of, sentinel_dates, serving
from tests.support import ROOT, read_raster, run_python

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rios_batch.testing.emulation.cloud import Emulator

pytestmark = pytest.mark.enable_socket


@pytest.fixture
def url() -> Iterator[str]:
    with serving() as address:
        yield address


def median(_info: Any, inputs: Any, outputs: Any) -> None:
    masked: Any = np.ma  # numpy 1.24 has no types of it
    red, classes = np.array(inputs.red), np.array(inputs.scl)
    clear = np.isin(classes, [4, 5, 6, 7]) & (red != 0)
    outputs.median = np.rint(masked.median(masked.array(red, mask=~clear), axis=0)).filled(0).astype("u2")


def run(found: stac.FoundItems, output: Path, manager: str = "in-process") -> None:
    controls = applier.ApplierControls()
    controls.setReferencePixgrid(found.pixelGrid())
    controls.setFootprintType(applier.BOUNDS_FROM_REFERENCE)
    controls.setTileSize(64, 64)
    controls.setWindowXsize(64)
    controls.setWindowYsize(64)
    controls.setNumThreads(2)
    controls.setJobManagerType(manager)
    if manager == "AWSBatch":
        controls.setCoordinateOnly(True)
    infiles = applier.FilenameAssociations(**found.files)
    applier.apply(median, infiles, applier.FilenameAssociations(median=str(output)), controls=controls)


def test_the_example_has_25_lines_and_gives_numpys_median_of_60_dates(url: str, tmp_path: Path) -> None:
    items, red, classes = sentinel_dates(url, 60)
    (tmp_path / "items.json").write_text(json.dumps(items))
    script = ROOT / "examples/stac_median.py"

    done = run_python(script, "items.json", "median.tif", folder=tmp_path)

    assert done.returncode == 0, done.stderr
    assert len(script.read_text().splitlines()) <= 25
    expected = median_of(red, classes)
    assert expected.any()
    np.testing.assert_array_equal(read_raster(tmp_path / "median.tif")[0], expected)
    written = json.loads((tmp_path / "median.stac.json").read_text())
    assert len([link for link in written["links"] if link["rel"] == "derived_from"]) == 90


def test_workers_on_aws_read_mosaics_of_remote_files(quick_cloud: Emulator, url: str, tmp_path: Path) -> None:
    del quick_cloud
    items, red, classes = sentinel_dates(url, 60)
    run(stac.readItems(items, ["red", "scl"]), tmp_path / "median.tif", "AWSBatch")
    np.testing.assert_array_equal(read_raster(tmp_path / "median.tif")[0], median_of(red, classes))


def test_a_bearer_token_reaches_the_server_from_worker_processes(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items, red, classes = sentinel_dates(url, 2)
    Server.token = "open-sesame"
    (tmp_path / "headers.txt").write_text("Authorization: Bearer open-sesame\n")
    monkeypatch.setenv("GDAL_HTTP_HEADER_FILE", str(tmp_path / "headers.txt"))

    run(stac.readItems(items, ["red", "scl"]), tmp_path / "median.tif", "multiprocessing")

    np.testing.assert_array_equal(read_raster(tmp_path / "median.tif")[0], median_of(red, classes))


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (401, r"asks who you are \(HTTP 401\); set GDAL_HTTP_HEADER_FILE"),
        (403, r"forbids it \(HTTP 403\); sign the address anew if it is a signed one"),
    ],
)
def test_a_refusal_says_what_to_do_and_no_signature(
    url: str, tmp_path: Path, status: int, sentence: str
) -> None:
    items, *_ = sentinel_dates(url, 1)
    Server.token, Server.status_without = "another", status
    found = stac.readItems(items, ["red", "scl"], sign=lambda href: f"{href}?sig=hidden")

    with pytest.raises(ImageOpenError, match=sentence) as raised:
        run(found, tmp_path / "median.tif")
    assert "hidden" not in str(raised.value)


def test_a_signature_is_in_the_addresses_and_in_no_message_or_item(
    url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    items, red, classes = sentinel_dates(url, 2)
    caplog.set_level(logging.DEBUG)
    found = stac.readItems(items, ["red", "scl"], sign=lambda href: f"{href}?sig=hidden")
    assert all(name.endswith(("?sig=hidden", ".vrt")) for names in found.files.values() for name in names)

    run(found, tmp_path / "median.tif")
    stac.writeItem(tmp_path / "median.tif", found, median)

    np.testing.assert_array_equal(read_raster(tmp_path / "median.tif")[0], median_of(red, classes))
    assert "hidden" not in caplog.text
    assert "hidden" not in (tmp_path / "median.stac.json").read_text()


def test_the_snippets_of_the_page_run_in_order(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items, red, classes = sentinel_dates(url, 3)
    (tmp_path / "items.json").write_text(json.dumps(items))
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs/stac.md").read_text()
    snippets = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(snippets) > 3

    exec("\n".join(snippets), {"__name__": "snippets"})

    np.testing.assert_array_equal(read_raster(tmp_path / "median.tif")[0], median_of(red, classes))
