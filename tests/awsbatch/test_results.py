from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from rios_batch.aws.objects import ObjectInfo
from rios_batch.awsbatch.results import TileFetcher
from rios_batch.awsbatch.runstore import RunStore
from rios_batch.awsbatch.tileformat import RecordError, encode_tile
from rios_batch.model.grid import PixelWindow
from rios_batch.model.tileresult import TileRecord

RUN_ID, OTHER_RUN = "0123456789-20260101T120000-abcd", "0123456789-20251231T120000-dcba"


def fetched(run_id: str, tile: int) -> Any:
    """Fetch tile 12 of the run, in whose place lies what is said."""
    record = TileRecord(tile, PixelWindow(0, 0, 8, 8), "worker", 1, 0.0, 0.0, 0.0, 0.0, 0)
    data = encode_tile(run_id, record, [], {})

    def get(_key: str, *, size: int, etag: str) -> bytes:
        assert etag == "tag"
        return data[:size]

    store = RunStore(SimpleNamespace(name="exchange", get=get), RUN_ID)  # type: ignore[arg-type]
    found = ObjectInfo(f"runs/{RUN_ID}/tiles/0000012", len(data), "tag")
    return TileFetcher(store, SimpleNamespace(outputs=()), None)(found)  # type: ignore[arg-type]


def test_a_tile_in_its_place_is_fetched() -> None:
    assert fetched(RUN_ID, 12).record.tile == 12


@pytest.mark.parametrize(
    ("run_id", "tile"), [(RUN_ID, 3), (OTHER_RUN, 12)], ids=["of another tile", "of another run"]
)
def test_a_record_in_anothers_place_is_refused_with_what_to_do(run_id: str, tile: int) -> None:
    with pytest.raises(
        RecordError,
        match=rf"object s3://exchange/runs/{RUN_ID}/tiles/0000012 holds tile {tile} of run {run_id}, .* delete",
    ):
        fetched(run_id, tile)
