"""What main of a run on AWS Batch needs for very many tiles: CPU, memory and requests, without AWS.

python bench/scale.py [--tiles 100000] [--order in-order|random|straggler] [--per-second 2000] [--latency 0.03]

boto3 signs and parses as always; its requests are answered before the socket, by what workers would have left. The CPU
time of these answers is measured and left out. Output is one uint8 GeoTIFF in S3, in tiles of 2048 x 2048.
"""

from __future__ import annotations

import argparse
import base64
import functools
import json
import os
import re
import resource
import struct
import sys
import threading
import time
import zlib
from collections import Counter
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock
from urllib.parse import parse_qs, urlsplit

import numpy as np
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

from rios_batch.assemble.order import in_tile_order
from rios_batch.assemble.outputs import Outputs
from rios_batch.aws import objects
from rios_batch.aws.clients import make_client
from rios_batch.awsbatch.blobstore import S3BlobStore
from rios_batch.awsbatch.finished import FinishedTiles, in_order
from rios_batch.awsbatch.polling import Poll
from rios_batch.awsbatch.results import TileFetcher
from rios_batch.awsbatch.runstore import RunStore
from rios_batch.awsbatch.tileformat import PREAMBLE_BYTES, encode_tile
from rios_batch.encode.blocks import tile_sink
from rios_batch.gdalapi import gdal_exceptions
from rios_batch.jobmanagers.watchdog import Watchdog
from rios_batch.model.creationoptions import CreationOptions
from rios_batch.model.grid import PixelGridDefn
from rios_batch.model.pyramid import Pyramid
from rios_batch.model.spec import Layout, OutputSpec, RunSpec
from rios_batch.model.tileresult import TileRecord
from rios_batch.model.tiles import BlockGrid, TilePlan

SIDE_PX = 2048
PAGE_KEYS = 1000
LAYOUT = Layout("uint8", 1)
OPTIONS = ("TILED=YES", "BIGTIFF=IF_SAFER", "COMPRESS=DEFLATE", "BLOCKXSIZE=256", "BLOCKYSIZE=256")


