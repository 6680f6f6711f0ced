"""What a worker takes from a queue that several runs share, one after the other."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace
from typing import Any

import pytest

from rios_batch.aws.faults import QueueGoneError
from rios_batch.aws.queue import Lease, WorkQueue
from rios_batch.awsbatch.turns import SharedQueue, Turn, TurnQueue, opened
from rios_batch.errors import RiosBatchError

SHA = "0" * 64


class Queue(WorkQueue):
    """A queue in memory."""

    def __init__(self, *bodies: str) -> None:
        super().__init__(SimpleNamespace(), "https://queue", 60)  # type: ignore[arg-type]
        self._client: Any = self
        self.waiting, self.finished, self.returned = list(bodies), list[str](), list[str]()

    def receive_message(self, *, MaxNumberOfMessages: int, **_: Any) -> dict[str, Any]:  # noqa: N803
        taken = self.waiting[:MaxNumberOfMessages]
        del self.waiting[:MaxNumberOfMessages]
        attributes = {"ApproximateReceiveCount": "1"}
        return {
            "Messages": [{"Body": body, "ReceiptHandle": body, "Attributes": attributes} for body in taken]
        }

    def delete_message(self, *, ReceiptHandle: str, **_: Any) -> None:  # noqa: N803
        self.finished.append(ReceiptHandle)

    def change_message_visibility(self, *, ReceiptHandle: str, **_: Any) -> None:  # noqa: N803
        self.returned.append(ReceiptHandle)

    def change_message_visibility_batch(self, **_: Any) -> None:
        pass


class Marks:
    def __init__(self) -> None:
        self.over: set[int] = set()

    def is_over(self, number: int) -> bool:
        return number in self.over


def message(number: int, text: str = "a") -> str:
    return Turn(number, f"run-{number}", SHA, "").envelope(text)


def shared(queue: Queue, marks: Marks | None = None, idle_seconds: float = 100) -> SharedQueue:
    return SharedQueue(queue, marks or Marks(), idle_seconds)  # type: ignore[arg-type]


def bodies(leases: list[Lease]) -> list[str]:
    return [lease.body for lease in leases]


def test_a_run_gets_its_own_messages_and_older_ones_are_removed() -> None:
    queue = Queue(message(2, "a"), message(1), message(2, "b"))
    run = shared(queue).next_turn()

    assert run is not None
    assert run.turn == Turn(2, "run-2", SHA, "")
    assert bodies(run.receive(4, 1)) == ["a"]
    assert bodies(run.receive(4, 1)) == ["b"]
    assert queue.finished == [message(1)]


def test_the_next_run_ends_this_one_and_begins_with_what_was_taken() -> None:
    queue = Queue(message(1), message(1, "left"), message(2, "x"), message(2, "y"))
    both = shared(queue)
    run = both.next_turn()
    assert run is not None
    run.receive(4, 1)

    with pytest.raises(QueueGoneError):
        run.receive(4, 1)
    with pytest.raises(QueueGoneError):
        run.receive(4, 1)

    assert queue.returned == [message(2, "y")]
    assert queue.finished == [message(1, "left")]
    following = both.next_turn()
    assert following is not None
    assert bodies(following.receive(4, 1)) == ["x"]


def test_messages_of_a_run_that_is_over_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    queue, marks = Queue(message(1), message(1, "b"), message(2, "x")), Marks()
    marks.over.add(1)
    run = shared(queue, marks).next_turn()

    assert run is not None
    assert run.turn.number == 2
    assert queue.finished == [message(1), message(1, "b")]
    run.receive(1, 1)
    assert run.receive(1, 1) == []
    marks.over.add(2)
    with pytest.raises(QueueGoneError):
        run.renew([Lease("x", "x", 1)])
    with pytest.raises(QueueGoneError):  # also where its messages are still there
        run.receive(1, 1)
    monkeypatch.setattr(time, "monotonic", lambda: 1e9)
    assert shared(queue, marks, idle_seconds=-1).next_turn() is None


def test_a_worker_that_computes_is_not_idle_however_long_the_queue_is_empty(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    run = shared(Queue(message(1))).next_turn()
    assert run is not None
    leases = run.receive(1, 1)
    for now[0] in (90.0, 180.0, 270.0):
        run.renew(leases)
        assert run.receive(1, 1) == []
    now[0] = 371.0

    with pytest.raises(QueueGoneError, match="nothing to do for too long"):
        run.receive(1, 1)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[" * 100_000, '{"tile": 3, "again": false}', json.dumps([1, "../x", SHA, "", "a"]),
     json.dumps([1, "run", "no digest", "", "a"]), json.dumps(["1", "run", SHA, "", "a"])],
)  # fmt: skip
def test_foreign_messages_are_removed(text: str) -> None:
    with pytest.raises(RiosBatchError, match="not of this pool"):
        opened(text)
    queue = Queue(text, message(1))

    assert isinstance(shared(queue).next_turn(), TurnQueue)
    assert queue.finished == [text]
