"""`make lint` keeps the rules of imports; here each rule is broken once, and the break has to be reported."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support import ROOT

# By rule: the file that gets an import too many, the import, and how the report names it.
BREAKS = {
    "imports point one way": (
        "rios_batch/model/tiles.py",
        "import rios_batch.applier",
        "rios_batch.model.tiles -> rios_batch.applier",
    ),
    "no circles, not even for type checkers": (
        "cdk_app/options.py",
        "if __name__: import cdk_app.settings",
        "No cycles are allowed in cdk_app.",
    ),
    "GDAL stays where rasters are touched": (
        "rios_batch/model/grid.py",
        "from osgeo import gdal",
        "rios_batch.model.grid -> osgeo",
    ),
    "AWS's library stays in aws": (
        "rios_batch/awsbatch/manager.py",
        "import boto3",
        "rios_batch.awsbatch.manager -> boto3",
    ),
    "the progress bar stays in cuiprogress": (
        "rios_batch/applier.py",
        "import tqdm",
        "rios_batch.applier -> tqdm",
    ),
    "the fast encoder's library stays in its module": (
        "rios_batch/encode/smalltiff.py",
        "import isal",
        "rios_batch.encode.smalltiff -> isal",
    ),
    "dask stays in its job manager": (
        "rios_batch/applier.py",
        "import distributed",
        "rios_batch.applier -> distributed",
    ),
    "pystac stays in stac": (
        "rios_batch/applier.py",
        "import pystac",
        "rios_batch.applier -> pystac",
    ),
    "xarray stays where DataArrays are made": (
        "rios_batch/compute/checks.py",
        "import xarray",
        "rios_batch.compute.checks -> xarray",
    ),
    "the terminal's library stays in watching": (
        "rios_batch/worker.py",
        "import rich",
        "rios_batch.worker -> rich",
    ),
    "the command line's library stays in the command line": (
        "rios_batch/worker.py",
        "import click",
        "rios_batch.worker -> click",
    ),
    "the emulation's library stays in the emulation": (
        "rios_batch/testing/rehearsal.py",
        "import moto",
        "rios_batch.testing.rehearsal -> moto",
    ),
    "pickles are made where they are sent": (
        "rios_batch/awsbatch/manager.py",
        "import cloudpickle",
        "rios_batch.awsbatch.manager -> cloudpickle",
    ),
    "values and plans know no clock": (
        "rios_batch/plan/inputs.py",
        "import time",
        "rios_batch.plan.inputs -> time",
    ),
    "the runtime knows nothing of the stack": (
        "rios_batch/worker.py",
        "import cdk_app",
        "rios_batch.worker -> cdk_app",
    ),
    "the stack takes contract, aws.calls and the version": (
        "cdk_app/network.py",
        "import rios_batch.errors",
        "cdk_app.network -> rios_batch.errors",
    ),
    "what the stack takes needs the standard library only": (
        "rios_batch/contract.py",
        "import numpy",
        "rios_batch.contract -> numpy",
    ),
}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give what import-linter says of a copy of the code in which every rule is broken."""
    folder = tmp_path_factory.mktemp("broken")
    shutil.copy(ROOT / "pyproject.toml", folder)
    for package in ("rios_batch", "cdk_app"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for file, line, _ in BREAKS.values():
        with (folder / file).open("a") as text:
            text.write(f"{line}\n")
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint, "--no-cache"], cwd=folder, stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    return done.stdout


@pytest.mark.parametrize("rule", BREAKS)
def test_a_broken_rule_is_reported(rule: str, report: str) -> None:
    (section,) = re.findall(rf"^{re.escape(rule)}\n-+\n(.*?)(?=^-+\n|\Z)", report, re.DOTALL | re.MULTILINE)

    assert BREAKS[rule][2] in section


def test_every_rule_is_broken_here_once() -> None:
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text())
    rules = [contract["name"] for contract in configuration["tool"]["importlinter"]["contracts"]]

    assert rules == list(BREAKS)
