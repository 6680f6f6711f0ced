from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cdk_app import combinations
from cdk_app.settings import DeploySettings
from rios_batch.aws.calls import CALLS, On, Role, actions
from rios_batch.contract import JOB_TAG
from tests.cdk_app.synthesized import Stack, allowed
from tests.cdk_app.variants import synthesize

if TYPE_CHECKING:
    from tests.cdk_app.conftest import Assembly

PATHS = {
    Role.WORKER: ("AWS::IAM::Role", "Jobs/WorkerRole"),
    Role.MAIN: ("AWS::IAM::Role", "Jobs/MainRole"),
    Role.SUBMITTER: ("AWS::IAM::ManagedPolicy", "SubmitterPolicy"),
}
# The resources that each kind of call gets, word for word: a wider one is a finding, whoever acknowledged it.
JOB = "arn:aws:batch:us-west-2:123456789012:job/*"
RESOURCES = {
    On.STACK: {"arn:aws:cloudformation:us-west-2:123456789012:stack/Everything/*"},
    On.EXCHANGE_BUCKET: {"arn:aws:s3:::<bucket>"},
    On.RUN_OBJECTS: {"arn:aws:s3:::<bucket>/runs/*"},
    On.RUN_RESULTS: {
        f"arn:aws:s3:::<bucket>/runs/*/{folder}/*" for folder in ("tiles", "merged", "failures")
    },
    On.SCRIPTS: {"arn:aws:s3:::<bucket>/scripts/*"},
    On.IMAGES: {"arn:aws:s3:::<bucket>/images/*"},
    On.INPUT_BUCKETS: {"arn:aws:s3:::sentinel-cogs", "arn:aws:s3:::field-data"},
    On.INPUT_OBJECTS: {"arn:aws:s3:::sentinel-cogs/*", "arn:aws:s3:::field-data/2026/*"},
    On.OUTPUT_BUCKETS: {"arn:aws:s3:::results"},
    On.OUTPUT_OBJECTS: {"arn:aws:s3:::results/maps/*"},
    On.RUN_QUEUES: {"arn:aws:sqs:us-west-2:123456789012:rios-batch-1a2b3c4d-*"},
    On.JOB_QUEUES_AND_DEFINITIONS: {
        f"arn:aws:batch:us-west-2:123456789012:{name}"
        for kind in ("worker", "main", "script")
        for name in (f"job-definition/<{kind}>", f"job-definition/<{kind}>:*")
    }
    | {f"arn:aws:batch:us-west-2:123456789012:job-queue/<{pool}>" for pool in ("workers", "mains")}
    | {JOB},
    On.OWN_JOBS: {JOB},
    On.JOB_LOG: {"arn:aws:logs:us-west-2:123456789012:log-group:<log>:*"},
    On.EVERYTHING: {"*"},
}
RESOURCES[On.NEW_JOBS] = RESOURCES[On.JOB_QUEUES_AND_DEFINITIONS]
# What those in angle brackets are called in the template.
NAMED = {
    "bucket": ("AWS::S3::Bucket", "Exchange/"),
    "log": ("AWS::Logs::LogGroup", "Jobs/"),
    "workers": ("AWS::Batch::JobQueue", "Workers/"),
    "mains": ("AWS::Batch::JobQueue", "Mains/"),
    "worker": ("AWS::Batch::JobDefinition", "Jobs/Worker/"),
    "main": ("AWS::Batch::JobDefinition", "Jobs/Main/"),
    "script": ("AWS::Batch::JobDefinition", "Jobs/Script/"),
}
# What the stack's own helpers may do, and for what.
HELPERS = {
    "Jobs/ExecutionRole": {
        "ecr:GetAuthorizationToken",  # pull the image
        "ecr:BatchCheckLayerAvailability",
        "ecr:GetDownloadUrlForLayer",
        "ecr:BatchGetImage",
        "logs:CreateLogStream",  # write the jobs' log
        "logs:PutLogEvents",
    },
    "Cleanup/Role": {
        "logs:CreateLogStream",  # write its own log
        "logs:PutLogEvents",
        "s3:ListBucketVersions",  # empty the bucket
        "s3:DeleteObject",
        "s3:DeleteObjectVersion",
        "sqs:ListQueues",  # delete queues of dead runs
        "sqs:DeleteQueue",
        "ecr:BatchGetImage",  # delete the pushed image, with the parts of an index
        "ecr:BatchDeleteImage",
        "iam:ListEntitiesForPolicy",  # detach the stack's own policies
        "iam:DetachUserPolicy",
        "iam:DetachGroupPolicy",
        "iam:DetachRolePolicy",
    },
}
ASSETS = "cdk-hnb659fds-container-assets-123456789012-us-west-2"
WITHOUT_RESOURCE = {
    "batch:DescribeJobQueues",
    "batch:DescribeJobs",
    "batch:ListJobs",
    "ecr:GetAuthorizationToken",
    "sqs:ListQueues",
}


