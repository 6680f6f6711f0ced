"""What tests may ask of the server itself: requests under /_emulation/, answered as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rios_batch.testing.emulation import queues, refusals
from rios_batch.testing.emulation.batch import all_jobs
from rios_batch.testing.emulation.records import Job

if TYPE_CHECKING:
    from rios_batch.testing.emulation.batch import Machines
    from rios_batch.testing.emulation.middleware import Middleware


class Control:
    """Answers to the names below; each is a method ``on_NAME`` with keyword arguments."""

    def connect(self, door: Middleware, machines: Machines) -> None:
        """Learn what there is to control."""
        self._door, self._machines = door, machines

    def __call__(self, name: str, arguments: dict[str, Any]) -> Any:
        method = getattr(self, f"on_{name}", None)
        if method is None:
            raise LookupError(f"there is no control {name!r}")
        return method(**arguments)

    def on_calls(self) -> list[dict[str, Any]]:
        return self._door.calls()

    def on_forget_calls(self) -> None:
        self._door.forget_calls()

    def on_slow_down(self, service: str, share: float) -> None:
        self._door.slow_down(service, share)

    def on_enforce_iam(self, on: bool) -> None:
        self._door.iam = on

    def on_limit_capacity(self, vcpus: float | None) -> None:
        self._machines.limit_vcpus = vcpus

    def on_duplicate_messages(self, on: bool) -> None:
        queues.Accidents.duplicates = on

    def on_be_late(self, queues_s: float, jobs_s: float) -> None:
        queues.Accidents.late_s, self._machines.late_s = queues_s, jobs_s

    def on_lose_message(self, region: str, queue: str) -> str:
        return queues.lose_message(region, queue)

    def on_take_role_back(self, role: str) -> None:
        refusals.take_role_back(role)

    def on_no_faults(self) -> None:
        self._door.no_faults()
        self._machines.limit_vcpus = None
        queues.Accidents.duplicates = False
        self.on_be_late(0, 0)

    def on_jobs(self) -> list[dict[str, Any]]:
        return [
            asdict(
                Job(
                    job_id=job.job_id,
                    name=job.job_name,
                    index=job.index,
                    status=job.state,
                    status_reason=job.describe_short().get("statusReason", ""),
                    handle=job.handle,
                )
            )
            for job in all_jobs()
        ]

    def on_signal_job(self, job_id: str, number: int, group: bool, reason: str, status_reason: str) -> None:
        job = next((job for job in all_jobs() if job.job_id == job_id), None)
        if job is None:
            raise LookupError(f"there is no job {job_id}")
        job.signal(number, group=group, reason=reason, status_reason=status_reason)
