# ruff: noqa: N815 - RIOS's names
"""Tiles on AWS Batch: main hands tiles out through a queue, and takes what the workers leave in S3.

Main is only a coordinator. A worker beside main does main's own share of the work: a process of the same program that
Batch starts elsewhere. So a run finishes with or without Batch. Batch makes the run faster.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import hashlib
import logging
import os
import pickle
import platform
import secrets
import shlex
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from rios_batch.aws.cloud import Cloud
from rios_batch.aws.faults import explained
from rios_batch.aws.jobs import LARGEST_ARRAY
from rios_batch.awsbatch.controller import RunController
from rios_batch.awsbatch.fingerprint import check_same, fingerprints
from rios_batch.awsbatch.heartbeat import Heartbeat
from rios_batch.awsbatch.imagepackages import compare_packages
from rios_batch.awsbatch.memory import check_memory
from rios_batch.awsbatch.narrating import say_finished
from rios_batch.awsbatch.receipt import receipt
from rios_batch.awsbatch.runpage import failed_tiles
from rios_batch.awsbatch.runstore import RunStore, newest_run
from rios_batch.awsbatch.versions import check_python, mismatch, versions
from rios_batch.awsbatch.workerpool import current
from rios_batch.awsbatch.workforce import batch_workforce
from rios_batch.errors import (
    DamagedObjectError,
    JobMgrError,
    ParameterError,
    RiosBatchError,
    RunTakenOverError,
    VersionMismatchError,
)
from rios_batch.jobmanagers.base import GeneratorRun, JobManager
from rios_batch.jobmanagers.environment import warn_of_variables_left_behind
from rios_batch.jobmanagers.modules import packages_of
from rios_batch.jobmanagers.pickling import dump_other_args, dump_spec
from rios_batch.jobmanagers.shownlines import lines_shown
from rios_batch.model.costs import ENV_PRICES
from rios_batch.model.runreport import RunFacts
from rios_batch.model.s3names import SCHEME
from rios_batch.model.tiles import TilePlan
from rios_batch.read.network import cloud_options

if TYPE_CHECKING:
    from collections.abc import Generator

    from rios_batch.aws.stackoutputs import StackOutputs
    from rios_batch.model.creationoptions import Compression
    from rios_batch.model.forecast import Workforce
    from rios_batch.model.spec import RunOptions, RunSpec
    from rios_batch.model.tileresult import TileRecord, TileResult

log = logging.getLogger("rios_batch")

ENV_RESUME = "RIOS_AWSBATCH_RESUME"


class AWSBatch(JobManager):
    """Has ``numThreads`` workers: one beside main, all others as one AWS Batch job."""

    jobMgrType = "AWSBatch"
    keeps_tiles = True

    @functools.cached_property
    def _cloud(self) -> Cloud:
        if (pool := current()) is not None:
            return pool.cloud
        cloud = Cloud.connect()
        check_python(cloud.stack_outputs.stack_name, cloud.stack_outputs.python)
        return cloud

    @property
    def num_processes(self) -> int:
        """Return how many tiles are computed at a time.

        Raises
        ------
        JobMgrError : the stack cannot be used, or so many workers are more than it may have.
        """
        stack = self._cloud.stack_outputs
        if (pool := current()) is not None:
            return (pool.count + (not self._options.coordinate_only)) * stack.worker_processes
        most = min(LARGEST_ARRAY, stack.max_vcpus // stack.worker_vcpus) + 1
        if self.numThreads > most:
            raise JobMgrError(
                f"{self.numThreads - 1} Batch workers of {stack.worker_vcpus} vCPUs are asked for; stack "
                f"{stack.stack_name} may have {stack.max_vcpus} vCPUs, and an array job {LARGEST_ARRAY:,} workers: "
                f"use at most setNumThreads({most}), or numComputeWorkers={most - 1}, or raise max_vcpus"
            )
        return (self.numThreads - self._options.coordinate_only) * stack.worker_processes

    def workforce(self) -> Workforce:
        """Return who would compute the tiles; a stack that cannot be asked is taken for an ordinary one.

        Raises
        ------
        JobMgrError : so many workers are more than the stack may have.
        VersionMismatchError : the workers have another Python.
        """
        try:
            stack: StackOutputs | JobMgrError = self._cloud.stack_outputs
        except VersionMismatchError:
            raise
        except JobMgrError as error:
            stack = error
        else:
            _ = self.num_processes
        pool = current()
        return batch_workforce(stack, self.numThreads if pool is None else pool.count + 1, self.options)

    @property
    def _options(self) -> RunOptions:
        """Return the script's options; beside workers with GPUs main only coordinates, for it has none."""
        has_gpus = bool(self._cloud.stack_outputs.worker_gpus)
        return replace(self.options, coordinate_only=self.options.coordinate_only or has_gpus)

    def start(self, spec: RunSpec, other_args: Any) -> GeneratorRun:
        """Return a new run, or the run that is resumed, with the tile plan of the run that was begun.

        Raises
        ------
        ParameterError : an output is named into the exchange bucket, or nobody knows what workers with GPUs cost.
        JobMgrError : the run to resume does not exist, or something has changed since.
        MemoryLimitError : a worker cannot hold the inputs of its blocks.
        VersionMismatchError : the run to resume was begun with other versions.
        PicklingFailedError : function or otherArgs cannot be sent to workers.
        """
        _check_outputs_stay(spec, self._cloud)
        _check_prices(self._cloud.stack_outputs, self.options)
        found = fingerprints(spec, other_args)
        with explained("the exchange bucket"):
            resumed = self._run_to_resume(spec)
            if resumed is None:
                store = RunStore(self._cloud.bucket, new_run_id(spec))
            else:
                store = RunStore(self._cloud.bucket, resumed)
                spec = _as_begun(spec, store, found)
        modules: set[str] = set()
        pickled_spec = dump_spec(spec, modules=modules)
        pickled_args = dump_other_args(other_args, modules=modules)
        packages, stack = packages_of(modules), self._cloud.stack_outputs
        if self.numThreads > 1:
            check_memory(spec, len(pickled_spec) + len(pickled_args), stack)
        if differences := compare_packages(self._cloud.bucket, stack.worker_image, packages):
            log.warning("the function or otherArgs may not load, or differ, in workers: %s", differences)
        # Whatever workers obey, so that its SHA-256 covers all of it.
        pickled = pickle.dumps(
            {
                "spec": pickled_spec,
                "other_args": pickled_args,
                "plan": spec.plan,
                "to_choose": sum(output.chooses_compression for output in spec.outputs),
                "environment": spec.environment,
                "cloud_options": cloud_options(spec),
                "packages": packages,
            }
        )
        description = {
            "versions": versions(),
            "plan": asdict(spec.plan),
            "fingerprints": found,
            "image": stack.worker_image,
            "outputs": _names_of_outputs(spec),
            "origin": {"command": _command(), "folder": str(Path.cwd()), "host": platform.node()},
        }
        warn_of_variables_left_behind(spec.function, spec.environment)
        controller = RunController(self._cloud, store, spec, self.numThreads, self._options)
        return _BatchRun(spec, self._cloud, store, controller, description, pickled)

    def _run_to_resume(self, spec: RunSpec) -> str | None:
        resume, beginning = self.options.resume, f"{_outputs_digest(spec)}-"
        if isinstance(resume, str):
            # A script may call apply several times; the run in the environment is one of these.
            is_another_calls = resume == os.environ.get(ENV_RESUME) and not resume.startswith(beginning)
            return None if is_another_calls else resume
        return newest_run(self._cloud.bucket, beginning) if resume else None


