"""An S3 on loopback that records what it is asked: moto behind a real HTTP server, for boto3 and GDAL alike.

The fixtures are known everywhere; mark tests that use them with ``ON_LOOPBACK``.
"""

from __future__ import annotations

import logging
import threading
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rios_batch.aws.objects import Bucket

HOST = "127.0.0.1"
REGION: Final = "eu-west-1"
ON_LOOPBACK = pytest.mark.allow_hosts([HOST])
DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


@dataclass(frozen=True)
class Request:
    """One request: ``query`` as in the address, ``range`` as in the header, ``nbytes`` of its body.

    ``copied_etag`` is the version that a part must be copied from.
    """

    method: str
    path: str
    query: str
    range: str
    nbytes: int
    signed: bool
    copied_etag: str


@dataclass
class S3Server:
    """What a test sees of the server.

    ``answers`` are given in place of S3's own, one to each request; then ``decide`` may give one to a request.
    """

    port: int = 0
    requests: list[Request] = field(default_factory=list)
    answers: list[tuple[str, bytes]] = field(default_factory=list)
    decide: Callable[[dict[str, Any]], tuple[str, bytes] | None] = lambda _: None

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def count(self, method: str, *, key: str = "", query: str = "") -> int:
        """Count requests whose path ends in ``key`` and whose query contains ``query``."""
        return sum(
            r.method == method and r.path.endswith(key) and query in r.query for r in list(self.requests)
        )

    def application(self, s3: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
        def respond(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            self.requests.append(
                Request(
                    environ["REQUEST_METHOD"],
                    environ["PATH_INFO"],
                    environ["QUERY_STRING"],
                    environ.get("HTTP_RANGE", ""),
                    int(environ.get("CONTENT_LENGTH") or 0),
                    "HTTP_AUTHORIZATION" in environ,
                    environ.get("HTTP_X_AMZ_COPY_SOURCE_IF_MATCH", ""),
                )
            )
            answer = self.answers.pop(0) if self.answers else self.decide(environ)
            if answer is not None:
                status, body = answer
                start_response(status, [("Content-Length", str(len(body)))])
                return [body] if environ["REQUEST_METHOD"] != "HEAD" else []
            return s3(environ, start_response)

        return respond


@pytest.fixture(scope="session")
def _running_s3() -> Iterator[S3Server]:
    from moto.moto_server.werkzeug_app import (  # noqa: PLC0415 - takes a second
        DomainDispatcherApplication,
        create_backend_app,
    )
    from werkzeug.serving import make_server  # noqa: PLC0415

    from rios_batch.testing.emulation import copies  # noqa: PLC0415

    copies.patch()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    state = S3Server()

    application = state.application(DomainDispatcherApplication(create_backend_app))
    server = make_server(HOST, 0, application, threaded=True)
    state.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield state
    server.shutdown()
    thread.join()


@pytest.fixture
def s3_server(_running_s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """Send boto3 and GDAL, of this process and of those it starts, to the server."""
    from osgeo import gdal  # noqa: PLC0415 - tests of pure modules must not load GDAL

    for name, value in {
        "AWS_ENDPOINT_URL": _running_s3.url,
        "AWS_S3_ENDPOINT": f"{HOST}:{_running_s3.port}",
        "AWS_HTTPS": "NO",
        "AWS_VIRTUAL_HOSTING": "FALSE",
    }.items():
        monkeypatch.setenv(name, value)
    _running_s3.requests.clear()
    _running_s3.answers.clear()
    yield _running_s3
    _running_s3.answers.clear()
    _running_s3.decide = lambda _: None
    gdal.VSICurlClearCache()


@pytest.fixture
def bucket(s3_server: S3Server) -> Bucket:
    """Make an empty bucket of a new name."""
    return make_bucket(s3_server)


def make_bucket(server: S3Server) -> Bucket:
    import boto3  # noqa: PLC0415

    from rios_batch.aws.objects import Bucket  # noqa: PLC0415

    name = f"bucket-{uuid.uuid4().hex[:12]}"
    boto3.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    server.requests.clear()
    return Bucket(name)


def unfinished_uploads(bucket: Bucket) -> list[str]:
    """Return the keys of uploads that were begun and neither completed nor aborted."""
    import boto3  # noqa: PLC0415 - the project's own clients refuse this call

    reply = boto3.client("s3").list_multipart_uploads(Bucket=bucket.name)
    return [upload["Key"] for upload in reply.get("Uploads", [])]
