from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import run_script

if TYPE_CHECKING:
    from pathlib import Path


def last_line_without(folder: Path, module: str) -> str:
    """Return the end of what a script says that imports the applier where a module is missing."""
    done = run_script(folder, f"import sys\nsys.modules[{module!r}] = None\nfrom rios_batch import applier")
    assert done.returncode == 1
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize("missing", ["numpy", "cloudpickle"])
def test_without_what_running_needs_a_sentence_says_how_to_install_it(tmp_path: Path, missing: str) -> None:
    last = last_line_without(tmp_path, missing)

    assert last.startswith(f"rios_batch.errors.RequirementError: rios_batch needs {missing} to run")
    assert f"pip install {missing}" in last


THREE_WAYS = ("--system-site-packages", "conda install -c conda-forge gdal", "gdal-config --version")


@pytest.mark.parametrize("lacking", ["osgeo", "osgeo._gdal"])
def test_without_gdal_one_sentence_names_the_three_ways_to_have_it(tmp_path: Path, lacking: str) -> None:
    last = last_line_without(tmp_path, lacking)

    assert last.startswith("rios_batch.errors.RequirementError: rios_batch needs GDAL")
    assert [way for way in THREE_WAYS if way not in last] == []


@pytest.mark.parametrize(
    "command", ["runs", "report RUN", "replay RUN", "rehearse script.py", "plan script.py"]
)
def test_without_gdal_the_command_line_ends_with_that_sentence_alone(tmp_path: Path, command: str) -> None:
    source = f"""
        import sys

        sys.modules["osgeo"] = None
        from rios_batch.cli import main

        sys.exit(main({command.split()}))
    """
    done = run_script(tmp_path, source)

    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("rios-batch: rios_batch needs GDAL")
    assert [way for way in THREE_WAYS if way not in line] == []


def test_a_gdal_that_was_built_without_numpy_is_named_with_the_cure(tmp_path: Path) -> None:
    last = last_line_without(tmp_path, "osgeo._gdal_array")

    assert "was built without numpy" in last
    assert "--no-build-isolation" in last


def test_a_gdal_that_was_built_for_another_numpy_is_named_with_the_cure(tmp_path: Path) -> None:
    source = """
        import importlib, sys, types

        class Broken:
            def find_spec(self, name, path=None, target=None):
                if name == "osgeo.gdal_array":
                    raise ImportError("numpy.core.multiarray failed to import")

        sys.meta_path.insert(0, Broken())
        from rios_batch import applier
    """
    done = run_script(tmp_path, source)

    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("rios_batch.errors.RequirementError: GDAL ")
    assert "was not built for numpy" in last
    assert "pip install 'numpy<2'" in last


def test_a_script_s_start_does_not_load_what_few_scripts_need(tmp_path: Path) -> None:
    few_need = ("boto3", "importlib.metadata", "rios_batch.assemble.reportpage", "rios_batch.plan.dryrun")
    source = f"import sys\nfrom rios_batch import applier\nprint([m for m in {few_need} if m in sys.modules])"

    assert run_script(tmp_path, source).stdout == "[]\n"
