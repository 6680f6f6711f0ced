"""The design page draws the code as it stands."""

from __future__ import annotations

import re

import pytest

from tests.support import ROOT

PAGE = (ROOT / "docs" / "design.md").read_text()
HOUSE = PAGE.partition("## The house")[2].partition("## Words")[0]
PATHS = sorted(
    set(re.findall(r"\b(?:rios_batch|cdk_app|tests|docs|docker|examples|scripts|bench)/[\w./-]*", PAGE))
)
LINKS = sorted(set(re.findall(r"\]\(([^)#]+)", PAGE)))
QUESTIONS = re.findall(r"^\| (.+\?) \| `([^`]+)` \|$", PAGE, re.MULTILINE)
PACKAGE = ROOT / "rios_batch"
FOLDERS = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
MODULES = {path.stem for path in PACKAGE.glob("*.py") if not path.stem.startswith("_")}


@pytest.mark.parametrize("path", PATHS)
def test_a_path_on_the_page_exists(path: str) -> None:
    assert (ROOT / path.rstrip(".")).exists()


@pytest.mark.parametrize("link", LINKS)
def test_a_link_on_the_page_leads_to_a_file(link: str) -> None:
    assert (ROOT / "docs" / link).exists()


def test_the_house_has_every_folder_and_no_other() -> None:
    assert set(re.findall(r"^  (\w+)/ ", HOUSE, re.MULTILINE)) == FOLDERS


@pytest.mark.parametrize("module", sorted(MODULES))
def test_the_house_has_every_module_at_the_top(module: str) -> None:
    assert re.search(rf"(?<!\w){module}(?![\w/])", HOUSE)


def test_each_question_is_asked_once_and_answered_by_one_file() -> None:
    asked = [question for question, _ in QUESTIONS]

    assert len(asked) == len(set(asked)) == len(re.findall(r"^\| Where|^\| Which", PAGE, re.MULTILINE)) >= 15
    assert [path for _, path in QUESTIONS if not (ROOT / path).is_file()] == []
