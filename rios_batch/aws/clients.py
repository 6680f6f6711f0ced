"""boto3 clients that make no call which the table of calls does not have.

The stack's policies are made from that table. With plain clients a new call would work for a developer, who may do
anything, and be denied to users.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import boto3
from botocore import xform_name
from botocore.config import Config

from rios_batch.aws.calls import CALLS
from rios_batch.aws.credentials import configured_region
from rios_batch.errors import UnlistedCallError

if TYPE_CHECKING:
    from collections.abc import Callable

    from botocore.model import OperationModel

TOTAL_TRIES = 10
"""Requests for one call, the first included. S3 answers 503 SlowDown while it spreads a busy prefix over more
machines, which takes minutes."""

# botocore's other setting, max_attempts, counts without the first request here and with it in a profile.
_CONFIG = Config(retries={"mode": "standard", "total_max_attempts": TOTAL_TRIES}, max_pool_connections=50)
# The default adds a CRC32 to every part, which S3 then wants again for all parts at the end of the upload; a part that
# is copied from another object has none. S3 computes a checksum of its own.
_S3_CONFIG = _CONFIG.merge(
    Config(request_checksum_calculation="when_required", response_checksum_validation="when_required")
)

_TIMES = re.compile(rb"<LastModified>[^<]*</LastModified>")

_LISTED = frozenset((call.service, call.operation) for call in CALLS)


def make_client(service: str, *, region: str | None = None, **more: Any) -> Any:
    """Make a client of an AWS service.

    Parameters
    ----------
    service : boto3's name of the service.
    region : AWS region; None takes that of the environment or the AWS profile.
    more : what else boto3 takes.

    Returns
    -------
    A boto3 client that raises `UnlistedCallError`, before anything is sent, for an operation that is not in
    `rios_batch.aws.calls`.
    """
    make: Callable[..., Any] = boto3.client
    region = region or configured_region()
    client = make(service, region_name=region, config=_S3_CONFIG if service == "s3" else _CONFIG, **more)
    client.meta.events.register("provide-client-params", _refuse_unlisted)
    if service == "s3":
        client.meta.events.register("before-parse.s3.ListObjectsV2", _leave_out_times)
    return client


def _leave_out_times(*, response_dict: dict[str, Any], **_: Any) -> None:
    """Keep boto3 from reading when each listed object was written, which nobody asks and takes half of its time."""
    response_dict["body"] = _TIMES.sub(b"", response_dict["body"])


def _refuse_unlisted(*, model: OperationModel, **_: Any) -> None:
    service, operation = model.service_model.service_name, xform_name(model.name)
    if (service, operation) not in _LISTED:
        raise UnlistedCallError(
            f"{service}.{operation} is not in CALLS of rios_batch/aws/calls.py; add it there"
        )
