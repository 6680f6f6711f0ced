"""Main's own share of the work: the program that Batch starts elsewhere, started beside main."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import rios_batch
from rios_batch.aws.faults import QueueGoneError
from rios_batch.contract import WORKER_MODULE
from rios_batch.errors import WorkerLostError

if TYPE_CHECKING:
    from rios_batch.awsbatch.configuration import WorkerConfig

_STARTS = 3
_CURE = ". Most likely memory ran out: use setCoordinateOnly(True), or run main on a larger machine"
_STOP_SECONDS = 6.0  # told to end, a worker takes less than five
_LEAVE_SECONDS = 4.0  # a request for work that finds none takes one


class LocalWorker:
    """A worker on main's own machine. The worker lives as long as main.

    Parameters
    ----------
    config : what the worker is told.

    Raises
    ------
    OSError : the worker's process cannot be started.
    """

    def __init__(self, config: WorkerConfig) -> None:
        self._config = config
        self._starts = 0
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        self._starts += 1
        package_folder = str(Path(rios_batch.__file__).parents[1])
        python_path = os.pathsep.join(filter(None, [package_folder, os.environ.get("PYTHONPATH", "")]))
        return subprocess.Popen(  # noqa: S603 - our own program
            # -P: a queue.py in main's working directory is not the standard library's, and may be anybody's.
            [sys.executable, "-P", "-m", WORKER_MODULE, "--with-main", str(os.getpid())],
            env={**os.environ, **self._config.to_env(), "PYTHONPATH": python_path},
            start_new_session=True,  # Ctrl-C is for main, which then ends it
        )

    def check(self) -> None:
        """Start the worker again if it has ended.

        Raises
        ------
        QueueGoneError : the worker has left because its queue is gone.
        WorkerLostError : the worker has ended several times.
        """
        status = self._process.poll()
        if status is None:
            return
        if status == 0:
            raise QueueGoneError(
                f"main's own worker has left, because queue {self._config.queue_url} is gone"
            )
        if self._starts >= _STARTS:
            cure = _CURE if status == -signal.SIGKILL else ""
            raise WorkerLostError(
                f"main's own worker ended {_STARTS} times, the last time with status {status}; its messages are above"
                f"{cure}"
            )
        self._process = self._start()

    def start_again(self, config: WorkerConfig) -> None:
        """End the worker, if it has not ended, and start it with other settings."""
        self.stop()
        self._config, self._starts = config, 0
        self._process = self._start()

    def leave(self) -> None:
        """Wait for the worker to find that its run is over, and then end it if it has not left.

        A request for work that is cut off is still answered by SQS, for some seconds: with a message of the next run
        that uses the queue, which nobody has then until its lease lapses.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_LEAVE_SECONDS)
        self.stop()

    def stop(self) -> None:
        """End the worker. The worker gives its leases back to the queue."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
