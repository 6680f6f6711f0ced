"""Whoever writes the exchange bucket or the queue cannot have a decoder do more than raise a `RecordError`.

Checksums are right here: somebody has made them. Memory is counted, Python's and numpy's.
"""

from __future__ import annotations

import contextlib
import json
import struct
import tracemalloc
import zlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rios_batch.awsbatch.decoding import RecordError
from rios_batch.awsbatch.failurerecord import Failure, error_of, failure_of
from rios_batch.awsbatch.imagepackages import noted_image
from rios_batch.awsbatch.messages import decode_message
from rios_batch.awsbatch.runstore import RunStore
from rios_batch.awsbatch.tileformat import MAGIC, decode_head, encode_tile
from rios_batch.awsbatch.versions import RUN_FORMAT
from rios_batch.errors import JobMgrError, UserFunctionError
from rios_batch.model.encodedblocks import EncodedBlocks
from rios_batch.model.spec import Layout, StatisticsSpec
from rios_batch.model.tileresult import TileOutput, TileRecord
from rios_batch.model.tiles import BlockGrid, TilePlan
from rios_batch.model.tilestatistics import TileStatistics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PLAN = TilePlan(BlockGrid(32, 32, 16, 16), 1, 1)
WINDOW = PLAN.tile(0).window
LENGTHS = struct.Struct("<QQI")
# A window here has 16 x 16 pixels. What is decoded of it takes some kilobytes; a bomb would take far more.
MOST_BYTES = 4 * 2**20
ZEROS = zlib.compress(bytes(64 * 2**20))


def good() -> bytes:
    pixels = np.random.default_rng(1).normal(0, 1, (2, 16, 16)).astype(np.float32)
    statistics = TileStatistics(
        StatisticsSpec(basic=True, histogram=True, step=1), Layout("float32", 2), None
    )
    statistics.add(pixels, WINDOW)
    record = TileRecord(0, WINDOW, "worker", 1, 0.0, 0.0, 0.0, 0.0, 0)
    blocks = EncodedBlocks(np.arange(42, dtype=np.uint8), np.array([20, 0, 22], np.uint64))
    outputs = [
        TileOutput(Layout("float32", 2), blocks, pixels[:, ::2, ::2], statistics.finish()),
        TileOutput(Layout("float32", 2), pixels),
    ]
    return encode_tile("run", record, outputs, {"count": {1: (2.5, b"x", {"a"})}, "array": np.arange(4)})


GOOD = good()
TEXT_BYTES, HEAD_BYTES, _ = LENGTHS.unpack_from(GOOD, len(MAGIC))
BEGIN = len(MAGIC) + LENGTHS.size
TEXT = GOOD[BEGIN : BEGIN + TEXT_BYTES]
ARRAYS = GOOD[BEGIN + TEXT_BYTES : BEGIN + HEAD_BYTES]
BLOBS = GOOD[BEGIN + HEAD_BYTES :]


def packed(text: bytes, arrays: bytes = ARRAYS, blobs: bytes = BLOBS) -> bytes:
    head = text + arrays
    return MAGIC + LENGTHS.pack(len(text), len(head), zlib.crc32(head)) + head + blobs


def forged(path: tuple[Any, ...], value: Any, arrays: bytes = ARRAYS) -> bytes:
    """Return the tile with another value in its JSON text."""
    content: Any = json.loads(TEXT)
    inner = content
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return packed(json.dumps(content).encode(), arrays)


def with_array(path: tuple[Any, ...], data: bytes) -> bytes:
    """Return the tile with another array of bytes in the place that the JSON text says."""
    content: Any = json.loads(TEXT)
    inner = content
    for step in path:
        inner = inner[step]
    content["arrays"].append({"dtype": "|u1", "shape": [len(data)]})
    key = "zlib" if "zlib" in inner else "array"
    inner[key] = len(content["arrays"]) - 1
    return packed(json.dumps(content).encode(), ARRAYS + data)


def decode(data: bytes) -> None:
    head = decode_head(data, PLAN)
    for part in head.parts:
        part.output(data[part.start : part.start + part.size], head.record.window)


