"""The page on money is what the script makes of the measurements that lie beside it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.cost import PAGE, WHO_PAYS, pages, read_measurements
from bench.costpage import cost_page
from bench.reckoning import TILE_MPX, Bill, Counted, Measured, forebear, ours, requests_usage, tile_vcpu_s
from rios_batch.model.costs import Prices, Usage, cost_usd

PRICES = Prices.read({})
NOTHING = Counted({}, {}, {}, lists=0, input_bytes=0, stored_bytes=1)
SECOND = Measured(2, 1 / TILE_MPX, 0, 0, raw_in=0, raw_out=0)  # a tile takes a second


@pytest.mark.parametrize("path", [PAGE, WHO_PAYS], ids=lambda path: path.name)
def test_the_page_is_what_the_script_makes_of_its_measurements(path: object) -> None:
    made = {page: text for page, text in pages().items() if page == path}

    assert made == {page: page.read_text() for page in made}
    assert made


def test_other_prices_make_another_page() -> None:
    found = read_measurements()
    made = {
        cost_page(found.date, found.machine, found.counted, found.measured, prices)
        for prices in (PRICES, replace(PRICES, vcpu_hour=0.03), replace(PRICES, put_1000=0.01))
    }

    assert len(made) == 3


def test_work_that_asks_nothing_costs_its_machines_and_main() -> None:
    hours = 7200 / 20 / 3600  # ten workers of two processes
    workers = cost_usd(Usage(10 * hours * 2, 10 * hours, 10), PRICES)
    main = cost_usd(Usage(hours * 2, hours, 1), replace(PRICES, vcpu_hour=0.05))

    assert ours(7200, 10, SECOND, NOTHING, PRICES).spot_usd == pytest.approx(workers + main)


def test_requests_are_billed_by_their_kind() -> None:
    asked = {"put_object": 1, "upload_part_copy": 1, "list_objects_v2": 1, "get_object": 2, "HEAD": 1}
    queue = {"receive_message": 1, "delete_message": 1, "send_message_batch": 1}

    assert requests_usage(asked | queue) == Usage(puts=3, gets=3, queue_requests=3)


def test_a_process_waits_for_the_requests_and_the_bytes_of_each_band() -> None:
    counted = replace(NOTHING, inputs={"GET": 10}, input_bytes=90e6)

    assert tile_vcpu_s(SECOND, counted) == pytest.approx(1 + 10 * 0.03 + 1)
    assert tile_vcpu_s(replace(SECOND, bands=6), counted) == pytest.approx(1 + 3 * (10 * 0.03 + 1))


def test_workers_of_the_forebear_wait_for_main() -> None:
    def bill(workers: int) -> Bill:
        return forebear(1000, workers, 2048, SECOND, NOTHING, PRICES)

    # Main needs 1.18 s for a block, a worker 0.18 s.
    assert bill(1).hours == pytest.approx(1000 * (1.18 + 0.18) / 3600)
    assert bill(50).hours == pytest.approx(1000 * (1.18 + 0.18 / 50) / 3600)
    assert bill(50).spot_usd > bill(10).spot_usd > bill(1).spot_usd


def test_a_tile_asks_aws_at_most_six_times() -> None:
    counted = read_measurements().counted

    assert counted.keys() == {"float32", "uint8"}
    assert all(4 < one.of_a_tile <= 6 for one in counted.values())