def _check_prices(stack: StackOutputs, options: RunOptions) -> None:
    """Refuse to limit the cost of machines whose price nobody has said."""
    if stack.worker_gpus and options.max_cost_usd is not None and not os.environ.get(ENV_PRICES):
        raise ParameterError(
            f"setMaxCost reckons with prices of machines without GPUs, and workers of stack {stack.stack_name} have "
            "some: copy rios_batch/model/prices.json, set vcpu_hour to a machine's price divided by its vCPUs, and "
            f"name the copy with {ENV_PRICES}"
        )


def _check_outputs_stay(spec: RunSpec, cloud: Cloud) -> None:
    """Refuse outputs in the exchange bucket, which deletes everything after some days."""
    for output in spec.outputs:
        if output.path.startswith(f"{SCHEME}{cloud.bucket.name}/"):
            raise ParameterError(
                f"output {output.path!r} is named into the exchange bucket of stack {cloud.stack_outputs.stack_name}, "
                "which deletes everything after some days (exchange_days); name a bucket of your own, and let the "
                "stack's roles write there (cdk deploy -c output_buckets=that-bucket)"
            )


def _as_begun(spec: RunSpec, store: RunStore, found: dict[str, str]) -> RunSpec:
    """Return the spec with a begun run's tile plan and chosen compressions, if the run is the same otherwise."""
    description = store.description()
    problem = mismatch(description["versions"], versions())
    if problem:
        raise VersionMismatchError(
            f"run {store.run_id} cannot be resumed, it was begun with other versions: {problem}"
        )
    check_same(description["fingerprints"], found, store.run_id)
    plan = TilePlan.from_description(description["plan"])
    chosen = store.compressions()
    if plan.blocks != spec.plan.blocks or len(chosen) not in (0, len(spec.outputs)):
        raise JobMgrError(
            f"run.json or compressions.json of run {store.run_id} is another run's, so somebody has changed it; begin "
            "anew without setResume"
        )
    store.forget_failures()
    store.forget_merges()
    log.info("resuming run %s", store.run_id)
    return spec.with_plan(plan).compressed(chosen)


