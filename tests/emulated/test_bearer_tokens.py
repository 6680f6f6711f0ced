"""Inputs behind a bearer token: main and workers have the token in files of their own, and nothing sends it along."""

from __future__ import annotations

import json
import re
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
from osgeo import gdal

from rios_batch import applier
from rios_batch.aws import cloud as cloud_module
from rios_batch.aws.objects import Bucket
from rios_batch.aws.stackoutputs import read_stack_outputs
from tests.support import make_raster, ramp, read_raster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rios_batch.aws.stackoutputs import StackOutputs
    from rios_batch.testing.emulation.cloud import Emulator

PIXELS = ramp(1, 512, 256)
MAINS_TOKEN, WORKERS_TOKEN = "token-of-main", "token-of-workers"
VARIABLE = "GDAL_HTTP_HEADER_FILE"


class Guarded(BaseHTTPRequestHandler):
    """Serves one file to whoever shows a token, and notes the tokens."""

    content: ClassVar[bytes] = b""
    tokens: ClassVar[set[str]] = set()

    def do_HEAD(self) -> None:
        self.answer(200, self.content)

    def do_GET(self) -> None:
        found = re.match(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        first, last = (int(found[1]), int(found[2])) if found else (0, len(self.content))
        self.answer(206 if found else 200, self.content[first : last + 1], first)

    def answer(self, status: int, body: bytes, first: int = 0) -> None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in {MAINS_TOKEN, WORKERS_TOKEN} or self.path != "/scene.tif":
            self.send_error(404 if token else 401)
            return
        self.tokens.add(token)
        self.send_response(status)
        self.send_header("Content-Range", f"bytes {first}-{first + len(body) - 1}/{len(self.content)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def scene(tmp_path: Path, quick_cloud: Emulator) -> Iterator[str]:
    del quick_cloud  # lets the test open sockets
    Guarded.content = Path(make_raster(tmp_path / "scene.tif", PIXELS)).read_bytes()
    Guarded.tokens.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Guarded)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/scene.tif"
    server.shutdown()
    server.server_close()
    gdal.VSICurlClearCache()


def header_file(path: Path, token: str) -> str:
    path.write_text(f"Authorization: Bearer {token}\n")
    return str(path)


def workers_with(cloud: Emulator, **variables: str) -> Callable[..., StackOutputs]:
    """Make a definition whose image has variables of its own; return what reads the stack's outputs with it."""
    batch, name = cloud.client("batch"), "workers-with-a-token"
    known = cloud.outputs()["BatchProcessingJobDefinitionName"]
    (found,) = batch.describe_job_definitions(jobDefinitions=[known])["jobDefinitions"]
    container = found["containerProperties"]
    container["environment"] += [{"name": key, "value": value} for key, value in variables.items()]
    made = batch.register_job_definition(
        jobDefinitionName=name, type="container", containerProperties=container
    )

    def read(client: Any, *, stack_name: str) -> StackOutputs:
        outputs = read_stack_outputs(client, stack_name=stack_name)
        return replace(outputs, worker_definition=made["jobDefinitionArn"])

    return read


def double(_info: Any, inputs: Any, outputs: Any) -> None:
    outputs.doubled = inputs.scene * 2


def test_each_side_reads_with_its_own_header_file_and_no_token_is_sent_along(
    scene: str, quick_cloud: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(VARIABLE, header_file(tmp_path / "main.txt", MAINS_TOKEN))
    in_image = {VARIABLE: header_file(tmp_path / "image.txt", WORKERS_TOKEN)}
    monkeypatch.setattr(cloud_module, "read_stack_outputs", workers_with(quick_cloud, **in_image))
    sent: list[bytes] = []
    keep = Bucket.put

    def put(self: Any, key: str, data: bytes) -> Any:
        sent.append(data)
        return keep(self, key, data)

    monkeypatch.setattr(Bucket, "put", put)
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.scene, outfiles.doubled = scene, str(tmp_path / "out.tif")
    controls = applier.ApplierControls()
    controls.setTileSize(256, 256)
    controls.setNumThreads(2)
    controls.setJobManagerType("AWSBatch")
    controls.setCoordinateOnly(True)

    applier.apply(double, infiles, outfiles, controls=controls)

    np.testing.assert_array_equal(read_raster(tmp_path / "out.tif"), PIXELS * 2)
    assert Guarded.tokens == {MAINS_TOKEN, WORKERS_TOKEN}
    job = quick_cloud.jobs()[-1].job_id
    (described,) = quick_cloud.client("batch").describe_jobs(jobs=[job])["jobs"]
    everything = b"".join(sent) + json.dumps(described["container"]).encode()
    assert len(sent) > 2
    assert [
        secret for secret in (MAINS_TOKEN, WORKERS_TOKEN, "main.txt") if secret.encode() in everything
    ] == []
