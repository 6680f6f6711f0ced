"""What main makes of the tiles' objects: those that are not what a worker has left are set aside and computed again."""

from __future__ import annotations

import zlib
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rios_batch.aws.multipart import MIB
from rios_batch.aws.objects import ObjectInfo
from rios_batch.awsbatch.decoding import RecordError
from rios_batch.awsbatch.finished import FinishedTiles, in_order
from rios_batch.awsbatch.results import TileFetcher
from rios_batch.awsbatch.runstore import RunStore
from rios_batch.awsbatch.tileformat import encode_tile
from rios_batch.errors import ChangedObjectError, DamagedObjectError, MissingObjectError
from rios_batch.model.encodedblocks import EncodedBlocks
from rios_batch.model.spec import Layout
from rios_batch.model.tileresult import TileOutput, TileRecord
from rios_batch.model.tiles import BlockGrid, TilePlan
from tests.s3server import ON_LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rios_batch.aws.objects import Bucket
    from rios_batch.model.blobs import Blob

RUN_ID, OTHER_RUN = "0123456789-20260101T120000-abcd", "0123456789-20251231T120000-dcba"
PLAN = TilePlan(BlockGrid(16, 16, 8, 8), 1, 1)
FOLDER = f"runs/{RUN_ID}/tiles/"


def tile(index: int, run_id: str = RUN_ID) -> bytes:
    window = PLAN.tile(index).window
    record = TileRecord(index, window, "worker", 1, 0.0, 0.0, 0.0, 0.0, 0)
    pixels = np.arange(64, dtype=np.uint16).reshape(1, 8, 8) + 1000 * index
    return encode_tile(run_id, record, [TileOutput(Layout("uint16", 1), pixels)], {})


class Objects:
    """A bucket in memory, in which a test may do as it likes."""

    name = "exchange"

    def __init__(self) -> None:
        self.there = {f"{FOLDER}{index:07d}": tile(index) for index in range(len(PLAN))}

    def list_objects(self, prefix: str, *, start_after: str = "") -> Iterator[ObjectInfo]:
        for key, data in sorted(self.there.items()):
            if key.startswith(prefix) and key > start_after:
                yield ObjectInfo(key, len(data), f"{zlib.crc32(data):x}")

    def get(self, key: str, *, start: int = 0, size: int | None = None, etag: str | None = None) -> bytes:
        if key not in self.there:
            raise MissingObjectError(key)
        data = self.there[key]
        if etag not in (None, f"{zlib.crc32(data):x}"):
            raise ChangedObjectError(key)
        return data[start : None if size is None else start + size]

    def delete(self, keys: list[str]) -> None:
        for key in keys:
            del self.there[key]


ONE = f"{FOLDER}0000001"


def flipped(place: int) -> Callable[[dict[str, bytes]], None]:
    def flip(there: dict[str, bytes]) -> None:
        data = bytearray(there[ONE])
        data[place] ^= 0x10
        there[ONE] = bytes(data)

    return flip


DAMAGES: dict[str, Callable[[dict[str, bytes]], Any]] = {
    "a bit of its pixels is flipped": flipped(-20),
    "a bit of its record is flipped": flipped(60),
    "tile 0 lies in its place": lambda there: there.update({ONE: there[f"{FOLDER}0000000"]}),
    "another run's lies in its place": lambda there: there.update({ONE: tile(1, OTHER_RUN)}),
    "its pixels are cut short": lambda there: there.update({ONE: there[ONE][:-5]}),
    "its record is cut short": lambda there: there.update({ONE: there[ONE][:100]}),
    "something is appended": lambda there: there.update({ONE: there[ONE] + b"more"}),
    "it is empty": lambda there: there.update({ONE: b""}),
    "it is somebody's notes": lambda there: there.update({ONE: b"notes" * 1000}),
    "it is gone": lambda there: there.pop(ONE),
}
OUTPUT_HERE = SimpleNamespace(stays_in_s3=False, encoded_by_workers=False)


