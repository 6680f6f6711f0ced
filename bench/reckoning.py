"""What work on AWS costs, reckoned from counted requests, measured seconds and the project's prices; no clock, no AWS.

Two designs: this one, and that of RIOS 1.4, whose main reads and writes all pixels, and hands out blocks in rounds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rios_batch.model.costs import Prices, Usage, cost_usd

if TYPE_CHECKING:
    from collections.abc import Mapping

TILE_MPX = 2048 * 2048 / 1e6
# Assumed, since they are known on AWS only.
REQUEST_S = 0.03  # until S3 or SQS answers
BYTES_A_SECOND = 90e6  # of one connection to S3
WORKER_VCPUS = MAIN_VCPUS = 2
# S3's dearer requests; its others are billed as GET.
_DEAR = ("put_", "upload_part", "list_", "create_multipart_upload", "complete_multipart_upload")
_OF_QUEUES = ("send_", "receive_", "delete_message", "change_", "get_queue_")


@dataclass(frozen=True)
class Counted:
    """Requests of a tile of 2048 x 2048 pixels, by operation, and of main in a second.

    Attributes
    ----------
    main, workers : to the run's bucket and queue, and for the output.
    inputs : for two bands of an input.
    lists : main's lists in a second.
    input_bytes, stored_bytes : fetched for a tile's two bands, and the size of these in the file.
    """

    main: Mapping[str, float]
    workers: Mapping[str, float]
    inputs: Mapping[str, float]
    lists: float
    input_bytes: float
    stored_bytes: float

    @property
    def of_a_tile(self) -> float:
        """Return the requests of main and workers together."""
        return sum(self.main.values()) + sum(self.workers.values())


@dataclass(frozen=True)
class Measured:
    """A function, by the million pixels.

    Attributes
    ----------
    bands : of the input.
    reading_s, function_s, encoding_s : of one core; statistics are part of encoding.
    raw_in, raw_out : bytes of the pixels in memory.
    """

    bands: int
    reading_s: float
    function_s: float
    encoding_s: float
    raw_in: float
    raw_out: float

    @property
    def seconds(self) -> float:
        """Return how long a core is busy."""
        return self.reading_s + self.function_s + self.encoding_s


@dataclass(frozen=True)
class Bill:
    """What some work takes: dollars with workers on Spot and on demand, and hours until it is done."""

    spot_usd: float
    on_demand_usd: float
    hours: float


def requests_usage(requests: Mapping[str, float]) -> Usage:
    """Return requests by what they are billed as."""
    puts = sum(n for name, n in requests.items() if name.startswith(_DEAR))
    queue = sum(n for name, n in requests.items() if name.startswith(_OF_QUEUES))
    gets = sum(requests.values()) - puts - queue
    return Usage(puts=round(puts), gets=round(gets), queue_requests=round(queue))


def tile_vcpu_s(measured: Measured, counted: Counted) -> float:
    """Return how long a worker process has a tile, with its waiting for the input."""
    return TILE_MPX * (measured.seconds + waiting_s(measured, counted))


def waiting_s(measured: Measured, counted: Counted) -> float:
    """Return how long the input's million pixels are waited for."""
    of_two_bands = sum(counted.inputs.values()) * REQUEST_S + counted.input_bytes / BYTES_A_SECOND
    return of_two_bands * measured.bands / 2 / TILE_MPX


def ours(tiles: float, workers: int, measured: Measured, counted: Counted, prices: Prices) -> Bill:
    """Reckon up tiles in this design; without workers main's own processes do them."""
    processes = (workers * WORKER_VCPUS) or MAIN_VCPUS
    hours = math.ceil(tiles / processes) * tile_vcpu_s(measured, counted) / 3600
    share = measured.bands / 2
    parts = (counted.main, counted.workers, {name: n * share for name, n in counted.inputs.items()})
    names = {name for part in parts for name in part}
    requests = {name: tiles * sum(part.get(name, 0.0) for part in parts) for name in names}
    requests["list_objects_v2"] = counted.lists * hours * 3600
    usage = requests_usage(requests)
    return _bill(replace(usage, worker_hours=hours * workers, tails=workers), hours, prices)


def forebear(
    tiles: float, workers: int, window_px: int, measured: Measured, counted: Counted, prices: Prices
) -> Bill:
    """Reckon up the same pixels in the design of RIOS 1.4, with an input that is read as here.

    Blocks go in rounds, one to each of ``workers`` jobs of one vCPU. Main reads a round's blocks, puts each into S3 and
    a message into a queue, waits for all, and for each takes a message, deletes the message, gets the result, deletes
    the result, and writes it. A worker takes a message and deletes it, gets the block and deletes it, puts the result,
    and sends a message.
    """
    mpx = window_px * window_px / 1e6
    blocks = tiles * TILE_MPX / mpx
    travelling_s = mpx * (measured.raw_in + measured.raw_out) / BYTES_A_SECOND
    own_s = waiting_s(measured, counted) + measured.reading_s + measured.encoding_s
    main_s = mpx * own_s + travelling_s + 6 * REQUEST_S
    worker_s = mpx * measured.function_s + travelling_s + 6 * REQUEST_S
    hours = blocks / workers * (workers * main_s + worker_s) / 3600
    usage = Usage(
        worker_hours=hours * workers,
        tails=workers,
        puts=round(2 * blocks),
        gets=round(2 * blocks + tiles * sum(counted.inputs.values()) * measured.bands / 2),
        queue_requests=round(6 * blocks),
    )
    return _bill(usage, hours, prices, vcpus=1)


def _bill(usage: Usage, hours: float, prices: Prices, vcpus: int = WORKER_VCPUS) -> Bill:
    """Add main, which is a job on demand for the whole time, and reckon workers at both prices."""
    assert prices.vcpu_hour_on_demand is not None
    usage = replace(usage, vcpu_hours=usage.worker_hours * vcpus)
    on_demand = replace(prices, vcpu_hour=prices.vcpu_hour_on_demand)
    main_usd = cost_usd(Usage(hours * MAIN_VCPUS, hours, 1), on_demand)
    return Bill(cost_usd(usage, prices) + main_usd, cost_usd(usage, on_demand) + main_usd, hours)
