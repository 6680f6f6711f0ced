"""So that `cdk destroy` leaves nothing: one function that deletes what CloudFormation cannot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from aws_cdk import CfnOutput, CustomResource, Duration, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from cdk_app.acknowledged import acknowledge_wildcards

if TYPE_CHECKING:
    from aws_cdk import aws_s3 as s3
    from constructs import IConstruct

    from cdk_app.image import PushedImage

_HANDLER = Path(__file__).with_name("cleanup_handler.py")


class Cleanup(Construct):
    """A function behind custom resources, one for each thing to delete.

    CDK's own tools for this (`auto_delete_objects`, `AwsCustomResource`) would be two functions, could not
    find the queues of runs that died, and leave log groups behind; this one may not create any, and its
    own is a resource of the stack.
    """

    def __init__(self, scope: Construct, construct_id: str) -> None:
        super().__init__(scope, construct_id)
        self._early: list[CustomResource] = []
        log_group = logs.LogGroup(
            self, "Log", retention=logs.RetentionDays.ONE_WEEK, removal_policy=RemovalPolicy.DESTROY
        )
        self._role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        log_group.grant_write(self._role)
        self._function = lambda_.Function(
            self,
            "Function",
            runtime=lambda_.Runtime.PYTHON_3_14,
            handler="index.handler",
            code=lambda_.Code.from_inline(_HANDLER.read_text("utf-8")),
            role=self._role,
            log_group=log_group,
            timeout=Duration.minutes(15),  # the longest there is; a thousand objects take about a second
            memory_size=256,
            description="Deletes objects, run queues and the pushed image, and detaches policies, when the stack goes",
        )
        # CDK lets the function wait for its role, which its reference to the role says already (cfn-lint
        # W3005); what must wait is the custom resource, see below.
        function = self._function.node.default_child
        assert isinstance(function, lambda_.CfnFunction)
        function.add_deletion_override("DependsOn")

    def empty(self, bucket: s3.Bucket) -> None:
        """Empty a bucket before it is deleted."""
        self._allow(["s3:ListBucketVersions"], bucket.bucket_arn)
        objects = bucket.arn_for_objects("*")
        self._allow(
            ["s3:DeleteObject", "s3:DeleteObjectVersion"], objects, why="Everything in the bucket goes."
        )
        self._before_all("BucketContents", Kind="bucket", Bucket=bucket.bucket_name)

    def delete_queues(self, prefix: str) -> None:
        """Delete all queues whose names begin with a prefix."""
        arn = Stack.of(self).format_arn(service="sqs", resource=f"{prefix}*")
        self._allow(["sqs:DeleteQueue"], arn, why="Names of run queues begin with the stack's unique id.")
        self._allow(["sqs:ListQueues"], "*", why="ListQueues has no narrower resource.")
        self._before_all("RunQueues", Kind="queues", Prefix=prefix)

    def delete_image(self, image: PushedImage) -> None:
        """Delete an image that the stack pushed to a shared repository; after an update, the old one."""
        self._allow(["ecr:BatchDeleteImage", "ecr:BatchGetImage"], image.repository.repository_arn)
        name = image.repository.repository_name
        self._before_all("PushedImage", Kind="image", Repository=name, Tag=image.tag)

    def detach(self, *policies: iam.ManagedPolicy) -> None:
        """Detach the stack's policies for people before they are deleted: IAM deletes none that is attached."""
        arns = [policy.managed_policy_arn for policy in policies]
        statements = [iam.PolicyStatement(actions=["iam:ListEntitiesForPolicy"], resources=arns)]
        holders = {kind: self._iam_arn(kind.lower()) for kind in ("User", "Group", "Role")}
        statements += [
            iam.PolicyStatement(
                actions=[f"iam:Detach{kind}Policy"],
                resources=[arn],
                conditions={"ArnEquals": {"iam:PolicyARN": arns}},
            )
            for kind, arn in holders.items()
        ]
        # Not among the role's other statements: it names what is made after everything that those are for.
        may_detach = iam.Policy(self, "MayDetach", roles=[self._role], statements=statements)
        acknowledge_wildcards(
            may_detach,
            holders.values(),
            "Anybody may hold a policy of the stack; the condition names the policies.",
        )
        for policy in policies:
            self._resource(
                f"{policy.node.id}Holders", may_detach, Kind="policy", Policy=policy.managed_policy_arn
            )

    def outlive(self, *others: IConstruct) -> None:
        """Have others made after everything that cleans up, and deleted before it.

        So no job writes into a bucket being emptied. And the image is pushed before anything is made:
        whatever then fails, what deletes the image is there already.
        """
        for other in others:
            if not isinstance(other, CfnOutput):
                other.node.add_dependency(*self._early)

    def _allow(self, actions: list[str], resource: str, *, why: str = "") -> None:
        self._role.add_to_policy(iam.PolicyStatement(actions=actions, resources=[resource]))
        acknowledge_wildcards(self._role, [resource], why)

    def _iam_arn(self, kind: str) -> str:
        arn: str = Stack.of(self).format_arn(service="iam", region="", resource=kind, resource_name="*")
        return arn

    def _before_all(self, construct_id: str, **properties: str) -> None:
        """Have something cleaned after everything that others of the stack do to it."""
        permissions = self._role.node.find_child("DefaultPolicy")
        self._early.append(self._resource(construct_id, permissions, **properties))

    def _resource(self, construct_id: str, permissions: IConstruct, **properties: str) -> CustomResource:
        resource = CustomResource(
            self,
            construct_id,
            service_token=self._function.function_arn,
            resource_type=f"Custom::{construct_id}",
            properties=properties,
            service_timeout=Duration.minutes(16),
        )
        # Deleted in reverse order: the permissions must be there until the work is done.
        resource.node.add_dependency(permissions)
        return resource
