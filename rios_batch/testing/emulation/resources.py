"""What moto's CloudFormation lacks of single resource types: names, attributes, making, changing, deleting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.awslambda.models import LambdaFunction
from moto.batch import models as batch
from moto.batch.utils import lowercase_first_key
from moto.core.common_models import CloudFormationModel
from moto.ec2.models import ec2_backends
from moto.ec2.models.subnets import Subnet, SubnetRouteTableAssociation
from moto.ecr.models import Repository, ecr_backends
from moto.iam.models import iam_backends
from moto.logs.models import LogGroup
from moto.s3.models import FakeBucket, s3_backends
from moto.utilities.utils import get_partition

from rios_batch.testing.emulation import customresources
from rios_batch.testing.emulation.customresources import EmulatedCustomResource
from rios_batch.testing.emulation.environment import ACCOUNT
from rios_batch.testing.emulation.patching import add, replace

if TYPE_CHECKING:
    from collections.abc import Callable

_BATCH_SERVICE = "batch.amazonaws.com"


def patch() -> None:
    """Put these in place of moto's own."""
    _patch_batch()
    _patch_ecr()
    replace(LogGroup, "get_cfn_attribute", lambda self, _: f"{self.arn}:*")  # with all its streams
    replace(SubnetRouteTableAssociation, "create_from_cloudformation_json", staticmethod(_associate))
    _patch_subnet()
    # In templates it stands for the group's streams too, on which policies depend.
    replace(LogGroup, "get_cfn_attribute", lambda self, _: f"{self.arn}:*")


def _patch_batch() -> None:
    for cls, attribute in (
        (batch.ComputeEnvironment, "ComputeEnvironmentArn"),
        (batch.JobQueue, "JobQueueArn"),
        (batch.JobDefinition, "JobDefinitionArn"),
    ):
        _add_arn_attribute(cls, attribute)
    replace(batch.ComputeEnvironment, "create_from_cloudformation_json", staticmethod(_make_environment))
    replace(batch.JobDefinition, "create_from_cloudformation_json", staticmethod(_make_definition))
    # No machine is ever started, so there is no need to know its size.
    replace(batch.BatchBackend, "find_min_instances_to_meet_vcpus", staticmethod(lambda *_: []))
    validate = batch.BatchBackend._validate_compute_resources

    def with_current_families(self: batch.BatchBackend, resources: dict[str, Any]) -> None:
        current = {"default_x86_64": "optimal", "default_arm64": "optimal"}  # AWS's names since 2025
        types = [current.get(name, name) for name in resources.get("instanceTypes", [])]
        validate(self, {**resources, "instanceTypes": types})

    replace(batch.BatchBackend, "_validate_compute_resources", with_current_families)


def _add_arn_attribute(cls: Any, attribute: str) -> None:
    replace(cls, "has_cfn_attr", classmethod(lambda _, name: name == attribute))
    add(cls, "get_cfn_attribute", lambda self, _: self.arn)


def _make_environment(
    resource_name: str, cloudformation_json: dict[str, Any], account_id: str, region_name: str, **_: Any
) -> batch.ComputeEnvironment:
    properties = cloudformation_json["Properties"]
    return batch.batch_backends[account_id][region_name].create_compute_environment(
        resource_name,
        properties["Type"].upper(),
        properties.get("State", "ENABLED"),
        lowercase_first_key(properties["ComputeResources"]),
        properties.get("ServiceRole") or _service_linked_role(),
        tags=properties.get("Tags"),
    )


def _service_linked_role() -> str:
    """Give the role that AWS makes by itself, once for an account."""
    backend = iam_backends[ACCOUNT]["aws"]
    path = f"/aws-service-role/{_BATCH_SERVICE}/"
    role = next((role for role in backend.roles.values() if role.path == path), None)
    arn: str = (role or backend.create_service_linked_role(_BATCH_SERVICE, "", "")).arn
    return arn


def _make_definition(
    resource_name: str, cloudformation_json: dict[str, Any], account_id: str, region_name: str, **_: Any
) -> batch.JobDefinition:
    properties = cloudformation_json["Properties"]
    return batch.batch_backends[account_id][region_name].register_job_definition(
        def_name=resource_name,
        parameters=properties.get("Parameters", {}),
        _type="container",
        tags=properties.get("Tags", {}),
        retry_strategy=lowercase_first_key(properties.get("RetryStrategy", {})),
        container_properties=lowercase_first_key(properties["ContainerProperties"]),
        node_properties=None,
        eks_properties=None,
        timeout=lowercase_first_key(properties.get("Timeout", {})),
        platform_capabilities=properties.get("PlatformCapabilities", []),
        propagate_tags=properties.get("PropagateTags", False),
    )


