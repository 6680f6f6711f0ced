"""Main's waiting on AWS Batch has an end where the script wants one."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from rios_batch.awsbatch import polling
from rios_batch.awsbatch.polling import Poll
from rios_batch.errors import WaitLimitError
from rios_batch.jobmanagers.watchdog import Watchdog


@pytest.fixture
def poll(monkeypatch: pytest.MonkeyPatch) -> Poll:
    monkeypatch.setattr(polling, "POLL_SECONDS", 0.01)
    poll = Poll(Watchdog(limit_s=0.05))
    poll.awaited = lambda: "tile 3"
    return poll


def wait_for_ever(poll: Poll) -> None:
    while True:
        poll.wait()


@pytest.mark.parametrize("over", [False, True])
def test_waiting_for_workers_ends_at_the_limit(poll: Poll, over: bool) -> None:
    poll.over = over

    with pytest.raises(WaitLimitError, match="waited for tile 3"):
        wait_for_ever(poll)


def test_waiting_for_a_request_that_is_never_answered_ends_at_the_limit(poll: Poll) -> None:
    with pytest.raises(WaitLimitError, match="waited for tile 3"):
        poll.result_of(Future())


def test_what_ends_the_run_is_seen_while_main_waits_for_a_request(poll: Poll) -> None:
    def look() -> None:
        raise LookupError("a worker has failed")

    poll.add(look)

    with pytest.raises(LookupError, match="a worker has failed"):
        poll.result_of(Future())


def test_an_answered_request_is_not_waited_for(poll: Poll) -> None:
    answered: Future[str] = Future()
    answered.set_result("a tile")

    assert poll.result_of(answered) == "a tile"
