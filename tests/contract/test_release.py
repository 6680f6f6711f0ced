"""What a release publishes beside the code says what pyproject.toml says."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

from tests.support import ROOT

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
RECIPE = (ROOT / "recipe" / "meta.yaml").read_text()
# conda-forge's linter asks for these sections in this order.
SECTIONS = ["package", "source", "build", "requirements", "test", "about", "extra"]


@pytest.fixture
def recipe() -> dict[str, Any]:
    """Give the recipe as conda-build reads it, with conda-forge's lowest Python."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)
    text = environment.from_string(RECIPE).render(PYTHON="python", python_min="3.11")
    return dict(yaml.safe_load(text))


def test_the_recipe_has_the_sections_that_conda_forge_asks_for(recipe: dict[str, Any]) -> None:
    assert list(recipe) == SECTIONS
    assert {"home", "license", "license_file", "summary"} <= set(recipe["about"])
    assert (ROOT / recipe["about"]["license_file"]).exists()
    assert recipe["about"]["license"] == PROJECT["project"]["license"]
    assert recipe["about"]["summary"] == PROJECT["project"]["description"]
    assert re.fullmatch("[0-9a-f]{64}", str(recipe["source"]["sha256"]))
    assert recipe["build"]["noarch"] == "python"


def test_the_recipe_requires_what_the_wheel_requires_and_gdal(recipe: dict[str, Any]) -> None:
    run = [line.replace(" ", "") for line in recipe["requirements"]["run"]]
    host = [line.replace(" ", "") for line in recipe["requirements"]["host"]]
    python = PROJECT["project"]["requires-python"]
    gdal = PROJECT["project"]["optional-dependencies"]["gdal"]
    wanted = [line.replace("isal>", "python-isal>") for line in PROJECT["project"]["dependencies"]]

    assert sorted(run) == sorted([f"python{python}", "__unix", *gdal, *wanted], key=str)
    assert [line for line in PROJECT["build-system"]["requires"] if line not in host] == []


def test_the_recipe_has_the_wheels_commands(recipe: dict[str, Any]) -> None:
    scripts = [f"{name} = {target}" for name, target in PROJECT["project"]["scripts"].items()]

    assert recipe["build"]["entry_points"] == scripts


def test_the_recipe_and_the_page_on_releases_say_that_it_was_never_built() -> None:
    assert "never built" in RECIPE
    assert "has not been built" in (ROOT / "docs" / "releasing.md").read_text()


def check(file: Path) -> subprocess.CompletedProcess[str]:
    """Compare a file with the schema of the Citation File Format."""
    program = Path(sys.executable).with_name("check-jsonschema")
    return subprocess.run(
        [program, "--builtin-schema", "vendor.citation-file-format", file],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_citation_file_fits_its_schema(tmp_path: Path) -> None:
    wrong = tmp_path / "CITATION.cff"
    wrong.write_text((ROOT / "CITATION.cff").read_text().replace("type: software", "type: program"))

    assert check(ROOT / "CITATION.cff").returncode == 0
    assert check(wrong).returncode != 0


def test_the_citation_file_names_the_projects_licence() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())

    assert citation["license"] == PROJECT["project"]["license"]
    assert citation["title"] == PROJECT["project"]["name"]


def test_every_extra_is_explained() -> None:
    page = (ROOT / "docs" / "install.md").read_text()

    assert [
        extra
        for extra in PROJECT["project"]["optional-dependencies"]
        if not re.search(rf"^\| `{extra}` \|", page, re.MULTILINE)
    ] == []


def test_the_wheel_has_one_package() -> None:
    assert PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["rios_batch"]
    assert PROJECT["tool"]["check-wheel-contents"]["toplevel"] == ["rios_batch"]  # `make dist` asks for it