def _patch_ecr() -> None:
    make = Repository.create_from_cloudformation_json

    def with_lower_case(resource_name: str, *rest: Any, **more: Any) -> Repository:
        return make(resource_name.lower(), *rest, **more)

    replace(Repository, "create_from_cloudformation_json", staticmethod(with_lower_case))


def _patch_subnet() -> None:
    make = Subnet.create_from_cloudformation_json

    def with_addresses(
        resource_name: str, cloudformation_json: dict[str, Any], *rest: Any, **more: Any
    ) -> Subnet:
        subnet = make(resource_name, cloudformation_json, *rest, **more)
        subnet.map_public_ip_on_launch = cloudformation_json["Properties"].get("MapPublicIpOnLaunch", False)
        return subnet

    replace(Subnet, "create_from_cloudformation_json", staticmethod(with_addresses))


class _Recorded:
    """A resource that is noted and does nothing by itself."""

    def __init__(self, name: str) -> None:
        self.physical_resource_id = name

    @classmethod
    def create_from_cloudformation_json(cls, resource_name: str, *_: Any, **__: Any) -> _Recorded:
        return cls(resource_name)

    def is_created(self) -> bool:
        return True

    def delete(self, *_: Any) -> None:
        """Nothing is there."""


class _BucketPolicy(_Recorded, CloudFormationModel):  # moto finds types among the model's direct subclasses
    # moto would let its Deny of plain HTTP apply, conditions unread, and plain HTTP is all there is here.
    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::S3::BucketPolicy"

    @staticmethod
    def cloudformation_name_type() -> str:
        return ""


def _associate(
    _: str, cloudformation_json: dict[str, Any], account_id: str, region_name: str, **__: Any
) -> _Recorded:
    properties = cloudformation_json["Properties"]
    backend = ec2_backends[account_id][region_name]
    return _Recorded(
        backend.associate_route_table(properties["RouteTableId"], subnet_id=properties["SubnetId"])
    )


def change(resource: Any, wanted: dict[str, Any], was: dict[str, Any], region: str) -> Any | None:
    """Change a resource in place; None if it has to be replaced.

    Parameters
    ----------
    wanted, was : its part of the template, references resolved, as it shall be and as it was.
    """
    change_one = _CHANGE.get(was["Type"])
    if change_one is not None:
        return change_one(resource, wanted["Properties"], region)
    if isinstance(resource, EmulatedCustomResource):
        return customresources.change(resource, ACCOUNT, wanted["Properties"], was["Properties"])
    update = type(resource).update_from_cloudformation_json
    if hasattr(update, "__isabstractmethod__"):
        return None
    changed = update(
        original_resource=resource,
        new_resource_name=_name(resource, wanted),
        cloudformation_json=wanted,
        account_id=ACCOUNT,
        region_name=region,
    )
    changed.logical_resource_id = resource.logical_resource_id
    changed.cf_resource_type = resource.cf_resource_type
    return changed


def _name(resource: Any, wanted: dict[str, Any]) -> str:
    """Name of a resource that was not given one stays as it was generated."""
    own: str = wanted["Properties"].get(resource.cloudformation_name_type()) or resource.physical_resource_id
    return own


def _change_definition(definition: batch.JobDefinition, properties: dict[str, Any], region: str) -> Any:
    changed = _make_definition(definition.name, {"Properties": properties}, ACCOUNT, region)
    return _same_place(definition, changed)


def _change_environment(environment: batch.ComputeEnvironment, properties: dict[str, Any], _: str) -> Any:
    environment.compute_resources = lowercase_first_key(properties["ComputeResources"])
    environment.state = properties.get("State", "ENABLED")
    return environment


def _change_log_group(group: LogGroup, properties: dict[str, Any], _: str) -> Any:
    group.set_retention_policy(properties.get("RetentionInDays"))
    return group


def _same_place(before: Any, after: Any) -> Any:
    after.logical_resource_id = before.logical_resource_id
    after.cf_resource_type = before.cf_resource_type
    return after