def run_spec(ntiles: int) -> RunSpec:
    across = int(ntiles**0.5)
    ncols, nrows = across * SIDE_PX, -(-ntiles // across) * SIDE_PX
    plan = TilePlan(BlockGrid(ncols, nrows, 256, 256), 8, 8)
    output = OutputSpec(
        name="out",
        sequence=None,
        path="s3://bucket/out.tif",
        driver="GTiff",
        creation_options=CreationOptions(OPTIONS),
        nodata=0,
        thematic=False,
        layer_names=(),
        encoded_by_workers=True,
        blocks_are_whole=True,
        pyramid=Pyramid((4, 8, 16, 32, 64, 128), "NEAREST"),
    )
    grid = PixelGridDefn(xMin=0, xMax=ncols * 10, yMin=0, yMax=nrows * 10, xRes=10, yRes=10, projection="")
    spec = RunSpec(
        function=print,
        takes_other_args=False,
        inputs=(),
        outputs=(output,),
        grid=grid,
        plan=plan,
        overlap_px=0,
        input_cache_bytes=0,
    )
    return spec.with_plan(plan)


class Cloud:
    """What S3 and SQS answer. ``finished_s`` says when each tile is finished, in seconds after the start."""

    def __init__(self, spec: RunSpec, finished_s: np.ndarray[Any, Any], latency_s: float) -> None:
        self._spec, self._finished_s, self._latency_s = spec, finished_s, latency_s
        self._order = np.argsort(finished_s, kind="stable")
        self._started = time.monotonic()
        self._listed: list[int] = []
        self.calls: Counter[str] = Counter()
        self.cpu_s = 0.0
        self._lock = threading.Lock()
        self._merges: dict[int, int] = {}
        self._parts: dict[int, int] = {}
        pixels = np.random.default_rng(1).integers(0, 240, (1, SIDE_PX, SIDE_PX)).astype("u1")
        sink = tile_sink(spec.outputs[0], LAYOUT, spec.plan.tile(0).window)
        for index in range(64):
            row, col = divmod(index, 8)
            window = np.s_[:, row * 256 : row * 256 + 256, col * 256 : col * 256 + 256]
            sink.write(pixels[window], col * 256, row * 256)
        record = TileRecord(0, spec.plan.tile(0).window, "worker", 64, 1.0, 1.0, 1.0, 1.0, 1_000_000)
        first = encode_tile("run", record, [sink.finish()], {})
        text_bytes, head_bytes, _ = struct.unpack_from("<QQI", first, 8)
        head = first[PREAMBLE_BYTES : PREAMBLE_BYTES + head_bytes]
        self._text, self._arrays = head[:text_bytes], head[text_bytes:]
        self._text_bytes = text_bytes + 40  # all tiles are of one size, though their numbers are not
        self._mark, self.tile_bytes = first[:8], len(first) + 40

    def _head(self, index: int) -> bytes:
        """Return the beginning of a tile's object, up to the pixels, which nobody fetches."""
        content = json.loads(self._text)
        part = content["outputs"][0]
        part["crc32"] = _checksum_of_zeros(part["bytes"])  # which is what all pixels are that are asked for
        content["record"] |= {"tile": index, "window": asdict(self._spec.plan.tile(index).window)}
        text = json.dumps(content).encode().ljust(self._text_bytes)
        head = text + self._arrays
        return self._mark + struct.pack("<QQI", len(text), len(head), zlib.crc32(head)) + head

    def answer(self, request: Any, **_: Any) -> AWSResponse:
        started = time.thread_time()
        body, headers = self._reply(request)
        response = AWSResponse(
            request.url,
            206 if "Range" in request.headers else 200,
            HTTPHeaders.from_dict(headers),
            SimpleNamespace(
                read=lambda *_, **__: body,
                stream=lambda *_, **__: iter([body]),
                close=lambda: None,
                closed=False,
            ),
        )
        with self._lock:
            self.cpu_s += time.thread_time() - started
        time.sleep(self._latency_s)
        return response

    def send(self, _bodies: list[str]) -> None:
        """Take messages of a queue."""
        with self._lock:
            self.calls["SendMessageBatch"] += 1
        time.sleep(self._latency_s)

    def _reply(self, request: Any) -> tuple[bytes, dict[str, str]]:
        split = urlsplit(request.url)
        query = parse_qs(split.query, keep_blank_values=True)
        name, body, headers = self._dispatch(request, split.path, query)
        with self._lock:
            self.calls[name] += 1
        return body, headers

    def _dispatch(  # noqa: PLR0911 - a table
        self, request: Any, path: str, query: dict[str, list[str]]
    ) -> tuple[str, bytes, dict[str, str]]:
        method = request.method
        if "list-type" in query:
            return "ListObjectsV2", self._page(query), {}
        if method == "GET" and "uploadId" in query:
            return "ListParts", self._list_parts(query), {}
        if method == "GET":
            first, last = re.findall(r"\d+", request.headers["Range"].decode())
            data = self._head(int(path[-7:])).ljust(int(last) + 1, b"\0")[int(first) : int(last) + 1]
            return "GetObject", data, {"Content-Length": str(len(data))}
        if method == "POST" and "uploads" in query:
            return (
                "CreateMultipartUpload",
                _xml("InitiateMultipartUploadResult", "<UploadId>1</UploadId>"),
                {},
            )
        if method == "POST":
            return "CompleteMultipartUpload", _xml("CompleteMultipartUploadResult", "<ETag>1</ETag>"), {}
        if method == "PUT" and "partNumber" in query:
            return self._part(request, int(query["partNumber"][0]))
        if "/merges/" in path:
            text = request.body.read() if hasattr(request.body, "read") else request.body
            self._merges[int(path[-12:-5])] = sum(blob[4] for blob in json.loads(text))
        return f"{method} object", b"", {"ETag": '"1"'}

    def _part(self, request: Any, number: int) -> tuple[str, bytes, dict[str, str]]:
        if "x-amz-copy-source" in request.headers:
            first, last = re.findall(r"\d+", request.headers["x-amz-copy-source-range"].decode())
            self._parts[number] = int(last) - int(first) + 1
            checksum = base64.b64encode(_checksum_of_zeros(self._parts[number]).to_bytes(4, "big")).decode()
            said = f'<ETag>"1"</ETag><ChecksumCRC32>{checksum}</ChecksumCRC32>'
            return "UploadPartCopy", _xml("CopyPartResult", said), {}
        self._parts[number] = int(request.headers["Content-Length"])
        return "UploadPart", b"", {"ETag": '"1"'}

    def _list_parts(self, query: dict[str, list[str]]) -> bytes:
        after = int(query.get("part-number-marker", ["0"])[0])
        numbers = [number for number in sorted(self._parts) if number > after][:PAGE_KEYS]
        more = bool(numbers) and numbers[-1] < max(self._parts)
        parts = "".join(
            f"<Part><PartNumber>{n}</PartNumber><ETag>1</ETag><Size>{self._parts[n]}</Size></Part>"
            for n in numbers
        )
        marker = f"<NextPartNumberMarker>{(numbers or [0])[-1]}</NextPartNumberMarker>"
        return _xml("ListPartsResult", f"<IsTruncated>{str(more).lower()}</IsTruncated>{marker}{parts}")

    def _page(self, query: dict[str, list[str]]) -> bytes:
        prefix, after = query["prefix"][0], query.get("start-after", [""])[0]
        after = query.get("continuation-token", [after])[0]
        first = int(after[-7:]) + 1 if after[-7:].isdecimal() else 0
        if prefix.endswith("tiles/"):
            now = time.monotonic() - self._started
            done = self._finished_s[first:] <= now
            numbers = (np.flatnonzero(done)[: PAGE_KEYS + 1] + first).tolist()
            sizes = dict.fromkeys(numbers, self.tile_bytes)
        elif prefix.endswith("merged/"):
            numbers = [number for number in sorted(self._merges) if number >= first][: PAGE_KEYS + 1]
            sizes = {number: self._merges[number] for number in numbers}
        else:
            numbers, sizes = [], {}
        more, numbers = len(numbers) > PAGE_KEYS, numbers[:PAGE_KEYS]
        entries = "".join(
            f"<Contents><Key>{prefix}{n:07d}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
            f"<ETag>&quot;1&quot;</ETag><Size>{sizes[n]}</Size><StorageClass>STANDARD</StorageClass></Contents>"
            for n in numbers
        )
        token = f"<NextContinuationToken>{prefix}{numbers[-1]:07d}</NextContinuationToken>" if more else ""
        return _xml("ListBucketResult", f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{entries}")


@functools.cache
def _checksum_of_zeros(nbytes: int) -> int:
    return zlib.crc32(bytes(nbytes))


def _xml(root: str, inside: str) -> bytes:
    namespace = "http://s3.amazonaws.com/doc/2006-03-01/"
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} xmlns="{namespace}">{inside}</{root}>'.encode()


def finishing(order: str, ntiles: int, per_second: float) -> np.ndarray[Any, Any]:
    """Return when each tile is finished, in seconds."""
    seconds = np.arange(ntiles) / per_second
    if order == "random":
        np.random.default_rng(1).shuffle(seconds)
    if order == "straggler":
        seconds[0] = seconds[-1] + 5
    return seconds


def peak_mb() -> float:
    """Return the largest resident set of this process, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description="CPU, memory and requests of main for very many tiles.")
    parser.add_argument("--tiles", type=int, default=100_000)
    parser.add_argument("--order", choices=["in-order", "random", "straggler"], default="in-order")
    parser.add_argument(
        "--per-second", type=float, default=2000.0, help="tiles that workers finish in a second"
    )
    parser.add_argument("--latency", type=float, default=0.03, help="seconds until a request is answered")
    arguments = parser.parse_args()
    os.environ |= {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "eu-west-1"}
    spec = run_spec(arguments.tiles)
    ntiles = len(spec.plan)
    with gdal_exceptions():
        cloud = Cloud(spec, finishing(arguments.order, ntiles, arguments.per_second), arguments.latency)

        def client(service: str, **more: Any) -> Any:
            made = make_client(service, **more)
            made.meta.events.register("before-send.s3", cloud.answer)
            return made

        with mock.patch.object(objects, "make_client", client):
            store = RunStore(objects.Bucket("bucket"), "run")
            before_mb, cpu_s, started = peak_mb(), time.process_time(), time.perf_counter()
            take_all(spec, store, cloud)
    wall_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu_s
    print(f"{ntiles:,} tiles, {arguments.order}, {arguments.per_second:g} finished in a second")
    print(f"wall {wall_s:.1f} s, CPU {cpu_s - cloud.cpu_s:.1f} s (and {cloud.cpu_s:.1f} s of the answers)")
    print(f"{ntiles / wall_s:.0f} tiles/s, {1000 * (cpu_s - cloud.cpu_s) / ntiles:.2f} ms of CPU a tile")
    print(f"peak memory {peak_mb():.0f} MB ({before_mb:.0f} MB before)")
    print(f"{sum(cloud.calls.values()) / ntiles:.2f} requests a tile: {dict(cloud.calls)}")
    anonymous = re.search(r"RssAnon:\s+(\d+)", Path("/proc/self/status").read_text())
    if anonymous:
        print(
            f"of the memory, {int(anonymous[1]) * 1024 / 1e6:.0f} MB are anonymous at the end",
            file=sys.stderr,
        )


def list_failures(store: RunStore) -> None:
    """Do what main does at each look besides."""
    store.failures()


def take_all(spec: RunSpec, store: RunStore, cloud: Cloud) -> None:
    watchdog = Watchdog()
    poll = Poll(watchdog)
    tiles = FinishedTiles(store, len(spec.plan))
    with (
        closing(poll),
        closing(S3BlobStore(store, cloud, poll.wait)) as blob_store,  # type: ignore[arg-type]
        Outputs(spec, lambda _: None, watchdog) as outputs,
    ):
        poll.add(tiles.look, blob_store.look, lambda: list_failures(store))
        fetch = TileFetcher(store, spec, blob_store)
        records = []
        for result in in_tile_order(in_order(tiles, fetch, poll, lambda _: None), spec):
            outputs.write(result)
            records.append(result.record)
        outputs.finish()
        outputs.commit()


if __name__ == "__main__":
    main()
