"""Looking at processes of this machine (Linux)."""

from __future__ import annotations

from pathlib import Path


def is_alive(pid: str | int) -> bool:
    """Whether a process runs; a zombie, which nobody may have fetched yet, does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
