# ruff: noqa: N815 - RIOS's names
"""The managers that need no other process: in order on the caller's thread, and a pool of threads."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rios_batch.compute.otherargs import ChangeDetector
from rios_batch.compute.tile import TileRunner
from rios_batch.jobmanagers.base import GeneratorRun, JobManager
from rios_batch.jobmanagers.pickling import dump_other_args
from rios_batch.jobmanagers.tilequeue import TileQueue

if TYPE_CHECKING:
    from collections.abc import Generator

    from rios_batch.model.spec import RunSpec
    from rios_batch.model.tileresult import TileResult
    from rios_batch.model.tiles import Tile


class InProcess(JobManager):
    """One tile after the other on the caller's thread, every block with the caller's own otherArgs."""

    jobMgrType = "in-process"
    shares_other_args = True

    def start(self, spec: RunSpec, other_args: Any) -> GeneratorRun:
        return GeneratorRun(spec, self._results(spec, other_args))

    def _results(self, spec: RunSpec, other_args: Any) -> Generator[TileResult, None, None]:
        with contextlib.closing(TileRunner(spec, "the main process")) as runner:
            for tile in spec.plan:
                yield runner.run(tile, other_args)


class Threads(JobManager):
    """Threads of this process. They compute at the same time where GDAL and numpy release the interpreter lock."""

    jobMgrType = "threads"

    def start(self, spec: RunSpec, other_args: Any) -> GeneratorRun:
        return GeneratorRun(spec, self._results(spec, other_args))

    def _results(self, spec: RunSpec, other_args: Any) -> Generator[TileResult, None, None]:
        queue = TileQueue(spec.plan, self.numThreads)
        # GDAL has one switch for all threads: off, it would hide what goes wrong in the others.
        spec = replace(spec, gdal_exceptions=True)
        worker = _ThreadWorker(spec, dump_other_args(other_args))
        running: set[Future[TileResult]] = set()
        with ThreadPoolExecutor(self.numThreads, thread_name_prefix="rios_batch") as executor:
            try:
                while not queue.all_finished:
                    while len(running) < 2 * self.numThreads and (tile := queue.take()):
                        running.add(executor.submit(worker.run, tile))
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        result = future.result()
                        queue.finish(result.record.tile, result.record.bytes_out)
                        yield result
            finally:
                worker.stop.set()
                executor.shutdown(cancel_futures=True)
                worker.close()


class _ThreadWorker:
    """What every thread of the pool shares, and its own runner for each thread."""

    def __init__(self, spec: RunSpec, other_args: bytes) -> None:
        self.stop = threading.Event()
        self._spec, self._other_args = spec, other_args
        self._own = threading.local()
        self._runners: list[TileRunner] = []

    def close(self) -> None:
        for runner in self._runners:
            runner.close()

    def run(self, tile: Tile) -> TileResult:
        if not hasattr(self._own, "runner"):
            name = threading.current_thread().name
            self._own.runner = TileRunner(self._spec, name, self.stop.is_set)
            self._own.detector = ChangeDetector(self._other_args)
            self._runners.append(self._own.runner)
        detector: ChangeDetector = self._own.detector
        other_args = detector.fresh_copy()
        result: TileResult = self._own.runner.run(tile, other_args)
        return replace(result, other_args=detector.changes(other_args))
