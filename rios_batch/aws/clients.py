"""boto3 clients that make no call which the table of calls does not have.

The stack's policies are made from that table. Without this a new call would work for a developer, who may
do anything, and be denied to users.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
from botocore import xform_name
from botocore.config import Config

from rios_batch.aws.calls import CALLS
from rios_batch.errors import UnlistedCallError

if TYPE_CHECKING:
    from collections.abc import Callable

    from botocore.exceptions import ClientError
    from botocore.model import OperationModel

# S3 answers 503 SlowDown while it spreads a busy prefix over more machines, which takes minutes.
_CONFIG = Config(retries={"mode": "standard", "total_max_attempts": 10}, max_pool_connections=50)

_LISTED = frozenset((call.service, call.operation) for call in CALLS)


def make_client(service: str, *, region: str | None = None, **more: Any) -> Any:
    """Make a client of an AWS service.

    Parameters
    ----------
    service : boto3's name of it.
    region : its region; None takes that of the environment or the AWS profile.
    more : what else boto3 takes.

    Returns
    -------
    A boto3 client that raises `UnlistedCallError`, before anything is sent, for an operation that is not in
    `rios_batch.aws.calls`.
    """
    make: Callable[..., Any] = boto3.client
    client = make(service, region_name=region, **{"config": _CONFIG, **more})
    client.meta.events.register("provide-client-params", _refuse_unlisted)
    return client


def _refuse_unlisted(*, model: OperationModel, **_: Any) -> None:
    service, operation = model.service_model.service_name, xform_name(model.name)
    if (service, operation) not in _LISTED:
        raise UnlistedCallError(
            f"{service}.{operation} is not in CALLS of rios_batch/aws/calls.py; add it there"
        )


def error_code(error: ClientError) -> str:
    """Return AWS's code of an error, such as ``AccessDenied``."""
    return error.response.get("Error", {}).get("Code", "")
