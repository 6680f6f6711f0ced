"""``rios-batch plan``: what a script's runs would take."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rios_batch.cli.output import as_json_option, say, show
from rios_batch.errors import MemoryLimitError, ParameterError
from rios_batch.model.forecast import ENV_DRY_RUN

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOOK_SECONDS = 0.2
_PROGRAM = "rios_batch.cli.planscript"


@click.command(
    context_settings={"allow_interspersed_args": False},
    short_help="Say what a script's runs would take: memory, time, dollars.",
)
@click.option("--as-rios", is_flag=True, help="The script imports rios, as for `rios-batch as-rios`.")
@as_json_option
@click.argument("script", type=click.Path(path_type=Path))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def plan(*, as_rios: bool, as_json: bool, script: Path, arguments: tuple[str, ...]) -> int:
    """Run a script in which every apply only says what it would take, and print that.

    For each apply: grid, tiles, bytes read and written, the memory of a worker, and time and US dollars for several
    numbers of workers. One tile is computed here to measure it; no output is written, and nothing is sent to AWS.
    Without credentials the stack is taken for an ordinary one.

    The script's other lines run as they are, and what they print goes to standard error. Outputs do not exist when
    apply returns: where the script goes on to read one, the plan ends and says so. The exit status is 1 if a run is
    refused (a worker would take more memory than it may), or if the script fails in another way. ARGUMENTS are the
    script's own.
    """
    if not script.is_file():
        raise ParameterError(f"{script} is not a file")
    importlib.import_module(
        "rios_batch.model.requirements"
    )  # else the script fails by a traceback of its own
    planned, ended = 0, None
    with tempfile.TemporaryDirectory(prefix="rios_batch-") as folder:
        process = _start(Path(folder) / "plan", [*["--as-rios"] * as_rios, str(script), *arguments])
        for line in _lines(process, Path(folder) / "plan"):
            if "ended" in line:
                ended = line["ended"]
                continue
            planned += 1
            show(line["forecast"], [*[""] * (planned > 1), *line["lines"]], as_json=as_json)
    return _status(planned, ended, process.returncode)


def _start(file: Path, arguments: list[str]) -> subprocess.Popen[bytes]:
    file.touch()
    return subprocess.Popen(  # noqa: S603 - the user's own script
        [sys.executable, "-m", _PROGRAM, *arguments],
        env={**os.environ, ENV_DRY_RUN: str(file)},
        stdout=sys.stderr.fileno(),
    )


def _lines(process: subprocess.Popen[bytes], file: Path) -> Iterator[dict[str, Any]]:
    """Yield what a script leaves in the file, until the script has ended."""
    with process, file.open() as opened:
        ended, rest = False, ""
        while not ended:
            try:
                ended = process.wait(_LOOK_SECONDS) is not None
            except subprocess.TimeoutExpired:
                pass
            except KeyboardInterrupt:  # the script has got it, too
                process.wait()
                raise
            *lines, rest = (rest + opened.read()).split("\n")
            yield from map(json.loads, lines)


def _status(planned: int, ended: dict[str, Any] | None, status: int) -> int:
    runs = f"{planned} run{'s' * (planned != 1)}"
    if ended is not None and ended["missing_output"]:
        say(
            f"rios-batch: the plan ends after {runs}: the script goes on with {ended['missing_output']!r}, which a "
            f"planned run would have written ({ended['type']}: {ended['text']})"
        )
        return 0
    if ended is not None and ended["type"] == MemoryLimitError.__name__:
        say(f"rios-batch: {ended['text']}")
        return 1
    if ended is not None:
        may_be_why = planned and not ended["by_apply"]
        hint = "; their outputs do not exist, which may be why" if may_be_why else ""
        say(f"rios-batch: the script failed after {runs} planned{hint}: {ended['type']}: {ended['text']}")
        return 1
    if status:
        say(f"rios-batch: the script ended with status {status} after {runs} planned")
        return 1
    if not planned:
        say("rios-batch: the script has called apply not once, so there is nothing to plan")
        return 1
    return 0
