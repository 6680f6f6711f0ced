from __future__ import annotations

import pytest

from rios_batch.awsbatch.messages import ComputeTile, MergeBlobs, Message, decode_message, encode_message
from rios_batch.errors import RiosBatchError


@pytest.mark.parametrize(
    "message", [ComputeTile(0), ComputeTile(9999, again=True), MergeBlobs(2, "ab")], ids=str
)
def test_a_message_comes_back(message: Message) -> None:
    assert decode_message(encode_message(message)) == message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"tile": "3", "again": false}',
        '{"merge": 1}',
        '{"merge": [1]}',
        '{"tile": -1, "again": false}',
        "[" * 100_000,
    ],
)
def test_another_message_is_refused(text: str) -> None:
    with pytest.raises(RiosBatchError, match="a message that is not of this run"):
        decode_message(text)
