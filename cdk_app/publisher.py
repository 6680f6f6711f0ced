"""What a person needs who builds main images: pull the workers' image, push to the stack's repository."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import aws_iam as iam

from cdk_app.acknowledged import acknowledge

if TYPE_CHECKING:
    from aws_cdk import aws_ecr as ecr
    from constructs import Construct


def publisher_policy(
    scope: Construct, construct_id: str, *, push_to: ecr.IRepository, pull_from: ecr.IRepository | None
) -> iam.ManagedPolicy:
    """Make the policy; a workers' image outside ECR needs no permission to be pulled."""
    policy = iam.ManagedPolicy(
        scope, construct_id, description="Build main images from the workers' image and push them"
    )
    push_to.grant_pull_push(policy)
    if pull_from is not None:
        pull_from.grant_pull(policy)
    acknowledge(policy, "IAM5[Resource::*]", "ecr:GetAuthorizationToken has no narrower resource.")
    return policy
