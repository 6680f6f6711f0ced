"""Findings of cdk-nag that are as they should be, acknowledged one by one with the reason.

Wildcards are acknowledged for the very resource that has one, so a wider grant is still a finding.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aws_cdk import Acknowledgment, Stack, Validations

if TYPE_CHECKING:
    from collections.abc import Iterable

    from constructs import IConstruct


def acknowledge(scope: IConstruct, rule: str, reason: str) -> None:
    """Say why a rule of cdk-nag does not apply to a construct."""
    Validations.of(scope).acknowledge(Acknowledgment(id=f"AwsSolutions::AwsSolutions-{rule}", reason=reason))


def acknowledge_wildcards(scope: IConstruct, arns: Iterable[str], reason: str) -> None:
    """Say why a policy may have ``*`` in these resources; those without one need no word."""
    for arn in arns:
        text = _flat(Stack.of(scope).resolve(arn))
        if "*" in text:
            assert reason, f"{text} is granted without a reason"
            acknowledge(scope, f"IAM5[Resource::{text}]", reason)


def _flat(value: Any) -> str:
    """Write a value with references in it as cdk-nag does in the ids of its findings."""
    if isinstance(value, str):
        return value
    assert isinstance(value, dict)
    match value:
        case {"Ref": name}:
            return f"<{name}>"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"<{name}.{attribute}>"
        case {"Fn::Join": [separator, parts]}:
            return str(separator).join(_flat(part) for part in parts)
    return json.dumps(value, separators=(",", ":"))
