"""The three commands of docs/operations.md: from a clone to a watched run of one's own script, with its report open."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support import ROOT, files_below, make_raster, ramp

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = """
import sys
from rios_batch import applier

def doubled(info, inputs, outputs):
    outputs.result = inputs.image * 2

infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
infiles.image, outfiles.result = sys.argv[1:]
applier.apply(doubled, infiles, outfiles)
print("the script's own words")
"""

# A person's own AWS, which a rehearsal must not touch.
OWN_SETTINGS = {
    "AWS_PROFILE": "nobody",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "http_proxy": "http://127.0.0.1:9",
    "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
    "RIOS_AWSBATCH_STACK": "TheirOwn",
    "RIOS_AWSBATCH_REGION": "eu-west-1",
    "RIOS_AWSBATCH_RESUME": "their-own-run",
}


@pytest.mark.slow
def test_three_commands_lead_from_a_clone_to_the_report_of_a_watched_run(tmp_path: Path) -> None:
    text = (ROOT / "docs/operations.md").read_text()
    block = re.search(r"## Three commands.*?```sh\n(.*?)```", text, re.DOTALL)
    assert block
    commands = block[1].strip().splitlines()
    assert len(commands) == 3
    own = tmp_path / "own.py"
    own.write_text(SCRIPT)
    scene = make_raster(tmp_path / "scene.tif", ramp(1, 512, 512))
    out, report = tmp_path / "out.tif", tmp_path / "a.html"
    typed = "\n".join(commands).replace("myscript.py its arguments", f"{own} {scene} {out}")
    typed = typed.replace("report.html", str(report))
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho opened "$1" > {tmp_path}/opened\n')
    browser.chmod(0o755)

    done = subprocess.run(
        ["bash", "-euc", typed],
        cwd=ROOT,
        env={**os.environ, "BROWSER": str(browser), **OWN_SETTINGS},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert re.search(r"tiles .*\n.* \d of \d finished", done.stdout)
    assert "has ended, and left nothing" in done.stdout
    assert f"{out} (output 'result' of apply number 1) is the same, bit for bit" in done.stdout
    assert done.stderr.count("the script's own words") == 2
    assert (tmp_path / "opened").read_text().strip() == f"opened {report.as_uri()}"
    assert "<b>4</b><span>of 4 tiles" in report.read_text()
    assert files_below(tmp_path) == ["a.html", "browser", "opened", "own.py", "scene.tif"]
