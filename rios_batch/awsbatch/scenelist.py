"""The list of scenes of a campaign: lines of a text file, and the arguments that a script gets for each."""

from __future__ import annotations

import hashlib
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rios_batch.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_PLACE = re.compile(r"\{(\d*)\}")
_LINE_BREAK = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True)
class Scene:
    """A line of the list.

    Attributes
    ----------
    line : number of the line in the file, from 1.
    arguments : what the script gets.
    """

    line: int
    arguments: tuple[str, ...]

    @property
    def key(self) -> str:
        """Return what tells the scene from others; the number of a line changes with the list."""
        return hashlib.sha256("\0".join(self.arguments).encode()).hexdigest()[:32]

    def __str__(self) -> str:
        return f"line {self.line} ({shlex.join(self.arguments)})"


@dataclass(frozen=True)
class SceneList:
    """The scenes of a list, each once.

    Attributes
    ----------
    scenes : in the order of the file.
    repeated : pairs of line numbers: a line, and the earlier one that gives the same arguments.
    """

    scenes: tuple[Scene, ...]
    repeated: tuple[tuple[int, int], ...]


def read_scenes(data: bytes, name: str, arguments: Sequence[str]) -> SceneList:
    """Return the scenes of a list.

    Blank lines, and lines that begin with ``#``, are left out. ``{}`` in an argument stands for the line without
    blanks at its ends, and without quotes if it stands in quotes as a whole. ``{1}``, ``{2}`` and so on stand for
    its columns: separated by tabs if there are any, otherwise by blanks outside of quotes.

    Parameters
    ----------
    data : content of the file.
    name : of the file, for messages.
    arguments : of the script, with places such as ``{}``.

    Raises
    ------
    ParameterError : the arguments have no place for the line, the file is no text or has no lines, or a line lacks a
        column.
    """
    if not any(_PLACE.search(argument) for argument in arguments):
        raise ParameterError(
            "no argument of the script has a place for the line of the list, so that all runs would be the same; "
            "write {} where the line goes, or {1}, {2} for its columns"
        )
    first: dict[str, Scene] = {}
    repeated = []
    for number, text in _lines(data, name):
        scene = Scene(number, tuple(_filled(argument, text, number, name) for argument in arguments))
        if (earlier := first.setdefault(scene.key, scene)) is not scene:
            repeated.append((number, earlier.line))
    if not first:
        raise ParameterError(f"{name} has no lines but blank ones and comments; write a scene on each line")
    return SceneList(tuple(first.values()), tuple(repeated))


def _lines(data: bytes, name: str) -> Iterator[tuple[int, str]]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ParameterError(f"{name} is not text in UTF-8 ({error}); save it as UTF-8") from error
    for number, line in enumerate(_LINE_BREAK.split(text), start=1):
        if "\0" in line:
            raise ParameterError(f"line {number} of {name} holds a zero byte; save the list as text in UTF-8")
        if (line := line.strip()) and not line.startswith("#"):
            yield number, line


def _filled(argument: str, line: str, number: int, name: str) -> str:
    def value(place: re.Match[str]) -> str:
        if not place[1]:
            return _unquoted(line)
        columns, wanted = _columns(line, number, name), int(place[1])
        if not 1 <= wanted <= len(columns):
            raise ParameterError(
                f"line {number} of {name} has {len(columns)} columns, and {place[0]} asks for column {wanted}, counted "
                f"from 1: {line!r}"
            )
        return columns[wanted - 1]

    return _PLACE.sub(value, argument)


def _unquoted(text: str) -> str:
    quote = text[0]
    whole = len(text) > 1 and quote in "\"'" and text[-1] == quote and quote not in text[1:-1]
    return text[1:-1] if whole else text


def _columns(line: str, number: int, name: str) -> list[str]:
    if "\t" in line:
        return [_unquoted(column) if (column := part.strip()) else "" for part in line.split("\t")]
    words = shlex.shlex(line, posix=True)
    words.whitespace_split, words.commenters, words.escape = True, "", ""
    try:
        return list(words)
    except ValueError as error:
        raise ParameterError(
            f"line {number} of {name} has a quote without its partner; put the column into the other kind of quotes, "
            f"or separate columns by tabs: {line!r}"
        ) from error
