"""A digest is the same in another process and for another comment, and another for other code."""

from __future__ import annotations

import linecache
import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.support import ROOT

if TYPE_CHECKING:
    from pathlib import Path

Digest = Callable[..., str]
SCRIPT = """
import functools
import numpy as np
import helper
LIMIT = 3
TABLE = {"a": [1, 2.5], "b": {"x", "y", "z"}}
WEIGHTS = np.arange(4)

class Base:
    factor = 2

class Model(Base):
    bias = 1
    def apply(self, x):
        return x + self.bias

def inner(x):
    return min(x, LIMIT)

def scaled(x, by):
    return x * by

TWICE = functools.partial(scaled, by=22)

class Calling:
    def __init__(self, limit):
        self.limit, self.names = limit, {"p", "q", "r"}
    def __call__(self, x):
        return x if x < self.limit else 0

CALL = Calling(55)

def make(offset):
    def function(info, inputs, outputs, scale=2):
        # a comment
        used = [helper.twice(offset), scale, TABLE, WEIGHTS, Model().apply(1), TWICE(2), CALL(3)]
        outputs.y = [inner(v) for v in inputs.x] + used
    return function

from rios_batch.awsbatch.fingerprint import function_digest
print(function_digest(make(7)))
"""
HELPER = "def twice(x):\n    return 2 * x\n"


@pytest.fixture
def digest(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Digest:
    """Run the script as if it were the main one, and return what it prints."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def run(script: str = SCRIPT, helper: str = HELPER) -> str:
        (tmp_path / "helper.py").write_text(helper)
        monkeypatch.delitem(sys.modules, "helper", raising=False)
        linecache.clearcache()
        exec(compile(script, "script.py", "exec"), {"__name__": "__main__"})
        monkeypatch.delitem(sys.modules, "helper")
        return capsys.readouterr().out

    return run


def digest_in_another_process(folder: Path, script: str = SCRIPT, helper: str = HELPER) -> str:
    (folder / "helper.py").write_text(helper)
    (folder / "script.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "-B", "script.py"],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_is_the_same_in_another_process(tmp_path: Path) -> None:
    # String hashes, and so the order of sets, differ from one process to the next.
    assert digest_in_another_process(tmp_path) == digest_in_another_process(tmp_path)


def test_does_not_see_comments_and_other_functions(digest: Digest) -> None:
    edited = SCRIPT.replace("# a comment", "# another\n        # comment") + "\ndef unused(): pass\n"

    assert digest(edited) == digest()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("LIMIT = 3", "LIMIT = 4"),
        ("return min(", "return max("),
        ("make(7)", "make(8)"),
        ("scale=2", "scale=3"),
        ('"z"}', '"w"}'),
        ("2.5]", "2.6]"),
        ("np.arange(4)", "np.arange(5)"),
        ("bias = 1", "bias = 2"),
        ("return x + self", "return x - self"),
        ("factor = 2", "factor = 3"),
        ("by=22", "by=23"),
        ("return x * by", "return x / by"),
        ("Calling(55)", "Calling(56)"),
        ("else 0", "else 1"),
    ],
)
def test_sees_a_change_of_what_the_function_uses(digest: Digest, old: str, new: str) -> None:
    assert digest(SCRIPT.replace(old, new)) != digest()


def test_sees_a_change_of_a_helper_module(digest: Digest) -> None:
    assert digest(helper=HELPER.replace("2 *", "3 *")) != digest()
