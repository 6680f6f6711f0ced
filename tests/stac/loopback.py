"""Item collections in the form of Earth Search's and of Landsat's, whose assets are small files on a loopback server.

The JSON files beside this module have two neighbouring items of one day each, with the fields of the catalogues. Only
numbers of pixels and origins are those of the small files.
"""

from __future__ import annotations

import contextlib
import copy
import json
import re
import threading
from datetime import date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from osgeo import gdal, osr

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Array = NDArray[Any]

HERE = Path(__file__).parent
FIRST = date(2026, 6, 1)
ROWS_APART = 32  # of 10 m: how far the southern granule lies below the northern one


def recorded(name: str) -> list[dict[str, Any]]:
    """Return the items of a recorded collection."""
    return list(json.loads((HERE / f"{name}.json").read_text())["features"])


class Server(BaseHTTPRequestHandler):
    """Serves files with ranges; with a token only to whoever shows the token."""

    files: ClassVar[dict[str, bytes]] = {}
    token: ClassVar[str | None] = None
    status_without: ClassVar[int] = 401

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        if self.token is not None and self.headers.get("Authorization") != f"Bearer {self.token}":
            self.send_error(self.status_without)
            return
        content = self.files.get(self.path.partition("?")[0])
        if content is None:
            self.send_error(404)
            return
        found = re.match(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        first, last = (
            (int(found[1]), min(int(found[2]), len(content) - 1)) if found else (0, len(content) - 1)
        )
        self.send_response(206 if found else 200)
        if found:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.send_header("Content-Length", str(last + 1 - first))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content[first : last + 1])

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """Yield the address of a server without files."""
    Server.files, Server.token, Server.status_without = {}, None, 401
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        gdal.VSICurlClearCache()


def tiff(pixels: Array, transform: list[float], *, nodata: float | None, epsg: int = 32633) -> bytes:
    """Return a GeoTIFF of one band.

    Parameters
    ----------
    transform : as in proj:transform.
    """
    reference = osr.SpatialReference()
    reference.ImportFromEPSG(epsg)
    a, b, c, d, e, f = transform[:6]
    rows, cols = pixels.shape
    kind = gdal.GDT_Byte if pixels.dtype == np.uint8 else gdal.GDT_UInt16
    name = "/vsimem/served.tif"
    dataset = gdal.GetDriverByName("GTiff").Create(name, cols, rows, 1, kind)
    dataset.SetGeoTransform((c, a, b, f, d, e))
    dataset.SetProjection(reference.ExportToWkt())
    if nodata is not None:
        dataset.GetRasterBand(1).SetNoDataValue(nodata)
    dataset.GetRasterBand(1).WriteArray(pixels)
    dataset = None
    size = gdal.VSIStatL(name).size
    file = gdal.VSIFOpenL(name, "rb")
    content = bytes(gdal.VSIFReadL(1, size, file))
    gdal.VSIFCloseL(file)
    gdal.Unlink(name)
    return content


def serve(item: dict[str, Any], key: str, url: str, pixels: Array, *, nodata: float | None = 0) -> None:
    """Put a file on the server, and have an item's asset name it."""
    asset = item["assets"][key]
    path = f"/{item['id']}/{key}.tif"
    transform = asset.get("proj:transform") or item["properties"]["proj:transform"]
    Server.files[path] = tiff(pixels, transform, nodata=nodata)
    asset["href"] = url + path


def sentinel_dates(url: str, count: int) -> tuple[dict[str, Any], Array, Array]:
    """Serve Sentinel-2 items of some dates, every other with the granule to the south; the order is not that of time.

    Returns
    -------
    The item collection, and red and classes of shape (dates, rows, cols) as numpy mosaics them, on the grid of 10 m.
    """
    random = np.random.default_rng(7)
    templates = recorded("sentinel-2-l2a")
    features: list[dict[str, Any]] = []
    red = np.zeros((count, 64 + ROWS_APART, 64), "u2")
    classes = np.zeros((count, 64 + ROWS_APART, 64), "u1")
    for number in range(count):
        day = FIRST + timedelta(days=number)
        for place in (
            (1, 0) if number % 2 else (0,)
        ):  # the northern granule is the first in time, and lies on top
            item = copy.deepcopy(templates[place])
            time = datetime.fromisoformat(item["properties"]["datetime"])
            moved = datetime.combine(day, time.timetz())
            item["id"] = item["id"].replace("20260601", f"{day:%Y%m%d}")
            item["properties"]["datetime"] = moved.isoformat().replace("+00:00", "Z")
            own_red = random.integers(1, 10_000, (64, 64), "u2")
            own_red[random.random((64, 64)) < 0.1] = 0
            own_classes = random.choice(np.array([3, 4, 5, 8, 9], "u1"), (32, 32))
            serve(item, "red", url, own_red)
            serve(item, "scl", url, own_classes)
            features.append(item)
            rows = slice(place * ROWS_APART, place * ROWS_APART + 64)
            np.copyto(red[number, rows], own_red, where=own_red != 0)
            np.copyto(classes[number, rows], own_classes.repeat(2, 0).repeat(2, 1))
    shuffled = [features[place] for place in random.permutation(len(features))]
    return {"type": "FeatureCollection", "features": shuffled}, red, classes


def median_of(red: Array, classes: Array) -> Array:
    """Return numpy's median over dates of clear pixels; 0 where no date is clear."""
    masked: Any = np.ma  # numpy 1.24 has no types of it
    clear = np.isin(classes, [4, 5, 6, 7]) & (red != 0)
    found: Array = np.rint(masked.median(masked.array(red, mask=~clear), axis=0)).filled(0).astype("u2")
    return found
