"""Workers on AWS Batch that outlive a run: one queue and one array job for all runs of a script."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import numbers
import os
import secrets
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Self

from rios_batch.aws.cloud import Cloud
from rios_batch.aws.faults import explained
from rios_batch.aws.jobs import LARGEST_ARRAY, JobReport, WorkerJobs
from rios_batch.aws.queue import WorkQueue
from rios_batch.awsbatch import starting
from rios_batch.awsbatch.heartbeat import Heartbeat
from rios_batch.awsbatch.receipt import usage_of_workers
from rios_batch.awsbatch.runstore import RunStore
from rios_batch.awsbatch.stopping import UndoStack
from rios_batch.awsbatch.turns import Turn, TurnMarks
from rios_batch.awsbatch.versions import check_python
from rios_batch.contract import POOL_MARK, Env
from rios_batch.errors import JobMgrError, ParameterError, RiosBatchError
from rios_batch.jobmanagers.base import WITH_WORKERS_AT_HAND
from rios_batch.jobmanagers.shownlines import lines_shown
from rios_batch.model.costs import Prices, cost_usd

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mypy_boto3_batch.type_defs import JobDetailTypeDef

    from rios_batch.aws.stackoutputs import StackOutputs

log = logging.getLogger("rios_batch")

_MANAGER = "AWSBatch"
REPLACE_SECONDS = 60.0  # between looks whether workers have ended during a run
MOST_LOOKS = 5  # that find so: a function that ends its workers would cost machines for ever
IDLE_SECONDS = 600
LONGEST_IDLE_SECONDS = 43_200


class Workers:
    """Workers for all calls of ``apply`` with job manager AWSBatch, as long as the ``with`` block lasts.

        with batch.Workers(50):
            for scene in scenes:
                applier.apply(..., controls=controls)

    Between calls the workers wait, which costs what their machines cost. One that has waited for ``idleSeconds`` ends;
    the next call has new ones started in place of all that have ended. A call from another thread while one is under
    way has workers of its own.

    Parameters
    ----------
    count : workers on AWS Batch. What `setNumThreads` says counts for calls without these workers only, and may be left
        out.
    idleSeconds : for how long a worker waits for the next call, from 1 to 43,200 seconds; default 600.

    Raises
    ------
    ParameterError : a number is not allowed.
    JobMgrError : (on entering) the stack cannot be used or may not have so many, or there are such workers already.
    """

    def __init__(self, count: int, idleSeconds: int = IDLE_SECONDS) -> None:  # noqa: N803 - as RIOS's names
        _check_whole("Workers", count, 1, LARGEST_ARRAY)
        _check_whole("idleSeconds", idleSeconds, 1, LONGEST_IDLE_SECONDS)
        self.count, self._idle_seconds = int(count), int(idleSeconds)
        self.pool_id = f"{POOL_MARK}{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
        self._undo = UndoStack(self.pool_id)
        self._in_use = threading.Lock()
        self._turns, self._shown = 0, contextlib.ExitStack()

    def __enter__(self) -> Self:
        if current() is not None:
            raise JobMgrError(
                "there are workers for all runs already; `with batch.Workers(...)` cannot be nested"
            )
        self._shown.enter_context(lines_shown())
        try:
            self._open()
        except BaseException:
            self._close()
            raise
        _pools.append(self)
        WITH_WORKERS_AT_HAND.add(_MANAGER)
        return self

    def __exit__(self, *error: object) -> None:
        _pools.remove(self)
        WITH_WORKERS_AT_HAND.discard(_MANAGER)
        self._close()

    def _open(self) -> None:
        self.cloud = Cloud.connect()
        stack = self.cloud.stack_outputs
        check_python(stack.stack_name, stack.python)
        most = min(LARGEST_ARRAY, stack.max_vcpus // stack.worker_vcpus)
        if self.count > most:
            raise JobMgrError(
                f"{self.count} workers of {stack.worker_vcpus} vCPUs are asked for; stack {stack.stack_name} may have "
                f"{stack.max_vcpus} vCPUs, and an array job {LARGEST_ARRAY:,} workers: use at most "
                f"batch.Workers({most}), or raise max_vcpus"
            )
        store = RunStore(self.cloud.bucket, self.pool_id)
        name = f"{self.pool_id}-{secrets.token_hex(2)}"
        self._undo.add("its notes", store.delete)
        with explained(f"pool {self.pool_id}"):
            self.queue = starting.make_queue(self.cloud, name)
            self._undo.add("its queue", self.queue.delete)
            self.queue.wait_until_usable()
        self.jobs = PoolJobs(self.cloud.batch, stack, starting.job_name(name))
        store.put_main(
            self.queue.url, self.jobs.name
        )  # so that `rios-batch clean` finds what a killed main leaves
        heartbeat = Heartbeat(store)
        self._undo.add("its heartbeat", heartbeat.stop)
        heartbeat.start()
        self.marks = TurnMarks(self.cloud.bucket, self.pool_id)
        self._undo.add("its Batch job", lambda: self.jobs.terminate("the pool of workers was closed"))
        self._submit(self.count)
        log.info(
            "pool %s: job %s of %d workers in queue %s for all runs; a worker that waits for %d s ends",
            *(self.pool_id, self.jobs.job_id, self.count, stack.worker_queue, self._idle_seconds),
        )

    def _close(self) -> None:
        with self._shown:
            try:
                self._undo.run()
                self._say_what_it_cost()
            finally:
                if hasattr(self, "cloud"):
                    self.cloud.close()

    def _say_what_it_cost(self) -> None:
        if not hasattr(self, "jobs") or not self.jobs.submitted:
            return
        try:
            usage = usage_of_workers(self.jobs, self.cloud.stack_outputs.worker_vcpus)
            usd = cost_usd(usage, Prices.read(os.environ))
        except RiosBatchError as error:
            log.warning("what pool %s cost is not known: %s", self.pool_id, error)
        else:
            log.info(
                "pool %s cost about %.2f USD in all: %.2f vCPU-hours, with the waiting between %d runs",
                *(self.pool_id, usd, usage.vcpu_hours, self._turns),
            )

    def lend(self) -> RunInPool | None:
        """Return the workers for one run, until it gives them back; None if another run has them."""
        if not self._in_use.acquire(blocking=False):
            return None
        self._turns += 1
        return RunInPool(self, self._turns, self._in_use.release)

    def replace_ended(self) -> bool:
        """Start workers in place of those that have ended; return whether there were such.

        Raises
        ------
        AWSError : Batch refuses.
        """
        counts = self.jobs.report().counts
        ended = self.jobs.count - sum(
            n for state, n in counts.items() if state not in ("SUCCEEDED", "FAILED")
        )
        missing = self.count - (self.jobs.count - ended)
        if missing > 0:
            log.info("pool %s: %d workers have ended, and are replaced", self.pool_id, missing)
            self._submit(missing)
        return missing > 0

    def _submit(self, count: int) -> None:
        self.jobs.submit(
            count,
            {
                Env.POOL_ID.value: self.pool_id,
                Env.QUEUE_URL.value: self.queue.url,
                Env.LEASE_SECONDS.value: str(starting.LEASE_SECONDS),
                Env.IDLE_SECONDS.value: str(self._idle_seconds),
            },
        )


def _check_whole(name: str, value: Any, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or not least <= int(value) <= most:
        raise ParameterError(f"{name} must be a whole number from {least} to {most:,}, not {value!r}")


_pools: list[Workers] = []  # one at most


def current() -> Workers | None:
    """Return the workers of the ``with`` block that this process is in, if it is in one."""
    return _pools[-1] if _pools else None


class RunInPool:
    """A pool's workers, as the main of one run uses them; in the place of a queue and a job of its own.

    Attributes
    ----------
    number : of the turn.
    pool : the workers.
    queue : sends messages of this run through the pool's queue.
    since_s : when the turn began, in seconds since 1970.
    """

    def __init__(self, pool: Workers, number: int, give_back: Any) -> None:
        self.pool, self.number, self._give_back = pool, number, give_back
        self.queue = MainsTurnQueue(pool.queue, pool.marks, number)
        self.since_s = time.time()
        self._looked_at, self._looks = time.monotonic(), 0

    def give_back(self) -> None:
        """Let the next run have the workers."""
        self._give_back()

    def look(self) -> None:
        """Start workers in place of those that have ended during the run, if REPLACE_SECONDS have passed.

        Raises
        ------
        AWSError : Batch refuses.
        """
        if self._looks < MOST_LOOKS and time.monotonic() > self._looked_at + REPLACE_SECONDS:
            self._looked_at = time.monotonic()
            self._looks += self.pool.replace_ended()


class MainsTurnQueue(WorkQueue):
    """The queue of one run in a pool, as main sees it."""

    def __init__(self, queue: WorkQueue, marks: TurnMarks, number: int) -> None:
        super().__init__(queue._client, queue.url, queue._lease_seconds)  # noqa: SLF001 - a WorkQueue's
        self._marks, self._number = marks, number
        self._turn: Turn | None = None

    def begin(self, run_id: str, job_sha256: str, inputs_sha256: str) -> None:
        """Say what messages from now on are of."""
        self._turn = Turn(self._number, run_id, job_sha256, inputs_sha256)

    def send(self, bodies: Sequence[str]) -> None:
        """Put messages into the queue.

        Raises
        ------
        AWSError : SQS refuses a message.
        """
        assert self._turn is not None
        super().send([self._turn.envelope(body) for body in bodies])

    def delete(self) -> None:
        """Have workers give up the run and wait for the next one. Messages that are left are removed by workers."""
        self._marks.put_over(self._number)


class PoolJobs(WorkerJobs):
    """The workers of a pool: an array job, and further ones in place of workers that have ended; all have one name."""

    def __init__(self, client: Any, stack_outputs: StackOutputs, name: str) -> None:
        super().__init__(client, stack_outputs, name)
        self._parts: list[WorkerJobs] = []

    @property
    def count(self) -> int:
        return sum(part.count for part in self._parts)

    @property
    def job_id(self) -> str:
        return self._parts[-1].job_id if self._parts else ""

    @property
    def submitted(self) -> bool:
        return any(part.submitted for part in self._parts)

    def submit(self, count: int, environment: Mapping[str, str]) -> None:
        part = WorkerJobs(self._client, self._stack_outputs, self.name)
        self._parts.append(part)
        part.submit(count, environment)

    def terminate(self, reason: str) -> None:
        for part in self._parts:
            part.terminate(reason)

    def report(self) -> JobReport:
        reports = [part.report() for part in self._parts if part.submitted]
        counts = sum((Counter(report.counts) for report in reports), Counter[str]())
        return JobReport(counts, next((report.reason for report in reports if report.reason), ""))

    def deaths(self) -> str:
        return next(filter(None, (part.deaths() for part in self._parts)), "")

    def children(self, indices: Sequence[int]) -> Iterator[JobDetailTypeDef]:
        first = 0
        for part in self._parts:
            yield from part.children([n - first for n in indices if first <= n < first + part.count])
            first += part.count
