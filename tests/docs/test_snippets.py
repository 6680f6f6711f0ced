"""Every piece of Python and every command on the docs' pages is run, or is on the list of those that cannot be."""

from __future__ import annotations

import copy
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
import pytest

from cdk_app.fields import SettingFields
from rios_batch.cli.program import commands
from tests.docs.fences import DOCS, FENCES, Fence
from tests.docs.notrun import NOT_RUN
from tests.support import ROOT, make_raster, ramp, read_raster, run_python, run_script

if TYPE_CHECKING:
    from collections.abc import Mapping

LANGUAGES = {"python", "sh", "text", "json"}
CONTROLS = "from rios_batch import applier\ncontrols = applier.ApplierControls()\n"
FILES = "infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()\n"
COPY = """
infiles.scene, outfiles.copy = "scene.tif", "copy.tif"
def copy(info, inputs, outputs):
    outputs.copy = inputs.scene
applier.apply(copy, infiles, outfiles, controls=controls)
"""

# Two dates with red and near infrared, and what the page's first piece runs.
STACK = """
from osgeo import gdal
gdal.UseExceptions()
for name in ("a.tif", "b.tif"):
    gdal.Translate(name, "scene.tif", bandList=[3, 4])
    file = gdal.Open(name, gdal.GA_Update)
    for number, band in enumerate(("red", "nir"), start=1):
        file.GetRasterBand(number).SetDescription(band)
    del file
dates = ["2024-06-01", "2024-07-01"]
infiles.scenes, outfiles.ndvi = ["a.tif", "b.tif"], "ndvi.tif"
controls.setStatsIgnore(-2)
def ndvi(info, inputs, outputs):
    red, nir = inputs.scenes[0].astype("f4")
    outputs.ndvi = ((nir - red) / (nir + red))[None]
"""

# What stands before the first and behind the last piece of a page, where the pieces are not a script by themselves.
AROUND: dict[str, tuple[str, str]] = {
    "aws-batch.md": (CONTROLS, ""),
    "compression.md": (CONTROLS + FILES, COPY),
    "concepts/tiles-blocks-windows.md": (CONTROLS + FILES, COPY),
    "files-in-the-cloud.md": (CONTROLS + FILES, ""),
    "notebooks.md": (CONTROLS + FILES + STACK, ""),
    "porting-from-rios.md": (CONTROLS, ""),
    "quick-start/aws.md": (CONTROLS, ""),
    "reference/settings.md": (CONTROLS, ""),
}
AS_RIOS = {"porting-from-rios.md"}  # its script imports rios
# Pages whose commands are run in a folder that has examples/ and data/.
WITH_EXAMPLES = {"quick-start/local.md", "quick-start/aws.md"} | {
    f.page for f in FENCES if f.page.startswith("cookbook/")
}

LISTED = [f for f in FENCES if any(f.page == page and f.text.startswith(begin) for page, begin in NOT_RUN)]
# Pages that a script makes of notebooks, whose cells tests/contract/test_notebooks.py runs.
NOTEBOOKS = "tutorials/"
RUN = [fence for fence in FENCES if fence not in LISTED and not fence.page.startswith(NOTEBOOKS)]
ELSEWHERE = {"stac.md": "tests/stac/test_stac_runs.py"}  # with a server of what its items name
PYTHON_PAGES = sorted(
    {fence.page for fence in RUN if fence.language == "python" and not fence.included} - ELSEWHERE.keys()
)
COMMANDS = [fence for fence in RUN if fence.language == "sh"]


def python_of(page: str) -> str:
    pieces = [fence.text for fence in RUN if (fence.page, fence.language) == (page, "python")]
    before, behind = AROUND.get(page, ("", ""))
    return "\n".join([before, *pieces, behind])


def run_commands(text: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run lines of a shell as a reader does, with this Python first on the path; stop at the first that fails."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", text], cwd=folder, env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True, text=True, timeout=250, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def with_examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder as after the cookbook's first command: with examples/ and data/."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "examples").symlink_to(ROOT / "examples")
    (first,) = [fence for fence in FENCES if (fence.page, fence.language) == ("cookbook/index.md", "sh")]
    run_commands(first.text, folder)
    return folder


