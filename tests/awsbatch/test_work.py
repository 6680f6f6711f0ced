from __future__ import annotations

import pytest

from rios_batch.awsbatch.messages import ComputeTile, MergeBlobs, Work, decode_work, encode_work
from rios_batch.errors import RiosBatchError


@pytest.mark.parametrize("work", [ComputeTile(0), ComputeTile(9999, again=True), MergeBlobs(2)], ids=str)
def test_work_comes_back(work: Work) -> None:
    assert decode_work(encode_work(work)) == work


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"tile": "3", "again": false}', '{"merge": [1]}'])
def test_another_message_is_refused(text: str) -> None:
    with pytest.raises(RiosBatchError, match="a message that is not of this run"):
        decode_work(text)
