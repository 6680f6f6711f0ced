"""Everything that exists in the emulated account: for "nothing is left" as one comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Client = Callable[[str], Any]


def inventory(client: Client, *, objects: bool = True) -> list[str]:
    """List everything, one line each, sorted; without `objects`, of buckets only their names."""
    s3 = _s3 if objects else _buckets
    return sorted(line for lines in (s3, *_LISTS) for line in lines(client))


def _pages(client: Any, operation: str, key: str, **arguments: Any) -> Iterator[Any]:
    if client.can_paginate(operation):
        for page in client.get_paginator(operation).paginate(**arguments):
            yield from page.get(key, [])
    else:
        yield from getattr(client, operation)(**arguments).get(key, [])


def _buckets(client: Client) -> Iterator[str]:
    for bucket in client("s3").list_buckets()["Buckets"]:
        yield f"s3 bucket {bucket['Name']}"


def _s3(client: Client) -> Iterator[str]:
    yield from _buckets(client)
    s3 = client("s3")
    for bucket in s3.list_buckets()["Buckets"]:
        name = bucket["Name"]
        page = s3.list_object_versions(Bucket=name)
        for item in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
            yield f"s3 object {name}/{item['Key']} {item['VersionId']}"
        for upload in s3.list_multipart_uploads(Bucket=name).get("Uploads", []):
            yield f"s3 unfinished upload {name}/{upload['Key']} {upload['UploadId']}"


def _sqs(client: Client) -> Iterator[str]:
    for url in _pages(client("sqs"), "list_queues", "QueueUrls"):
        yield f"sqs queue {url.rpartition('/')[2]}"


def _batch(client: Client) -> Iterator[str]:
    batch = client("batch")
    for environment in batch.describe_compute_environments()["computeEnvironments"]:
        yield f"batch compute environment {environment['computeEnvironmentName']}"
    for definition in batch.describe_job_definitions(status="ACTIVE")["jobDefinitions"]:
        yield f"batch job definition {definition['jobDefinitionArn'].rpartition('/')[2]}"
    for queue in batch.describe_job_queues()["jobQueues"]:
        yield f"batch job queue {queue['jobQueueName']}"
        for status in ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING"):
            arguments = {"jobQueue": queue["jobQueueArn"], "jobStatus": status}
            for job in _pages(batch, "list_jobs", "jobSummaryList", **arguments):
                yield f"batch job {job['jobId']} {job['jobName']}"


def _ecr(client: Client) -> Iterator[str]:
    ecr = client("ecr")
    for repository in _pages(ecr, "describe_repositories", "repositories"):
        name = repository["repositoryName"]
        yield f"ecr repository {name}"
        for image in _pages(ecr, "list_images", "imageIds", repositoryName=name):
            yield f"ecr image {name}:{image.get('imageTag', image['imageDigest'])}"


def _logs(client: Client) -> Iterator[str]:
    logs = client("logs")
    for group in _pages(logs, "describe_log_groups", "logGroups"):
        yield f"log group {group['logGroupName']}"
    for policy in logs.describe_resource_policies()["resourcePolicies"]:
        yield f"log resource policy {policy['policyName']}"


def _iam(client: Client) -> Iterator[str]:
    iam = client("iam")
    for role in _pages(iam, "list_roles", "Roles"):
        if not role["Path"].startswith("/aws-service-role/"):  # AWS's own, one for an account
            yield f"iam role {role['RoleName']}"
    for policy in _pages(iam, "list_policies", "Policies", Scope="Local"):
        yield f"iam policy {policy['PolicyName']}"
    for profile in _pages(iam, "list_instance_profiles", "InstanceProfiles"):
        yield f"iam instance profile {profile['InstanceProfileName']}"
    for group in _pages(iam, "list_groups", "Groups"):
        yield f"iam group {group['GroupName']}"
    for user in _pages(iam, "list_users", "Users"):
        yield f"iam user {user['UserName']}"


_EC2 = (
    ("describe_vpcs", "Vpcs", "VpcId"),
    ("describe_subnets", "Subnets", "SubnetId"),
    ("describe_route_tables", "RouteTables", "RouteTableId"),
    ("describe_internet_gateways", "InternetGateways", "InternetGatewayId"),
    ("describe_nat_gateways", "NatGateways", "NatGatewayId"),
    ("describe_addresses", "Addresses", "AllocationId"),
    ("describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId"),
    ("describe_security_groups", "SecurityGroups", "GroupId"),
    ("describe_launch_templates", "LaunchTemplates", "LaunchTemplateId"),
    ("describe_network_interfaces", "NetworkInterfaces", "NetworkInterfaceId"),
    ("describe_volumes", "Volumes", "VolumeId"),
)


def _ec2(client: Client) -> Iterator[str]:
    ec2 = client("ec2")
    for operation, key, name in _EC2:
        for thing in _pages(ec2, operation, key):
            if thing.get("State") != "deleted":  # AWS lists some for an hour
                yield f"ec2 {name.removesuffix('Id')} {thing[name]}"
    for reservation in _pages(ec2, "describe_instances", "Reservations"):
        for instance in reservation["Instances"]:
            if instance["State"]["Name"] != "terminated":
                yield f"ec2 instance {instance['InstanceId']}"


def _ecs(client: Client) -> Iterator[str]:
    ecs = client("ecs")
    for cluster in ecs.describe_clusters(clusters=list(_pages(ecs, "list_clusters", "clusterArns")))[
        "clusters"
    ]:
        if cluster["status"] == "ACTIVE":  # AWS keeps the others listed for a while
            yield f"ecs cluster {cluster['clusterName']}"


_SIMPLE = (
    ("cloudformation", "describe_stacks", "Stacks", "StackName"),
    ("cloudformation", "list_exports", "Exports", "Name"),
    ("lambda", "list_functions", "Functions", "FunctionName"),
    ("ssm", "describe_parameters", "Parameters", "Name"),
    ("cloudwatch", "list_dashboards", "DashboardEntries", "DashboardName"),
    ("events", "list_rules", "Rules", "Name"),
)


def _simple(client: Client) -> Iterator[str]:
    for service, operation, key, name in _SIMPLE:
        for thing in _pages(client(service), operation, key):
            yield f"{service} {key.lower()} {thing[name]}"


_LISTS: tuple[Callable[[Client], Iterator[str]], ...] = (
    _sqs,
    _batch,
    _ecr,
    _logs,
    _iam,
    _ec2,
    _ecs,
    _simple,
)
