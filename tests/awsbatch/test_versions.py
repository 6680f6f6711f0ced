from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import rios_batch
from rios_batch.awsbatch.versions import check_python, code_digest, mismatch, versions
from rios_batch.errors import VersionMismatchError

HERE = {
    "Python": "3.11.2",
    "rios_batch": "0.2.1.dev3+g1a2b3c4d5",
    "cloudpickle": "3.1.2",
    "numpy": "1.24.2",
    "GDAL": "3.6.2",
}


def test_the_same_versions_fit() -> None:
    assert mismatch(versions(), versions()) == ""


@pytest.mark.parametrize(
    ("name", "other", "fits"),
    [
        ("Python", "3.11.9", True),
        ("Python", "3.13.5", False),
        ("rios_batch", "0.2.1", False),
        ("rios_batch", "0.2.1.dev3+g1a2b3c4d5.d20261124", False),
        ("cloudpickle", "3.0.0", True),
        ("cloudpickle", "2.2.1", False),
        ("numpy", "1.26.4", True),
        ("numpy", "2.2.4", False),
        ("GDAL", "3.10.3", True),
    ],
)
def test_only_what_a_pickle_depends_on_must_agree(name: str, other: str, *, fits: bool) -> None:
    problem = mismatch(HERE, {**HERE, name: other})

    assert (problem == "") == fits
    if not fits:
        assert f"main has {name} {HERE[name]}, workers have {other}" in problem
        assert "rios-batch submit" in problem
        assert "npx cdk deploy -c python=3.11" in problem


def test_an_image_that_nobody_described_is_left_to_the_first_worker() -> None:
    check_python("RiosBatch", "unknown")


def test_another_python_is_told_with_the_line_to_type() -> None:
    with pytest.raises(
        VersionMismatchError, match=r"RiosBatch's workers have 3\.9: .*npx cdk deploy -c python=3\.\d+`"
    ):
        check_python("RiosBatch", "3.9")


def test_two_commits_are_told_apart_without_a_new_installation(tmp_path: Path) -> None:
    package = Path(rios_batch.__file__).parent
    edited = tmp_path / "rios_batch"
    shutil.copytree(package, edited, ignore=shutil.ignore_patterns("__pycache__"))
    same_code = code_digest(edited)

    with (edited / "worker.py").open("a") as module:
        module.write("# another commit\n")

    assert same_code in versions()["rios_batch"]
    assert code_digest(edited) != same_code
    other = {**versions(), "rios_batch": versions()["rios_batch"].replace(same_code, code_digest(edited))}
    assert f"workers have {other['rios_batch']}" in mismatch(versions(), other)


def test_the_version_that_the_build_writes_is_no_part_of_the_code(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("pass\n")
    before = code_digest(tmp_path)

    (tmp_path / "_version.py").write_text('__version__ = "9"\n')

    assert code_digest(tmp_path) == before
