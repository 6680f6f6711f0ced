"""Jobs of Python modules that start in milliseconds, for tests: a process that has loaded what they load is forked.

Most of a short job's time is that of loading numpy, GDAL and boto3. What environment variables decide while these
packages are loaded is decided by those of this process.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import json
import os
import runpy
import select
import socket
import struct
import subprocess
import sys
import threading
import traceback
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import ModuleType

_MOST_BYTES = 2**17
_NUMBER = struct.Struct("i")
# By its path: the packages that it lies in load boto3, which jobs must not find loaded.
_THIS_MODULE_ALONE = f"import runpy; runpy.run_path({__file__!r}, run_name='__main__')"


class WarmStarts:
    """A process that forks jobs, and ends with this one or when closed.

    Parameters
    ----------
    packages : folder of the project's code.
    """

    def __init__(self, packages: str) -> None:
        self._control, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _THIS_MODULE_ALONE, str(its.fileno())],
                cwd=packages,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                pass_fds=[its.fileno()],
                start_new_session=True,
            )

    def start(self, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> WarmJob:
        """Start ``python3 -m MODULE ARGUMENTS`` as the leader of a session."""
        output, its_output = os.pipe()
        status, its_status = os.pipe()
        order = json.dumps([command[2:], str(folder), dict(environment)]).encode()
        socket.send_fds(self._control, [order], [its_output, its_status])
        os.close(its_output)
        os.close(its_status)
        return WarmJob(output, status)

    def close(self) -> None:
        """End the process that forks jobs; jobs that run go on."""
        self._control.close()
        self._process.wait()


class WarmJob:
    """A forked job; has what is used of Popen."""

    def __init__(self, output: int, status: int) -> None:
        self.stdout = os.fdopen(output, "rb")
        self._status = os.fdopen(status, "rb", buffering=0)
        self._code: int | None = None
        (self.pid,) = _NUMBER.unpack(self._status.read(_NUMBER.size))

    def wait(self, seconds: float) -> int:
        """Return the exit code, negative for a signal.

        Raises
        ------
        subprocess.TimeoutExpired : the job runs for longer.
        """
        if self._code is None:
            if not select.select([self._status], [], [], seconds)[0]:
                raise subprocess.TimeoutExpired("a warm job", seconds)
            (self._code,) = _NUMBER.unpack(self._status.read(_NUMBER.size))
            self._status.close()
        return self._code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the job has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        if self._code is None:
            os.kill(self.pid, number)


class _Kept(MetaPathFinder, Loader):
    """Has modules that are loaded already appear when the first of them is imported."""

    def __init__(self, modules: Mapping[str, ModuleType]) -> None:
        self._modules = modules

    def find_spec(self, name: str, *_: Any) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name in self._modules else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self._modules[spec.name]

    def exec_module(self, _module: ModuleType) -> None:
        """Show the others: the module imported them when it was executed."""
        sys.meta_path.remove(self)
        sys.modules.update(self._modules)


def main(fd: int) -> None:
    """Fork a job for every order, until nobody can send one any more."""
    from rios_batch import gdalapi  # noqa: F401, PLC0415 - with numpy and GDAL
    from rios_batch.awsbatch import configuration  # noqa: F401, PLC0415 - what a worker loads first

    shown = set(sys.modules)
    from rios_batch.awsbatch import workerrun  # noqa: F401, PLC0415 - with boto3

    # A worker without boto3 has its server be a copy of the worker, see rios_batch.jobmanagers.servercopy.
    sys.meta_path.insert(0, _Kept({name: sys.modules.pop(name) for name in set(sys.modules) - shown}))
    gc.freeze()
    with socket.socket(fileno=fd) as control:
        while True:
            order, fds, _, _ = socket.recv_fds(control, _MOST_BYTES, 2)
            if not order:
                return
            if (pid := os.fork()) == 0:
                control.close()
                _look_after_job(order, *fds)
            for passed in fds:
                os.close(passed)
            os.waitpid(pid, 0)


def _look_after_job(order: bytes, output: int, status: int) -> NoReturn:
    """Fork the job's process, report its number, and its end, in a process that nobody waits for."""
    if os.fork():
        os._exit(0)
    try:
        if (pid := os.fork()) == 0:
            os.close(status)
            command, folder, environment = json.loads(order)
            _be_the_job(command, folder, environment, output)
        os.close(output)
        os.write(status, _NUMBER.pack(pid))
        os.write(status, _NUMBER.pack(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])))
    finally:
        os._exit(0)


def _be_the_job(command: list[str], folder: str, environment: dict[str, str], output: int) -> NoReturn:
    code: Any = 1
    try:
        os.setsid()
        for stream in (1, 2):
            os.dup2(output, stream)
        os.close(output)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        module, *arguments = command
        sys.argv = [module, *arguments]
        sys.path[0] = folder
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code
        if isinstance(code, str):
            print(code, file=sys.stderr)  # noqa: T201 - as Python does at its end
            code = 1
    except BaseException:  # noqa: BLE001 - as Python does at its end
        traceback.print_exc()
    finally:
        threading._shutdown()  # type: ignore[attr-defined] # as Python does at its end
        atexit._run_exitfuncs()
        sys.stdout.flush()
        os._exit(code or 0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
