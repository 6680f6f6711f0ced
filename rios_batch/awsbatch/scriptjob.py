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

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Fetch the script and run it in a folder of its own."""
    # So that a run is ended in good order when Batch ends this job.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    location, sha256, script, *script_arguments = sys.argv[1:] if arguments is None else arguments
    bucket, _, prefix = location.removeprefix("s3://").partition("/")
    with tempfile.TemporaryDirectory(prefix="rios_batch-") as folder:
        fetch_script(
            Bucket(bucket, make_client("s3", region=os.environ.get(ENV_STACK_REGION))),
            prefix,
            sha256,
            Path(folder),
        )
        path = str(Path(folder) / script)
        sys.argv = [path, *script_arguments]
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