# -- the inventory


@pytest.mark.parametrize("fence", FENCES, ids=str)
def test_a_piece_says_what_language_it_is_in(fence: Fence) -> None:
    assert fence.language in LANGUAGES, f"write one of {sorted(LANGUAGES)} behind the backticks of {fence}"


@pytest.mark.parametrize("page", {fence.page for fence in FENCES})
def test_no_backticks_of_a_page_are_left_over(page: str) -> None:
    marks = len(re.findall(r"^ *```", (DOCS / page).read_text(), re.MULTILINE))

    assert marks == 2 * sum(fence.page == page for fence in FENCES)


@pytest.mark.parametrize(("page", "begin"), NOT_RUN)
def test_an_entry_of_what_is_not_run_is_one_piece(page: str, begin: str) -> None:
    (fence,) = [fence for fence in FENCES if fence.page == page and fence.text.startswith(begin)]

    assert fence.language in {"python", "sh"}


@pytest.mark.parametrize("reason", sorted(set(NOT_RUN.values())))
def test_a_reason_says_something_and_names_tests_that_exist(reason: str) -> None:
    assert len(reason.split()) >= 3
    for path in re.findall(r"(?:tests|\.ci)/[\w./]+", reason):
        assert (ROOT / path).is_file()


@pytest.mark.parametrize("fence", [fence for fence in COMMANDS if fence.page not in WITH_EXAMPLES], ids=str)
def test_commands_that_are_run_are_known_to_be_harmless(fence: Fence) -> None:
    assert fence.page in AS_RIOS, (
        f"add {fence} to tests/docs/notrun.py with a reason, or have test_snippets.py run it"
    )


