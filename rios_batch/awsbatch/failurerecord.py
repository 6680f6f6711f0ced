"""What went wrong on a worker, as a record in S3: from an exception to the record, and back to an exception."""

from __future__ import annotations

import builtins
import json
from dataclasses import asdict, dataclass, field

from rios_batch import errors
from rios_batch.awsbatch.tileformat import RecordError
from rios_batch.errors import RiosBatchError, UserFunctionError, text_of


@dataclass(frozen=True)
class Failure:
    """Something that went wrong on a worker.

    Attributes
    ----------
    tile : the tile that failed; None where it was no tile.
    kind : qualified name of the exception's class.
    message : what the person is told.
    worker : who left the record.
    stops_run : trying again would give the same.
    exception_type, traceback_text : of the user function's own exception.
    """

    tile: int | None
    kind: str
    message: str
    worker: str
    stops_run: bool
    exception_type: str = ""
    traceback_text: str = field(default="", repr=False)

    def encode(self) -> bytes:
        """Return the record as JSON."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, data: bytes) -> Failure:
        """Read a record.

        Raises
        ------
        RecordError : the data is something else.
        """
        try:
            return cls(**json.loads(data))
        except (TypeError, ValueError) as error:
            raise RecordError(f"a failure's record cannot be read: {error!r}") from error


def failure_of(error: BaseException, tile: int | None, worker: str, *, stops_run: bool) -> Failure:
    """Return the record of an exception.

    Parameters
    ----------
    tile : the tile that failed; None where it was no tile.
    worker : who leaves the record.
    stops_run : trying again would give the same.
    """
    user_error = error if isinstance(error, UserFunctionError) else None
    return Failure(
        tile=tile,
        kind=f"{type(error).__module__}.{type(error).__qualname__}",
        message=text_of(error),
        worker=worker,
        stops_run=stops_run,
        exception_type=user_error.exception_type if user_error else "",
        traceback_text=user_error.traceback_text if user_error else "",
    )


def error_of(failure: Failure) -> BaseException:
    """Return the exception that a failure's record describes, as a local worker would have raised the exception."""
    module, _, name = failure.kind.rpartition(".")
    if name == UserFunctionError.__name__:
        error = UserFunctionError(
            failure.message, exception_type=failure.exception_type, traceback_text=failure.traceback_text
        )
        error.add_note(f"The traceback in the worker was:\n{failure.traceback_text}")
        return error
    home = {errors.__name__: errors, builtins.__name__: builtins}.get(module)
    kind = getattr(home, name, None)
    if isinstance(kind, type) and issubclass(kind, RiosBatchError | SystemExit | KeyboardInterrupt):
        return kind(failure.message)
    return RiosBatchError(f"{name}: {failure.message} (on {failure.worker})")