@pytest.mark.parametrize("listed_before", [False, True], ids=["when main looks", "when main has looked"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_tile_is_set_aside_and_computed_again(damage: str, listed_before: bool) -> None:
    objects = Objects()
    store = RunStore(objects, RUN_ID)  # type: ignore[arg-type]
    tiles = FinishedTiles(store, len(PLAN))
    if listed_before:
        tiles.look_everywhere()
    DAMAGES[damage](objects.there)
    if not listed_before:
        tiles.look_everywhere()
    again: list[int] = []
    if 1 not in tiles:  # nobody has left anything: workers are at it
        objects.there[ONE] = tile(1)

    def compute_again(index: int) -> None:
        again.append(index)
        objects.there.setdefault(
            f"{FOLDER}{index:07d}", tile(index)
        )  # as a worker does, which checks what is there

    spec: Any = SimpleNamespace(outputs=[OUTPUT_HERE], plan=PLAN)
    poll: Any = SimpleNamespace(
        wait=tiles.look_everywhere, look=lambda: None, result_of=lambda coming: coming.result()
    )
    results = list(in_order(tiles, TileFetcher(store, spec, None), poll, compute_again))  # type: ignore[arg-type]

    assert [result.record.tile for result in results] == [0, 1, 2, 3]
    for index, result in enumerate(results):
        pixels: Any = result.outputs[0].payload
        assert pixels[0, 0, 0] == 1000 * index
    assert set(again) == ({1} if listed_before or damage != "it is gone" else set())


def test_a_tile_that_is_damaged_again_and_again_ends_the_run() -> None:
    objects = Objects()
    store = RunStore(objects, RUN_ID)  # type: ignore[arg-type]
    flipped(-20)(objects.there)
    tiles = FinishedTiles(store, len(PLAN))
    tiles.look_everywhere()

    def compute_again(index: int) -> None:
        objects.there[ONE] = tile(index)
        flipped(-20)(objects.there)

    spec: Any = SimpleNamespace(outputs=[OUTPUT_HERE], plan=PLAN)
    poll: Any = SimpleNamespace(
        wait=tiles.look_everywhere, look=lambda: None, result_of=lambda coming: coming.result()
    )
    with pytest.raises(DamagedObjectError, match="tile 1 is damaged again and again"):
        list(in_order(tiles, TileFetcher(store, spec, None), poll, compute_again))  # type: ignore[arg-type]


def test_an_object_that_is_not_the_runs_is_refused_without_being_fetched_whole() -> None:
    objects = Objects()
    objects.there[ONE] = b"x" * 3000
    fetched: list[int] = []

    def get(_key: str, *, size: int, etag: str) -> bytes:
        assert etag
        fetched.append(size)
        return objects.there[ONE][:size]

    objects.get = get  # type: ignore[method-assign,assignment]
    spec: Any = SimpleNamespace(outputs=[OUTPUT_HERE], plan=PLAN)
    fetch = TileFetcher(RunStore(objects, RUN_ID), spec, None)  # type: ignore[arg-type]

    with pytest.raises(RecordError, match="not a tile's record"):
        fetch(ObjectInfo(ONE, 5 * 2**40, "tag"))
    assert fetched == [64 * 1024]


# -- pixels that stay in S3


@ON_LOOPBACK
@pytest.mark.parametrize("start", [0, 3])
def test_s3_copies_pixels_only_if_they_are_those_that_the_worker_left(bucket: Bucket, start: int) -> None:
    blocks = EncodedBlocks(
        np.arange(6 * MIB, dtype=np.uint32).view(np.uint8), np.array([24 * MIB], np.uint64)
    )
    record = TileRecord(1, PLAN.tile(1).window, "worker", 1, 0.0, 0.0, 0.0, 0.0, 0)
    data = bytearray(encode_tile(RUN_ID, record, [TileOutput(Layout("uint16", 1), blocks)], {}))
    spec: Any = SimpleNamespace(
        outputs=[SimpleNamespace(stays_in_s3=True, encoded_by_workers=True)], plan=PLAN
    )
    fetch = TileFetcher(RunStore(bucket, RUN_ID), spec, None)  # type: ignore[arg-type]

    def blob() -> Blob:
        etag = bucket.put(ONE, bytes(data))
        payload: Any = fetch(ObjectInfo(ONE, len(data), etag)).outputs[0].payload
        whole: Blob = payload.blob
        if not start:
            return whole
        rest = replace(whole, start=whole.start + start, size=whole.size - start)
        return replace(rest, crc32=zlib.crc32(data[rest.start :]))

    upload = bucket.multipart("out.tif")
    good = blob()
    upload.copy_part(1, good)
    assert bucket.read(good) == bytes(data[good.start :])
    data[-7] ^= 2
    bad = replace(good, etag=blob().etag)

    with pytest.raises(DamagedObjectError, match=f"{ONE} is damaged"):
        upload.copy_part(2, bad)
    with pytest.raises(DamagedObjectError, match=f"{ONE} is damaged"):
        bucket.read(bad)
    upload.abort()
