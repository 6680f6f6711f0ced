"""The WSGI application before moto: understands, refuses, forwards and records every request.

Everything that tests need to know or to spoil happens here, whichever service is called; so moto itself is
patched only where it behaves unlike AWS.
"""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from rios_batch.testing.emulation.permissions import Need, caller_of, denied, needs
from rios_batch.testing.emulation.recognise import recognise
from rios_batch.testing.emulation.records import Call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rios_batch.testing.emulation.permissions import Caller
    from rios_batch.testing.emulation.recognise import AwsRequest

CONTROL = "/_emulation/"


@dataclass(frozen=True)
class Answer:
    """Status line, headers and body."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes


class Middleware:
    """Stands before moto.

    Parameters
    ----------
    moto : the application that answers.
    control : answers requests to the emulation itself: name and arguments in, JSON out.
    """

    def __init__(
        self, moto: Callable[..., Iterable[bytes]], control: Callable[[str, dict[str, Any]], Any]
    ) -> None:
        self._moto, self._control = moto, control
        self._locks: defaultdict[str, threading.RLock] = defaultdict(threading.RLock)
        self._calls: list[Call] = []
        self._throttle: dict[str, tuple[float, float]] = {}
        self._throttle_lock = threading.Lock()
        self.iam = False

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        body = _read_body(environ)
        # The connection broke; AWS takes nothing then.
        if len(body) < int(environ.get("CONTENT_LENGTH") or 0):
            answer = _json("400 Bad Request", {"error": "IncompleteBody"})
        elif environ["PATH_INFO"].startswith(CONTROL):
            answer = self._controlled(environ["PATH_INFO"].removeprefix(CONTROL), body)
        else:
            answer = self._answered(environ, body)
        start_response(answer.status, answer.headers)
        return [answer.body]

    def service_lock(self, service: str) -> threading.RLock:
        """Held while moto answers for a service: it guards nothing itself, and AWS's writes are atomic."""
        return self._locks[service]

    def calls(self) -> list[dict[str, Any]]:
        return [asdict(call) for call in list(self._calls)]

    def forget_calls(self) -> None:
        self._calls.clear()

    def slow_down(self, service: str, share: float) -> None:
        """Refuse this share of a service's calls, evenly spread, from the next on."""
        with self._throttle_lock:
            self._throttle[service] = (share, 1.0 - share)

    def no_faults(self) -> None:
        self.iam = False
        with self._throttle_lock:
            self._throttle.clear()

    def _controlled(self, name: str, body: bytes) -> Answer:
        try:
            reply = self._control(name, json.loads(body or b"{}"))
            return _json("200 OK", reply)
        except (LookupError, TypeError, ValueError) as error:
            return _json("400 Bad Request", {"error": f"{type(error).__name__}: {error}"})

    def _answered(self, environ: dict[str, Any], body: bytes) -> Answer:
        when = time.time()
        request = recognise(environ, body)
        caller, wanted = caller_of(request.access_key), needs(request)
        try:
            answer = self._refusal(request, caller, wanted) or self._forward(environ, request)
        except NotImplementedError as error:  # moto's gaps and ours
            answer = _error(request, "501 Not Implemented", "NotImplemented", str(error))
        if self._hides_absence(request, caller, answer):
            answer = _error(request, "403 Forbidden", "AccessDenied", "Access Denied")
        call = Call(
            service=request.service,
            operation=request.operation,
            caller=caller.name,
            status=int(answer.status.split()[0]),
            bytes_in=len(body),
            bytes_out=len(answer.body),
            actions=tuple(need.action for need in wanted),
            resources=tuple(need.resource for need in wanted),
            when=when,
        )
        self._calls.append(call)
        return answer

    def _refusal(self, request: AwsRequest, caller: Caller, wanted: list[Need]) -> Answer | None:
        if self._is_throttled(request.service):
            if request.service == "s3":
                return _error(request, "503 Slow Down", "SlowDown", "Please reduce your request rate.")
            return _error(request, "400 Bad Request", "ThrottlingException", "Rate exceeded")
        if not self.iam or caller.is_deployer:
            return None
        if not caller.is_known:
            code = "InvalidAccessKeyId" if request.service == "s3" else "InvalidClientTokenId"
            return _error(request, "403 Forbidden", code, "The access key is not known here.")
        need = denied(caller, wanted)
        if need is None:
            return None
        code = "AccessDeniedException" if request.protocol in ("json", "rest-json") else "AccessDenied"
        message = f"{caller.name} is not authorized to perform: {need.action} on resource: {need.resource}"
        return _error(request, "403 Forbidden", "AccessDenied" if request.service == "sqs" else code, message)

    def _is_throttled(self, service: str) -> bool:
        with self._throttle_lock:
            if service not in self._throttle:
                return False
            share, sum_of_shares = self._throttle[service]
            sum_of_shares += share
            throttled = sum_of_shares >= 1.0 - 1e-9
            self._throttle[service] = (share, sum_of_shares - throttled)
            return throttled

    def _hides_absence(self, request: AwsRequest, caller: Caller, answer: Answer) -> bool:
        """S3 does not say that an object is missing to those who may not list the bucket."""
        if not (self.iam and request.operation in ("get_object", "head_object")):
            return False
        listing = Need("s3:ListBucket", f"arn:aws:s3:::{request.arguments['Bucket']}")
        return answer.status.startswith("404") and denied(caller, [listing]) is not None

    def _forward(self, environ: dict[str, Any], request: AwsRequest) -> Answer:
        environ = {**environ, "wsgi.input": BytesIO(request.body), "CONTENT_LENGTH": str(len(request.body))}
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        if (request.service, request.operation) == ("sqs", "receive_message"):  # waits, and locks by itself
            return self._ask_moto(environ)
        with self.service_lock(request.service):
            return self._ask_moto(environ)

    def _ask_moto(self, environ: dict[str, Any]) -> Answer:
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], _: Any = None) -> None:
            started.append((status, headers))

        parts = self._moto(environ, start_response)
        body = b"".join(parts)
        close = getattr(parts, "close", None)
        if close is not None:
            close()
        status, headers = started[-1]
        return Answer(status, headers, body)


def _read_body(environ: dict[str, Any]) -> bytes:
    body: bytes
    if environ.get("wsgi.input_terminated"):
        body = environ["wsgi.input"].read()
    else:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    return body


def _json(status: str, content: Any, *more: tuple[str, str]) -> Answer:
    body = json.dumps(content).encode()
    return Answer(
        status, [("Content-Type", "application/json"), ("Content-Length", str(len(body))), *more], body
    )


def _error(request: AwsRequest, status: str, code: str, message: str) -> Answer:
    """An error as the service's protocol spells it."""
    if request.protocol in ("json", "rest-json"):
        more = [("x-amzn-ErrorType", code)]
        if request.service == "sqs":
            more.append(("x-amzn-query-error", f"{code};Sender"))
        return _json(status, {"__type": code, "message": message}, *more)
    content = f"<Code>{code}</Code><Message>{escape(message)}</Message>"
    if request.service == "s3":
        xml = f"<Error>{content}</Error>"
    elif request.protocol == "ec2":
        xml = f"<Response><Errors><Error>{content}</Error></Errors></Response>"
    else:
        xml = f"<ErrorResponse><Error><Type>Sender</Type>{content}</Error></ErrorResponse>"
    body = b"" if request.operation.startswith("head_") else xml.encode()
    return Answer(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))], body)
