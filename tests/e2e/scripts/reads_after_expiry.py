"""Read from an S3 whose credentials expire after seconds, as those of a role do after hours. Needs no AWS.

Usage: ``python reads_after_expiry.py one|reopened|vrt|second``. A metadata service and an S3 run on loopback.
The keys that the service gives out are good until GDAL's margin of a minute before their expiry begins, so that a key
that GDAL does not renew in time is refused.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import numpy as np
from osgeo import gdal

from rios_batch.read.facts import open_raster

GOOD_SECONDS, MARGIN_SECONDS = 3.0, 60.0
SIDE_PX = 1024
EXPIRED = b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"
ABSENT = b"<Error><Code>NoSuchKey</Code><Message>There is no such key.</Message></Error>"


class Service(BaseHTTPRequestHandler):
    """The metadata service of a machine with a role, and S3."""

    protocol_version = "HTTP/1.1"
    objects: ClassVar[dict[str, bytes]] = {}
    good_until: ClassVar[dict[str, float]] = {}

    def log_message(self, *_: Any) -> None:
        pass

    def do_PUT(self) -> None:
        self.answer(200, b"a session with the metadata service")

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        if self.path.startswith("/latest/meta-data/iam/security-credentials/"):
            self.answer(200, b"role" if self.path.endswith("/") else self.new_key())
        else:
            self.give_object(self.path.partition("?")[0])

    def new_key(self) -> bytes:
        name = f"KEY{len(self.good_until)}"
        self.good_until[name] = time.time() + GOOD_SECONDS
        # Times have whole seconds here, so the key is said to live up to a second less than it does.
        expires = dt.datetime.fromtimestamp(int(self.good_until[name] + MARGIN_SECONDS), dt.UTC)
        return json.dumps(
            {
                "Code": "Success",
                "AccessKeyId": name,
                "SecretAccessKey": "secret",
                "Token": "token",
                "Expiration": f"{expires:%Y-%m-%dT%H:%M:%SZ}",
            }
        ).encode()

    def give_object(self, name: str) -> None:
        key = re.search(r"Credential=(\w+)/", self.headers.get("Authorization", ""))
        if key is None or self.good_until[key[1]] < time.time():
            self.answer(400, EXPIRED, ("Content-Type", "application/xml"))
            return
        if (content := self.objects.get(name)) is None:
            self.answer(404, ABSENT)
            return
        wanted = re.match(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if wanted is None:
            self.answer(200, content)
            return
        first, end = int(wanted[1]), min(int(wanted[2]) + 1, len(content))
        self.answer(206, content[first:end], ("Content-Range", f"bytes {first}-{end - 1}/{len(content)}"))

    def answer(self, status: int, body: bytes, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def make_objects() -> None:
    rng = np.random.default_rng(0)
    driver = gdal.GetDriverByName("GTiff")
    for name in ("one", "two"):
        dataset = driver.Create(f"/vsimem/{name}.tif", SIDE_PX, SIDE_PX, 1, gdal.GDT_Byte, ["TILED=YES"])
        dataset.SetGeoTransform((0, 1, 0, 0, 0, -1))
        dataset.WriteArray(rng.integers(0, 256, (SIDE_PX, SIDE_PX), dtype=np.uint8))
        del dataset
    gdal.BuildVRT("/vsimem/both.vrt", ["/vsimem/one.tif", "/vsimem/two.tif"], separate=True)
    for name in ("one.tif", "two.tif", "both.vrt"):
        file = gdal.VSIFOpenL(f"/vsimem/{name}", "rb")
        Service.objects[f"/bucket/{name}"] = bytes(
            gdal.VSIFReadL(1, gdal.VSIStatL(f"/vsimem/{name}").size, file)
        )
        gdal.VSIFCloseL(file)


def start() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name, value in {
        "AWS_S3_ENDPOINT": f"127.0.0.1:{server.server_port}",
        "AWS_HTTPS": "NO",
        "AWS_VIRTUAL_HOSTING": "FALSE",
        "CPL_AWS_EC2_API_ROOT_URL": f"http://127.0.0.1:{server.server_port}",
        "CPL_AWS_AUTODETECT_EC2": "NO",
        "AWS_CONFIG_FILE": "/nowhere",
        "CPL_AWS_CREDENTIALS_FILE": "/nowhere",
        "GDAL_HTTP_MAX_RETRY": "0",
    }.items():
        gdal.SetConfigOption(name, value)


def read(dataset: gdal.Dataset, row: int) -> None:
    dataset.ReadAsArray(0, row, SIDE_PX, 256)


def main(case: str) -> None:
    gdal.UseExceptions()
    make_objects()
    start()
    if case == "reopened":  # as planning does before the reading begins
        open_raster("s3://bucket/one.tif")
    names = {"vrt": ["both.vrt"], "second": ["one.tif", "two.tif"]}.get(case, ["one.tif"])
    datasets = [open_raster(f"s3://bucket/{name}") for name in names]
    for dataset in datasets:
        read(dataset, 0)
    time.sleep(GOOD_SECONDS + 0.5)
    for dataset in reversed(datasets):
        read(dataset, 512)
        read(dataset, 768)
    print(f"read with {len(Service.good_until)} keys, GDAL {gdal.VersionInfo('RELEASE_NAME')}")


if __name__ == "__main__":
    main(sys.argv[1])
