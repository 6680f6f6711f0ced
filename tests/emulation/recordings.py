"""Replies of AWS that `make smoke-aws` has recorded, as fixtures.

Each folder in ``recorded/`` is one recording, named after where it was made: a file for each step, a line of JSON for
each reply. ``emulation`` was made on the emulated AWS, so it shows the form only.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.awsrequest import AWSResponse

if TYPE_CHECKING:
    from collections.abc import Callable

RECORDED = Path(__file__).with_name("recorded")


def recordings() -> list[Path]:
    """Return the folders, one for each recording."""
    return sorted(path for path in RECORDED.iterdir() if path.is_dir())


def replies(recording: Path, service: str, operation: str) -> list[dict[str, Any]]:
    """Return what a service answered, in order; names as in AWS's reference, such as ``DescribeJobs``."""
    lines = [line for path in sorted(recording.glob("*.jsonl")) for line in path.read_text().splitlines()]
    found = map(json.loads, lines)
    return [one["reply"] for one in found if (one["service"], one["operation"]) == (service, operation)]


def answering(service: str, *answers: tuple[str, dict[str, Any]]) -> Any:
    """Return a client that sends nothing and gets these answers in order, each to its operation."""
    make: Callable[..., Any] = boto3.client
    client, coming = make(service, region_name="us-west-2"), iter(answers)

    def answer(*, model: Any, **_: Any) -> tuple[AWSResponse, dict[str, Any]]:
        operation, reply = next(coming)
        assert operation == model.name
        # Not checked against the service's model, which wants fields that AWS leaves out (a start before there is one).
        headers: Any = {}
        return AWSResponse("", HTTPStatus.OK, headers, None), reply

    client.meta.events.register("before-call", answer)
    return client