class _BatchRun(GeneratorRun):
    """A run on AWS Batch. What lies in S3 is forgotten only when all outputs are in their places."""

    def __init__(
        self,
        spec: RunSpec,
        cloud: Cloud,
        store: RunStore,
        controller: RunController,
        description: dict[str, Any],
        pickled: bytes,
    ) -> None:
        super().__init__(spec, self._tiles())
        self._cloud, self._store, self._controller = cloud, store, controller
        self._description, self._pickled = description, pickled
        self._heartbeat = Heartbeat(store)
        self._records: list[TileRecord] = []
        self._shown, self._began = contextlib.ExitStack(), time.monotonic()
        self._committed = False
        self._facts = RunFacts(store.run_id)

    def __enter__(self) -> Self:
        self._shown.enter_context(lines_shown())
        if (pool := current()) is not None:
            self._controller.pool = pool.lend()
        return super().__enter__()

    def _tiles(self) -> Generator[TileResult, None, None]:
        with explained(f"run {self._store.run_id}"):
            self._store.put_description(self._description)
            self._heartbeat.start()
            self._controller.start(self._store.put_job(self._pickled))
            for result in self._controller.results():
                self._records.append(result.record)
                yield result

    def compressions_chosen(self, compressions: tuple[Compression | None, ...]) -> None:
        self._store.put_compressions(compressions)

    def outputs_committed(self) -> None:
        self._committed = True
        seconds = time.monotonic() - self._began
        say_finished(self._store.run_id, self._records, len(self._store.failures()), seconds)

    def facts(self) -> RunFacts:
        return self._facts

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)  # before workers are ended, lest something on its way keeps them
        with self._shown, contextlib.closing(self._cloud):
            try:
                self._set_aside_what_is_damaged(error[1])
                self._controller.stop()
                self._say_what_it_cost()
                self._note_failures()
            finally:
                if self._controller.pool is not None:
                    self._controller.pool.give_back()
                if isinstance(error[1], RunTakenOverError):
                    self._heartbeat.stop(forget=False)
                else:
                    self._heartbeat.stop()
                    self._forget() if self._committed else self._keep_or_forget()

    def _set_aside_what_is_damaged(self, error: object) -> None:
        """Remove a tile whose pixels were found damaged when outputs were written; a resumed run has it done again."""
        while isinstance(error, BaseException):
            index = self._store.tile_of_key(error.key) if isinstance(error, DamagedObjectError) else None
            if index is not None:
                log.warning("tile %d is set aside; a resumed run computes it again", index)
                self._store.set_aside(index)
            error = error.__cause__

    def _say_what_it_cost(self) -> None:
        jobs = self._controller.jobs
        if jobs is None or not jobs.submitted:
            return
        vcpus = self._cloud.stack_outputs.worker_vcpus
        try:
            pool = self._controller.pool
            since_s = None if pool is None else pool.since_s
            found = receipt(self.spec, jobs, vcpus, self._records, len(self._store.failures()), since_s)
        except RiosBatchError as error:
            log.warning("what run %s cost is not known: %s", self._store.run_id, error)
        else:
            log.info("run %s cost %s", self._store.run_id, found)
            self._facts = replace(self._facts, receipt=str(found))

    def _note_failures(self) -> None:
        try:
            self._facts = replace(self._facts, failures=failed_tiles(self._store))
        except RiosBatchError as error:
            log.warning("what failed in run %s is not known: %s", self._store.run_id, error)

    def _forget(self) -> None:
        try:
            self._store.delete()
        except Exception as error:  # noqa: BLE001 - what is left expires
            log.warning("the data of run %s was not removed: %s", self._store.run_id, error)

    def _keep_or_forget(self) -> None:
        """Say how to go on with a run that did not finish; one without finished tiles is of no use."""
        try:
            finished = sum(1 for _ in self._store.tiles())
        except RiosBatchError as error:
            log.warning("what is finished of run %s could not be found out: %s", self._store.run_id, error)
            finished = -1
        if finished == 0:
            self._forget()
            return
        log.warning(
            "%s of %d tiles are finished and kept; to go on from there (with the function as it is):\n    %s=%s %s",
            finished if finished > 0 else "some",
            len(self.spec.plan),
            ENV_RESUME,
            self._store.run_id,
            shlex.join(_command()),
        )


def _command() -> list[str]:
    """Return this process's command line, for a person."""
    return [Path(sys.executable).name, *sys.argv]


def new_run_id(spec: RunSpec) -> str:
    """Return an id that no other run has. The id begins with a digest of the outputs' names and with the time."""
    return f"{_outputs_digest(spec)}-{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(2)}"


def _outputs_digest(spec: RunSpec) -> str:
    """Return a digest that tells runs with these outputs from all others."""
    return hashlib.sha256("\0".join(_names_of_outputs(spec)).encode()).hexdigest()[:10]


def _names_of_outputs(spec: RunSpec) -> list[str]:
    return [
        output.path if output.path.startswith(SCHEME) else os.path.abspath(output.path)  # noqa: PTH100 - not resolved
        for output in spec.outputs
    ]
