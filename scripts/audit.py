"""Ask the Python Package Index which packages of this environment have known weaknesses.

With ``--strict`` it fails if some have. Where the index cannot be asked, or knows none of the packages, the line
says that this was skipped.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

SECONDS = "10"  # for an answer
SKIPPED = "pip-audit: skipped, {why}"


def verdict(answer: str, complaint: str) -> tuple[str, int]:
    """Return what to print, and the exit status.

    Parameters
    ----------
    answer, complaint : what pip-audit has written to standard output, and to standard error.
    """
    try:
        packages: list[dict[str, Any]] = json.loads(answer)["dependencies"]
    except (ValueError, KeyError, TypeError):
        last = (complaint.strip().splitlines() or ["pip-audit said nothing"])[-1]
        return SKIPPED.format(why=f"the service of known weaknesses cannot be asked: {last}"), 0
    weak = [
        f"{package['name']} {package['version']}: {flaw['id']}, mended in {', '.join(flaw['fix_versions']) or 'none'}"
        for package in packages
        for flaw in package.get("vulns", [])
    ]
    if weak:
        return "\n".join(weak), 1
    asked = sum("skip_reason" not in package for package in packages)
    if not asked:
        return SKIPPED.format(why="the index that can be reached here knows nothing of weaknesses"), 0
    return f"pip-audit: no known weaknesses in {asked} of {len(packages)} packages", 0


def main() -> int:
    """Ask, and print what came of it."""
    command = [
        *(sys.executable, "-m", "pip_audit"),
        *("--local", "--progress-spinner", "off", "--format", "json", "--timeout", SECONDS),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said, status = verdict(done.stdout, done.stderr)
    print(said)
    return status if "--strict" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
