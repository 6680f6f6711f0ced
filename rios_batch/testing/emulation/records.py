"""What the server tells of requests and jobs; both sides know it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Call:
    """One request that the server answered.

    Attributes
    ----------
    service, operation : boto3's names; the operation is empty where nobody knows it.
    caller : ``root``, ``user/NAME``, ``role/NAME``, ``anonymous`` or ``unknown/KEY``.
    status : of HTTP.
    bytes_in, bytes_out : lengths of the bodies.
    actions, resources : what IAM asked for, side by side.
    when : seconds on the server's clock.
    """

    service: str
    operation: str
    caller: str
    status: int
    bytes_in: int
    bytes_out: int
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    when: float


@dataclass(frozen=True)
class Job:
    """A Batch job as the server sees it.

    Attributes
    ----------
    job_id : with ``:index`` for a child of an array.
    index : of a child; None for other jobs.
    status, status_reason : Batch's.
    handle : process id or container name while it runs, else None.
    """

    job_id: str
    name: str
    index: int | None
    status: str
    status_reason: str
    handle: str | None
