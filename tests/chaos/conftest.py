"""Prints the chaos table when its tests have run."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tests.chaos.faults import ALL

if TYPE_CHECKING:
    import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what became of each cell, and how many cells there are."""
    ends: dict[tuple[str, str], str] = {}
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, []):
            name = report.nodeid.partition("_ends_well[")[2].rstrip("]")
            fault, _, manager = name.partition("-")
            if fault:
                ends[fault, manager] = outcome
    if not ends:
        return
    terminalreporter.section("faults and job managers")
    width = max(len(fault) for fault, _ in ends)
    terminalreporter.write_line(" " * width + "".join(f"  {name:>15}" for name in ALL))
    for fault in dict.fromkeys(fault for fault, _ in ends):
        cells = "".join(f"  {ends.get((fault, name), '-'):>15}" for name in ALL)
        terminalreporter.write_line(f"{fault:<{width}}{cells}")
    counts = Counter(ends.values())
    terminalreporter.write_line(", ".join(f"{count} {outcome}" for outcome, count in counts.items()))
