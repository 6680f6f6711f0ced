"""The shipped suite as somebody else uses it, without this folder of tests: what passes, and what is found."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from rios_batch.jobmanagers.sourcelines import dumps
from rios_batch.testing import errors, otherargs, pixels, running, workers
from tests.support import ROOT

if TYPE_CHECKING:
    from pathlib import Path

SECTION = (ROOT / "docs" / "design.md").read_text().partition("### Write your own job manager")[2]
MANAGER, TESTS = re.findall(
    r"^```python\n(.*?)^```$", SECTION.partition("\n## ")[0], re.DOTALL | re.MULTILINE
)

BROKEN_MANAGERS = """
    import multiprocessing
    import threading
    import time
    from dataclasses import replace
    from one_by_one import OneByOne
    from rios_batch.errors import UserFunctionError
    from rios_batch.testing import JobManagerTests


    class DropsATile(OneByOne):
        jobMgrType = "drops a tile"

        def _results(self, spec, other_args):
            yield from list(super()._results(spec, other_args))[:-1]


    class GivesATileTwice(OneByOne):
        jobMgrType = "gives a tile twice"

        def _results(self, spec, other_args):
            results = list(super()._results(spec, other_args))
            yield from [*results, results[-1]]


    class LeavesAThread(OneByOne):
        jobMgrType = "leaves a thread"

        def _results(self, spec, other_args):
            threading.Thread(target=threading.Event().wait, daemon=True).start()
            yield from super()._results(spec, other_args)


    class LeavesAProcess(OneByOne):
        jobMgrType = "leaves a process"

        def _results(self, spec, other_args):
            multiprocessing.Process(target=time.sleep, args=[1000], daemon=True).start()
            yield from super()._results(spec, other_args)


    class HidesAnError(OneByOne):
        jobMgrType = "hides an error"

        def _results(self, spec, other_args):
            try:
                yield from list(super()._results(spec, other_args))
            except UserFunctionError:
                yield from super()._results(replace(spec, function=copy), other_args)


    def copy(info, inputs, outputs):
        outputs.result = inputs.image


    class LosesChanges(OneByOne):
        jobMgrType = "loses changes"

        def _results(self, spec, other_args):
            for result in super()._results(spec, other_args):
                yield replace(result, other_args={})


    for manager in OneByOne, *OneByOne.__subclasses__():
        name = f"Test{manager.__name__}"
        globals()[name] = type(name, (JobManagerTests,), {"manager_type": manager.jobMgrType})
"""
PIXELS = "test_gives_the_pixels_of_one_call_on_the_whole_image"
ERROR = "test_an_exception_in_the_function_says_where_and_leaves_nothing"
CHANGES = "test_other_args_are_merged_by_their_rules"
FOUND = {
    "OneByOne": set[str](),
    "DropsATile": {PIXELS, CHANGES},
    "GivesATileTwice": {PIXELS, CHANGES},
    "LeavesAThread": {PIXELS, ERROR},
    "LeavesAProcess": {PIXELS, ERROR},
    "HidesAnError": {ERROR},
    "LosesChanges": {CHANGES},
}


# Unpickled where there is no pytest.
WITHOUT_PYTEST = (
    "import pickle, sys; sys.modules |= {'pytest': None, '_pytest': None}; pickle.load(sys.stdin.buffer)"
)


def run_pytest(folder: Path, tests: str, *arguments: str) -> str:
    """Run tests beside the manager of the design page, with pytest and no plug-in; return the report."""
    (folder / "one_by_one.py").write_text(MANAGER)
    (folder / "test_one_by_one.py").write_text(tests)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PY")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rA", "--tb=short", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        env={**environment, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        stdout=subprocess.PIPE,
        text=True,
        timeout=280,  # less than pytest's
        check=False,
    )
    return done.stdout


@pytest.fixture(scope="module")
def failures(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, set[str]], str]:
    """Give the failed tests by the job manager's name, and the report."""
    report = run_pytest(
        tmp_path_factory.mktemp("broken"),
        textwrap.dedent(BROKEN_MANAGERS),
        "-k",
        f"{PIXELS} or {ERROR} or {CHANGES}",
    )
    outcomes = re.findall(r"^(PASSED|FAILED) \S+::Test(\w+)::(\w+)", report, re.MULTILINE)
    assert len(outcomes) == 3 * len(FOUND), report
    return {
        manager: {test for outcome, name, test in outcomes if (outcome, name) == ("FAILED", manager)}
        for manager in FOUND
    }, report


@pytest.mark.parametrize("manager", FOUND)
def test_a_broken_manager_fails_the_tests_of_what_is_broken(
    manager: str, failures: tuple[dict[str, set[str]], str]
) -> None:
    failed, report = failures

    assert failed[manager] == FOUND[manager], report


def test_a_failed_assertion_shows_its_values(failures: tuple[dict[str, set[str]], str]) -> None:
    assert "where 10 = OtherInputs(total=10, " in failures[1]


def test_the_manager_of_the_design_page_passes_the_suite_with_pytest_alone(tmp_path: Path) -> None:
    report = run_pytest(tmp_path, TESTS)

    assert re.search(r"^=+ \d+ passed, 3 skipped in", report, re.MULTILINE), report


@pytest.mark.parametrize(
    "sent",
    [
        running.double,
        *(pixels.reciprocal, pixels.windowed_maximum, pixels.swap),
        *(errors.explode, errors.PickyError, errors.picky, errors.leave, errors.forgetful, errors.short),
        *(otherargs.survey, otherargs.ignore, otherargs.count, otherargs.read),
        workers.poison,
    ],
    ids=lambda sent: sent.__name__,
)
def test_functions_and_errors_of_the_suite_need_no_pytest_in_workers(sent: object) -> None:
    subprocess.run([sys.executable, "-c", WITHOUT_PYTEST], input=dumps(sent), check=True)
