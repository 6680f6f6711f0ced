"""The README's commands exist and its script runs as it stands."""

from __future__ import annotations

import re
import runpy
import subprocess
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.support import ROOT, make_raster, ramp, read_metadata, read_raster, run_script

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support import Array

README = (ROOT / "README.md").read_text()
CI = (ROOT / ".ci" / "run").read_text()


def the_scene(folder: Path, pixels: Array, **options: Any) -> None:
    """Write pixels where the README's script looks for its scene."""
    (folder / "data").mkdir()
    make_raster(folder / "data" / "scene.tif", pixels, **options)


def code_blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


COMMANDS = [line.partition("  #")[0].strip() for block in code_blocks("sh") for line in block.splitlines()]
OF_MAKE = [command for command in COMMANDS if command.startswith("make ")]
OF_THE_CDK = [command for command in COMMANDS if command.startswith("npx cdk ")]
FIRST_PICTURE = runpy.run_path(str(ROOT / "scripts" / "first-picture.py"))


@pytest.mark.parametrize("command", OF_MAKE)
def test_every_command_is_run_by_ci_and_make_knows_it(command: str) -> None:
    assert re.search(rf"^{re.escape(command)}( |$)", CI, re.MULTILINE), f"{command} is not in .ci/run"

    dry_run = subprocess.run([*command.split(), "-n"], cwd=ROOT, check=False, capture_output=True, text=True)

    assert dry_run.returncode == 0, dry_run.stderr


@pytest.mark.parametrize("command", OF_THE_CDK)
def test_every_command_of_the_cdk_is_run_by_the_end_to_end_tests(command: str) -> None:
    end_to_end = (ROOT / "tests" / "e2e" / "test_on_aws.py").read_text()

    assert f'commands.cdk("{command.removeprefix("npx cdk ")}"' in end_to_end


def test_every_other_command_is_run_by_make_install_test() -> None:
    others = [command for command in COMMANDS if command not in {*OF_MAKE, *OF_THE_CDK}]

    assert others == FIRST_PICTURE["commands"](README)
    assert "make install-test" in CI.splitlines()


def test_the_two_commands_come_first_and_then_deploying() -> None:
    assert COMMANDS[:2] == ["make demo", "make test"]
    assert README.index("make test ") < README.index("npx cdk deploy") < README.index("## ")


def test_the_readme_can_be_read_in_a_few_minutes() -> None:
    assert len(README.splitlines()) <= 150


def test_the_status_says_what_nobody_has_tried() -> None:
    assert "not yet on a real account" in README


@pytest.mark.parametrize("picture", re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README))
def test_a_picture_is_small(picture: str) -> None:
    assert 10_000 < (ROOT / picture).stat().st_size < 300_000


def test_the_script_runs_as_it_stands(tmp_path: Path) -> None:
    script, _ = code_blocks("python")
    scene = ramp(4, 300, 280)
    the_scene(tmp_path, scene)

    done = run_script(tmp_path, script)

    assert done.returncode == 0, done.stderr
    assert "walltime" in done.stdout
    red, nir = scene[2].astype("f4"), scene[3].astype("f4")
    np.testing.assert_array_equal(read_raster(tmp_path / "ndvi.tif")[0], (nir - red) / (nir + red))


def test_the_script_keeps_a_value_of_0_and_makes_missing_pixels_nodata(tmp_path: Path) -> None:
    script, _ = code_blocks("python")
    scene = ramp(4, 300, 280)
    scene[3, 10:20] = scene[2, 10:20]  # an index of 0
    scene[2, 50:60] = 5_000
    scene[2:, 250:] = 0
    the_scene(tmp_path, scene, nodata=5_000)

    done = run_script(tmp_path, script)

    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    assert "setStatsIgnore" not in done.stderr
    ndvi = read_raster(tmp_path / "ndvi.tif")[0]
    assert (ndvi[10:20] == 0).all()
    assert (ndvi[50:60] == -2).all()
    assert (ndvi[250:] == -2).all()
    (metadata,) = read_metadata(tmp_path / "ndvi.tif")
    assert -1 <= float(metadata["STATISTICS_MINIMUM"]) < 0


@pytest.mark.usefixtures("cloud")
def test_the_two_lines_send_the_script_to_aws_batch(tmp_path: Path) -> None:
    script, two_lines = code_blocks("python")
    apply = "result = applier.apply("
    assert apply in script
    scene = ramp(4, 300, 280)
    the_scene(tmp_path, scene)

    done = run_script(tmp_path, script.replace(apply, f"{two_lines.replace('51', '3')}{apply}"))

    assert done.returncode == 0, done.stderr
    red, nir = scene[2].astype("f4"), scene[3].astype("f4")
    np.testing.assert_array_equal(read_raster(tmp_path / "ndvi.tif")[0], (nir - red) / (nir + red))


@pytest.mark.parametrize("page", [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")], ids=lambda path: path.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
