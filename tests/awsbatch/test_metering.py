"""A run is stopped before it costs more than it may, and reckoned up at its end."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from rios_batch.awsbatch import metering, receipt
from rios_batch.awsbatch.metering import METER_SECONDS, Meter
from rios_batch.errors import CostLimitError
from rios_batch.model.costs import Prices

if TYPE_CHECKING:
    from collections.abc import Mapping

# A worker costs 3600 USD an hour, a dollar a second; nothing else costs anything.
PRICES = replace(
    Prices.read({}), vcpu_hour=1800, address_hour=0, volume_gib=0, tail_minutes=0, put_1000=0, get_1000=0,
    queue_million=0,
)  # fmt: skip


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=0.0)
    clock.monotonic = lambda: clock.now
    clock.time = lambda: clock.now
    monkeypatch.setattr(metering, "time", clock)
    monkeypatch.setattr(receipt, "time", clock)
    return clock


class Jobs:
    submitted = True

    def __init__(self, counts: Mapping[str, int]) -> None:
        self.counts, self.asked = counts, 0

    def report(self) -> Any:
        self.asked += 1
        return SimpleNamespace(counts=self.counts)


def meter(jobs: Any, max_usd: float, prices: Prices = PRICES) -> Meter:
    return Meter(jobs, 2, prices, max_usd)


def seconds_until_stopped(clock: SimpleNamespace, of: Meter) -> float:
    for clock.now in range(0, 5000, 5):
        try:
            of.look()
        except CostLimitError:
            return float(clock.now)
    return float("inf")


@pytest.mark.parametrize("running", [1, 4])
def test_a_run_is_stopped_before_it_costs_more_than_it_may(clock: SimpleNamespace, running: int) -> None:
    stopped = seconds_until_stopped(clock, meter(Jobs({"RUNNING": running}), 600.0))

    assert 600 - 3 * METER_SECONDS * running <= stopped * running <= 600


def test_machines_that_go_on_after_the_end_count(clock: SimpleNamespace) -> None:
    tailed = replace(PRICES, tail_minutes=2)

    stopped = seconds_until_stopped(clock, meter(Jobs({"RUNNING": 1}), 600.0, tailed))

    assert stopped <= 600 - 120


def test_machines_that_go_on_for_the_next_run_do_not_count_after_the_end(clock: SimpleNamespace) -> None:
    tailed = replace(PRICES, tail_minutes=2)

    stopped = seconds_until_stopped(clock, Meter(Jobs({"RUNNING": 1}), 2, tailed, 600.0, with_tails=False))  # type: ignore[arg-type]

    assert 600 - 3 * METER_SECONDS <= stopped <= 600


def test_workers_that_wait_cost_nothing(clock: SimpleNamespace) -> None:
    jobs = Jobs({"RUNNABLE": 50})

    assert seconds_until_stopped(clock, meter(jobs, 0.01)) == float("inf")
    assert jobs.asked <= 5000 / METER_SECONDS


def test_workers_whose_first_minutes_are_too_dear_are_not_submitted() -> None:
    meter(Jobs({}), 600.0).check_before(5)

    with pytest.raises(
        CostLimitError, match=r"^50 workers .* about 3000\.00 USD before .* may cost 600\.00 USD; use"
    ):
        meter(Jobs({}), 600.0).check_before(50)


def child(status: str, *attempts: tuple[int, int | None, str], started_s: int = 0) -> dict[str, Any]:
    """Describe a worker as Batch does; attempts began and ended at seconds, for a reason."""
    return {
        "status": status,
        "startedAt": started_s * 1000,
        "attempts": [
            {"startedAt": began * 1000, "stoppedAt": (ended or 0) * 1000, "statusReason": reason}
            for began, ended, reason in attempts
        ],
    }


def test_the_receipt_has_all_attempts_of_all_workers(clock: SimpleNamespace) -> None:
    clock.now = 1000.0
    children = [
        child(
            "SUCCEEDED",
            (100, 400, "Host EC2 (instance i-1) terminated."),
            (500, 900, "Essential container exited"),
        ),
        child("RUNNING", started_s=800),
        child("RUNNABLE"),
    ]
    jobs: Any = SimpleNamespace(
        submitted=True, count=3, children=lambda indices: [children[i] for i in indices]
    )
    spec: Any = SimpleNamespace(outputs=[SimpleNamespace(stays_in_s3=False)])
    records: Any = [SimpleNamespace(bytes_out=500_000_000)] * 2

    found = receipt.receipt(spec, jobs, 2, records, failures=3)

    assert (found.workers, found.machines_lost, found.failures) == (2, 1, 3)
    assert found.usage.vcpu_hours * 3600 == pytest.approx(2 * (300 + 400 + 200))
    assert found.usage.gb_out == 1.0
    assert str(found).startswith(
        "about 0.11 USD: 0.50 vCPU-hours, workers: 2, 12 requests, 1.000 GB out of AWS; "
    )
    assert "machines lost: 1, tiles done again: 3 (prices of 20" in str(found)

    of_later_run = receipt.receipt(spec, jobs, 2, records, failures=0, since_s=850.0)

    assert of_later_run.usage.vcpu_hours * 3600 == pytest.approx(2 * (50 + 150))
    assert (of_later_run.workers, of_later_run.machines_lost, of_later_run.usage.tails) == (2, 0, 0)


@pytest.mark.parametrize("where", ["S3", "a main in AWS"])
def test_bytes_that_stay_in_aws_cost_nothing(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if where == "a main in AWS":
        monkeypatch.setenv("AWS_BATCH_JOB_ID", "J")
    jobs: Any = SimpleNamespace(submitted=False)
    spec: Any = SimpleNamespace(outputs=[SimpleNamespace(stays_in_s3=where == "S3")])
    records: Any = [SimpleNamespace(bytes_out=500_000_000)]

    assert receipt.receipt(spec, jobs, 2, records, failures=0).usage.gb_out == 0
