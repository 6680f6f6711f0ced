"""Whether what a template declares is really there: CloudFormation's own word is not taken for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable

    Client = Callable[[str], Any]


def missing(client: Client, template: dict[str, Any], stack_name: str) -> list[str]:
    """Logical ids and types of resources that the services do not know.

    Raises
    ------
    LookupError : nobody has said how to look for a resource of this type.
    """
    listed = client("cloudformation").describe_stack_resources(StackName=stack_name)["StackResources"]
    physical = {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in listed}
    return [
        f"{name} ({resource['Type']}, {physical.get(name)})"
        for name, resource in template["Resources"].items()
        if name not in physical or not _is_there(client, resource, physical, physical[name])
    ]


def _is_there(client: Client, resource: dict[str, Any], physical: dict[str, str], physical_id: str) -> bool:
    kind = resource["Type"]
    if kind.startswith("Custom::") or kind in _WITHOUT_EFFECT:
        return True
    if kind == "AWS::IAM::Policy":  # has no id that IAM knows
        properties = resource["Properties"]
        roles = [physical[role["Ref"]] for role in properties["Roles"]]
        return all(_has_policy(client, role, properties["PolicyName"]) for role in roles)
    if kind in _LOOK_WITHIN:
        return _LOOK_WITHIN[kind](client, physical_id)
    if kind not in _LOOK:
        raise LookupError(f"{__name__} does not say how to look for {kind}")
    service, operation, argument, found = _LOOK[kind]
    value = [physical_id] if argument.endswith("s") else physical_id
    try:
        reply = getattr(client(service), operation)(**{argument: value})
    except ClientError:
        return False
    return found == "" or bool(reply[found])


def _has_route(client: Client, physical_id: str) -> bool:
    table, _, destination = physical_id.partition("~")
    (found,) = client("ec2").describe_route_tables(RouteTableIds=[table])["RouteTables"]
    return any(route.get("DestinationCidrBlock") == destination for route in found["Routes"])


def _is_associated(client: Client, physical_id: str) -> bool:
    wanted = {"Name": "association.route-table-association-id", "Values": [physical_id]}
    return bool(client("ec2").describe_route_tables(Filters=[wanted])["RouteTables"])


def _has_policy(client: Client, role: str, name: str) -> bool:
    return name in client("iam").list_role_policies(RoleName=role)["PolicyNames"]


# The emulation records these and does nothing; assert them on the template.
_WITHOUT_EFFECT = {"AWS::S3::BucketPolicy"}

_LOOK_WITHIN: dict[str, Callable[[Client, str], bool]] = {
    "AWS::EC2::Route": _has_route,
    "AWS::EC2::SubnetRouteTableAssociation": _is_associated,
}

# Service, operation, argument with the physical id, and what of the reply must not be empty.
_LOOK = {
    "AWS::Batch::ComputeEnvironment": (
        "batch",
        "describe_compute_environments",
        "computeEnvironments",
        "computeEnvironments",
    ),
    "AWS::Batch::JobDefinition": ("batch", "describe_job_definitions", "jobDefinitions", "jobDefinitions"),
    "AWS::Batch::JobQueue": ("batch", "describe_job_queues", "jobQueues", "jobQueues"),
    "AWS::EC2::EIP": ("ec2", "describe_addresses", "PublicIps", "Addresses"),
    "AWS::EC2::InternetGateway": (
        "ec2",
        "describe_internet_gateways",
        "InternetGatewayIds",
        "InternetGateways",
    ),
    "AWS::EC2::LaunchTemplate": (
        "ec2",
        "describe_launch_templates",
        "LaunchTemplateIds",
        "LaunchTemplates",
    ),
    "AWS::EC2::NatGateway": ("ec2", "describe_nat_gateways", "NatGatewayIds", "NatGateways"),
    "AWS::EC2::RouteTable": ("ec2", "describe_route_tables", "RouteTableIds", "RouteTables"),
    "AWS::EC2::SecurityGroup": ("ec2", "describe_security_groups", "GroupIds", "SecurityGroups"),
    "AWS::EC2::Subnet": ("ec2", "describe_subnets", "SubnetIds", "Subnets"),
    "AWS::EC2::VPC": ("ec2", "describe_vpcs", "VpcIds", "Vpcs"),
    "AWS::EC2::VPCEndpoint": ("ec2", "describe_vpc_endpoints", "VpcEndpointIds", "VpcEndpoints"),
    "AWS::EC2::VPCGatewayAttachment": ("ec2", "describe_vpcs", "VpcIds", "Vpcs"),
    "AWS::ECR::Repository": ("ecr", "describe_repositories", "repositoryNames", "repositories"),
    "AWS::IAM::InstanceProfile": ("iam", "get_instance_profile", "InstanceProfileName", "InstanceProfile"),
    "AWS::IAM::ManagedPolicy": ("iam", "get_policy", "PolicyArn", "Policy"),
    "AWS::IAM::Role": ("iam", "get_role", "RoleName", "Role"),
    "AWS::Lambda::Function": ("lambda", "get_function", "FunctionName", "Configuration"),
    "AWS::Logs::LogGroup": ("logs", "describe_log_groups", "logGroupNamePrefix", "logGroups"),
    "AWS::S3::Bucket": ("s3", "head_bucket", "Bucket", ""),
}
