"""The runbook of docs/operations.md knows every error class, and every sentence that a run on AWS can end with."""

from __future__ import annotations

import ast
import inspect
import re
from typing import TYPE_CHECKING

import pytest

from rios_batch import errors
from rios_batch.aws import faults, waiting
from tests.support import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# What is raised for other code of the project, and never reaches a person by this name or sentence.
INNER = {
    "ArgumentTypeError",  # argparse's
    "BadError", "UnknownError",  # lines of the doctor, which say what to do
    "ChildDiedError", "NoProcessError", "PoolDismissedError",  # become failures of a tile
    "QueueGoneError",  # ends a worker's work for a run; where it ends a run, S3 or SQS has said so before
    "StoppedError", "UploadStoppedError",  # what was asked to stop
    "Terminated",  # the end of a worker that was asked to end
    "UsageError",  # click's, which shows the command's help
    "TypeError", "ValueError",  # become a RecordError
    "KeyError", "ModuleNotFoundError", "AttributeError",  # of interfaces like Python's own
}  # fmt: skip
MODULES = sorted(
    path for folder in ("aws", "awsbatch", "cli") for path in (ROOT / "rios_batch" / folder).glob("*.py")
) + [ROOT / "rios_batch" / name for name in ("worker.py", "model/costs.py", "testing/rehearsal.py")]
ELLIPSIS = "…"
_ERRORS = ("Error", "family.kind", "family.passing")


_HEADINGS = ("Class", "Message")


def runbook() -> str:
    text = (ROOT / "docs/operations.md").read_text("utf-8")
    return text[text.index("## At three in the morning") :]


def rows() -> dict[str, tuple[str, str]]:
    """Return what each message of the tables means and what to do, by the message."""
    lines = [line for line in runbook().splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {message: (meaning, cure) for message, meaning, cure in cells}


def fits(pattern: str, sentence: str) -> bool:
    """Whether a row's message is the beginning, or a part, of a sentence; an ellipsis stands for anything."""
    parts = [part.strip() for part in pattern.split(ELLIPSIS) if part.strip()]
    return re.search(".*".join(map(re.escape, parts)), sentence, re.DOTALL) is not None


def sentence_of(node: ast.expr) -> str:
    """Return the text of a message; what stands in braces is an ellipsis."""
    match node:
        case ast.Constant(str() as text):
            return text
        case ast.JoinedStr(values):
            return "".join(sentence_of(value) for value in values)
        case _:
            return ELLIPSIS


def raised(path: Path) -> Iterator[tuple[str, str]]:
    """Yield class and sentence of everything that a module raises with a sentence of its own."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        match node:
            case ast.Raise(exc=ast.Call(func, [first, *_])) | ast.Return(value=ast.Call(func, [first, *_])):
                kind, sentence = ast.unparse(func), sentence_of(first)
                is_word = re.search("[a-z]{3}", sentence)
                if kind.endswith(_ERRORS) and kind.rpartition(".")[2] not in INNER and is_word:
                    yield f"{path.name}:{node.lineno} {kind}", sentence


def warned(path: Path) -> Iterator[tuple[str, str]]:
    """Yield every warning with words of its own."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        match node:
            case ast.Call(ast.Attribute(ast.Name("log"), "warning"), [ast.Constant(str() as text), *_]):
                if re.search("[a-z]{3}", text):
                    yield f"{path.name}:{node.lineno} warning", re.sub("%[sd]", ELLIPSIS, text)


def all_sentences() -> dict[str, str]:
    found = dict(pair for path in MODULES for pair in (*raised(path), *warned(path)))
    for _, codes, kind, sentence in faults._ROWS:
        found[f"{kind.__name__} for {min(codes)}"] = re.sub(r"\{[^}]*\}", ELLIPSIS, sentence)
    for family in faults._FAMILIES.values():
        found[f"{family.kind.__name__} for the rest"] = re.sub(r"\{[^}]*\}", ELLIPSIS, family.other)
    return found


SENTENCES = all_sentences()
CLASSES = sorted(
    name
    for name, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, errors.RiosBatchError) and kind.__module__ == errors.__name__
)


@pytest.mark.parametrize("name", CLASSES)
def test_every_error_class_is_in_the_runbook(name: str) -> None:
    assert f"| `{name}`" in runbook()


@pytest.mark.parametrize("where", SENTENCES)
def test_every_sentence_of_a_run_on_aws_is_in_the_runbook(where: str) -> None:
    assert [message for message in rows() if fits(message, SENTENCES[where])], (
        f"add a row to the runbook in docs/operations.md for: {SENTENCES[where]}"
    )


def test_the_runbook_has_no_message_that_nothing_says_any_more() -> None:
    known = [*SENTENCES.values(), *waiting._CAUSES, *waiting._CAUSES.values()]
    stale = [
        message
        for message in rows()
        if message not in _HEADINGS
        and not message.startswith("`")
        and not any(fits(message, one) for one in known)
    ]
    assert stale == []


def test_every_row_says_what_to_do() -> None:
    told = {
        message: (meaning, cure) for message, (meaning, cure) in rows().items() if message not in _HEADINGS
    }
    assert [message for message, (meaning, cure) in told.items() if not (meaning and cure)] == []
    assert len(told) > len(CLASSES)
