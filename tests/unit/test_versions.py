from __future__ import annotations

import pytest

from rios_batch.awsbatch.versions import mismatch, versions

HERE = {"Python": "3.11.2", "rios_batch": "0.2.0", "cloudpickle": "3.1.2", "numpy": "1.24.2", "GDAL": "3.6.2"}


def test_the_same_versions_fit() -> None:
    assert mismatch(versions(), versions()) == ""


@pytest.mark.parametrize(
    ("name", "other", "fits"),
    [
        ("Python", "3.11.9", True),
        ("Python", "3.13.5", False),
        ("rios_batch", "0.2.1", False),
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