@pytest.mark.parametrize("notebook", sorted((DOCS / NOTEBOOKS).glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebooks_page_has_its_cells_in_order_and_what_they_show(notebook: Path) -> None:
    page = notebook.with_suffix(".md").read_text()
    fences = [fence for fence in FENCES if fence.page == f"{NOTEBOOKS}{notebook.stem}.md"]
    cells = json.loads(notebook.read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]

    assert [f.text.rstrip("\n") for f in fences if f.language == "python"] == code, (
        "run scripts/tutorial-pages.py, which makes the page of the notebook"
    )
    assert any(fence.language == "text" for fence in fences)
    places = [page.find("".join(cell["source"])) for cell in cells]
    assert -1 not in places
    assert places == sorted(places)
    pictures = re.findall(r"!\[.+\]\((.+)\)", page)
    assert pictures
    assert [name for name in pictures if not (notebook.parent / name).is_file()] == []
    assert not re.search(r"/tmp/|ipykernel|\x1b", page)


# -- what is run


@pytest.mark.parametrize(("page", "path"), ELSEWHERE.items())
def test_pages_that_are_run_elsewhere_are(page: str, path: str) -> None:
    assert f"docs/{page}" in (ROOT / path).read_text()


@pytest.mark.parametrize("page", PYTHON_PAGES)
def test_the_python_of_a_page_runs_from_top_to_bottom(page: str, with_examples: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(python_of(page))
    make_raster(tmp_path / "scene.tif", ramp(4, 300, 280))
    (tmp_path / "data").symlink_to(with_examples / "data")

    if page in AS_RIOS:
        run_commands("python -m rios_batch as-rios script.py", tmp_path)
    else:
        done = run_python(script, folder=tmp_path)
        assert done.returncode == 0, done.stderr


def test_the_script_of_the_first_page_makes_what_it_says(tmp_path: Path) -> None:
    scene = ramp(4, 300, 280)
    make_raster(tmp_path / "scene.tif", scene)
    (tmp_path / "script.py").write_text(python_of("index.md"))

    done = run_python(tmp_path / "script.py", folder=tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    red, nir = scene[2:].astype("f4")
    np.testing.assert_array_equal(read_raster(tmp_path / "ndvi.tif")[0], (nir - red) / (nir + red))


@pytest.mark.parametrize(
    "fence",
    [fence for fence in COMMANDS if fence.page in WITH_EXAMPLES and fence.page != "cookbook/index.md"],
    ids=str,
)
def test_commands_run_in_a_folder_with_the_examples(fence: Fence, with_examples: Path) -> None:
    run_commands(fence.text, with_examples)


def test_a_script_of_rios_runs_by_the_command_of_the_page(tmp_path: Path) -> None:
    (command,) = [fence for fence in COMMANDS if fence.page == "porting-from-rios.md"]
    (script,) = [f for f in RUN if f.page == command.page and "def ndvi" in f.text]
    (tmp_path / "script.py").write_text(script.text)
    make_raster(tmp_path / "scene.tif", ramp(4, 300, 280))

    run_commands(command.text, tmp_path)

    assert (tmp_path / "ndvi.tif").is_file()


LOOP = f"""{CONTROLS}{FILES}
infiles.scene, outfiles.ndvi = "scene.tif", "ndvi.tif"
def ndvi(info, inputs, outputs):
    outputs.ndvi = inputs.scene * 2
scenes = ["the same", "and again"]
"""


@pytest.mark.slow
@pytest.mark.usefixtures("cloud")
def test_a_loop_with_the_same_workers_runs_on_an_emulated_aws(tmp_path: Path) -> None:
    (loop,) = [fence for fence in LISTED if "with batch.Workers(50):" in fence.text]
    make_raster(tmp_path / "scene.tif", ramp(1, 300, 280))

    done = run_script(tmp_path, LOOP + loop.text.replace("50", "1"))

    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(read_raster(tmp_path / "ndvi.tif"), ramp(1, 300, 280) * 2)
    assert done.stderr.count(" is finished: ") == 2


@pytest.mark.parametrize("fence", [fence for fence in FENCES if fence.included], ids=str)
def test_an_included_script_is_run_by_a_command_of_its_page_and_by_the_tests_of_examples(
    fence: Fence,
) -> None:
    tests = "".join(path.read_text() for path in (ROOT / "tests" / "examples").glob("test_*.py"))
    for path in fence.included:
        assert (ROOT / path).is_file()
        assert f'"{Path(path).name}"' in tests
        assert any(path in command.text for command in COMMANDS if command.page == fence.page)


# -- what is not run is right as far as can be told without running it


@pytest.mark.parametrize("fence", [fence for fence in LISTED if fence.language == "python"], ids=str)
def test_python_that_is_not_run_is_python(fence: Fence) -> None:
    compile(fence.text, str(fence), "exec")


def command_lines(program: str) -> list[str]:
    """Return the lines of all commands on the pages that call a program, joined where they go on."""
    text = "\n".join(fence.text for fence in FENCES if fence.language == "sh").replace("\\\n", " ")
    lines = [re.sub(r"\s+#.*", "", line) for line in text.splitlines()]
    return [line for line in lines if re.match(rf"(\S+=\S+ )*(npx )?{program} ", line)]


@pytest.mark.parametrize("line", command_lines("rios-batch"))
def test_the_command_line_knows_a_command_of_the_pages_and_its_options(line: str) -> None:
    words = shlex.split(line)
    _, name, *arguments = words
    command = copy.deepcopy(commands.commands[name])
    for parameter in command.params:  # the reader's paths are not looked for: only words are read
        parameter.type = click.STRING if isinstance(parameter.type, click.Path) else parameter.type

    assert command.make_context(name, arguments).info_name == name


@pytest.mark.parametrize("line", command_lines("make"))
def test_make_knows_a_target_of_the_pages(line: str) -> None:
    _, target, *_ = shlex.split(line)

    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("line", command_lines("cdk"))
def test_the_stack_has_the_settings_of_the_pages(line: str) -> None:
    known: Mapping[str, object] = SettingFields.model_fields

    for setting in re.findall(r" -c (\w+)=", line):
        assert setting in known
