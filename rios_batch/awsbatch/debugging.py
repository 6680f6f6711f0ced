"""A tile that fails, in this process, with Python's debugger at the line of the user's function."""

from __future__ import annotations

import contextlib
import pdb  # noqa: T100 - it is what the command is for
import pickle
from typing import TYPE_CHECKING, Any

from rios_batch.awsbatch.failurerecord import failure_of
from rios_batch.awsbatch.replaying import HERE, Replayed, unloadable
from rios_batch.compute import tile as tile_module
from rios_batch.compute.otherargs import ChangeDetector
from rios_batch.compute.tile import TileRunner
from rios_batch.errors import JobMgrError, UserFunctionError
from rios_batch.gdalapi import gdal_exceptions, limit_gdal_resources
from rios_batch.jobmanagers.environment import set_environment
from rios_batch.jobmanagers.pickling import is_users_file
from rios_batch.read.network import apply_cloud_options

if TYPE_CHECKING:
    from types import FrameType, TracebackType

    from rios_batch.awsbatch.replaying import ReplayJob
    from rios_batch.model.spec import RunSpec


def debug(job: ReplayJob) -> tuple[Replayed, TracebackType | None]:
    """Compute the tile in this process.

    Returns
    -------
    What became of it, and the traceback for `post_mortem` if it failed.

    Raises
    ------
    JobMgrError : function or otherArgs cannot be loaded here.
    """
    order = job.order
    set_environment(order.environment)
    try:
        spec: RunSpec = pickle.loads(order.spec)  # noqa: S301 - was verified when it was fetched
        detector = ChangeDetector(order.other_args, spec.scratch)
        detector.load()
    except Exception as error:
        raise JobMgrError(unloadable(job, error)) from error
    spec = spec.with_inputs_at(order.input_paths)
    with gdal_exceptions(), contextlib.closing(TileRunner(spec, HERE)) as runner:
        apply_cloud_options(order.cloud_options)
        limit_gdal_resources(1, spec.input_cache_bytes)
        try:
            result = runner.run(job.tile, detector.fresh_copy())
        except (Exception, SystemExit) as error:  # noqa: BLE001 - it is what was asked for
            found = Replayed(failure_of(error, job.tile.index, HERE, stops_run=True), None, None)
            cause = error.__cause__ if isinstance(error, UserFunctionError) else error
            return found, None if cause is None else cause.__traceback__
    return Replayed(None, result.record, None), None


def post_mortem(traceback: TracebackType) -> None:
    """Open the debugger where the user's own code raised an exception, or called what raised it."""
    debugger = _Debugger()
    debugger.reset()
    debugger.interaction(None, traceback)


class _Debugger(pdb.Pdb):
    """Begins in the innermost frame that is the user's; ``down`` leads into the library that was called there."""

    def get_stack(self, frame: FrameType | None, traceback: TracebackType | None) -> tuple[Any, int]:
        stack, index = super().get_stack(frame, traceback)
        files = [found.f_code.co_filename for found, _ in stack]
        users = [number for number, (found, _) in enumerate(stack) if _is_users(found)]
        # A function that comes from a package is called from there.
        called = [number + 1 for number, file in enumerate(files[:-1]) if file == tile_module.__file__]
        return stack, next(iter([*reversed(users), *reversed(called)]), index)


def _is_users(frame: FrameType) -> bool:
    file = frame.f_code.co_filename
    if file.startswith("<"):  # typed in, or made by a library
        return frame.f_globals.get("__name__") == "__main__"
    return is_users_file(file)
