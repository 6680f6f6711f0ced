"""The text of the page on money; numbers only from what is handed in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench import reckoning
from bench.reckoning import TILE_MPX, forebear, ours, requests_usage, tile_vcpu_s
from rios_batch.model.costs import Usage, cost_usd

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bench.reckoning import Bill, Counted, Measured
    from rios_batch.model.costs import Prices

    ByName = Mapping[str, Measured]

WORKERS = 50
MILLION = 1_000_000
_WHOLE_FROM = 100  # USD; cents mean nothing above
_TEMPLATE = Path(__file__).with_name("cost_template.md")
_BEGIN, _END = "<!-- made by bench/cost.py: begin -->", "<!-- made by bench/cost.py: end -->"


@dataclass(frozen=True)
class Example:
    """Work that somebody has.

    Attributes
    ----------
    what : in words.
    task : which function is measured for it.
    mpx : million pixels of all.
    workers : on AWS Batch; 0 has main's own processes do all.
    """

    what: str
    task: str
    mpx: float
    workers: int


EXAMPLES = (
    Example("NDVI of a Landsat scene, 7,700 x 7,800 pixels, main as a job", "light", 60.1, 0),
    Example(
        "three masked indices of 1,000 Sentinel-2 scenes of 10,980 x 10,980 pixels", "medium", 120_560, 50
    ),
    Example("NDVI of a continent's mosaic, 400,000 x 370,000 pixels of 10 m", "light", 148_000, 200),
)
FUNCTIONS = {
    "light": "NDVI of two bands, as float32",
    "medium": "three masked indices of six bands, as int16",
    "heavy": "median of 3 x 3 pixels of one band, as uint16",
}


def cost_page(
    date: str, machine: str, counted: Mapping[str, Counted], measured: ByName, prices: Prices
) -> str:
    """Return docs/cost.md."""
    large = counted["float32"]
    return _TEMPLATE.read_text().format(
        date=date,
        machine=machine,
        prices_date=prices.date,
        prices_describe=prices.describes,
        request_ms=round(reckoning.REQUEST_S * 1000),
        mb_a_second=round(reckoning.BYTES_A_SECOND / 1e6),
        worker_vcpus=reckoning.WORKER_VCPUS,
        main_vcpus=reckoning.MAIN_VCPUS,
        tail_minutes=f"{prices.tail_minutes:g}",
        workers=WORKERS,
        light=FUNCTIONS["light"],
        lists=large.lists,
        gets=round(sum(large.inputs.values())),
        bytes_ratio=f"{large.input_bytes / large.stored_bytes:.2f}",
        million="\n".join(_million(large, measured, prices)),
        against="\n".join(_against(large, measured["light"], prices)),
        examples="\n".join(_examples(large, measured, prices)),
        requests="\n".join(_requests(counted, prices)),
        prices="\n".join(_prices(prices)),
    )


def _million(counted: Counted, measured: ByName, prices: Prices) -> Iterator[str]:
    yield "| Function | seconds of a vCPU a tile | a million tiles, Spot | on demand | a terabyte, Spot | on demand |"
    yield "|---|---|---|---|---|---|"
    for name, one in measured.items():
        bill = ours(MILLION, WORKERS, one, counted, prices)
        per_tb = ours(1e12 / (counted.stored_bytes * one.bands / 2), WORKERS, one, counted, prices)
        yield (
            f"| {FUNCTIONS[name]} | {tile_vcpu_s(one, counted):.1f} | {_usd(bill.spot_usd)} | "
            f"{_usd(bill.on_demand_usd)} | {_usd(per_tb.spot_usd)} | {_usd(per_tb.on_demand_usd)} |"
        )


def _against(counted: Counted, light: Measured, prices: Prices) -> Iterator[str]:
    yield "| Design | Window | workers | days | USD | times |"
    yield "|---|---|---|---|---|---|"
    mine = ours(MILLION, WORKERS, light, counted, prices)
    yield _design_row("rios_batch", "any", WORKERS, mine, mine)
    for window_px in (256, 2048):
        for workers in (1, 10, 50):
            bill = forebear(MILLION, workers, window_px, light, counted, prices)
            yield _design_row("RIOS 1.4", f"{window_px} x {window_px}", workers, bill, mine)


def _design_row(design: str, window: str, workers: int, bill: Bill, mine: Bill) -> str:
    return (
        f"| {design} | {window} | {workers} | {bill.hours / 24:,.1f} | {_usd(bill.spot_usd)} | "
        f"{bill.spot_usd / mine.spot_usd:,.1f} |"
    )


def _examples(counted: Counted, measured: ByName, prices: Prices) -> Iterator[str]:
    yield "| Work | tiles | workers | time | Spot | on demand | RIOS 1.4, Spot |"
    yield "|---|---|---|---|---|---|---|"
    for example in EXAMPLES:
        one, tiles = measured[example.task], example.mpx / TILE_MPX
        bill = ours(tiles, example.workers, one, counted, prices)
        before = forebear(tiles, max(1, example.workers), 256, one, counted, prices)
        yield (
            f"| {example.what} | {tiles:,.0f} | {example.workers or '-'} | {_time(bill.hours)} | "
            f"{_usd(bill.spot_usd)} | {_usd(bill.on_demand_usd)} | {_usd(before.spot_usd)} |"
        )


def _requests(counted: Mapping[str, Counted], prices: Prices) -> Iterator[str]:
    yield "| Output | main | workers | together | USD for 10,000 tiles |"
    yield "|---|---|---|---|---|"
    for kind, one in counted.items():
        yield (
            f"| {kind} | {_listed(one.main)} | {_listed(one.workers)} | {one.of_a_tile:.1f} | "
            f"{_usd(_requests_usd(one, prices))} |"
        )


def _prices(prices: Prices) -> Iterator[str]:
    yield "| What | USD | Source |"
    yield "|---|---|---|"
    for what, usd, page in (
        ("vCPU and hour, Spot", prices.vcpu_hour, "ec2/spot/pricing"),
        ("vCPU and hour, on demand", prices.vcpu_hour_on_demand, "ec2/pricing/on-demand"),
        ("public IPv4 address, hour", prices.address_hour, "vpc/pricing"),
        ("GiB of a gp3 volume, month", prices.volume_gib_month, "ebs/pricing"),
        ("1,000 PUT, COPY and LIST requests to S3", prices.put_1000, "s3/pricing"),
        ("1,000 GET requests to S3", prices.get_1000, "s3/pricing"),
        ("a million requests to SQS", prices.queue_million, "sqs/pricing"),
        ("GB that leaves AWS", prices.transfer_gb, "s3/pricing"),
    ):
        yield f"| {what} | {usd:g} | [aws.amazon.com/{page}](https://aws.amazon.com/{page}/) |"


def with_prices(page: str, counted: Mapping[str, Counted], prices: Prices) -> str:
    """Return docs/concepts/who-pays-what.md with its tables of prices made anew."""
    parts = iter(("\n".join(_who_pays(counted, prices)), "\n".join(_example_of_prices(counted, prices))))
    pattern = rf"{re.escape(_BEGIN)}\n.*?\n{re.escape(_END)}"
    return re.sub(pattern, lambda _: f"{_BEGIN}\n{next(parts)}\n{_END}", page, flags=re.DOTALL)


def _who_pays(counted: Mapping[str, Counted], prices: Prices) -> Iterator[str]:
    beside_usd = cost_usd(Usage(worker_hours=1), prices)
    yield f"| What | Is paid | About, with prices of {prices.date} |"
    yield "|---|---|---|"
    yield f"| workers, on Spot | while a machine runs | {prices.vcpu_hour:.2f} USD for a vCPU and hour |"
    main_usd = prices.vcpu_hour_on_demand
    yield f"| main as a job, on demand | while the script runs | {main_usd:.2f} USD for a vCPU and hour |"
    yield f"| public address and volume of a machine | while the machine runs | {beside_usd:.3f} USD an hour |"
    yield f"| requests to S3 and SQS | by the tile | {_dearest_usd(counted, prices):.2f} USD for 10,000 tiles |"
    yield "| reading and writing S3 in the same region | nothing | |"
    yield f"| an output that is sent to your machine | by the GB | {prices.transfer_gb:.2f} USD |"


def _example_of_prices(counted: Mapping[str, Counted], prices: Prices) -> Iterator[str]:
    vcpus, beside = 16 * prices.vcpu_hour, cost_usd(Usage(worker_hours=8), prices)
    requests = _dearest_usd(counted, prices)
    yield "| | USD |"
    yield "|---|---|"
    yield f"| 16 vCPU-hours of Spot at {prices.vcpu_hour:.2f} USD | {vcpus:.2f} |"
    yield f"| addresses and volumes of eight machines at {beside / 8:.3f} USD | {beside:.2f} |"
    yield f"| requests for 10,000 tiles | {requests:.2f} |"
    yield f"| **together** | **{vcpus + beside + requests:.2f}** |"


def _dearest_usd(counted: Mapping[str, Counted], prices: Prices) -> float:
    return max(_requests_usd(one, prices) for one in counted.values())


def _requests_usd(counted: Counted, prices: Prices) -> float:
    both = (counted.main, counted.workers)
    usages = [requests_usage({name: 10_000 * n for name, n in part.items()}) for part in both]
    return sum(cost_usd(usage, prices) for usage in usages)


def _listed(requests: Mapping[str, float]) -> str:
    return ", ".join(f"{n:g} {name}" for name, n in requests.items())


def _usd(usd: float) -> str:
    return f"{usd:,.0f} USD" if usd >= _WHOLE_FROM else f"{usd:.2f} USD"


def _time(hours: float) -> str:
    return f"{hours:.1f} h" if hours >= 1 else f"{hours * 60:.1f} min"
