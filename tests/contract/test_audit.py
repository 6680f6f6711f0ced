"""The audit of packages fails for weaknesses only, and says when there was nobody to ask."""

from __future__ import annotations

import json
import re
import runpy

import pytest

from tests.support import ROOT

verdict = runpy.run_path(str(ROOT / "scripts" / "audit.py"))["verdict"]
KNOWN = {"name": "good", "version": "1", "vulns": []}
UNKNOWN = {"name": "other", "skip_reason": "not found"}
WEAK = {"name": "bad", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["3"]}]}


@pytest.mark.parametrize(
    ("answer", "complaint", "says", "status"),
    [
        ({"dependencies": [KNOWN, WEAK]}, "", "bad 2: CVE-1, mended in 3", 1),
        ({"dependencies": [KNOWN, UNKNOWN]}, "", "pip-audit: no known weaknesses in 1 of 2 packages", 0),
        ({"dependencies": [UNKNOWN]}, "", "pip-audit: skipped, the index that can be reached here knows", 0),
        (
            None,
            "WARNING\nConnection refused",
            "pip-audit: skipped, .* cannot be asked: Connection refused",
            0,
        ),
    ],
)
def test_what_the_audit_says(answer: object, complaint: str, says: str, status: int) -> None:
    said, code = verdict("" if answer is None else json.dumps(answer), complaint)

    assert code == status
    assert re.match(says, said)
