"""Tests for a job manager of one's own, which need pytest and Linux's ``/proc``; and AWS without AWS.

from rios_batch.testing import JobManagerTests

class TestOneByOne(JobManagerTests):
    manager_type = "one by one"

`rios_batch.testing.emulation` is an emulated AWS, and `rios_batch.testing.rehearsal` runs a script on it. Neither needs
pytest.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rios_batch.testing.suite import JobManagerTests

__all__ = ["JobManagerTests"]

if "pytest" in sys.modules:
    # So that a failed assertion shows its values, as in a test module.
    sys.modules["pytest"].register_assert_rewrite(
        *(
            f"{__name__}.{module}"
            for module in ("errors", "otherargs", "pixels", "progress", "running", "scripts", "workers")
        )
    )


def __getattr__(name: str) -> Any:
    """Load the tests, and with them pytest, when they are asked for."""
    if name != "JobManagerTests":
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from rios_batch.testing.suite import JobManagerTests  # noqa: PLC0415

    return JobManagerTests
