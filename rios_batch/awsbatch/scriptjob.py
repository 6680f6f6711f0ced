"""Runs a submitted script as main: ``python -m rios_batch.awsbatch.scriptjob s3://bucket/prefix/ SHA256 script.py``."""

from __future__ import annotations

import os
import runpy
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rios_batch.aws.clients import make_client
from rios_batch.aws.objects import Bucket
from rios_batch.aws.scripts import fetch_script
from rios_batch.contract import ENV_STACK_REGION
from rios_batch.model.s3names import SCHEME

if TYPE_CHECKING:
    from collections.abc import Sequence


TERMINATED = 128 + signal.SIGTERM


def main(arguments: Sequence[str] | None = None) -> None:
    """Fetch the script and run it in a folder of its own."""
    end_in_good_order()
    location, sha256, script, *script_arguments = sys.argv[1:] if arguments is None else arguments
    run_sent_script(exchange_bucket(location), location, sha256, script, script_arguments)


def end_in_good_order() -> None:
    """Have SIGTERM end this process so that a run is ended with it: Batch ends jobs so."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))


def exchange_bucket(location: str) -> Bucket:
    """Return the bucket that an ``s3://`` name lies in."""
    name = location.removeprefix(SCHEME).partition("/")[0]
    return Bucket(name, make_client("s3", region=os.environ.get(ENV_STACK_REGION)))


def run_sent_script(
    bucket: Bucket, location: str, sha256: str, script: str, arguments: Sequence[str]
) -> None:
    """Fetch a script and run it as `python SCRIPT ARGUMENTS` would, in a folder of its own.

    Parameters
    ----------
    bucket : the exchange bucket.
    location, sha256 : the script in it (`rios_batch.aws.scripts.SentScript`).
    script : the name of the script's file.
    arguments : the script's own.
    """
    with tempfile.TemporaryDirectory(prefix="rios_batch-") as folder:
        fetch_script(bucket, location.removeprefix(SCHEME).partition("/")[2], sha256, Path(folder))
        path = str(Path(folder) / script)
        sys.argv = [path, *arguments]
        sys.path[0] = folder  # as Python does for a script: modules that were sent along are found
        try:
            runpy.run_path(path, run_name="__main__")
        except ModuleNotFoundError as error:
            module = (error.name or "").partition(".")[0]
            error.add_note(
                f"if {module} lies beside the script, send it along: rios-batch submit --with {module}.py {script}"
            )
            raise


if __name__ == "__main__":
    main()
