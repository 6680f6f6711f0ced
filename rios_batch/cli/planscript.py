"""Runs a script whose ``apply`` only plans: ``python -m rios_batch.cli.planscript [--as-rios] script.py ...``.

`rios-batch plan` starts it with `ENV_DRY_RUN` in the environment, and reads there what comes of it: a line for each
forecast, and one that says how the script ended.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from rios_batch.errors import MemoryLimitError, RiosBatchError, text_of
from rios_batch.model.forecast import ENV_DRY_RUN
from rios_batch.model.s3names import SCHEME

if TYPE_CHECKING:
    from collections.abc import Iterator

_AS_RIOS = "--as-rios"
_OWN_FOLDER = str(Path(__file__).parents[1]) + os.sep


def main() -> int:
    """Run the script, leave word how it ended, and return the exit status: the script's own, or 1 for an exception."""
    arguments = sys.argv[1:]
    as_rios = arguments[0] == _AS_RIOS
    script, *own = arguments[1:] if as_rios else arguments
    sys.argv = [script, *own]
    sys.path[0] = str(Path(script).resolve().parent)  # as Python does for a script
    try:
        if as_rios:
            from rios_batch import as_rios as stand_in  # noqa: PLC0415 - changes what `import rios` is

            stand_in.run_script(Path(script), own)
        else:
            runpy.run_path(script, run_name="__main__")
    except Exception as error:  # noqa: BLE001 - the script's own
        _say_how_it_ended(error)
        return 1
    return 0


def _say_how_it_ended(error: Exception) -> None:
    file = Path(os.environ[ENV_DRY_RUN])
    missing = _missing_output(error, _planned_outputs(file))
    by_apply = isinstance(error, RiosBatchError)
    if missing is None and not isinstance(error, MemoryLimitError):
        # Where apply says what is wrong, its own lines say no more.
        ours = (_OWN_FOLDER if by_apply else __file__, runpy.__file__, "<frozen")
        found = traceback.extract_tb(error.__traceback__)
        frames = [frame for frame in found if not frame.filename.startswith(ours)]
        text = "".join(traceback.format_list(frames) + traceback.format_exception_only(error))
        sys.stderr.write(f"Traceback (most recent call last):\n{text}")
    said = {
        "type": type(error).__name__,
        "text": text_of(error),
        "missing_output": missing,
        "by_apply": by_apply,
    }
    with file.open("a") as opened:
        opened.write(json.dumps({"ended": said}) + "\n")


def _planned_outputs(file: Path) -> Iterator[str]:
    for line in file.read_text().splitlines():
        yield from json.loads(line)["forecast"]["outputs"]


def _missing_output(error: BaseException | None, planned: Iterator[str]) -> str | None:
    """Return the planned output that an exception speaks of, and that does not exist; None if there is none."""
    texts = []
    while error is not None:
        texts += [text_of(error), str(getattr(error, "filename", ""))]
        error = error.__cause__ or error.__context__
    said = "\n".join(texts)
    missing = (name for name in planned if name.startswith(SCHEME) or not Path(name).exists())
    return next((name for name in missing if Path(name).name in said), None)


if __name__ == "__main__":
    sys.exit(main())
