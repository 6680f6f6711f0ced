"""Tags on everything in a stack that keeps its place when they change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Stack, Tags

if TYPE_CHECKING:
    from collections.abc import Mapping

# CloudFormation replaces an environment, under its jobs, for a tag of its own or one that the stack hands down. Nothing
# is lost: such a tag reaches no machine (the launch template's do), and an environment itself costs nothing.
_UNTAGGED = ["AWS::Batch::ComputeEnvironment", "aws:cdk:stack"]


def tag_resources(stack: Stack, tags: Mapping[str, str]) -> None:
    """Tag the resources of a stack, instances and volumes included."""
    for key, value in tags.items():
        Tags.of(stack).add(key, value, exclude_resource_types=_UNTAGGED)
