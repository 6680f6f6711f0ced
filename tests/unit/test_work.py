from __future__ import annotations

import pytest

from rios_batch.errors import RiosBatchError
from rios_batch.jobspec import Blob
from rios_batch.work import ComputeTile, MergeBlobs, Stay, Work, decode_work, encode_work


@pytest.mark.parametrize(
    "work",
    [ComputeTile(0), ComputeTile(9999), MergeBlobs(2, (Blob("b", "k/1", '"e"', 10, 20),)), Stay()],
    ids=str,
)
def test_work_comes_back(work: Work) -> None:
    assert decode_work(encode_work(work)) == work


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"tile": "3"}', '{"merge": 1, "blobs": [[1]]}'])
def test_another_message_is_refused(text: str) -> None:
    with pytest.raises(RiosBatchError, match="a message that is not of this run"):
        decode_work(text)
