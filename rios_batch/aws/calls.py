"""Every AWS call that the runtime makes: who makes it, on what, and which IAM actions it needs.

The stack builds the policies of the worker, of main and of submitting users from this table. AWS denies a call that is
not in the table, and a permission that no call needs does not exist. The runtime's own clients refuse such a call as
well (`rios_batch.aws.clients`). Standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class Role(Enum):
    """Who makes a call."""

    WORKER = auto()
    MAIN = auto()
    """A script running as a Batch job."""
    SUBMITTER = auto()
    """A script on a person's own machine, and ``rios-batch submit``."""


class On(Enum):
    """What a call acts upon; the stack turns each into ARNs."""

    STACK = auto()
    EXCHANGE_BUCKET = auto()
    RUN_OBJECTS = auto()
    """Everything of all runs in the exchange bucket."""
    RUN_RESULTS = auto()
    """What workers make of a run: finished tiles, merged blobs and failures."""
    SCRIPTS = auto()
    """Submitted scripts in the exchange bucket."""
    IMAGES = auto()
    """What workers have noted in the exchange bucket about their image."""
    INPUT_BUCKETS = auto()
    INPUT_OBJECTS = auto()
    OUTPUT_BUCKETS = auto()
    OUTPUT_OBJECTS = auto()
    RUN_QUEUES = auto()
    JOB_QUEUES_AND_DEFINITIONS = auto()
    OWN_JOBS = auto()
    """Jobs that carry the stack's tag."""
    NEW_JOBS = auto()
    """Jobs being submitted with the stack's tag."""
    JOB_LOG = auto()
    EVERYTHING = auto()
    """AWS has no narrower resource for the action."""


@dataclass(frozen=True)
class Call:
    """One kind of request.

    Attributes
    ----------
    service, operation : boto3's names, so that a recorded request can be looked up in the table.
    on : what the call acts upon.
    actions : IAM actions that the call needs; empty where AWS asks for none.
    roles : who makes the call.
    why : what the runtime wants with the call.
    """

    service: str
    operation: str
    on: On
    actions: tuple[str, ...]
    roles: frozenset[Role]
    why: str


_ALL = frozenset(Role)
_MAINS = frozenset({Role.MAIN, Role.SUBMITTER})
_NOBODY: frozenset[Role] = frozenset()
_WORKERS = frozenset({Role.WORKER})


def _s3(operation: str, on: On, action: str, roles: frozenset[Role], why: str) -> Call:
    return Call("s3", operation, on, (f"s3:{action}",), roles, why)


def _sqs(operation: str, action: str, roles: frozenset[Role], why: str) -> Call:
    return Call("sqs", operation, On.RUN_QUEUES, (f"sqs:{action}",), roles, why)


def _batch(operation: str, on: On, action: str, why: str) -> Call:
    return Call("batch", operation, on, (f"batch:{action}",), _MAINS, why)


# S3 has fewer actions than operations: HEAD needs the action of GET, a multipart upload that of PUT,
# HeadBucket that of listing.
_BUCKET, _RUNS = On.EXCHANGE_BUCKET, On.RUN_OBJECTS

