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
from botocore.exceptions import ConnectionClosedError

from rios_batch.aws.calls import CALLS
from rios_batch.aws.credentials import configured_region
from rios_batch.errors import UnlistedCallError

if TYPE_CHECKING:
    from collections.abc import Callable

    from botocore.awsrequest import AWSPreparedRequest, AWSResponse
    from botocore.httpsession import URLLib3Session
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

TIMES_OF_CONTENTS = "TimesOfContents"
"""Key of the times of ``Contents``, in their order, in the reply to ListObjectsV2."""
_TIMES = re.compile(rb"<LastModified>([^<]*)</LastModified>")

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
    client.meta.events.register_last("before-call", _send_body_at_once)
    endpoint = client._endpoint  # noqa: SLF001 - boto3 has no setting for this
    endpoint.http_session = _WholeAnswers(endpoint.http_session)
    if service == "s3":
        client.meta.events.register("before-parse.s3.ListObjectsV2", _take_times_out)
    return client


def _take_times_out(
    *, response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any
) -> None:
    """Hand over as texts when listed objects were stored: to read the times takes half of boto3's time."""
    body = response_dict["body"]
    customized_response_dict[TIMES_OF_CONTENTS] = [time.decode() for time in _TIMES.findall(body)]
    response_dict["body"] = _TIMES.sub(b"", body)


def _refuse_unlisted(*, model: OperationModel, **_: Any) -> None:
    service, operation = model.service_model.service_name, xform_name(model.name)
    if (service, operation) not in _LISTED:
        raise UnlistedCallError(
            f"{service}.{operation} is not in CALLS of rios_batch/aws/calls.py; add it there"
        )


def _send_body_at_once(*, params: dict[str, Any], **_: Any) -> None:
    # Otherwise S3 is asked first whether the body may come. botocore 1.44 waits for ever, with a processor busy, where
    # the connection breaks in the middle of that answer.
    params["headers"].pop("Expect", None)


class _WholeAnswers:
    """Takes an answer whose connection broke before the end for a broken connection, which boto3 tries again.

    botocore makes an empty answer of a cut one, or an error that is not tried again. A body that is read by the caller
    is checked there, if the answer says how long the body is.
    """

    _BODILESS = frozenset({204, 304})

    def __init__(self, session: URLLib3Session) -> None:
        self._session = session

    def send(self, request: AWSPreparedRequest) -> AWSResponse:
        response = self._session.send(request)
        if not self._is_whole(request, response):
            raise ConnectionClosedError(endpoint_url=request.url)
        return response

    def close(self) -> None:
        self._session.close()

    def _is_whole(self, request: AWSPreparedRequest, response: AWSResponse) -> bool:
        # urllib3 itself notices the missing end of a body that is sent in chunks.
        if "Transfer-Encoding" in response.headers or response.status_code in self._BODILESS:
            return True
        promised = response.headers.get("Content-Length")
        if promised is None:  # a part of the headers is missing
            return False
        return request.stream_output or request.method == "HEAD" or len(response.content) >= int(promised)
