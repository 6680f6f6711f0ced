from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rios_batch.errors import ParameterError
from rios_batch.model import costs
from rios_batch.model.costs import ENV_PRICES, Prices, Usage, cost_usd

OWN = Prices.read({})
AMOUNTS = st.floats(0, 1e6)


def changed(folder: Path, **changes: Any) -> dict[str, str]:
    """Name a file like the project's, with changes; a price that becomes None is left out."""
    table = json.loads(Path(costs._OWN).read_text()) | changes
    path = folder / "prices.json"
    path.write_text(json.dumps({name: price for name, price in table.items() if price is not None}))
    return {ENV_PRICES: str(path)}


def test_the_documented_example_costs_what_the_documentation_says() -> None:
    # Eight workers of 2 vCPUs for an hour, 10,000 tiles, 10 GB to one's own machine.
    hours = Usage(16, 8, 0)

    assert cost_usd(hours, OWN) == pytest.approx(0.32 + 8 * 0.005 + 8 * 30 * 0.08 / 730)
    assert cost_usd(Usage(puts=10_000, gets=10_000, queue_requests=40_000), OWN) == pytest.approx(0.07)
    assert cost_usd(Usage(gb_out=10), OWN) == pytest.approx(0.90)


@given(AMOUNTS, AMOUNTS, st.integers(0, 10_000))
def test_more_never_costs_less(hours: float, more: float, tails: int) -> None:
    assert cost_usd(Usage(2 * (hours + more), hours + more, tails), OWN) >= cost_usd(
        Usage(2 * hours, hours, tails), OWN
    )


def test_a_file_replaces_the_prices(tmp_path: Path) -> None:
    prices = Prices.read(changed(tmp_path, vcpu_hour=1, describes="mine"))

    assert (prices.vcpu_hour, prices.describes, prices.transfer_gb) == (1, "mine", OWN.transfer_gb)


def test_a_file_may_lack_the_price_on_demand_with_which_no_run_is_reckoned(tmp_path: Path) -> None:
    prices = Prices.read(changed(tmp_path, vcpu_hour_on_demand=None))

    assert prices.vcpu_hour_on_demand is None
    assert cost_usd(Usage(16, 8, 2, 3, 4, 5, 6), prices) == cost_usd(Usage(16, 8, 2, 3, 4, 5, 6), OWN)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"vcpu_hour": None}, "must have date, .* it differs in vcpu_hour"),
        ({"gpu_hour": 1}, "it differs in gpu_hour"),
        ({"vcpu_hour": -1}, r"vcpu_hour in the file of prices .* is -1, not a number of at least 0"),
        ({"vcpu_hour": "0.02"}, "is '0.02', not a number"),
        ({"vcpu_hour_on_demand": "0.05"}, "is '0.05', not a number"),
        ({"vcpu_hour": True}, "is True, not a number"),
        ({"date": 2026}, "date in the file of prices .* is 2026, not a text"),
    ],
)
def test_a_file_that_is_wrong_is_told(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ParameterError, match=says):
        Prices.read(changed(tmp_path, **changes))


@pytest.mark.parametrize("content", ["", "[]", "vcpu_hour: 1"])
def test_what_is_no_table_of_prices_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "prices.json").write_text(content)

    with pytest.raises(ParameterError, match=r"the file of prices .*prices\.json (cannot be read|must have)"):
        Prices.read({ENV_PRICES: str(tmp_path / "prices.json")})


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"none\.json cannot be read as JSON: .*No such file"):
        Prices.read({ENV_PRICES: str(tmp_path / "none.json")})
