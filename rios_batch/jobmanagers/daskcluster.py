# ruff: noqa: N815 - RIOS's names
"""Tiles on the workers of a dask cluster: SLURM, PBS and others by dask-jobqueue, Kubernetes, Coiled.

The cluster is the script's: it is neither started nor stopped here. A dask worker computes nothing itself. A worker
process beside it does, as on this machine, one for each of its threads: so functions that hold the interpreter lock run
at the same time, and a function that ends its process costs only its tile.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import weakref
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

try:
    import dask
    from distributed import CancelledError, Client, Future, default_client, get_worker, wait
    from distributed.scheduler import KilledWorker
except ModuleNotFoundError as missing:
    from rios_batch.errors import JobMgrError

    raise JobMgrError(
        f"job manager 'dask' needs the package {missing.name}: pip install 'rios_batch[dask]'"
    ) from missing

from rios_batch.errors import JobMgrError, WorkerLostError, text_of
from rios_batch.jobmanagers.base import JobManager, QueueRun
from rios_batch.jobmanagers.children import Child, Death, TileFailure, WorkOrder
from rios_batch.jobmanagers.environment import warn_of_variables_left_behind
from rios_batch.jobmanagers.modules import packages_of
from rios_batch.jobmanagers.pickling import dump_other_args, dump_spec
from rios_batch.jobmanagers.tilequeue import TileQueue
from rios_batch.jobmanagers.watchdog import Watchdog
from rios_batch.jobmanagers.workerprocesses import MAX_LOSSES_PER_TILE, lost
from rios_batch.read.network import check_no_memory_files, cloud_options

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from rios_batch.model.spec import RunSpec
    from rios_batch.model.tileresult import TileResult
    from rios_batch.model.tiles import Tile

ENV_SCHEDULER = "DASK_SCHEDULER_ADDRESS"
_CONNECT_SECONDS = 30
_LOOK_SECONDS = 0.5  # until a worker notices that its tile is not wanted any more


class Dask(JobManager):
    """Tiles as tasks of dask, at most ``numThreads`` at a time."""

    jobMgrType = "dask"

    def start(self, spec: RunSpec, other_args: Any) -> QueueRun:
        """Return the run.

        Raises
        ------
        JobMgrError : there is no cluster to use.
        ParameterError : an input lies in this process's memory.
        """
        check_no_memory_files(spec)
        if _scripts_client() is None and not _address():
            raise JobMgrError(
                "job manager 'dask' knows of no cluster; make a distributed.Client before apply is called, such as "
                f"Client(cluster), or set {ENV_SCHEDULER} to the scheduler's address, such as tcp://node1:8786"
            )
        warn_of_variables_left_behind(spec.function, spec.environment)
        queue = TileQueue(spec.plan, self.numThreads, self.finished)
        return QueueRun(spec, queue, self._results(spec, other_args, queue))

    def _results(self, spec: RunSpec, other_args: Any, queue: TileQueue) -> Generator[TileResult, None, None]:
        modules: set[str] = set()
        order = WorkOrder(
            dump_spec(spec, modules=modules),
            dump_other_args(other_args, modules=modules),
            num_workers=os.cpu_count() or 1,  # there may be as many; a guess, but for GDAL's caches only
            place="dask",
            cloud_options=cloud_options(spec),
            packages=packages_of(modules),
            environment=spec.environment,
        )
        losses: Counter[int] = Counter()
        watchdog = Watchdog(self.options.wait_limit_s)
        with _client() as client, contextlib.closing(_Tasks(client, order, self.numThreads)) as tasks:
            while not queue.all_finished:
                tasks.hand_out(queue)
                for tile, reply in tasks.replies(watchdog):
                    if isinstance(reply, Death):
                        losses[tile.index] += 1
                        if losses[tile.index] == MAX_LOSSES_PER_TILE:
                            raise lost(tile, reply)
                        queue.give_back(tile)
                        continue
                    result = reply.unwrap() if isinstance(reply, TileFailure) else reply
                    queue.finish(tile.index, result.record.bytes_out)
                    tasks.hand_out(queue)  # before main writes the result, as `Processes` does
                    yield result


def _scripts_client() -> Client | None:
    try:
        return default_client()
    except ValueError:  # the script has made none
        return None


def _address() -> str:
    return os.environ.get(ENV_SCHEDULER) or dask.config.get("scheduler-address", None) or ""


@contextlib.contextmanager
def _client() -> Iterator[Client]:
    """Give the script's own client, or one that lives as long as the run.

    Raises
    ------
    JobMgrError : the scheduler does not answer, or the script's client is asynchronous.
    """
    if (client := _scripts_client()) is not None:
        if client.asynchronous:
            raise JobMgrError(
                "the dask client is an asynchronous one; make it with Client(asynchronous=False)"
            )
        yield client
        return
    try:
        client = Client(_address(), timeout=_CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise JobMgrError(
            f"the dask scheduler at {_address()!r} does not answer: {text_of(error)}; {ENV_SCHEDULER} says where it is"
        ) from error
    with client:
        yield client


class _Tasks:
    """The tiles of one run that dask has in hand."""

    def __init__(self, client: Client, order: WorkOrder, most: int) -> None:
        self._client, self._most = client, most
        self._name = f"rios_batch-{secrets.token_hex(6)}"
        self._tiles: dict[Future, Tile] = {}
        self._sent = 0
        # A task, not data: what only a lost worker had is made again.
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 PiB"}):
            self._workers = client.submit(_Workers, order, key=f"{self._name}-workers")

    def hand_out(self, queue: TileQueue) -> None:
        while len(self._tiles) < self._most and (tile := queue.take()):
            self._sent += 1
            key = f"{self._name}-tile-{tile.index}-{self._sent}"
            self._tiles[self._client.submit(_compute, self._workers, tile, key=key)] = tile

    def replies(self, watchdog: Watchdog) -> Iterator[tuple[Tile, TileResult | TileFailure | Death]]:
        """Wait until tiles are finished; yield them with what came of them.

        Raises
        ------
        WaitLimitError : main has waited for too long.
        JobMgrError : dask cannot go on.
        WorkerLostError : dask's own workers die of a tile.
        """
        for future in watchdog.until(self._finished, self._awaited):
            tile = self._tiles.pop(future)
            reply = self._result(future, tile)
            watchdog.heard(
                "a worker process ended" if isinstance(reply, Death) else f"tile {tile.index} is finished"
            )
            yield tile, reply

    def close(self) -> None:
        """Have dask forget everything; whoever is at work on a tile gives it up."""
        with contextlib.suppress(Exception):  # the cluster may be gone, and takes everything along
            self._client.cancel([*self._tiles, self._workers], force=True)

    def _finished(self, seconds: float) -> list[Future]:
        try:
            with self._client.as_current():
                return list(wait(list(self._tiles), timeout=seconds, return_when="FIRST_COMPLETED").done)
        except TimeoutError:
            return []
        except CancelledError as error:
            raise self._gone(error) from error

    def _result(self, future: Future, tile: Tile) -> Any:
        try:
            return future.result()
        except KilledWorker as error:
            raise WorkerLostError(
                f"tile {tile.index} ({tile.window}) ended dask's own workers again and again; most likely their "
                f"machines ran out of memory: use fewer tiles at a time or a smaller window ({error})"
            ) from error
        except CancelledError as error:
            raise self._gone(error) from error
        except Exception as error:
            raise JobMgrError(
                f"tile {tile.index} could not be handed to a dask worker: {type(error).__name__}: {text_of(error)}; "
                "the workers need rios_batch, GDAL, numpy and cloudpickle in the versions that main has"
            ) from error

    def _gone(self, error: BaseException) -> JobMgrError:
        return JobMgrError(
            f"the dask cluster has dropped the run's tiles ({type(error).__name__}); its scheduler has ended or was "
            "restarted, or somebody has cancelled them"
        )

    def _awaited(self) -> str:
        tiles = ", ".join(f"tile {tile.index}" for tile in self._tiles.values())
        return f"{tiles} on the dask cluster, which has {len(self._client.nthreads())} workers"


# -- in a dask worker


class _Workers:
    """The worker processes of one run beside one dask worker.

    They end when dask drops this object: at the run's end, or when main's connection to the scheduler is gone. Another
    dask worker that gets the object makes its own processes.
    """

    def __init__(self, order: WorkOrder) -> None:
        self._order = order
        self._idle: deque[Child] = deque()
        weakref.finalize(self, _end, self._idle)

    def __reduce__(self) -> tuple[type[_Workers], tuple[WorkOrder]]:
        return _Workers, (self._order,)

    def compute(self, tile: Tile) -> TileResult | TileFailure | Death:
        """Have a worker process compute a tile; return how the process ended if it did."""
        try:
            child = self._idle_one() or self._start()
        except OSError as error:
            return TileFailure.of(JobMgrError(f"a dask worker cannot start a process: {text_of(error)}"))
        with contextlib.ExitStack() as stack:
            stack.callback(_end, [child])
            child.send(tile)
            worker = get_worker()
            key = worker.get_current_task()
            while not child.connection.poll(_LOOK_SECONDS):
                task = worker.state.tasks.get(key)
                if task is None or task.state == "cancelled":
                    raise CancelledError(key)
            reply = child.receive()
            if reply is not None:
                stack.pop_all()
                self._idle.append(child)
                return reply
        return child.death

    def _idle_one(self) -> Child | None:
        try:
            return self._idle.pop()
        except IndexError:  # the dask worker's other threads have all
            return None

    def _start(self) -> Child:
        with contextlib.closing(self._order.parcel()) as parcel:
            return Child.start(parcel)


def _end(children: deque[Child] | list[Child]) -> None:
    for child in children:
        child.terminate()
    for child in children:
        child.join()


def _compute(workers: _Workers, tile: Tile) -> TileResult | TileFailure | Death:
    return workers.compute(tile)