def granted(stack: Stack, role: Role) -> list[dict[str, Any]]:
    return stack.statements(stack.named(*PATHS[role])[0])


@pytest.mark.parametrize("role", Role)
def test_every_action_is_one_that_the_runtime_needs(everything: Stack, role: Role) -> None:
    needed = {action for call in CALLS if role in call.roles for action in call.actions}
    assert {action for action, _ in allowed(granted(everything, role))} == needed


@pytest.mark.parametrize("role", Role)
def test_every_action_is_allowed_on_its_own_resources_and_no_others(everything: Stack, role: Role) -> None:
    names = {f"<{key}>": everything.named(*place)[0].lower() for key, place in NAMED.items()}
    wanted = {
        (action, re.sub("<.*>", lambda match: names[match[0]], arn))
        for on, needed in actions(role).items()
        for action in needed
        for arn in RESOURCES[on]
    }
    assert set(allowed(granted(everything, role))) == wanted


@pytest.mark.parametrize("path", HELPERS)
def test_helpers_may_do_their_work_and_no_more(default: Stack, path: str) -> None:
    name, _ = default.named("AWS::IAM::Role", path)
    assert {action for action, _ in allowed(default.statements(name))} == HELPERS[path]


def test_clean_up_reaches_what_is_the_stacks_own(default: Stack) -> None:
    (bucket,) = default.of_type("AWS::S3::Bucket")
    role, _ = default.named("AWS::IAM::Role", "Cleanup/Role")
    log, _ = default.named("AWS::Logs::LogGroup", "Cleanup/")
    assert {arn for _, arn in allowed(default.statements(role))} == {
        f"arn:aws:logs:us-west-2:123456789012:log-group:{log.lower()}:*",
        f"arn:aws:s3:::{bucket.lower()}",
        f"arn:aws:s3:::{bucket.lower()}/*",
        "arn:aws:sqs:us-west-2:123456789012:rios-batch-1a2b3c4d-*",
        f"arn:aws:ecr:us-west-2:123456789012:repository/{ASSETS}",
        "*",  # sqs:ListQueues
        *own_policies(default),
        *(f"arn:aws:iam::123456789012:{kind}/*" for kind in ("user", "group", "role")),
    }


def own_policies(stack: Stack) -> list[str]:
    names = stack.of_type("AWS::IAM::ManagedPolicy")
    return [f"arn:aws:iam::123456789012:policy/{name.lower()}" for name in names]


def test_clean_up_detaches_the_stacks_policies_and_no_others(default: Stack) -> None:
    role, _ = default.named("AWS::IAM::Role", "Cleanup/Role")
    detaching = [one for one in default.statements(role) if "iam:Detach" in str(one["Action"])]
    for statement in detaching:
        assert list(statement["Condition"]) == ["ArnEquals"]
        assert set(statement["Condition"]["ArnEquals"]["iam:PolicyARN"]) == set(own_policies(default))
    assert {(action, arn.rpartition(":")[2]) for action, arn in allowed(detaching)} == {
        ("iam:DetachUserPolicy", "user/*"),
        ("iam:DetachGroupPolicy", "group/*"),
        ("iam:DetachRolePolicy", "role/*"),
    }


def publishing(stack: Stack, kind: str) -> set[str]:
    """Repositories on which a publisher of images may do something."""
    statements = stack.statements(stack.named("AWS::IAM::ManagedPolicy", "ImagePublisherPolicy")[0])
    return {arn.partition("repository/")[2] for action, arn in allowed(statements) if action == f"ecr:{kind}"}


@pytest.mark.parametrize(
    "kind", ["PutImage", "UploadLayerPart", "InitiateLayerUpload", "CompleteLayerUpload"]
)
def test_publisher_pushes_to_the_repository_for_main_images_only(default: Stack, kind: str) -> None:
    (repository,) = default.of_type("AWS::ECR::Repository")
    assert publishing(default, kind) == {repository.lower()}


@pytest.mark.parametrize("kind", ["BatchGetImage", "GetDownloadUrlForLayer"])
@pytest.mark.parametrize(("stack_name", "image"), [("default", ASSETS), ("fargate", "mine")])
def test_publisher_pulls_what_main_images_are_made_from(
    request: pytest.FixtureRequest, stack_name: str, image: str, kind: str
) -> None:
    stack: Stack = request.getfixturevalue(stack_name)
    (repository,) = stack.of_type("AWS::ECR::Repository")
    assert publishing(stack, kind) == {repository.lower(), image}