CALLS: tuple[Call, ...] = (
    # The stack and the caller.
    Call(
        "cloudformation",
        "describe_stacks",
        On.STACK,
        ("cloudformation:DescribeStacks",),
        _MAINS,
        "names of queues, definitions and bucket",
    ),
    Call("sts", "get_caller_identity", On.EVERYTHING, (), _MAINS, "credentials checked before work starts"),
    # The exchange bucket.
    _s3("get_object", _RUNS, "GetObject", _ALL, "the job, copied inputs, tiles, blobs, scenes to do"),
    _s3("head_object", _RUNS, "GetObject", _ALL, "is a staged input there, or a tile that was leased before"),
    _s3("put_object", _RUNS, "PutObject", _MAINS, "the job, inputs, what main's worker makes, scenes"),
    _s3("put_object", On.RUN_RESULTS, "PutObject", _WORKERS, "tiles (If-None-Match), merged blobs, failures"),
    _s3("get_object", On.SCRIPTS, "GetObject", frozenset({Role.MAIN}), "a submitted script"),
    _s3("put_object", On.SCRIPTS, "PutObject", frozenset({Role.SUBMITTER}), "a script to be run as main"),
    _s3("get_object", On.IMAGES, "GetObject", _MAINS, "packages of the workers' image"),
    _s3("put_object", On.IMAGES, "PutObject", _WORKERS, "packages of the workers' image"),
    _s3("list_objects_v2", _BUCKET, "ListBucket", _ALL, "tiles and failures of a run, scenes; 404, not 403"),
    _s3("head_bucket", _BUCKET, "ListBucket", _MAINS, "bucket checked before anything is submitted"),
    _s3("create_multipart_upload", _RUNS, "PutObject", _MAINS, "large inputs"),
    _s3("upload_part", _RUNS, "PutObject", _MAINS, "large inputs"),
    _s3("complete_multipart_upload", _RUNS, "PutObject", _MAINS, "large inputs"),
    _s3("abort_multipart_upload", _RUNS, "AbortMultipartUpload", _MAINS, "an upload that failed"),
    _s3("delete_objects", _RUNS, "DeleteObject", _MAINS, "a finished run leaves nothing"),
    # The user's own buckets.
    _s3("get_object", On.INPUT_OBJECTS, "GetObject", _ALL, "GDAL reads inputs in place"),
    _s3(
        "list_objects", On.INPUT_BUCKETS, "ListBucket", _ALL, "GDAL: is a missing name a folder; 404, not 403"
    ),
    _s3("list_objects_v2", On.OUTPUT_BUCKETS, "ListBucket", _MAINS, "side files of an older output"),
    _s3("put_object", On.OUTPUT_OBJECTS, "PutObject", _MAINS, "small outputs and sidecar files"),
    _s3(
        "create_multipart_upload",
        On.OUTPUT_OBJECTS,
        "PutObject",
        _MAINS,
        "assembly of an output; may it be written",
    ),
    _s3("upload_part", On.OUTPUT_OBJECTS, "PutObject", _MAINS, "header and small parts of an output"),
    _s3("upload_part_copy", On.OUTPUT_OBJECTS, "PutObject", _MAINS, "blobs go from S3 to S3"),
    _s3("upload_part_copy", _RUNS, "GetObject", _MAINS, "source of that copy"),
    _s3("list_parts", On.OUTPUT_OBJECTS, "ListMultipartUploadParts", _MAINS, "sizes of copied parts"),
    _s3("complete_multipart_upload", On.OUTPUT_OBJECTS, "PutObject", _MAINS, "the output appears whole"),
    _s3("abort_multipart_upload", On.OUTPUT_OBJECTS, "AbortMultipartUpload", _MAINS, "a run that failed"),
    # One queue per run.
    _sqs("create_queue", "CreateQueue", _MAINS, "one queue for each main that controls a run"),
    _sqs("delete_queue", "DeleteQueue", _MAINS, "the run is over"),
    _sqs("send_message_batch", "SendMessage", _MAINS, "one message per tile"),
    _sqs("receive_message", "ReceiveMessage", _ALL, "takes a lease on a tile"),
    _sqs("delete_message", "DeleteMessage", _ALL, "a tile is finished"),
    _sqs("change_message_visibility", "ChangeMessageVisibility", _ALL, "renews or returns a lease"),
    _sqs("change_message_visibility_batch", "ChangeMessageVisibility", _ALL, "renews several leases"),
    _sqs("get_queue_attributes", "GetQueueAttributes", _ALL, "are tiles waiting or in flight"),
    # Jobs.
    _batch(
        "describe_job_queues",
        On.EVERYTHING,
        "DescribeJobQueues",
        "queue checked before anything is submitted",
    ),
    _batch("submit_job", On.JOB_QUEUES_AND_DEFINITIONS, "SubmitJob", "one array job per run or campaign"),
    _batch("submit_job", On.NEW_JOBS, "TagResource", "SubmitJob with tags asks for it"),
    _batch("describe_jobs", On.EVERYTHING, "DescribeJobs", "why a job waits or died"),
    _batch("list_jobs", On.EVERYTHING, "ListJobs", "jobs of an array, or of a name"),
    _batch("terminate_job", On.OWN_JOBS, "TerminateJob", "a run that stops takes its workers along"),
    Call(
        "logs",
        "get_log_events",
        On.JOB_LOG,
        ("logs:GetLogEvents",),
        _MAINS,
        "log of a main job, last words of a worker",
    ),
    # The doctor asks these of whoever may; nobody is given the right.
    Call("batch", "describe_compute_environments", On.EVERYTHING, (), _NOBODY, "do machines start"),
    Call("service-quotas", "get_service_quota", On.EVERYTHING, (), _NOBODY, "vCPUs that the account may use"),
    Call("freetier", "get_account_plan_state", On.EVERYTHING, (), _NOBODY, "is it the free plan"),
)


def actions(role: Role) -> dict[On, tuple[str, ...]]:
    """Return the IAM actions of a role, sorted, for each thing that the actions act upon."""
    found: dict[On, set[str]] = {}
    for call in CALLS:
        if role in call.roles and call.actions:
            found.setdefault(call.on, set()).update(call.actions)
    return {on: tuple(sorted(names)) for on, names in sorted(found.items(), key=lambda item: item[0].value)}