class Counting:
    """Counts how much memory is taken at most inside of it."""

    def __enter__(self) -> Self:
        tracemalloc.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.most_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()


FIRST_BAND = ("outputs", 0, "statistics", 0)
FORGED: dict[str, bytes] = {
    "deep JSON": packed(b"[" * 100_000),
    "deep otherArgs": packed(TEXT.replace(b'"$tuple": [', b'"$list": [' * 1 + b'{"$list": [' * 900, 1)),
    "not JSON": packed(b"\xff\xfe"),
    "a list": packed(b"[]"),
    "a bomb as an overview": with_array(("outputs", 0, "coarsest"), ZEROS),
    "a large overview": forged(("outputs", 0, "coarsest", "shape"), [2, 60_000, 60_000]),
    "a bomb as a histogram's steps": with_array((*FIRST_BAND, "histogram", "steps"), ZEROS),
    "a bomb as a histogram's counts": with_array((*FIRST_BAND, "histogram", "counts"), ZEROS),
    "a histogram of texts": forged((*FIRST_BAND, "histogram", "keys"), "S2000000000"),
    "counts of texts": forged((*FIRST_BAND, "histogram", "counts", "dtype"), "S2000000000"),
    "an exponent": forged((*FIRST_BAND, "histogram", "exponent"), 10**12),
    "a fraction with zero": forged((*FIRST_BAND, "total"), [1, 0]),
    "a huge fraction": forged((*FIRST_BAND, "squares"), [10**4000, 1]),
    "an infinite extreme": forged((*FIRST_BAND, "highest"), float("inf")),
    "bands without end": forged(("outputs", 0, "layout", "nbands"), 10**12),
    "many bands": forged(("outputs", 1, "layout", "nbands"), 65_535),
    "pixels of texts": forged(("outputs", 1, "layout", "dtype"), "S2000000000"),
    "arrays of texts": forged(("arrays", 0, "dtype"), "S2000000000"),
    "arrays of objects": forged(("arrays", 0, "dtype"), "O"),
    "arrays of nothing": forged(("arrays", 0, "dtype"), "S0"),
    "a large array": forged(("arrays", 0, "shape"), [2**40]),
    "a negative array": forged(("arrays", 0, "shape"), [-1]),
    "an array of many dimensions": forged(("arrays", 0, "shape"), [1] * 10_000),
    "a window that is not the tile's": forged(("record", "window", "width"), 10**9),
    "a tile that is none": forged(("record", "tile"), 4),
    "a time that is none": forged(("record", "reading_s"), float("nan")),
    "a value of two kinds": forged(("other_args", "count"), {"$float": "1", "$bytes": ""}),
    "a set of lists": forged(("other_args", "count"), {"$set": [{"$list": []}]}),
    "a float that is a list": forged(("other_args", "count"), {"$float": []}),
}


@pytest.mark.parametrize("data", FORGED.values(), ids=FORGED)
def test_a_forged_tile_is_refused_within_bounds(data: bytes) -> None:
    with Counting() as memory, pytest.raises(RecordError):
        decode(data)
    assert memory.most_bytes < MOST_BYTES + 10 * len(data)


def test_pixels_that_are_a_bomb_are_refused_within_bounds() -> None:
    content = json.loads(TEXT)
    content["outputs"][1] |= {"bytes": len(ZEROS), "crc32": zlib.crc32(ZEROS)}
    data = packed(json.dumps(content).encode(), blobs=BLOBS[:42] + ZEROS)

    with Counting() as memory, pytest.raises(RecordError):
        decode(data)
    assert memory.most_bytes < MOST_BYTES


# -- anything at all

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)


