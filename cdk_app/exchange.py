"""Where main and workers meet: a bucket, names for queues, and a repository for main images."""

from __future__ import annotations

from aws_cdk import Aws, Duration, Fn, RemovalPolicy
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_s3 as s3
from constructs import Construct

from cdk_app.acknowledged import acknowledge


class Exchange(Construct):
    """Bucket, prefix of per-run queues, and repository for users' main images.

    Parameters
    ----------
    expire_days : age at which objects are deleted.
    repository_name : fixed name of the repository; empty for a generated one.

    Attributes
    ----------
    bucket : jobs, blobs and records of runs.
    repository : users push their main images here.
    run_queue_prefix : names of per-run SQS queues begin with it.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, expire_days: int, repository_name: str
    ) -> None:
        super().__init__(scope, construct_id)
        self.bucket = s3.Bucket(
            self,
            "Bucket",
            encryption=s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=True,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            removal_policy=RemovalPolicy.DESTROY,
            lifecycle_rules=[
                s3.LifecycleRule(
                    expiration=Duration.days(expire_days),
                    # Parts of unfinished uploads are paid for and invisible; none takes a day.
                    abort_incomplete_multipart_upload_after=Duration.days(1),
                )
            ],
        )
        acknowledge(
            self.bucket,
            "S1",
            "Scratch data, gone after days; access logs would need a bucket that outlives it.",
        )
        self.repository = ecr.Repository(
            self,
            "MainRepository",
            repository_name=repository_name or None,
            image_scan_on_push=True,
            empty_on_delete=True,
            removal_policy=RemovalPolicy.DESTROY,
            lifecycle_rules=[
                ecr.LifecycleRule(
                    description="A newer push took the tag",
                    tag_status=ecr.TagStatus.UNTAGGED,
                    max_image_age=Duration.days(1),
                )
            ],
        )
        # From the stack's unique id, not its name: a prefix of "Team" would cover the queues of "Team-test",
        # and a stack made again under the same name must not meet names that SQS still blocks.
        uuid = Fn.select(2, Fn.split("/", Aws.STACK_ID))
        self.run_queue_prefix = f"rios-batch-{Fn.select(0, Fn.split('-', uuid))}-"
