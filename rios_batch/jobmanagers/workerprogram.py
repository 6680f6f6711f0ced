"""What a worker process does, from its start to its end."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

import cloudpickle

from rios_batch.compute.otherargs import ChangeDetector
from rios_batch.compute.tile import TileRunner
from rios_batch.errors import OutputError, UnloadableJobError, text_of
from rios_batch.gdalapi import ensure_exceptions, limit_gdal_resources
from rios_batch.jobmanagers import shared_memory_pipe
from rios_batch.jobmanagers.children import TileFailure
from rios_batch.jobmanagers.environment import set_environment
from rios_batch.read.network import apply_cloud_options

if TYPE_CHECKING:
    from rios_batch.jobmanagers.children import WorkOrder
    from rios_batch.jobmanagers.processstate import ProcessState
    from rios_batch.model.spec import RunSpec
    from rios_batch.model.tileresult import TileResult
    from rios_batch.model.tiles import Tile

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc


def serve(connection_fd: int) -> None:
    """Run tiles as they come, until the other side closes the connection or dies."""
    os.set_inheritable(connection_fd, False)  # what the function starts has no business with it
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; main stops the workers
    # Pools inside pools would outlive the script; `Processes` refuses them, too.
    multiprocessing.current_process().daemon = True
    keep_freed_memory()
    with contextlib.suppress(EOFError, ConnectionError):  # main has closed the connection, or died
        connection = Connection(connection_fd)
        pickled_state, order = shared_memory_pipe.receive(connection)
        state: ProcessState = cloudpickle.loads(pickled_state)
        state.take_on()
        set_environment({**order.environment, **connection.recv()})
        ensure_exceptions()  # after the state's: before GDAL 3.7 those of gdal and ogr are a stack
        _serve(connection, state, order)


def _serve(connection: Connection, state: ProcessState, order: WorkOrder) -> None:
    """Run tiles as they come, or refuse them all if the function or otherArgs cannot be loaded."""
    loading = "the function"
    try:
        spec: RunSpec = cloudpickle.loads(order.spec)
        loading = "otherArgs"
        detector = ChangeDetector(order.other_args, spec.scratch)
        detector.load()
    except Exception as error:  # noqa: BLE001 - a module is missing, say; main raises it for the first tile
        # Loads importlib.metadata, which only a worker that is to blame somebody needs.
        from rios_batch.jobmanagers.modules import why_unloadable  # noqa: PLC0415

        _refuse_tiles(connection, why_unloadable(loading, error, order.packages))
        return
    spec = spec.with_inputs_at(order.input_paths)
    apply_cloud_options(order.cloud_options)
    limit_gdal_resources(order.num_workers, spec.input_cache_bytes)
    runner = TileRunner(spec, order.worker_name, stopped=state.main_is_gone)
    while True:
        _do(connection.recv(), connection, runner, detector)


def _do(tile: Tile, connection: Connection, runner: TileRunner, detector: ChangeDetector) -> None:
    """Run a tile and send what comes of it, which is in memory no longer when the next one is run."""
    reply = _run(runner, detector, tile)
    _send(connection, _flushed() or reply)


def _send(connection: Connection, reply: TileResult | TileFailure) -> None:
    try:
        shared_memory_pipe.send(connection, reply)
    except ConnectionError:
        raise
    except OSError as error:
        what = f"a tile's result cannot be handed to main: {error.strerror}"
        cure = "use smaller tiles (setTileSize), or raise the process's limits (`ulimit -f`, `ulimit -v`, `ulimit -n`)"
        shared_memory_pipe.send(connection, TileFailure.of(OutputError(f"{what}; {cure}")))


def _flushed() -> TileFailure | None:
    """Show what the function printed: the worker ends by a signal, which would lose it."""
    for name in ("stdout", "stderr"):
        try:
            getattr(sys, name).flush()
        except (
            AttributeError,
            ValueError,
        ):  # the function has closed or replaced it, and nothing is left to show
            continue
        except Exception as error:  # noqa: BLE001 - it may be a class of the user's
            return TileFailure.of(
                OutputError(f"what the function printed cannot be written: {text_of(error)}")
            )
    return None


def _refuse_tiles(connection: Connection, why: str) -> None:
    reply = TileFailure.of(UnloadableJobError(why))
    while True:
        connection.recv()
        shared_memory_pipe.send(connection, reply)


def keep_freed_memory() -> None:
    """Have glibc keep the memory that a block's arrays free, for those of the next block.

    By default it goes back to the kernel after each block and is cleared page by page when it comes again:
    measured at a tenth of all processor time of a light function. Nothing happens with another C library.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 32 * 2**20)  # the largest that glibc takes; arrays above it are mapped
        mallopt(_M_TRIM_THRESHOLD, 256 * 2**20)


def _run(runner: TileRunner, detector: ChangeDetector, tile: Tile) -> TileResult | TileFailure:
    try:
        other_args = detector.fresh_copy()
        result = runner.run(tile, other_args)
        return replace(result, other_args=detector.changes(other_args))
    except BaseException as error:  # noqa: BLE001 - whatever it is, SystemExit included, main raises it again
        return TileFailure.of(error)