def paths(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the ways to all values inside a value."""
    items: Any = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in items:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from paths(value, (*path, key))


FEW = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])


@FEW
@given(st.sampled_from(list(paths(json.loads(TEXT)))), JSON)
def test_any_value_anywhere_in_a_record_is_read_or_refused(path: tuple[Any, ...], value: Any) -> None:
    read_or_refused(lambda: decode(forged(path, value)))


@FEW
@given(st.integers(0, len(GOOD) - 1), st.binary(min_size=1, max_size=40))
def test_any_bytes_anywhere_in_a_tile_are_read_or_refused(place: int, data: bytes) -> None:
    read_or_refused(lambda: decode(GOOD[:place] + data + GOOD[place + len(data) :]))


class OneObject:
    name = "exchange"

    def __init__(self, data: bytes) -> None:
        self.data = data

    def get(self, _key: str, *, most_bytes: int | None = None, **_: Any) -> bytes:
        return self.data[:most_bytes]


def of_bucket(read: Callable[[RunStore], object]) -> Callable[[bytes], object]:
    return lambda data: read(RunStore(OneObject(data), "run"))  # type: ignore[arg-type]


DECODERS: dict[str, tuple[Callable[[bytes], object], dict[str, Any] | list[Any]]] = {
    "tile": (decode, {}),
    "failure": (
        lambda data: error_of(Failure.decode(data)),
        json.loads(failure_of(UserFunctionError("no"), 3, "worker 1", stops_run=True).encode()),
    ),
    "run.json": (
        of_bucket(RunStore.description),
        {
            "format": RUN_FORMAT,
            "versions": {"numpy": "1"},
            "fingerprints": {"the function": "ab"},
            "plan": {"blocks": vars(PLAN.blocks), "tile_xblocks": 1, "tile_yblocks": 1},
            "image": "image",
            "outputs": ["/out.tif"],
            "origin": {"command": ["python3", "s.py"], "folder": "/", "host": "here"},
        },
    ),
    "main.json": (of_bucket(RunStore.last_main), {"queue_url": "https://q/1/n", "job_name": "job"}),
    "compressions.json": (of_bucket(RunStore.compressions), [None, ["ZLEVEL=1", "PREDICTOR=2"]]),
    "message": (lambda data: decode_message(data.decode(errors="replace")), {"merge": 3, "sha256": "ab"}),
    "image": (
        lambda data: noted_image(OneObject(data), "image"),  # type: ignore[arg-type]
        {"packages": {"numpy": "1"}, "versions": {"numpy": "1"}, "machine": "x86_64"},
    ),
}


@pytest.mark.parametrize("kind", DECODERS)
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_bytes_are_read_or_refused(kind: str, data: st.DataObject) -> None:
    decoder, content = DECODERS[kind]
    content = json.loads(json.dumps(content))
    found = list(paths(content))
    changes_one: bool = data.draw(st.booleans())
    if found and changes_one:
        inner: Any = content
        path: tuple[Any, ...] = data.draw(st.sampled_from(found))
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = data.draw(JSON)
        foreign = json.dumps(content).encode()
    else:
        foreign = data.draw(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
    read_or_refused(lambda: decoder(foreign))


@pytest.mark.parametrize("kind", DECODERS)
def test_deep_and_long_texts_are_refused(kind: str) -> None:
    decoder, _ = DECODERS[kind]
    for foreign in (b"[" * 200_000, b'{"a":' * 200_000, b"9" * 5000, b"\xff" * 100, b""):
        with Counting() as memory, pytest.raises(RecordError):
            decoder(foreign)
        assert memory.most_bytes < MOST_BYTES + 20 * len(foreign)


def read_or_refused(read: Callable[[], object]) -> None:
    with Counting() as memory, contextlib.suppress(RecordError, JobMgrError):
        read()
    assert memory.most_bytes < MOST_BYTES


@pytest.mark.parametrize("kind", ["builtins.KeyboardInterrupt", "builtins.MemoryError", "os.system", "a.b.c"])
def test_a_failure_is_an_error_of_this_package_whatever_its_record_says(kind: str) -> None:
    record = json.dumps(vars(Failure(None, kind, "gotcha", "worker", stops_run=True))).encode()

    error = error_of(Failure.decode(record))

    assert type(error).__module__ == "rios_batch.errors"
    assert "gotcha" in str(error)


def test_a_long_failure_is_cut_and_comes_back() -> None:
    failure = failure_of(
        UserFunctionError("é" * 10**6, traceback_text="ü" * 10**6), 3, "worker", stops_run=True
    )

    assert len(failure.encode()) < 2**20
    assert Failure.decode(failure.encode()) == failure
    assert SimpleNamespace(**vars(failure)).message.startswith("éé")
