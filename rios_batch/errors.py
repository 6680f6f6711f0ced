"""Every error that rios_batch raises on purpose, under one root.

The tree of the errors. ``*`` marks RIOS's names (``rios.rioserrors``): they have RIOS's meaning, so that the ``except``
clauses of ported scripts keep working. In parentheses stand the other bases of a class. ::

    RiosBatchError, by RIOS's name RiosError *
    ├── RequirementError (ModuleNotFoundError)
    ├── ParameterError * (ValueError)
    │   ├── WrongControlsObject *
    │   ├── VectorAttributeError *
    │   ├── ThematicError *
    │   ├── ColorTableGenerationError *
    │   ├── GDALLayerNumberError *
    │   └── WorkerConfigError
    ├── FileOpenError * (OSError)
    │   ├── MissingFileError (FileNotFoundError)
    │   ├── ImageOpenError *
    │   └── VectorLayerError *
    ├── OutputError (OSError)
    ├── GridError (ValueError)
    │   ├── ResampleNeededError *
    │   ├── IntersectionError *
    │   ├── GdalWarpError *
    │   └── VectorProjectionError *
    ├── VectorRasterizationError *
    ├── BlockError (ValueError)
    │   ├── ArrayShapeError *
    │   ├── TypeConversionError * (TypeError)
    │   ├── KeysMismatch *
    │   └── MismatchedListLengthsError *
    ├── WorkerExceptionError *
    │   └── UserFunctionError
    ├── JobMgrError *
    │   ├── PicklingFailedError
    │   │   └── UnloadableJobError
    │   ├── VersionMismatchError
    │   ├── CostLimitError
    │   ├── MemoryLimitError
    │   ├── RunTakenOverError
    │   ├── WorkerLostError (WorkerExceptionError)
    │   ├── WaitLimitError (TimeoutError)
    │   ├── StackExportsError
    │   └── AWSError
    │       ├── AWSUnavailableError
    │       └── DeniedError (PermissionError)
    ├── ProcessCancelledError *
    ├── S3Error (OSError)
    │   ├── S3UnavailableError
    │   ├── S3DeniedError (PermissionError)
    │   ├── MissingObjectError (FileNotFoundError)
    │   ├── ChangedObjectError
    │   └── DamagedObjectError
    └── UnlistedCallError

A message is one sentence: what was given, what is allowed and what to change. A module whose callers catch an error of
the module's own defines that error itself, under one of these classes.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import re
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_OWN = __name__.partition(".")[0]
_NOTEBOOKS = {"IPython", "ipykernel"}
_SECRETS = re.compile(
    r"(://)[^/\s@'\"]+(?=@)"  # user:password
    r"|([?&][^=&?\s]*(?:sig|token|key|secret|password|credential)[^=&?\s]*=)[^&\s'\",;)]+",
    re.IGNORECASE,
)


def without_secrets(text: str) -> str:
    """Return a text without the credentials in the URLs that it has."""
    return _SECRETS.sub(r"\1\2***", text)


class RiosBatchError(Exception):
    """Root of all errors raised by rios_batch itself. Credentials in URLs are not part of its text."""

    def __str__(self) -> str:
        return without_secrets(super().__str__())

    def _render_traceback_(self) -> list[str]:
        """Return the lines that a notebook shows. IPython asks for them."""
        return _own_lines(self)


@contextlib.contextmanager
def short_when_interrupted() -> Iterator[None]:
    """Have a notebook show an interrupt as it shows errors of this package: without the package's own frames."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        interrupt._render_traceback_ = functools.partial(_own_lines, interrupt)  # type: ignore[attr-defined]
        raise


def _own_lines(error: BaseException) -> list[str]:
    """Return the script's own frames, then the message."""
    cell = itertools.dropwhile(
        lambda step: _package_of(step[0]) in _NOTEBOOKS, traceback.walk_tb(error.__traceback__)
    )
    frames = itertools.takewhile(lambda step: _package_of(step[0]) != _OWN, cell)
    calls = traceback.StackSummary.extract(frames).format()
    heading = ["Traceback (most recent call last):\n"] if calls else []
    return "".join([*heading, *calls, *traceback.format_exception_only(error)]).splitlines()


def _package_of(frame: FrameType) -> str:
    name: str = frame.f_globals.get("__name__") or ""
    return name.partition(".")[0]


RiosError = RiosBatchError  # RIOS's name for its root


class RequirementError(RiosBatchError, ModuleNotFoundError):
    """A package that every run needs is not installed, or does not work."""


class ParameterError(RiosBatchError, ValueError):
    """A setting or argument has a value that is not allowed."""


class WrongControlsObject(ParameterError):  # noqa: N818 - RIOS's name
    """The controls are not an ApplierControls."""


class FileOpenError(RiosBatchError, OSError):
    """A file cannot be opened or read."""


class MissingFileError(FileOpenError, FileNotFoundError):
    """An input file does not exist."""


class ImageOpenError(FileOpenError):
    """A file exists but is not a raster that GDAL can open, create or read."""


class OutputError(RiosBatchError, OSError):
    """An output cannot be written: directory, permissions, space or driver."""


class GridError(RiosBatchError, ValueError):
    """A raster's grid is of a kind that is not supported (rotated, south-up, empty)."""


class ResampleNeededError(GridError):
    """Grids do not fit each other: their projections, pixel sizes or pixel corners differ."""


