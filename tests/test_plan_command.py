"""``rios-batch plan``, driven as a person would."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import ROOT, files_below, make_raster, ramp

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = """
    import sys
    from osgeo import gdal
    from rios_batch import applier

    def double(info, inputs, outputs):
        outputs.result = inputs.image * 2

    def run(image, result):
        infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
        infiles.image, outfiles.result = image, result
        controls = applier.ApplierControls()
        controls.setDryRun(False)
        return applier.apply(double, infiles, outfiles, controls=controls)

    print("arguments", sys.argv[1:], __name__)
    run("scene.tif", "first.tif")
"""


@pytest.fixture
def plan(tmp_path: Path) -> Any:
    """Give a function that plans SCRIPT with more lines, in a folder with a scene."""
    make_raster(tmp_path / "scene.tif", ramp(1, 300, 300))

    def planned(rest: str = "", *arguments: str, script: str = SCRIPT) -> subprocess.CompletedProcess[str]:
        (tmp_path / "script.py").write_text(textwrap.dedent(script) + textwrap.dedent(rest))
        return subprocess.run(
            [sys.executable, "-m", "rios_batch", "plan", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    return planned


def test_without_gdal_a_plan_is_one_sentence_and_no_traceback(
    plan: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "osgeo").mkdir()
    (tmp_path / "osgeo" / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")

    done = plan("", "script.py")

    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("rios-batch: rios_batch needs GDAL")


def test_every_apply_of_a_script_is_planned_whatever_its_controls_say(plan: Any, tmp_path: Path) -> None:
    done = plan("run('scene.tif', 'second.tif')", "script.py", "--own", "x")

    assert done.returncode == 0
    assert re.findall(r"output +(\S+) \(not written\)", done.stdout) == ["first.tif", "second.tif"]
    assert "grid      300 x 300 pixels of 10 x 10\n" in done.stdout
    assert re.search(r"^memory +\d+ MiB at most in the script's own process$", done.stdout, re.MULTILINE)
    assert re.search(r"^ +1 +\d+ +\d\.\d s +as the script asks$", done.stdout, re.MULTILINE)
    assert "arguments ['--own', 'x'] __main__\n" in done.stderr  # what the script prints is no result
    assert done.stderr.count("is computed here, to measure it; nothing is written") == 2
    assert files_below(tmp_path) == ["scene.tif", "script.py"]


def test_programs_get_a_line_for_each_apply(plan: Any) -> None:
    done = plan("run('scene.tif', 'second.tif')", "--json", "script.py")

    first, second = map(json.loads, done.stdout.splitlines())
    assert (first["outputs"], second["outputs"]) == (["first.tif"], ["second.tif"])
    assert (first["ncols"], first["measured"]["layouts"]) == (300, {"outputs.result": "1 band of uint16"})
    assert first["scenarios"][0]["usd"] is None


@pytest.mark.parametrize(
    ("reads", "says"),
    [
        ("run('first.tif', 'second.tif')", "MissingFileError: input file 'first.tif' does not exist"),
        ("open('first.tif')", "FileNotFoundError: [Errno 2] No such file or directory: 'first.tif'"),
        (
            "gdal.UseExceptions(); gdal.Open('first.tif')",
            "RuntimeError: first.tif: No such file or directory",
        ),
    ],
)
def test_a_script_that_goes_on_with_an_output_ends_the_plan_cleanly(plan: Any, reads: str, says: str) -> None:
    done = plan(reads, "script.py")

    assert (done.returncode, done.stdout.count("plan of double")) == (0, 1)
    assert done.stderr.splitlines()[-1] == (
        "rios-batch: the plan ends after 1 run: the script goes on with 'first.tif', which a planned run would have "
        f"written ({says})"
    )
    assert "Traceback" not in done.stderr


def test_a_script_that_fails_otherwise_fails_the_plan(plan: Any) -> None:
    done = plan("gdal.DontUseExceptions(); gdal.Open('first.tif').RasterCount", "script.py")

    assert (done.returncode, done.stdout.count("plan of double")) == (1, 1)
    traceback, said = done.stderr.split("Traceback (most recent call last):\n")[1].split("rios-batch: ")
    assert traceback.startswith('  File "script.py", line 18, in <module>\n    gdal.DontUseExceptions()')
    assert said == (
        "the script failed after 1 run planned; their outputs do not exist, which may be why: AttributeError: "
        "'NoneType' object has no attribute 'RasterCount'\n"
    )


def test_what_apply_refuses_is_said_with_the_scripts_own_lines(plan: Any) -> None:
    done = plan("", "script.py", script=SCRIPT.replace('"scene.tif"', '"scenery.tif"'))

    assert (done.returncode, done.stdout) == (1, "")
    traceback, said = done.stderr.split("Traceback (most recent call last):\n")[1].split("rios-batch: ")
    assert re.findall(r'File "(.*?)"', traceback) == ["script.py", "script.py"]
    assert said == (
        "the script failed after 0 runs planned: MissingFileError: input file 'scenery.tif' does not exist\n"
    )


def test_a_run_whose_workers_would_take_too_much_fails_the_plan_with_one_sentence(plan: Any) -> None:
    small = """
    from rios_batch.awsbatch.manager import AWSBatch
    from rios_batch.model.forecast import Workforce
    AWSBatch.workforce = lambda self: Workforce(30, 2, on_batch=True, memory_mib=64, place="stack Small")
    """
    batch = "controls.setNumThreads(31); controls.setJobManagerType('AWSBatch')"

    done = plan(
        "",
        "script.py",
        script=textwrap.dedent(small) + textwrap.dedent(SCRIPT).replace("controls.setDryRun(False)", batch),
    )

    assert done.returncode == 1
    assert "REFUSED   a worker is predicted to take" in done.stdout
    assert re.match(
        r"rios-batch: a worker is predicted to take \d+ MiB for 2 tiles at a time, and may take 64 MiB \(memory_mib of "
        r"stack Small\)",
        done.stderr.splitlines()[-1],
    )
    assert "Traceback" not in done.stderr


def test_a_script_that_ends_itself_or_plans_nothing_is_no_plan(plan: Any) -> None:
    assert (done := plan("sys.exit(3)", "script.py")).returncode == 1
    assert done.stderr.endswith("rios-batch: the script ended with status 3 after 1 run planned\n")
    assert (done := plan("", "script.py", script="print('nothing')")).returncode == 1
    assert done.stderr.endswith("the script has called apply not once, so there is nothing to plan\n")
    assert (done := plan("", "other.py")).stderr == "rios-batch: other.py is not a file\n"
    assert done.returncode == 1


def test_a_run_on_batch_is_planned_without_an_account(plan: Any) -> None:
    done = plan("", "script.py", script=SCRIPT.replace(
        "controls.setDryRun(False)",
        "controls.setNumThreads(31); controls.setJobManagerType('AWSBatch'); controls.setTileSize(64, 64)",
    ))  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "what a worker may take is not known" in done.stdout
    assert re.search(
        r"^assumed +2 vCPUs for each worker, since the stack cannot be asked: ", done.stdout, re.MULTILINE
    )
    rows = re.findall(r"^ +(\d+) +\d+ +\S+(?: s)? +\d+\.\d\d", done.stdout, re.MULTILINE)
    assert rows == ["1", "10", "30", "50", "100", "500"]
    assert "prices of 2" in done.stdout


def test_a_script_for_rios_is_planned_as_it_is(plan: Any) -> None:
    done = plan(
        "", "--as-rios", "script.py", script=SCRIPT.replace("from rios_batch import", "from rios import")
    )

    assert (done.returncode, done.stdout.count("plan of double")) == (0, 1), done.stderr
