"""What the worker program does, from its settings to its exit status. Wiring only."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import pickle
import signal
import sys
import tempfile
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rios_batch.aws.clients import make_client
from rios_batch.aws.faults import explained
from rios_batch.aws.objects import Bucket
from rios_batch.aws.queue import WorkQueue
from rios_batch.awsbatch.configuration import PoolWorkerConfig, WorkerConfig
from rios_batch.awsbatch.decoding import RecordError
from rios_batch.awsbatch.failurerecord import failure_of
from rios_batch.awsbatch.imagepackages import note_packages
from rios_batch.awsbatch.runstore import RunStore
from rios_batch.awsbatch.stagedinputs import paths_on_worker
from rios_batch.awsbatch.supervisor import Patience, Supervisor, Terminated
from rios_batch.awsbatch.turns import SharedQueue, Turn, TurnMarks, TurnQueue
from rios_batch.awsbatch.versions import mismatch, versions
from rios_batch.contract import Env
from rios_batch.errors import (
    AWSUnavailableError,
    DamagedObjectError,
    DeniedError,
    MissingObjectError,
    RiosBatchError,
    S3DeniedError,
    VersionMismatchError,
)
from rios_batch.gdalapi import gdal_exceptions
from rios_batch.jobmanagers.children import WorkOrder

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping
    from types import FrameType

    from rios_batch.model.tileresult import TileRecord

log = logging.getLogger("rios_batch")

# AWS Batch and ECS send SIGTERM and 30 seconds later SIGKILL. A Spot machine gets two minutes. An upload that is under
# way may still end.
_LAST_SECONDS = 4.0
TERMINATED = 128 + signal.SIGTERM


def run_worker(environment: Mapping[str, str], parsed: argparse.Namespace) -> int:
    """Compute tiles of one run until none is left, and return the program's exit status.

    Parameters
    ----------
    environment : the worker's settings.
    parsed : the program's arguments.
    """
    signal.signal(signal.SIGTERM, _terminate)
    logging.basicConfig(format="%(levelname)s %(message)s")
    try:
        if parsed.with_main is None and Env.POOL_ID in environment:
            with gdal_exceptions():
                _work_for_pool(PoolWorkerConfig.from_env(environment))
            return 0
        config = WorkerConfig.from_env(environment).with_arguments(parsed)
        if parsed.with_main is not None:
            _end_with(parsed.with_main)
        with gdal_exceptions():
            _work(config, _queue_of(config), beside_main=parsed.with_main is not None)
    except Terminated:
        return TERMINATED
    except RiosBatchError as error:
        log.error(error)  # noqa: TRY400 - the sentence is for a person
        return 1
    return 0


def _work_for_pool(config: PoolWorkerConfig) -> None:
    """Work for one run after the other, until none comes for too long or the pool is closed."""
    queue = WorkQueue.attach(config.queue_url, region=config.region, lease_seconds=config.lease_seconds)
    bucket = Bucket(config.bucket, make_client("s3", region=config.region))
    shared = SharedQueue(queue, TurnMarks(bucket, config.pool_id), config.idle_seconds)
    with explained(f"pool {config.pool_id}"):
        while (turn_queue := shared.next_turn()) is not None:
            try:
                _work(config.for_turn(turn_queue.turn), turn_queue, beside_main=False)
            except AWSUnavailableError:
                raise
            except RiosBatchError as error:
                # Of this run only, whose main has been told. The next run may fare better.
                log.warning("%s, of run %s", error, turn_queue.turn.run_id)
                turn_queue.put_aside()


def _queue_of(config: WorkerConfig) -> WorkQueue:
    """Return the queue of a run, which may be its turn of a pool's queue."""
    queue = WorkQueue.attach(config.queue_url, region=config.region, lease_seconds=config.lease_seconds)
    if not config.turn:
        return queue
    bucket = Bucket(config.bucket, make_client("s3", region=config.region))
    # Requests are short: this worker leaves with its run, and main waits for that.
    shared = SharedQueue(queue, TurnMarks(bucket, config.pool_id), math.inf, longest_wait_s=1)
    return TurnQueue(shared, Turn(config.turn, config.run_id, config.job_sha256, config.inputs_sha256))


def _work(config: WorkerConfig, queue: WorkQueue, *, beside_main: bool) -> None:
    store = RunStore(Bucket(config.bucket, make_client("s3", region=config.region)), config.run_id)
    name = "main" if beside_main else f"worker {config.array_index + 1} (job {config.batch_job_id or 'none'})"
    # For inputs. The worker beside main reads main's inputs where they are.
    fetched = contextlib.nullcontext("") if beside_main else tempfile.TemporaryDirectory(prefix="rios_batch-")
    try:
        with explained(f"run {config.run_id}"), fetched as folder:
            _work_on(store, config, queue, name, Path(folder), beside_main=beside_main)
    except (DeniedError, S3DeniedError, VersionMismatchError) as error:
        # Other workers would fare no better, so main is to raise it.
        store.put_failure(failure_of(error, None, name, stops_run=True))
        raise
    except (DamagedObjectError, MissingObjectError, RecordError) as error:
        if store.exists():  # else the run has just ended, and nothing is wrong
            store.put_failure(failure_of(error, None, name, stops_run=True))
        raise


def _work_on(
    store: RunStore,
    config: WorkerConfig,
    queue: WorkQueue,
    name: str,
    folder: Path,
    *,
    beside_main: bool,
) -> None:
    description = store.description_for_worker()
    problem = mismatch(description["versions"], versions())
    if problem:
        raise VersionMismatchError(problem)
    if config.array_index == 0 and not beside_main:
        note_packages(store.bucket, description["image"])
    pickled = pickle.loads(store.job(config.job_sha256))  # noqa: S301 - its SHA-256 came with the job's environment  # nosec B301
    order = WorkOrder(
        spec=pickled["spec"],
        other_args=pickled["other_args"],
        num_workers=config.processes,
        place=name,
        input_paths={}
        if beside_main
        else paths_on_worker(store.staged_inputs(config.inputs_sha256), store.bucket, folder),
        cloud_options=pickled["cloud_options"],
        packages=pickled["packages"],
        environment=pickled["environment"],
        gpus=0 if beside_main else config.gpus,
    )
    Supervisor(
        store,
        queue,
        pickled["plan"],
        order,
        name=name,
        to_choose=pickled["to_choose"],
        lease_seconds=config.lease_seconds,
        patience=_patience(config, beside_main=beside_main),
        on_tile=(lambda *_: None) if beside_main else _log_tile,
        is_over=queue.is_over if isinstance(queue, TurnQueue) else (lambda: False),
    ).work()


def _patience(config: WorkerConfig, *, beside_main: bool) -> Patience:
    if beside_main or config.turn:
        return Patience.ENDLESS
    return Patience.LAST if config.array_index == 0 else Patience.BRIEF


def _log_tile(record: TileRecord, seconds: float) -> None:
    """Print one line of JSON, which CloudWatch can search."""
    line: dict[str, Any] = {"event": "tile", **asdict(record), "seconds": round(seconds, 3)}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # An upload may hang: then the lease lapses, and another worker gets the tile.
    timer = threading.Timer(_LAST_SECONDS, os._exit, (TERMINATED,))
    timer.daemon = True
    timer.start()
    raise Terminated


def _end_with(main_pid: int) -> None:
    """End this process when main is gone, however main ended."""

    def watch() -> None:
        while os.getppid() == main_pid:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="rios_batch parent watch", daemon=True).start()
