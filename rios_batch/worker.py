"""``python -m rios_batch.worker``: computes tiles of one run until none is left.

AWS Batch starts the program with the worker's settings in the environment. Main starts one beside itself the same way.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from rios_batch.awsbatch.configuration import argument_parser
from rios_batch.jobmanagers.workerstart import warm_up

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a worker and return its exit status.

    Parameters
    ----------
    arguments : what follows the program's name; None for those of this process.
    """
    parsed = argument_parser().parse_args(arguments)
    # Before boto3 is loaded and connected: then the server of the worker processes may be a copy of this process.
    warm_up()
    from rios_batch.awsbatch.workerrun import run_worker  # noqa: PLC0415

    return run_worker(os.environ, parsed)


if __name__ == "__main__":
    sys.exit(main())
