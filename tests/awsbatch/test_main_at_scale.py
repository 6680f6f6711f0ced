"""What main asks of AWS does not grow with the number of tiles, nor with the order in which they are finished."""

from __future__ import annotations

import random
import threading
from concurrent.futures import Future
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rios_batch.aws.clients import TIMES_OF_CONTENTS, make_client
from rios_batch.aws.objects import ObjectInfo
from rios_batch.awsbatch import polling
from rios_batch.awsbatch.blobstore import S3BlobStore
from rios_batch.awsbatch.finished import FinishedTiles, in_order
from rios_batch.awsbatch.polling import Poll
from rios_batch.awsbatch.results import TileFetcher
from rios_batch.awsbatch.runstore import RunStore
from rios_batch.awsbatch.starting import Sending
from rios_batch.awsbatch.tileformat import encode_tile
from rios_batch.errors import AWSError, AWSUnavailableError, ChangedObjectError
from rios_batch.jobmanagers.watchdog import Watchdog
from rios_batch.model.blobs import Blob
from rios_batch.model.encodedblocks import EncodedBlocks
from rios_batch.model.spec import Layout
from rios_batch.model.tileresult import TileOutput, TileRecord
from rios_batch.model.tiles import BlockGrid, TilePlan

if TYPE_CHECKING:
    from collections.abc import Iterator

TILES = 20_000


class Listed:
    """The tiles of a run in S3; requests are counted."""

    def __init__(self) -> None:
        self.there: set[int] = set()
        self.pages = 0

    def tiles(self, first: int = 0) -> Iterator[tuple[int, ObjectInfo]]:
        for place, number in enumerate(sorted(n for n in self.there if n >= first)):
            self.pages += place % 1000 == 0
            yield number, ObjectInfo(f"tiles/{number}", 10, "tag")
        if not any(n >= first for n in self.there):
            self.pages += 1


def finishing_order(kind: str) -> list[int]:
    numbers = list(range(TILES))
    if kind == "random":
        random.Random(1).shuffle(numbers)
    if kind == "the first one last":
        numbers.append(numbers.pop(0))
    return numbers


@pytest.mark.parametrize("kind", ["in order", "random", "the first one last"])
def test_a_look_is_two_requests_in_any_order_of_finishing(kind: str) -> None:
    listed, order = Listed(), finishing_order(kind)
    tiles = FinishedTiles(listed, TILES)  # type: ignore[arg-type]
    looks = 0
    while order:
        listed.there.update(order[:1000])
        del order[:1000]
        tiles.look()
        looks += 1

    assert listed.pages <= 2 * looks
    while not tiles.complete:
        tiles.look()
        looks += 1
    assert listed.pages <= 2 * looks <= 2 * 2 * TILES / 1000
    assert tiles.missing() == []


def test_main_sees_what_it_needs_next_at_every_look() -> None:
    listed = Listed()
    listed.there = set(range(1, TILES))
    tiles = FinishedTiles(listed, TILES)  # type: ignore[arg-type]
    for _ in range(30):
        tiles.look()
    assert tiles.missing() == [0]
    before = listed.pages

    listed.there.add(0)
    tiles.look()

    assert tiles.complete
    assert listed.pages - before <= 2


