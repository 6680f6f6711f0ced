"""How a worker is told what to do: its environment and its command line.

Both directions are here: main writes what a worker reads.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rios_batch.contract import WORKER_MODULE, Env
from rios_batch.errors import WorkerConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rios_batch.awsbatch.turns import Turn

MIN_LEASE_SECONDS, MAX_LEASE_SECONDS = 10, 43_200  # twelve hours is the longest that SQS allows

_SHA256 = re.compile(r"[0-9a-f]{64}")
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}")  # ends a queue name, which has 80 characters at most


@dataclass(frozen=True, kw_only=True)
class WorkerConfig:
    """Everything that a worker knows before it talks to AWS.

    Attributes
    ----------
    bucket : exchange bucket.
    region : AWS region of bucket and queue.
    processes : tiles computed at a time; one per vCPU of the job. The container cannot see its own share of
        the machine, so the stack says the number.
    run_id : which run; letters, digits, ``-`` and ``_``, at most 60.
    job_sha256 : SHA-256 of the pickled job, as 64 lower-case hexadecimal digits; checked before unpickling.
    inputs_sha256 : that of the list of copied inputs; empty for the worker beside main, which needs no copies.
    queue_url : SQS queue of the run.
    lease_seconds : how long a received tile is invisible to others unless renewed.
    array_index : position in the array job, from 0; 0 in a plain job too.
    batch_job_id : AWS Batch's id of the job; empty outside of Batch.
    gpus : GPUs of the job, one for each tile at a time; 0 for none.
    pool_id, turn : whose queue it is and the number of the run in the pool; empty and 0 for a run of its own.
    """

    bucket: str
    region: str
    processes: int
    run_id: str
    job_sha256: str
    queue_url: str
    lease_seconds: int
    inputs_sha256: str = ""
    array_index: int = 0
    batch_job_id: str = ""
    pool_id: str = ""
    turn: int = 0
    gpus: int = 0

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> WorkerConfig:
        """Read a container's environment.

        Raises
        ------
        WorkerConfigError : says every missing or wrong variable at once.
        """
        read = _EnvReader(env)
        config = cls(
            bucket=read.text(Env.BUCKET),
            region=read.text(Env.REGION),
            processes=read.number(Env.PROCESSES, minimum=1),
            run_id=read.matching(Env.RUN_ID, _RUN_ID, "letters, digits, - and _, at most 60"),
            job_sha256=read.matching(Env.JOB_SHA256, _SHA256, "64 lower-case hexadecimal digits"),
            inputs_sha256=env.get(Env.INPUTS_SHA256, ""),
            queue_url=read.text(Env.QUEUE_URL),
            lease_seconds=read.number(
                Env.LEASE_SECONDS, minimum=MIN_LEASE_SECONDS, maximum=MAX_LEASE_SECONDS
            ),
            array_index=read.number(Env.BATCH_ARRAY_INDEX, minimum=0, default=0),
            batch_job_id=env.get(Env.BATCH_JOB_ID, ""),
            pool_id=env.get(Env.POOL_ID, ""),
            turn=read.number(Env.TURN, minimum=0, default=0),
            gpus=read.number(Env.GPUS, minimum=0, default=0),
        )
        read.check()
        return config

    def run_env(self) -> dict[str, str]:
        """Variables that ``SubmitJob`` adds to those of the job definition."""
        return {
            Env.RUN_ID.value: self.run_id,
            Env.JOB_SHA256.value: self.job_sha256,
            Env.INPUTS_SHA256.value: self.inputs_sha256,
            Env.QUEUE_URL.value: self.queue_url,
            Env.LEASE_SECONDS.value: str(self.lease_seconds),
        }

    def to_env(self) -> dict[str, str]:
        """All variables, those of the stack and of AWS Batch too; the inverse of `from_env`."""
        return {
            Env.BUCKET.value: self.bucket,
            Env.REGION.value: self.region,
            Env.PROCESSES.value: str(self.processes),
            **self.run_env(),
            Env.BATCH_ARRAY_INDEX.value: str(self.array_index),
            Env.BATCH_JOB_ID.value: self.batch_job_id,
            **({Env.GPUS.value: str(self.gpus)} if self.gpus else {}),
            **({Env.POOL_ID.value: self.pool_id, Env.TURN.value: str(self.turn)} if self.turn else {}),
        }

    def with_arguments(self, arguments: argparse.Namespace) -> WorkerConfig:
        """Let the command line have the last word."""
        return self if arguments.processes is None else replace(self, processes=arguments.processes)


@dataclass(frozen=True, kw_only=True)
class PoolWorkerConfig:
    """What a worker knows that outlives a run; which run it works for comes with the messages.

    Attributes
    ----------
    pool_id : the pool.
    idle_seconds : for how long a worker waits for the next run.

    The others are `WorkerConfig`'s.
    """

    bucket: str
    region: str
    processes: int
    pool_id: str
    queue_url: str
    lease_seconds: int
    idle_seconds: int
    array_index: int = 0
    batch_job_id: str = ""
    gpus: int = 0

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> PoolWorkerConfig:
        """Read a container's environment.

        Raises
        ------
        WorkerConfigError : says every missing or wrong variable at once.
        """
        read = _EnvReader(env)
        config = cls(
            bucket=read.text(Env.BUCKET),
            region=read.text(Env.REGION),
            processes=read.number(Env.PROCESSES, minimum=1),
            pool_id=read.matching(Env.POOL_ID, _RUN_ID, "letters, digits, - and _, at most 60"),
            queue_url=read.text(Env.QUEUE_URL),
            lease_seconds=read.number(
                Env.LEASE_SECONDS, minimum=MIN_LEASE_SECONDS, maximum=MAX_LEASE_SECONDS
            ),
            idle_seconds=read.number(Env.IDLE_SECONDS, minimum=1),
            gpus=read.number(Env.GPUS, minimum=0, default=0),
            array_index=read.number(Env.BATCH_ARRAY_INDEX, minimum=0, default=0),
            batch_job_id=env.get(Env.BATCH_JOB_ID, ""),
        )
        read.check()
        return config

    def for_turn(self, turn: Turn) -> WorkerConfig:
        """Return what a worker of one run knows."""
        return WorkerConfig(
            bucket=self.bucket,
            region=self.region,
            processes=self.processes,
            run_id=turn.run_id,
            job_sha256=turn.job_sha256,
            inputs_sha256=turn.inputs_sha256,
            queue_url=self.queue_url,
            lease_seconds=self.lease_seconds,
            array_index=self.array_index,
            batch_job_id=self.batch_job_id,
            pool_id=self.pool_id,
            turn=turn.number,
            gpus=self.gpus,
        )


class _EnvReader:
    """Reads variables and collects what is wrong with them, so that one message can say everything."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self.problems: list[str] = []

    def check(self) -> None:
        """See that nothing is wrong.

        Raises
        ------
        WorkerConfigError : says everything at once.
        """
        if self.problems:
            raise WorkerConfigError("a worker cannot start: " + "; ".join(self.problems))

    def text(self, key: Env) -> str:
        value = self._env.get(key, "")
        if not value:
            self.problems.append(f"{key.value} is not set")
        return value

    def matching(self, key: Env, pattern: re.Pattern[str], allowed: str) -> str:
        value = self.text(key)
        if value and not pattern.fullmatch(value):
            self.problems.append(f"{key.value} is {value!r}, allowed are {allowed}")
        return value

    def number(
        self, key: Env, *, minimum: int, maximum: int | None = None, default: int | None = None
    ) -> int:
        if default is not None and key not in self._env:
            return default
        value = self.text(key)
        if not value:
            return minimum
        allowed = f"from {minimum}" + (f" to {maximum}" if maximum is not None else "")
        if not value.isascii() or not value.isdigit():
            self.problems.append(f"{key.value} is {value!r}, allowed are whole numbers {allowed}")
            return minimum
        number = int(value)
        if number < minimum or (maximum is not None and number > maximum):
            self.problems.append(f"{key.value} is {number}, allowed are whole numbers {allowed}")
        return number


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not 1 or more")
    return number


def argument_parser() -> argparse.ArgumentParser:
    """Make the worker's command line. Everything else is in the environment."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {WORKER_MODULE}", description="Compute tiles of one run until none is left."
    )
    parser.add_argument(
        "--processes",
        type=_positive,
        metavar="N",
        help=f"tiles computed at a time; default: the variable {Env.PROCESSES.value}",
    )
    parser.add_argument(
        "--with-main",
        type=_positive,
        metavar="PID",
        help="main's own worker: reads inputs where main does, prints no line per tile, ends with that process",
    )
    return parser