def test_publisher_can_log_in_to_ecr(default: Stack) -> None:
    assert publishing(default, "GetAuthorizationToken") == {""}


def policy_size(**settings: Any) -> int:
    """Characters of the submitters' policy, as IAM counts them."""
    stack = Stack(synthesize(DeploySettings(stack_name="S" * 128, **settings)), Path(), {})
    document = stack.properties("AWS::IAM::ManagedPolicy", "SubmitterPolicy")["PolicyDocument"]
    return len(json.dumps(stack.value(document), separators=(",", ":")))


def test_submitters_policy_leaves_room_for_longer_names_than_tests_make_up() -> None:
    assert policy_size() + 500 < combinations.POLICY_WITHOUT_BUCKETS


def buckets(count: int) -> dict[str, Any]:
    names = [f"a-bucket-with-number-{number:02d}/and/a/prefix" for number in range(count)]
    return {"input_buckets": names[::2], "output_buckets": names[1::2]}


def test_submitters_policy_with_as_many_buckets_as_allowed_fits_into_iam() -> None:
    count = 20
    with contextlib.suppress(ValueError):
        while count < 99:
            DeploySettings(**buckets(count + 1))
            count += 1
    assert combinations.POLICY_WITHOUT_BUCKETS < policy_size(**buckets(count)) <= 6144


def test_no_role_is_left_out_here(default: Stack) -> None:
    paths = [path for _, path in PATHS.values()] + list(HELPERS)
    known = {default.named("AWS::IAM::Role", path)[0] for path in paths if path.endswith("Role")}
    for name, resource in default.of_type("AWS::IAM::Policy").items():
        roles = {role["Ref"] for role in resource["Properties"]["Roles"]}
        assert roles <= known, f"{name} is not judged by any test"


@pytest.mark.parametrize("stack_name", ["RiosBatch", "Everything", "Fargate"])
def test_no_statement_allows_actions_by_wildcard(assembly: Assembly, stack_name: str) -> None:
    stack = assembly.stacks[stack_name]
    documents = [
        stack.value(resource["Properties"]["PolicyDocument"])
        for resource in stack.template["Resources"].values()
        if "PolicyDocument" in resource.get("Properties", {})
    ]
    # Policies of log groups are text.
    documents = [json.loads(item) if isinstance(item, str) else item for item in documents]
    statements = [statement for document in documents for statement in document["Statement"]]
    assert len(statements) > 10
    for statement in statements:
        if statement["Effect"] == "Allow":
            assert "*" not in str(statement["Action"])
            assert "NotAction" not in statement


@pytest.mark.parametrize("stack_name", ["RiosBatch", "Everything", "Fargate"])
def test_only_actions_without_resources_are_allowed_on_everything(
    assembly: Assembly, stack_name: str
) -> None:
    stack = assembly.stacks[stack_name]
    names = [*stack.of_type("AWS::IAM::Role"), *stack.of_type("AWS::IAM::ManagedPolicy")]
    wide = {
        action for name in names for action, resource in allowed(stack.statements(name)) if resource == "*"
    }
    assert wide <= WITHOUT_RESOURCE


@pytest.mark.parametrize(
    "action",
    ["sqs:CreateQueue", "sqs:SendMessage", "batch:SubmitJob", "batch:TerminateJob", "s3:DeleteObject"],
)
def test_worker_cannot(everything: Stack, action: str) -> None:
    assert action not in {name for name, _ in allowed(granted(everything, Role.WORKER))}


@pytest.mark.parametrize("role", Role)
def test_queues_are_those_of_the_stack(default: Stack, role: Role) -> None:
    found = {resource for action, resource in allowed(granted(default, role)) if action.startswith("sqs:")}
    assert found == {"arn:aws:sqs:us-west-2:123456789012:rios-batch-1a2b3c4d-*"}


@pytest.mark.parametrize("role", Role)
def test_objects_are_those_of_the_exchange_bucket_by_default(default: Stack, role: Role) -> None:
    (bucket,) = default.of_type("AWS::S3::Bucket")
    arn = f"arn:aws:s3:::{bucket.lower()}"
    found = {resource for action, resource in allowed(granted(default, role)) if action.startswith("s3:")}
    assert {resource for resource in found if not resource.startswith(f"{arn}/runs/")} <= {
        arn,
        f"{arn}/scripts/*",
        f"{arn}/images/*",
    }


def test_workers_write_nothing_but_results_and_what_is_in_their_image_and_see_no_scripts(
    default: Stack,
) -> None:
    (bucket,) = default.of_type("AWS::S3::Bucket")
    exchange = f"arn:aws:s3:::{bucket.lower()}"
    runs = f"{exchange}/runs"
    rights = set(allowed(granted(default, Role.WORKER)))
    results = {f"{runs}/*/{folder}/*" for folder in ("tiles", "merged", "failures")}
    assert {arn for action, arn in rights if action == "s3:PutObject"} == results | {f"{exchange}/images/*"}
    assert {arn for action, arn in rights if action == "s3:GetObject"} == {f"{runs}/*"}


