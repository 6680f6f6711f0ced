"""IAM: what a request needs, and whether the policies of its caller allow it.

moto's own check knows neither resources of most services nor conditions, so it stays off. Actions and
resources are those of AWS's service authorization reference, written down here a second time, on purpose
not from rios_batch's table. Identity policies only: no bucket policies, boundaries or session policies.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from fnmatch import translate
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote
from xml.etree import ElementTree as ET

from moto.batch.models import batch_backends
from moto.cloudformation.models import cloudformation_backends
from moto.iam.models import Policy, iam_backends
from moto.sts.models import sts_backends

from rios_batch.testing.emulation.environment import ACCOUNT, ROOT_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rios_batch.testing.emulation.recognise import AwsRequest

_READ, _WRITE, _LIST = "s3:GetObject", "s3:PutObject", "s3:ListBucket"
_S3_ON_OBJECTS = {
    "get_object": _READ,
    "head_object": _READ,
    "put_object": _WRITE,
    "copy_object": _WRITE,
    "create_multipart_upload": _WRITE,
    "upload_part": _WRITE,
    "upload_part_copy": _WRITE,
    "complete_multipart_upload": _WRITE,
    "abort_multipart_upload": "s3:AbortMultipartUpload",
    "list_parts": "s3:ListMultipartUploadParts",
    "delete_object": "s3:DeleteObject",
}
_S3_ON_BUCKETS = {
    "head_bucket": _LIST,
    "list_objects": _LIST,
    "list_objects_v2": _LIST,
    "list_object_versions": "s3:ListBucketVersions",
    "list_multipart_uploads": "s3:ListBucketMultipartUploads",
}


@dataclass(frozen=True)
class Need:
    """One permission that a request needs."""

    action: str
    resource: str
    context: dict[str, str] = field(default_factory=dict)


def needs(request: AwsRequest) -> list[Need]:
    """Permissions that a request needs; none for who-am-I."""
    if request.operation == "get_caller_identity":
        return []
    of_service = _OF_SERVICE.get(request.service, _general)
    return list(of_service(request))


def _general(request: AwsRequest) -> Iterator[Need]:
    yield Need(_action(request), "*")


def _action(request: AwsRequest) -> str:
    name = "".join(part.capitalize() for part in request.operation.split("_"))
    return f"{request.service}:{name}"


def _s3(request: AwsRequest) -> Iterator[Need]:
    bucket, key = request.arguments.get("Bucket", "*"), request.arguments.get("Key", "")
    if request.operation in _S3_ON_OBJECTS:
        yield Need(_S3_ON_OBJECTS[request.operation], f"arn:aws:s3:::{bucket}/{key}")
        if source := request.headers.get("x-amz-copy-source"):
            yield Need(_READ, f"arn:aws:s3:::{unquote(source).lstrip('/').partition('?')[0]}")
    elif request.operation == "delete_objects":
        for element in ET.fromstring(request.body).iterfind("{*}Object"):
            version = element.find("{*}VersionId") is not None
            name = element.findtext("{*}Key")
            yield Need(
                "s3:DeleteObjectVersion" if version else "s3:DeleteObject", f"arn:aws:s3:::{bucket}/{name}"
            )
    else:
        yield Need(_S3_ON_BUCKETS.get(request.operation, _action(request)), f"arn:aws:s3:::{bucket}")


def _sqs(request: AwsRequest) -> Iterator[Need]:
    name = request.arguments.get("QueueName") or request.arguments.get("QueueUrl", "*").rpartition("/")[2]
    resource = "*" if request.operation == "list_queues" else _arn("sqs", request, name)
    yield Need(_action(request).removesuffix("Batch"), resource)


def _batch(request: AwsRequest) -> Iterator[Need]:
    arguments = request.arguments
    if request.operation == "submit_job":
        tags = {f"aws:RequestTag/{key}": value for key, value in arguments.get("tags", {}).items()}
        # The reference requires the job and the queue. For TagResource it does not say on which of the three, and
        # accounts were seen that ask on the definition.
        for resource in _of_submission(request):
            yield Need("batch:SubmitJob", resource, tags)
            if tags:
                yield Need("batch:TagResource", resource, tags)
    elif request.operation in ("terminate_job", "cancel_job"):
        resource = _arn("batch", request, f"job/{arguments['jobId']}")
        tags = batch_backends[ACCOUNT][request.region].list_tags_for_resource(resource)
        yield Need(
            _action(request), resource, {f"aws:ResourceTag/{key}": value for key, value in tags.items()}
        )
    else:
        yield Need(_action(request), "*")


def _of_submission(request: AwsRequest) -> Iterator[str]:
    backend = batch_backends[ACCOUNT][request.region]
    queue, definition = request.arguments["jobQueue"], request.arguments["jobDefinition"]
    known = backend.get_job_definition(definition)
    yield _arn("batch", request, "job/00000000")
    yield queue if queue.startswith("arn:") else _arn("batch", request, f"job-queue/{queue}")
    # With the revision that a name stands for, as in AWS's requests.
    yield known.arn if known else _arn("batch", request, f"job-definition/{definition}")


def _cloudformation(request: AwsRequest) -> Iterator[Need]:
    name = request.arguments.get("StackName", "")
    stacks = cloudformation_backends[ACCOUNT][request.region].stacks.values()
    known = next((stack.stack_id for stack in stacks if name in (stack.name, stack.stack_id)), None)
    resource = known or _arn("cloudformation", request, f"stack/{name}/*")
    yield Need(_action(request), resource if name else "*")


def _logs(request: AwsRequest) -> Iterator[Need]:
    group = request.arguments.get("logGroupName") or request.arguments.get("logGroupIdentifier", "*")
    group = group.rpartition("log-group:")[2].removesuffix(":*")
    stream = request.arguments.get("logStreamName", "")
    yield Need(_action(request), _arn("logs", request, f"log-group:{group}:log-stream:{stream}"))


def _ecr(request: AwsRequest) -> Iterator[Need]:
    name = request.arguments.get("repositoryName")
    yield Need(_action(request), _arn("ecr", request, f"repository/{name}") if name else "*")


def _sts(request: AwsRequest) -> Iterator[Need]:
    yield Need(_action(request), request.arguments.get("RoleArn", "*"))


def _iam(request: AwsRequest) -> Iterator[Need]:
    arguments, kind = request.arguments, request.operation.split("_")[1]
    if request.operation in ("detach_user_policy", "detach_group_policy", "detach_role_policy"):
        holder = f"arn:aws:iam::{ACCOUNT}:{kind}/{arguments[f'{kind.capitalize()}Name']}"
        yield Need(_action(request), holder, {"iam:PolicyARN": arguments["PolicyArn"]})
    elif request.operation == "list_entities_for_policy":
        yield Need(_action(request), arguments["PolicyArn"])
    else:
        yield Need(_action(request), "*")


def _arn(service: str, request: AwsRequest, resource: str) -> str:
    return f"arn:aws:{service}:{request.region}:{ACCOUNT}:{resource}"


_OF_SERVICE: dict[str, Callable[[AwsRequest], Iterator[Need]]] = {
    "s3": _s3,
    "sqs": _sqs,
    "batch": _batch,
    "cloudformation": _cloudformation,
    "logs": _logs,
    "ecr": _ecr,
    "sts": _sts,
    "iam": _iam,
}


@dataclass(frozen=True)
class Caller:
    """Who signed a request.

    Attributes
    ----------
    name : ``root``, ``user/NAME``, ``role/NAME``, ``anonymous``, or ``unknown/KEY``.
    """

    name: str

    @property
    def is_root(self) -> bool:
        return self.name == "root"

    @property
    def is_deployer(self) -> bool:
        """Whether it is a role of the CDK's bootstrap, whose calls are not this project's and have no ARNs here."""
        return self.name.startswith("role/cdk-")

    @property
    def is_known(self) -> bool:
        return not self.name.startswith("unknown/")

    def documents(self) -> Iterator[dict[str, Any]]:
        """All policies attached to the user or role."""
        backend = iam_backends[ACCOUNT]["aws"]
        kind, _, name = self.name.partition("/")
        if kind == "user":
            for policy in backend.list_user_policies(name):
                yield _document(backend.get_user_policy(name, policy)["policy_document"])
            attached = backend.list_attached_user_policies(name)[0]
        elif kind == "role":
            for policy in backend.list_role_policies(name):
                yield _document(backend.get_role_policy(name, policy)[1])
            attached = backend.list_attached_role_policies(name)[0]
        else:
            return
        for policy in attached:
            yield _document(policy)


def _document(policy: Any) -> dict[str, Any]:
    if isinstance(policy, Policy):
        policy = next(version.document for version in policy.versions if version.is_default)
    found: dict[str, Any] = json.loads(policy) if isinstance(policy, str) else policy
    return found


def caller_of(access_key: str) -> Caller:
    """Whose access key this is."""
    if access_key in ("", ROOT_KEY):
        return Caller("root" if access_key else "anonymous")
    for role in reversed(sts_backends[ACCOUNT]["aws"].assumed_roles):
        if role.access_key_id == access_key:
            return Caller(f"role/{role.role_arn.rpartition('/')[2]}")
    for user in list(iam_backends[ACCOUNT]["aws"].users.values()):
        if any(key.access_key_id == access_key for key in user.access_keys):
            return Caller(f"user/{user.name}")
    return Caller(f"unknown/{access_key}")


def denied(caller: Caller, wanted: list[Need]) -> Need | None:
    """The first permission that a caller does not have."""
    if caller.is_root:
        return None
    statements = [statement for document in caller.documents() for statement in _list(document["Statement"])]
    return next((need for need in wanted if not _allowed(statements, need)), None)


def _allowed(statements: list[dict[str, Any]], need: Need) -> bool:
    effects = {statement["Effect"] for statement in statements if _applies(statement, need)}
    return effects == {"Allow"}


def _applies(statement: dict[str, Any], need: Need) -> bool:
    unknown = statement.keys() - {"Sid", "Effect", "Action", "Resource", "Condition"}
    if unknown:
        raise NotImplementedError(f"the emulation does not know {sorted(unknown)} in a policy")
    return (
        any(_like(pattern.lower(), need.action.lower()) for pattern in _list(statement["Action"]))
        and any(_like(pattern, need.resource) for pattern in _list(statement["Resource"]))
        and all(
            _holds(operator, need.context.get(key), _list(expected))
            for operator, keys in statement.get("Condition", {}).items()
            for key, expected in keys.items()
        )
    )


def _holds(operator: str, value: str | None, expected: list[str]) -> bool:
    base = operator.removesuffix("IfExists")
    if value is None:
        return base != operator
    if base in ("StringEquals", "ArnEquals"):  # ARNs with wildcards are not used
        return value in expected
    if base == "StringLike":
        return any(_like(pattern, value) for pattern in expected)
    raise NotImplementedError(f"the emulation does not know the condition operator {operator}")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _like(pattern: str, value: str) -> bool:
    return _compiled(pattern).fullmatch(value) is not None


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern.replace("[", "[[]")))
