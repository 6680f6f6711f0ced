"""What a run on AWS Batch costs: prices, what was used, and the sum. All in US dollars."""

from __future__ import annotations

import json
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from rios_batch.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Mapping

ENV_PRICES = "RIOS_BATCH_PRICES"
"""Names a file that replaces the project's prices."""
_OWN = Path(__file__).with_name("prices.json")
_HOURS_PER_MONTH = 730
_MAY_LACK = "vcpu_hour_on_demand"  # no run is reckoned with it


@dataclass(frozen=True)
class Prices:
    """Prices, and what is assumed of machines.

    Attributes
    ----------
    date, describes : when the prices were looked up, and what they are those of.
    vcpu_hour : of a worker's machine.
    address_hour : of a machine's public IPv4 address; 0 in a private network.
    volume_gib_month, volume_gib : of a machine's volume, and the volume's size.
    tail_minutes : how long a machine goes on when its worker has ended.
    put_1000, get_1000 : of a thousand requests to S3.
    queue_million : of a million requests to SQS.
    transfer_gb : of a GB (10**9 bytes) that leaves AWS.
    vcpu_hour_on_demand : of a machine that is not taken away, such as main's; None where the file does not say.
    """

    date: str
    describes: str
    vcpu_hour: float
    address_hour: float
    volume_gib_month: float
    volume_gib: float
    tail_minutes: float
    put_1000: float
    get_1000: float
    queue_million: float
    transfer_gb: float
    vcpu_hour_on_demand: float | None = None

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Prices:
        """Read the file that the environment names, or the project's own.

        Raises
        ------
        ParameterError : the file cannot be read, or a price is missing, unknown or no number of at least 0.
        """
        path = Path(environment.get(ENV_PRICES) or _OWN)
        try:
            found = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise ParameterError(f"the file of prices {path} cannot be read as JSON: {error}") from error
        names = {field.name: field.type for field in fields(cls) if field.default is MISSING}
        if isinstance(found, dict) and _MAY_LACK in found:
            names[_MAY_LACK] = "float"
        if not isinstance(found, dict) or found.keys() != names.keys():
            wrong = sorted(found.keys() ^ names.keys()) if isinstance(found, dict) else [type(found).__name__]
            raise ParameterError(
                f"the file of prices {path} must have {', '.join(names)}, and nothing else; it differs in "
                f"{', '.join(wrong)}"
            )
        for name, kind in names.items():
            value = found[name]
            good = isinstance(value, str) if kind == "str" else type(value) in {int, float} and value >= 0
            if not good:
                wanted = "a text" if kind == "str" else "a number of at least 0"
                raise ParameterError(f"{name} in the file of prices {path} is {value!r}, not {wanted}")
        return cls(**found)


@dataclass(frozen=True)
class Usage:
    """What a run has used.

    Attributes
    ----------
    vcpu_hours : of workers on Batch.
    worker_hours : the same without their vCPUs.
    tails : workers whose machines go on for a while after them.
    puts, gets : requests to S3.
    queue_requests : requests to SQS.
    gb_out : GB (10**9 bytes) that left AWS.
    """

    vcpu_hours: float = 0.0
    worker_hours: float = 0.0
    tails: int = 0
    puts: int = 0
    gets: int = 0
    queue_requests: int = 0
    gb_out: float = 0.0


def cost_usd(usage: Usage, prices: Prices) -> float:
    """Return what a run costs. Each worker is taken to have a machine of its own, of the worker's size."""
    vcpus = usage.vcpu_hours / usage.worker_hours if usage.worker_hours else 0.0
    machine_hours = usage.worker_hours + usage.tails * prices.tail_minutes / 60
    volume_hour = prices.volume_gib * prices.volume_gib_month / _HOURS_PER_MONTH
    return (
        machine_hours * (vcpus * prices.vcpu_hour + prices.address_hour + volume_hour)
        + usage.puts * prices.put_1000 / 1e3
        + usage.gets * prices.get_1000 / 1e3
        + usage.queue_requests * prices.queue_million / 1e6
        + usage.gb_out * prices.transfer_gb
    )