@pytest.mark.parametrize("role", [Role.MAIN, Role.SUBMITTER])
def test_what_main_writes_into_or_deletes_from_the_exchange_bucket_is_a_run_s(
    default: Stack, role: Role
) -> None:
    (bucket,) = default.of_type("AWS::S3::Bucket")
    exchange = f"arn:aws:s3:::{bucket.lower()}"
    rights = set(allowed(granted(default, role)))
    scripts = {f"{exchange}/scripts/*"} if role is Role.SUBMITTER else set()
    assert {arn for action, arn in rights if action == "s3:PutObject"} == {f"{exchange}/runs/*"} | scripts
    assert {arn for action, arn in rights if action == "s3:DeleteObject"} == {f"{exchange}/runs/*"}


INPUTS = {"arn:aws:s3:::sentinel-cogs/*", "arn:aws:s3:::field-data/2026/*"}
OUTPUTS = {"arn:aws:s3:::results/maps/*"}


def objects(stack: Stack, role: Role, action: str) -> set[str]:
    (bucket,) = stack.of_type("AWS::S3::Bucket")
    found = {resource for name, resource in allowed(granted(stack, role)) if name == action}
    return {arn for arn in found if bucket.lower() not in arn}


def test_workers_read_inputs_and_not_outputs(everything: Stack) -> None:
    assert objects(everything, Role.WORKER, "s3:GetObject") == INPUTS
    assert objects(everything, Role.WORKER, "s3:PutObject") == set()


@pytest.mark.parametrize("role", [Role.MAIN, Role.SUBMITTER])
def test_mains_read_inputs_and_write_outputs(everything: Stack, role: Role) -> None:
    assert objects(everything, role, "s3:GetObject") == INPUTS
    assert objects(everything, role, "s3:PutObject") == OUTPUTS


def test_output_objects_cannot_be_deleted(everything: Stack) -> None:
    assert objects(everything, Role.MAIN, "s3:DeleteObject") == set()


@pytest.mark.parametrize("role", [Role.MAIN, Role.SUBMITTER])
def test_only_the_stacks_own_jobs_can_be_terminated(default: Stack, role: Role) -> None:
    (statement,) = [found for found in granted(default, role) if "batch:TerminateJob" in found["Action"]]
    assert statement["Condition"] == {"StringEquals": {f"aws:ResourceTag/{JOB_TAG}": "RiosBatch"}}


@pytest.mark.parametrize("role", [Role.MAIN, Role.SUBMITTER])
def test_jobs_can_be_tagged_as_the_stacks_own_and_nothing_else(default: Stack, role: Role) -> None:
    (statement,) = [found for found in granted(default, role) if "batch:TagResource" in found["Action"]]
    assert statement["Condition"]["StringEquals"] == {f"aws:RequestTag/{JOB_TAG}": "RiosBatch"}


@pytest.mark.parametrize("role", [Role.MAIN, Role.SUBMITTER])
def test_jobs_of_another_stack_cannot_be_tagged_over(default: Stack, role: Role) -> None:
    (statement,) = [found for found in granted(default, role) if "batch:TagResource" in found["Action"]]
    assert statement["Condition"]["StringEqualsIfExists"] == {f"aws:ResourceTag/{JOB_TAG}": "RiosBatch"}


@pytest.mark.parametrize("role", [Role.MAIN, Role.SUBMITTER])
def test_jobs_are_submitted_to_the_stacks_queues_with_its_definitions(default: Stack, role: Role) -> None:
    outputs = default.outputs()
    queues = {f"job-queue/{outputs[key]}" for key in outputs if key.startswith("BatchProcessingJobQueue")}
    names = [outputs[key] for key in outputs if "JobDefinition" in key]
    assert len(names) == 3
    definitions = {f"job-definition/{name}{revision}" for name in names for revision in ("", ":*")}
    found = {resource for action, resource in allowed(granted(default, role)) if action == "batch:SubmitJob"}
    # AWS asks for the job, too, whose id nobody knows; it is of no use without queue and definition.
    assert {arn.rpartition("123456789012:")[2] for arn in found} == queues | definitions | {"job/*"}


@pytest.mark.parametrize("role", [Role.MAIN, Role.SUBMITTER])
def test_only_the_own_stack_is_described(default: Stack, role: Role) -> None:
    found = {arn for action, arn in allowed(granted(default, role)) if action.startswith("cloudformation:")}
    assert found == {"arn:aws:cloudformation:us-west-2:123456789012:stack/RiosBatch/*"}
