"""What a request asks for: service, operation and arguments, from its headers, address and body."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from botocore import xform_name
from moto.core.request import Request
from moto.core.routing import get_service_router
from werkzeug.exceptions import HTTPException

_SCOPE = re.compile(r"Credential=([^/]+)/\d+/([^/]+)/([^/]+)/aws4_request")
ANONYMOUS = ""
# Names in signatures, where they are not boto3's.
_SERVICES = {"monitoring": "cloudwatch"}


@dataclass(frozen=True)
class AwsRequest:
    """One request, understood.

    Attributes
    ----------
    service, operation : boto3's names; the operation is empty where nobody knows it.
    protocol : how the service spells its answers.
    access_key : whose it is; empty for an unsigned request.
    region : of the signature.
    arguments : what it was called with; of S3 only what is in the address.
    headers : its headers, names in lower case.
    """

    service: str
    operation: str
    protocol: str
    access_key: str
    region: str
    arguments: dict[str, Any] = field(repr=False)
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)


def recognise(environ: dict[str, Any], body: bytes) -> AwsRequest:
    """Find out what a WSGI request asks for; its body has been read already."""
    request = Request({**environ, "wsgi.input": BytesIO(body), "wsgi.input_terminated": True})
    credential = request.headers.get("Authorization", "") or (
        f"Credential={request.args['X-Amz-Credential']}" if "X-Amz-Credential" in request.args else ""
    )
    scope = _SCOPE.search(credential)
    # Only S3 takes unsigned requests.
    key, region, service = scope.groups() if scope else (ANONYMOUS, "", "s3")
    service = _SERVICES.get(service, service)
    try:
        operation, in_path = get_service_router(service).match(request)
    except (HTTPException, NotImplementedError):
        return AwsRequest(service, "", "", key, region, {}, _headers(request), body)
    protocol = str(operation.service_model.protocol)
    return AwsRequest(
        service=service,
        operation=xform_name(operation.name),
        protocol=protocol,
        access_key=key,
        region=region,
        arguments={**request.values.to_dict(), **_in_body(protocol, body), **in_path},
        headers=_headers(request),
        body=body,
    )


def _headers(request: Request) -> dict[str, str]:
    return {name.lower(): value for name, value in request.headers.items()}


def _in_body(protocol: str, body: bytes) -> dict[str, Any]:
    if protocol not in ("json", "rest-json") or not body.startswith(b"{"):
        return {}
    found: dict[str, Any] = json.loads(body)
    return found
