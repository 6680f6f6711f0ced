"""The one stack: makes the constructs, hands one to another, grants, exports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import CfnOutput, Duration, Environment, Stack
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam

from cdk_app import translate
from cdk_app.cleanup import Cleanup
from cdk_app.compute import BatchPool
from cdk_app.exchange import Exchange
from cdk_app.grants import Bounds, grant
from cdk_app.image import WorkerImage
from cdk_app.jobs import BatchJobs
from cdk_app.network import Network
from cdk_app.observability import JobDashboard, MonthlyBudget
from cdk_app.publisher import publisher_policy
from cdk_app.tagging import tag_resources
from rios_batch.aws.calls import Role
from rios_batch.contract import WORKER_COMMAND, StackOutput, export_name

if TYPE_CHECKING:
    from constructs import Construct

    from cdk_app.compute import Machines
    from cdk_app.settings import DeploySettings


class RiosBatchStack(Stack):
    """Everything that a run on AWS Batch needs, as `settings` say."""

    def __init__(self, scope: Construct, construct_id: str, *, settings: DeploySettings) -> None:
        super().__init__(
            scope,
            construct_id,
            stack_name=settings.stack_name,
            env=Environment(region=settings.region) if settings.region else None,
            description="rios_batch: raster processing on AWS Batch",
        )
        self._settings = settings
        self._exchange = Exchange(
            self, "Exchange", expire_days=settings.exchange_days, repository_name=settings.ecr_name
        )
        image = WorkerImage(
            self, "WorkerImage", build=translate.image_build(settings), given=settings.worker_image
        )
        cleanup = Cleanup(self, "Cleanup")
        cleanup.empty(self._exchange.bucket)
        cleanup.delete_queues(self._exchange.run_queue_prefix)
        if image.pushed:
            cleanup.delete_image(image.pushed)
        network = Network(
            self,
            "Network",
            zones=settings.zones,
            private=settings.network == "private",
            nat_gateways=translate.nat_gateways(settings),
            existing=translate.existing_vpc(settings),
        )
        self._workers = self._pool("Workers", network, translate.worker_machines(settings))
        self._mains = self._pool("Mains", network, translate.main_machines(settings))
        # A new account's first environment makes AWS Batch's service-linked role; two at once would both try.
        self._mains.environment.node.add_dependency(self._workers.environment)
        self._jobs = BatchJobs(
            self,
            "Jobs",
            worker_image=image.image,
            main_image=ecs.ContainerImage.from_ecr_repository(self._exchange.repository, "latest"),
            worker_command=WORKER_COMMAND,
            worker=translate.worker_kind(
                settings, bucket_name=self._exchange.bucket.bucket_name, region=self.region
            ),
            main=translate.main_kind(settings, region=self.region),
            log_retention=translate.retention(settings),
        )
        for pool in (self._workers, self._mains):
            pool.queue.node.add_dependency(*self._jobs.roles)  # jobs that a deletion ends keep their rights
        submitter = self._grant()
        publisher = publisher_policy(
            self, "ImagePublisherPolicy", push_to=self._exchange.repository, pull_from=image.repository
        )
        self._export(image, submitter, publisher)
        self._observe()
        parts = [part for part in self.node.children if part not in (self._exchange, cleanup, image)]
        cleanup.outlive(self._exchange.repository, *parts)
        cleanup.detach(submitter, publisher)
        tag_resources(self, settings.tags)

    def _pool(self, construct_id: str, network: Network, machines: Machines) -> BatchPool:
        return BatchPool(
            self,
            construct_id,
            vpc=network.vpc,
            subnets=network.subnets,
            security_group=network.security_group,
            connectivity=network.connectivity,
            machines=machines,
            runnable_limit=Duration.minutes(self._settings.runnable_limit_minutes),
        )

    def _grant(self) -> iam.ManagedPolicy:
        settings, exchange, jobs = self._settings, self._exchange, self._jobs
        bounds = Bounds(
            stack=self,
            bucket=exchange.bucket,
            run_queue_prefix=exchange.run_queue_prefix,
            job_queues=[pool.queue.job_queue_arn for pool in (self._workers, self._mains)],
            job_definitions=[arn for job in (jobs.worker, jobs.main, jobs.script) for arn in job.arns],
            log_group=jobs.log_group,
            inputs=settings.input_buckets,
            outputs=settings.output_buckets,
        )
        submitter = iam.ManagedPolicy(
            self, "SubmitterPolicy", description="Run rios_batch scripts on this stack from one's own machine"
        )
        grant(jobs.worker_role, Role.WORKER, bounds)
        grant(jobs.main_role, Role.MAIN, bounds)
        grant(submitter, Role.SUBMITTER, bounds)
        return submitter

    def _export(self, image: WorkerImage, submitter: iam.ManagedPolicy, publisher: iam.ManagedPolicy) -> None:
        jobs, exchange = self._jobs, self._exchange
        outputs = translate.known_outputs(self._settings) | {
            StackOutput.WORKER_QUEUE: self._workers.queue_name,
            StackOutput.WORKER_DEFINITION: jobs.worker.name,
            StackOutput.MAIN_QUEUE: self._mains.queue_name,
            StackOutput.MAIN_DEFINITION: jobs.main.name,
            StackOutput.SCRIPT_DEFINITION: jobs.script.name,
            StackOutput.MAIN_REPOSITORY: exchange.repository.repository_uri,
            StackOutput.BUCKET: exchange.bucket.bucket_name,
            StackOutput.RUN_QUEUE_PREFIX: exchange.run_queue_prefix,
            StackOutput.WORKER_IMAGE: image.uri,
            StackOutput.LOG_GROUP: jobs.log_group.log_group_name,
            StackOutput.SUBMITTER_POLICY: submitter.managed_policy_arn,
            StackOutput.PUBLISHER_POLICY: publisher.managed_policy_arn,
        }
        for key, value in outputs.items():
            CfnOutput(self, key.value, value=value, export_name=export_name(self.stack_name, key))

    def _observe(self) -> None:
        settings = self._settings
        if settings.dashboard:
            queues = [pool.queue.job_queue_arn for pool in (self._workers, self._mains)]
            JobDashboard(self, "JobDashboard", queue_arns=queues, log_retention=translate.retention(settings))
        if settings.budget_usd:
            MonthlyBudget(self, "MonthlyBudget", limit_usd=settings.budget_usd, email=settings.budget_email)