_CHANGE: dict[str, Callable[[Any, dict[str, Any], str], Any]] = {
    "AWS::Batch::JobDefinition": _change_definition,
    "AWS::Batch::ComputeEnvironment": _change_environment,
    "AWS::Logs::LogGroup": _change_log_group,
}


def delete(resource: Any, made_from: dict[str, Any], region: str) -> None:
    """Delete a resource as CloudFormation does, and fail where that would fail."""
    kind, properties = made_from["Type"], made_from["Properties"]
    if isinstance(resource, EmulatedCustomResource):
        customresources.delete(resource, ACCOUNT, properties)
    elif kind in _DELETE:
        _DELETE[kind](resource, properties, region)
    elif isinstance(resource, _Recorded | LogGroup | LambdaFunction):
        resource.delete(ACCOUNT, region)
    else:
        remove = type(resource).delete_from_cloudformation_json
        if hasattr(remove, "__isabstractmethod__"):
            raise NotImplementedError(f"the emulation cannot delete {kind}")
        remove(resource.physical_resource_id, made_from, ACCOUNT, region)


def _delete_queue(queue: batch.JobQueue, _: Any, region: str) -> None:
    # AWS ends the jobs of a queue that is deleted.
    for job in list(queue.jobs):
        if job.status not in ("SUCCEEDED", "FAILED") and not job._child_jobs:
            job.terminate("The job queue is deleted")
            job.join()
    batch.batch_backends[ACCOUNT][region].delete_job_queue(queue.arn)


def _delete_bucket(bucket: FakeBucket, _: Any, region: str) -> None:
    backend = s3_backends[ACCOUNT][get_partition(region)]
    if backend.delete_bucket(bucket.name) is None:
        raise RuntimeError(f"the bucket {bucket.name} is not empty")


def _delete_repository(repository: Repository, properties: dict[str, Any], region: str) -> None:
    ecr_backends[ACCOUNT][region].delete_repository(
        repository.name, force=properties.get("EmptyOnDelete", False)
    )


def _delete_route(_: Any, properties: dict[str, Any], region: str) -> None:
    ec2_backends[ACCOUNT][region].delete_route(properties["RouteTableId"], properties["DestinationCidrBlock"])


_DELETE: dict[str, Callable[[Any, dict[str, Any], str], Any]] = {
    "AWS::Batch::ComputeEnvironment": lambda one, _, region: batch.batch_backends[ACCOUNT][
        region
    ].delete_compute_environment(one.name),
    "AWS::Batch::JobDefinition": lambda one, _, __: one.deregister(),
    "AWS::Batch::JobQueue": _delete_queue,
    "AWS::EC2::EIP": lambda one, _, region: ec2_backends[ACCOUNT][region].release_address(
        allocation_id=one.allocation_id
    ),
    "AWS::EC2::InternetGateway": lambda one, _, region: ec2_backends[ACCOUNT][region].delete_internet_gateway(
        one.id
    ),
    "AWS::EC2::LaunchTemplate": lambda one, _, region: ec2_backends[ACCOUNT][region].delete_launch_template(
        one.name, one.id
    ),
    "AWS::EC2::NatGateway": lambda one, _, region: ec2_backends[ACCOUNT][region].delete_nat_gateway(one.id),
    "AWS::EC2::Route": _delete_route,
    "AWS::EC2::RouteTable": lambda one, _, region: ec2_backends[ACCOUNT][region].delete_route_table(one.id),
    "AWS::EC2::SubnetRouteTableAssociation": lambda one, _, region: ec2_backends[ACCOUNT][
        region
    ].disassociate_route_table(one.physical_resource_id),
    "AWS::EC2::VPCEndpoint": lambda one, _, region: ec2_backends[ACCOUNT][region].delete_vpc_endpoints(
        [one.id]
    ),
    "AWS::EC2::VPCGatewayAttachment": lambda one, _, region: ec2_backends[ACCOUNT][
        region
    ].detach_internet_gateway(one.gateway_id, one.vpc_id),
    "AWS::ECR::Repository": _delete_repository,
    "AWS::IAM::ManagedPolicy": lambda one, _, __: iam_backends[ACCOUNT]["aws"].delete_policy(one.arn),
    "AWS::S3::Bucket": _delete_bucket,
}
