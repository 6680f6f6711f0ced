"""A server of files on loopback that notes every request for a range, and answers each after a while."""

from __future__ import annotations

import re
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Range:
    """A request: of a file, and its bytes; HEAD has none."""

    method: str
    path: str
    first: int
    nbytes: int


@dataclass
class RangeServer:
    """What can be asked of the server.

    Attributes
    ----------
    url : its address.
    requests : all since the list was emptied.
    connections : how many were opened.
    """

    url: str = ""
    requests: list[Range] = field(default_factory=list)
    connections: int = 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections stay open
    disable_nagle_algorithm = True
    folder: Path
    latency_s: float
    seen: RangeServer

    def setup(self) -> None:
        super().setup()
        self.seen.connections += 1

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        time.sleep(self.latency_s)
        file = self.folder / self.path.split("?")[0].lstrip("/")
        if not file.is_file():
            self.seen.requests.append(Range(self.command, self.path, 0, 0))
            self.send_response(HTTPStatus.NOT_FOUND)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        size = file.stat().st_size
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        first, end = (int(wanted[1]), min(size, int(wanted[2]) + 1)) if wanted else (0, size)
        self.send_response(HTTPStatus.PARTIAL_CONTENT if wanted else HTTPStatus.OK)
        self.send_header("Content-Length", str(end - first))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", '"1"')
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{end - 1}/{size}")
        self.end_headers()
        sent = 0
        if self.command == "GET":
            with file.open("rb") as opened:
                opened.seek(first)
                sent = self.wfile.write(opened.read(end - first))
        self.seen.requests.append(Range(self.command, self.path, first, sent))


@contextmanager
def serving(folder: Path, latency_s: float = 0.0) -> Iterator[RangeServer]:
    """Serve the files of a folder until the block ends.

    Parameters
    ----------
    latency_s : passes before a request is answered.
    """
    seen = RangeServer()
    handler = type("_Handling", (_Handler,), {"folder": folder, "latency_s": latency_s, "seen": seen})
    server = ThreadingHTTPServer((HOST, 0), handler)
    seen.url = f"http://{HOST}:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, name="range server")
    thread.start()
    try:
        yield seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
