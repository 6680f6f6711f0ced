"""What went wrong on a worker, as a record in S3: from an exception to the record, and back to an exception."""

from __future__ import annotations

import builtins
import json
from dataclasses import asdict, dataclass, field
from typing import Any

from rios_batch import errors
from rios_batch.awsbatch.decoding import decoding, json_object, text, whole
from rios_batch.errors import RiosBatchError, UserFunctionError, text_of

MOST_BYTES = 2**20
"""Of a record; longer texts are cut when they are written."""
_MOST_CHARS = MOST_BYTES // 16  # JSON may take six bytes for a character


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
        with decoding("a failure's record"):
            fields = json_object(data)
            tile, stops_run = fields.pop("tile"), fields.pop("stops_run")
            if not isinstance(stops_run, bool):
                raise TypeError("a record that does not say whether the failure stops the run")
            texts: dict[str, Any] = {name: text(value) for name, value in fields.items()}
            return cls(tile=None if tile is None else whole(tile), stops_run=stops_run, **texts)


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
        message=text_of(error)[:_MOST_CHARS],
        worker=worker,
        stops_run=stops_run,
        exception_type=user_error.exception_type if user_error else "",
        traceback_text=user_error.traceback_text[-_MOST_CHARS:] if user_error else "",
    )


def error_of(failure: Failure) -> BaseException:
    """Return the exception that a failure's record describes, as a local worker would have raised the exception.

    A record is data, which others may have written: only errors of this package are made of it, and ``SystemExit`` with
    a text, which ends main with status 1.
    """
    module, _, name = failure.kind.rpartition(".")
    if name == UserFunctionError.__name__:
        error = UserFunctionError(
            failure.message, exception_type=failure.exception_type, traceback_text=failure.traceback_text
        )
        error.add_note(f"The traceback in the worker was:\n{failure.traceback_text}")
        return error
    home = {errors.__name__: errors, builtins.__name__: builtins}.get(module)
    kind = getattr(home, name, None)
    if isinstance(kind, type) and issubclass(kind, RiosBatchError | SystemExit):
        return kind(failure.message)
    return RiosBatchError(f"{name}: {failure.message} (on {failure.worker})")
