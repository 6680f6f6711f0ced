"""What the doctor is asked, and what the doctor finds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from rios_batch.errors import RiosBatchError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass(frozen=True)
class Question:
    """What somebody is going to do.

    Attributes
    ----------
    workers : workers on AWS Batch; None for as many as the stack may have.
    script : the script that will run; None if it is not known.
    inputs, outputs : names as in the script.
    """

    workers: int | None = None
    script: Path | None = None
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()


class State(StrEnum):
    """How a thing is."""

    GOOD = "ok"
    BAD = "BAD"
    UNKNOWN = "?"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    name : the thing.
    state : how the thing is.
    text : what was found; for a bad thing also what to do.
    """

    name: str
    state: State
    text: str


class BadError(RiosBatchError):
    """Something is bad; the text says what to do."""


class UnknownError(RiosBatchError):
    """Nobody can say yet; the text says why."""


def look(name: str, check: Callable[[], str]) -> Finding:
    """Make a check that the submitter policy allows.

    Parameters
    ----------
    name : what is looked at.
    check : returns what is good; an error says what is bad.
    """
    try:
        return Finding(name, State.GOOD, check())
    except UnknownError as error:
        return Finding(name, State.UNKNOWN, str(error))
    except RiosBatchError as error:
        return Finding(name, State.BAD, str(error))


def look_beyond_policy(name: str, check: Callable[[], str]) -> Finding:
    """Make a check that only administrators may make; it is no fault if AWS does not answer.

    Parameters
    ----------
    name : what is looked at.
    check : returns what is good, raises BadError for what is bad.
    """
    try:
        return Finding(name, State.GOOD, check())
    except BadError as error:
        return Finding(name, State.BAD, str(error))
    except PermissionError:
        return Finding(name, State.UNKNOWN, "not allowed to look")
    except RiosBatchError as error:
        return Finding(name, State.UNKNOWN, str(error))
