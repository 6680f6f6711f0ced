"""What a destroyed stack left in an account that others use, too."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rios_batch.contract import StackOutput
from rios_batch.testing.emulation.inventory import inventory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_WAITS, _WAIT_S = 12, 10.0  # AWS lists what is gone for a while
_SHORTEST = 8  # shorter ones, of routes for one, are in many a line


def names_of(formation: Any, stack: str) -> set[str]:
    """Return the names and ids of all that a stack consists of, its images included."""
    pages = formation.get_paginator("list_stack_resources").paginate(StackName=stack)
    parts = [part for page in pages for part in page["StackResourceSummaries"]]
    outputs = outputs_of(formation, stack)
    image, prefix = outputs[StackOutput.WORKER_IMAGE], outputs[StackOutput.RUN_QUEUE_PREFIX]
    # Those of the clean-up function are names of what it cleans, such as the repository that bootstrap made.
    own = [part for part in parts if not part["ResourceType"].startswith("Custom::")]
    ids = {part.get("PhysicalResourceId", "").rpartition("/")[2] for part in own}
    return {*ids, image.rpartition(":")[2], prefix, stack}


def outputs_of(formation: Any, stack: str) -> dict[str, str]:
    (found,) = formation.describe_stacks(StackName=stack)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}


def remains(client: Callable[[str], Any], names: Iterable[str]) -> list[str]:
    """Return what is still there of the things with these names, a line for each; waits for what is leaving."""
    names = [name for name in names if len(name) >= _SHORTEST]
    for attempt in range(_WAITS):
        if attempt:
            time.sleep(_WAIT_S)
        found = inventory(client, objects=False)
        if not (left := [line for line in found if any(name in line for name in names)]):
            break
    return left
