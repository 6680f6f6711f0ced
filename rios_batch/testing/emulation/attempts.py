"""What AWS Batch does after an attempt: try again or give up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Ended:
    """How an attempt ended.

    Attributes
    ----------
    exit_code : of the container; None if it never started.
    reason : the container's reason.
    status_reason : the job's.
    final : not tried again whatever the rules say.
    """

    exit_code: int | None
    reason: str
    status_reason: str
    final: bool = False

    @property
    def succeeded(self) -> bool:
        return self.exit_code == 0 and not self.final


def tried_again(ended: Ended, strategy: dict[str, Any]) -> bool:
    """Whether Batch starts another attempt, if there is one left."""
    if ended.final:
        return False
    values = {
        "onExitCode": "" if ended.exit_code is None else str(ended.exit_code),
        "onReason": ended.reason,
        "onStatusReason": ended.status_reason,
    }
    for rule in strategy.get("evaluateOnExit", []):
        # All conditions of a rule have to hold; the first rule that does decides.
        if all(_matches(values[key], rule[key]) for key in values if key in rule):
            return str(rule["action"]).upper() == "RETRY"
    return True


def _matches(value: str, pattern: str) -> bool:
    # A star may stand at the end, and nowhere else.
    return value.startswith(pattern[:-1]) if pattern.endswith("*") else value == pattern
