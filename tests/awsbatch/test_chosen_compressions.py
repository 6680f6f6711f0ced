"""A worker knows what main has chosen, asks for it no more than needed, and sends what it used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from rios_batch.awsbatch.compressions import ChosenCompressions
from rios_batch.awsbatch.runstore import RunStore
from rios_batch.awsbatch.tileformat import decode_head, encode_tile
from rios_batch.errors import MissingObjectError
from rios_batch.model.encodedblocks import EncodedBlocks
from rios_batch.model.spec import Layout
from rios_batch.model.tileresult import TileOutput, TileRecord
from rios_batch.model.tiles import BlockGrid, TilePlan

if TYPE_CHECKING:
    from rios_batch.model.creationoptions import Compression

PLAN = TilePlan(BlockGrid(600, 600, 256, 256), 1, 1)
FLOATS: Compression = ("ZLEVEL=1", "PREDICTOR=3")


class Objects:
    """A bucket that counts what it is asked for."""

    name = "exchange"

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}
        self.gets = 0

    def put(self, key: str, data: bytes) -> None:
        self.content[key] = data

    def get(self, key: str, *, most_bytes: int) -> bytes:
        self.gets += 1
        if key not in self.content:
            raise MissingObjectError(key)
        return self.content[key][:most_bytes]


@pytest.fixture
def bucket() -> Objects:
    return Objects()


@pytest.fixture
def store(bucket: Objects) -> RunStore:
    return RunStore(bucket, "a-run")  # type: ignore[arg-type]


def test_a_worker_asks_until_all_is_chosen_and_not_again(store: RunStore, bucket: Objects) -> None:
    chosen = ChosenCompressions(store, to_choose=2)

    assert chosen.on(PLAN.tile(0)).compressions == ()
    store.put_compressions([None, (), None])
    assert chosen.on(PLAN.tile(1)).compressions == (None, (), None)
    store.put_compressions([FLOATS, (), None])
    found = [chosen.on(PLAN.tile(index)).compressions for index in (2, 3, 4)]

    assert found == [(FLOATS, (), None)] * 3
    assert bucket.gets == 3


def test_where_nothing_is_to_be_chosen_nobody_asks(store: RunStore, bucket: Objects) -> None:
    chosen = ChosenCompressions(store, to_choose=0)

    assert chosen.on(PLAN.tile(0)) == PLAN.tile(0)
    assert bucket.gets == 0


@pytest.mark.parametrize("compression", [None, (), FLOATS])
def test_a_tile_says_how_it_is_compressed(compression: Compression | None) -> None:
    blocks = EncodedBlocks(np.zeros(3, np.uint8), np.array([3], np.uint64))
    output = TileOutput(Layout("float32", 1), blocks, compression=compression)
    record = TileRecord(0, PLAN.tile(0).window, "worker", 1, 0.0, 0.0, 0.0, 0.0, 3)

    (part,) = decode_head(encode_tile("a-run", record, [output], {}), PLAN).parts

    assert part.output(bytes(3), record.window).compression == compression


def test_a_resumed_run_has_the_compressions_that_were_chosen(store: RunStore) -> None:
    assert store.compressions() == ()
    store.put_compressions([FLOATS])

    assert store.compressions() == (FLOATS,)
