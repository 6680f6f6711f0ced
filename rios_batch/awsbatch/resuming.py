"""Running a script again so that the script resumes a run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rios_batch.awsbatch.manager import ENV_RESUME
from rios_batch.awsbatch.runinfo import describe_run
from rios_batch.errors import JobMgrError

_SIGNALLED = 128  # as shells count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rios_batch.aws.cloud import Cloud


def command_of(cloud: Cloud, run_id: str, script: Sequence[str]) -> tuple[list[str], str]:
    """Return the command that resumes a run, and the folder to run it in.

    Parameters
    ----------
    script : a script and its arguments; empty for what the run was begun with.

    Raises
    ------
    JobMgrError : there is no such run, or nobody knows here what it was begun with.
    """
    status = describe_run(cloud, run_id)
    if status.info.state == "running":
        raise JobMgrError(f"run {run_id} is running; `rios-batch cancel {run_id}` ends it")
    if script:
        return [sys.executable, *script], str(Path.cwd())
    name = f"name the script: rios-batch resume {run_id} script.py ..."
    if not status.command or not all(part.isprintable() for part in [*status.command, status.folder]):
        raise JobMgrError(f"run {run_id} does not say what it was begun with; {name}")
    if not Path(status.folder).is_dir():
        raise JobMgrError(
            f"run {run_id} was begun in {status.folder} on {status.host}, and there is no such folder here; {name}"
        )
    return [sys.executable, *status.command[1:]], status.folder


def run_again(run_id: str, command: Sequence[str], folder: str) -> int:
    """Run a command that resumes a run, and return the command's exit status."""
    environment = {**os.environ, ENV_RESUME: run_id}
    with subprocess.Popen(list(command), cwd=folder, env=environment) as process:  # noqa: S603 - agreed to
        while True:
            try:
                status = process.wait()
            except KeyboardInterrupt:  # the script has got it, too, and must have time to end its workers
                continue
            return status if status >= 0 else _SIGNALLED - status