class IntersectionError(GridError):
    """The inputs do not overlap."""


class GdalWarpError(GridError):
    """An input cannot be resampled onto the working grid."""


class VectorLayerError(FileOpenError):
    """A layer of a vector file does not exist."""


class VectorAttributeError(ParameterError):
    """A vector layer lacks the attribute that should be burned, or the attribute holds no numbers."""


class VectorProjectionError(GridError):
    """A vector layer cannot be brought into the projection of the working grid."""


class VectorRasterizationError(RiosBatchError):
    """A feature cannot be rasterised."""


class ThematicError(ParameterError):
    """An output that is not thematic was given something that only thematic outputs have."""


class ColorTableGenerationError(ParameterError):
    """A colour table was asked for of a kind that does not exist."""


class GDALLayerNumberError(ParameterError):
    """A selected layer (band) does not exist in the file."""


class BlockError(RiosBatchError, ValueError):
    """The user function returned something that cannot be written. The message names block, window and output."""


class ArrayShapeError(BlockError):
    """An output array has another shape than (bands, rows, cols) of its block."""


class TypeConversionError(BlockError, TypeError):
    """An output array has a data type that cannot be written, or not the one of the first block."""


class KeysMismatch(BlockError):  # noqa: N818 - RIOS's name
    """The user function did not set every output that the script names."""


class MismatchedListLengthsError(BlockError):
    """An output that is a list of files was given a list of arrays of another length."""


class WorkerExceptionError(RiosBatchError):
    """Something went wrong in a worker: the user function raised, or the worker was lost. RIOS 2 has this name."""


class UserFunctionError(WorkerExceptionError):
    """The user function raised an exception.

    ``__cause__`` is the original exception, unless the exception had to cross from one machine to another.

    Attributes
    ----------
    traceback_text : the original traceback, as Python prints it.
    exception_type : qualified name of the original exception's class.
    """

    def __init__(self, message: str, *, exception_type: str = "", traceback_text: str = "") -> None:
        super().__init__(message)
        self.exception_type = exception_type
        self.traceback_text = traceback_text

    def _render_traceback_(self) -> list[str]:
        text = "\n".join(super()._render_traceback_())
        for note in getattr(self, "__notes__", ()):
            if self.traceback_text in note:  # once is enough, and the message is what stands last
                text = text.replace(note, "").rstrip()
        return [*self.traceback_text.splitlines(), "", *text.splitlines()]


class JobMgrError(RiosBatchError):
    """A job manager is unknown, misused, or cannot do what was asked."""


class PicklingFailedError(JobMgrError):
    """The user function or otherArgs cannot be sent to another process."""


class UnloadableJobError(PicklingFailedError):
    """The pickled user function cannot be loaded in a worker: a module is missing there."""


class VersionMismatchError(JobMgrError):
    """Workers have other versions of Python or libraries than main, so that a pickle could mean something else."""


class CostLimitError(JobMgrError):
    """A run on AWS Batch would cost more than the script allows. Finished tiles are kept."""


class MemoryLimitError(JobMgrError):
    """A worker on AWS Batch would take more memory than it may have."""


class RunTakenOverError(JobMgrError):
    """Another main has resumed a run on AWS Batch, or somebody has cancelled it, while this main was at it."""


class WorkerLostError(JobMgrError, WorkerExceptionError):
    """A tile killed its worker process again and again."""


class WaitLimitError(JobMgrError, TimeoutError):
    """Main has waited for others for as long as the script allows, and nothing was heard."""


class ProcessCancelledError(RiosBatchError):
    """The progress object said that the user cancelled."""


class StackExportsError(JobMgrError):
    """The deployed stack is missing, is being changed, or lacks an output that the runtime needs."""


class AWSError(JobMgrError):
    """AWS refused a request or could not be reached. The message says what the request was for and what to do."""


class AWSUnavailableError(AWSError):
    """AWS could not be reached, or asked to come back later, for longer than boto3 tries."""


class DeniedError(AWSError, PermissionError):
    """AWS forbids a call that the run needs. The message names the IAM action that is missing."""


class S3Error(RiosBatchError, OSError):
    """S3 refused a request or could not be reached. The message names the object and says what to do."""


class S3UnavailableError(S3Error):
    """S3 could not be reached, or asked to come back later, for longer than boto3 tries."""


class S3DeniedError(S3Error, PermissionError):
    """S3 forbids a request. The message names the IAM action that is missing."""


class MissingObjectError(S3Error, FileNotFoundError):
    """There is no such object in S3."""


class ChangedObjectError(S3Error):
    """An object in S3 is another version than the one that was found there."""


class DamagedObjectError(S3Error):
    """An object in S3 is not what was stored there: some bytes have changed.

    Attributes
    ----------
    key : the object's, if known.
    """

    def __init__(self, message: str, key: str = "") -> None:
        super().__init__(message)
        self.key = key


class UnlistedCallError(RiosBatchError):
    """The program is about to make an AWS call that the stack's policies were not made for."""


class WorkerConfigError(ParameterError):
    """A worker was started with an environment or command line that it cannot use."""


def text_of(error: BaseException) -> str:
    """Return an exception's text; a user's class may fail to make one."""
    try:
        return str(error)
    except Exception as failure:  # noqa: BLE001 - whatever it is, the exception itself is what matters
        return f"(its text cannot be made: {type(failure).__name__})"