def test_all_tiles_of_a_resumed_run_are_seen_at_once() -> None:
    listed = Listed()
    listed.there = set(range(0, TILES, 3))
    tiles = FinishedTiles(listed, TILES)  # type: ignore[arg-type]

    tiles.look_everywhere()

    assert len(tiles) == len(listed.there)
    assert listed.pages == -(-len(listed.there) // 1000)


def test_many_tiles_are_fetched_ahead_as_long_as_little_is_held() -> None:
    listed = Listed()
    listed.there = set(range(TILES))
    tiles = FinishedTiles(listed, TILES)  # type: ignore[arg-type]
    tiles.look_everywhere()

    assert len(tiles.ahead(5, lambda _: 4096)) == 128
    assert len(tiles.ahead(5, lambda found: found.size * 10 * 2**20)) == 3  # 300 MiB


def test_all_results_come_in_order_and_are_fetched_once() -> None:
    listed = Listed()
    listed.there = set(range(300))
    tiles = FinishedTiles(listed, 300)  # type: ignore[arg-type]
    fetched: list[str] = []

    class Fetching:
        def __call__(self, found: ObjectInfo) -> Any:
            fetched.append(found.key)
            return found.key

        def held_bytes(self, found: ObjectInfo) -> int:
            return found.size

    poll: Any = SimpleNamespace(wait=tiles.look, look=lambda: None, result_of=Future.result)
    results: list[Any] = list(in_order(tiles, Fetching(), poll, lambda _: None))

    assert results == [f"tiles/{number}" for number in range(300)]
    assert sorted(fetched) == sorted(results)


def test_a_tile_that_was_replaced_is_fetched_again_though_many_are_fetched_ahead() -> None:
    listed = Listed()
    listed.there = set(range(300))
    tiles = FinishedTiles(listed, 300)  # type: ignore[arg-type]
    damaged = {"tiles/0", "tiles/3", "tiles/299"}

    class Fetching:
        def __call__(self, found: ObjectInfo) -> Any:
            if found.key in damaged:
                damaged.remove(found.key)
                raise ChangedObjectError(f"{found.key} is another")
            return found.key

        def held_bytes(self, found: ObjectInfo) -> int:
            return found.size

    poll: Any = SimpleNamespace(wait=tiles.look, look=lambda: None, result_of=Future.result)
    again: list[int] = []
    results: list[Any] = list(in_order(tiles, Fetching(), poll, again.append))

    assert results == [f"tiles/{number}" for number in range(300)]
    assert again == [0, 3, 299]


# -- heads


PLAN = TilePlan(BlockGrid(160, 8, 8, 8), 1, 1)


class Tiles:
    """A bucket with a tile's object, which counts requests and bytes."""

    name = "exchange"

    def __init__(self, head_values: int) -> None:
        blocks = EncodedBlocks(np.zeros(500_000, np.uint8), np.full(head_values, 1, np.uint64))
        self._output = TileOutput(Layout("uint8", 1), blocks)
        self.requested: list[int] = []

    def object_of(self, index: int) -> bytes:
        record = TileRecord(index, PLAN.tile(index).window, "worker", 1, 0.0, 0.0, 0.0, 0.0, 0)
        return encode_tile("a-run", record, [self._output], {})

    def get(self, key: str, *, size: int, etag: str) -> bytes:
        assert etag == "tag"
        self.requested.append(size)
        return self.object_of(int(key[-7:]))[:size]


@pytest.mark.parametrize("head_values", [8, 20_000], ids=["small heads", "large heads"])
def test_the_size_of_heads_is_learned_from_the_first(head_values: int) -> None:
    bucket = Tiles(head_values)
    spec = SimpleNamespace(outputs=[SimpleNamespace(stays_in_s3=True, encoded_by_workers=True)], plan=PLAN)
    fetch = TileFetcher(RunStore(bucket, "a-run"), spec, None)  # type: ignore[arg-type]
    for index in range(20):
        data = bucket.object_of(index)
        found = ObjectInfo(f"runs/a-run/tiles/{index:07d}", len(data), "tag")
        assert fetch(found).record.tile == index
        assert fetch.held_bytes(found) < 2 * 8 * head_values + 2000

    first = 1 if head_values == 8 else 2
    assert len(bucket.requested) == first + 19
    assert max(bucket.requested[first:]) < 2 * 8 * head_values + 2000


# -- looking in a thread


@pytest.fixture
def poll(monkeypatch: pytest.MonkeyPatch) -> Iterator[Poll]:
    monkeypatch.setattr(polling, "POLL_SECONDS", 0.0)
    poll = Poll(Watchdog())
    yield poll
    poll.close()


def test_main_goes_on_while_a_look_takes_long(poll: Poll) -> None:
    may_end, looks = threading.Event(), []

    def slow() -> None:
        looks.append(threading.current_thread())
        assert may_end.wait(20)

    poll.add(slow)
    for _ in range(50):
        poll.look()
    assert len(looks) <= 1  # no second look is begun beside the first

    may_end.set()
    while len(looks) < 3:
        poll.wait()
    assert threading.main_thread() not in looks


def test_the_next_look_is_counted_from_the_end_of_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr("rios_batch.awsbatch.polling.time.monotonic", lambda: clock.now)
    looks = []

    def takes_five_seconds() -> None:
        looks.append(clock.now)
        clock.now += 5

    poll = Poll(Watchdog())
    poll.add(takes_five_seconds)
    poll.look()
    while len(looks) < 1 or poll._looking is not None:
        poll.look()
    poll.look()
    clock.now += polling.POLL_SECONDS - 0.01
    poll.look()
    assert looks == [100.0]
    clock.now += 0.01
    poll.look()
    poll.close()
    assert looks == [100.0, 105.0 + polling.POLL_SECONDS]


def test_what_a_look_raises_is_raised_to_main(poll: Poll) -> None:
    def failing() -> None:
        raise AWSError("refused")

    poll.add(failing)
    poll.look()
    poll.close()
    poll.over = False  # only the thread has ended
    with pytest.raises(AWSError, match="refused"):
        poll.look()


def test_aws_out_of_reach_is_borne_for_a_while(poll: Poll, caplog: pytest.LogCaptureFixture) -> None:
    looks = []

    def failing_twice() -> None:
        looks.append(1)
        if len(looks) < 3:
            raise AWSUnavailableError("no network")

    poll.add(failing_twice)
    while len(looks) < 4:
        poll.wait()
    assert [record.message for record in caplog.records] == ["main goes on trying: no network"] * 2


# -- merges and messages


def test_asking_for_a_merge_keeps_nobody_waiting() -> None:
    may_go_on = threading.Event()
    sent: list[str] = []

    class Slow:
        name = "exchange"

        def put(self, _key: str, _data: bytes) -> None:
            assert may_go_on.wait(20)

        def list_objects(self, prefix: str, **_: Any) -> list[ObjectInfo]:
            return [ObjectInfo(f"{prefix}{number:07d}", 2, "tag") for number in range(len(sent))]

    store = RunStore(Slow(), "a-run")  # type: ignore[arg-type]
    queue = SimpleNamespace(send=sent.extend)
    blob_store = S3BlobStore(store, queue, lambda: blob_store.look())  # type: ignore[arg-type]  # noqa: PLW0108 - it is not there yet
    pending = [blob_store.merge([Blob("exchange", "key", "tag", 0, 1)] * 2) for _ in range(20)]
    assert not sent

    may_go_on.set()
    sizes = [merge.result().size for merge in pending]
    blob_store.close()

    assert sizes == [2] * 20
    assert len(sent) == 20
    assert blob_store.merges_done == 20


def test_a_merge_that_cannot_be_asked_for_ends_the_run() -> None:
    def refuse(_key: str, _data: bytes) -> None:
        raise AWSError("refused")

    store = RunStore(SimpleNamespace(name="exchange", put=refuse), "a-run")  # type: ignore[arg-type]
    blob_store = S3BlobStore(store, SimpleNamespace(), lambda: blob_store.look())  # type: ignore[arg-type]  # noqa: PLW0108 - it is not there yet
    pending = blob_store.merge([Blob("exchange", "key", "tag", 0, 1)] * 2)

    with pytest.raises(AWSError, match="refused"):
        pending.result()
    blob_store.close()


def test_the_sending_of_messages_goes_on_beside_main_and_stops_with_it() -> None:
    may_go_on, sent = threading.Event(), []

    def send(bodies: list[str]) -> None:
        assert may_go_on.wait(20)
        sent.extend(bodies)

    sending = Sending(SimpleNamespace(send=send), ["message"] * 10_000)  # type: ignore[arg-type]
    sending.check()
    stopping = threading.Thread(target=sending.close)
    stopping.start()
    while not sending._stopped.is_set():
        pass
    may_go_on.set()
    stopping.join()

    assert len(sent) <= 2000


def test_a_refused_message_ends_the_run() -> None:
    def refuse(_bodies: list[str]) -> None:
        raise AWSError("refused")

    sending = Sending(SimpleNamespace(send=refuse), ["message"])  # type: ignore[arg-type]
    sending.close()
    with pytest.raises(AWSError, match="refused"):
        sending.check()


def test_times_in_lists_of_objects_are_handed_over_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    body = (
        b"<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a</Key>"
        b"<LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>1</ETag><Size>3</Size></Contents></ListBucketResult>"
    )
    client = make_client("s3", region="eu-west-1")
    raw = SimpleNamespace(stream=lambda *_, **__: iter([body]))

    def answer(request: Any, **_: Any) -> Any:
        from botocore.awsrequest import AWSResponse  # noqa: PLC0415 - only here

        return AWSResponse(request.url, 200, {"Content-Length": str(len(body))}, raw)  # type: ignore[arg-type]

    client.meta.events.register("before-send.s3", answer)

    reply = client.list_objects_v2(Bucket="bucket")
    assert reply["Contents"] == [{"Key": "a", "ETag": "1", "Size": 3}]
    assert reply[TIMES_OF_CONTENTS] == ["2026-01-01T00:00:00.000Z"]
