"""How a Batch job's attempt really runs: as a process of this machine, or as a container."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from rios_batch.testing.emulation.warm import WarmStarts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rios_batch.testing.emulation.reaper import Reaper
    from rios_batch.testing.emulation.warm import WarmJob

_PACKAGES = Path(__file__).resolve().parents[3]
OUT_OF_MEMORY = "OutOfMemoryError: Container killed due to memory usage"


@dataclass(frozen=True)
class Task:
    """One attempt of a job, ready to start.

    Attributes
    ----------
    name : unique among all attempts.
    image : what the job definition says.
    command : empty leaves the image's.
    environment : all variables.
    vcpus, memory_mib : its size.
    """

    name: str
    image: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    vcpus: float
    memory_mib: int


class CannotStartError(Exception):
    """An attempt that never began; the message is what Batch gives as the container's reason."""


class Running(Protocol):
    """A started attempt."""

    handle: str
    """Process id or container id."""

    def wait(self, seconds: float) -> int | None:
        """Wait a while; give the exit code as a shell would say it, None while it runs."""

    def signal(self, number: int, *, group: bool = False) -> None:
        """Send a signal to its first process, or to all of its process group."""

    def finish(self) -> str:
        """End what it left behind, after its output was passed on; give the container's reason."""


class Runner(Protocol):
    """Starts attempts."""

    def start(self, task: Task, output: Callable[[str], None]) -> Running:
        """Start an attempt; each line of its output is passed on, while it runs."""


class _Output(threading.Thread):
    """Passes on lines, so that a job never waits for a full pipe."""

    def __init__(self, stream: IO[bytes], output: Callable[[str], None]) -> None:
        super().__init__(daemon=True)
        self._stream, self._output = stream, output
        self.start()

    def run(self) -> None:
        with self._stream:
            for line in self._stream:
                self._output(line.decode(errors="replace").rstrip("\r\n"))


class ProcessRunner:
    """Runs a job's command as a process with this interpreter and this project.

    Parameters
    ----------
    reaper : ends processes that outlive the server.
    code : has a folder for each image whose code is not this project's, by the image's tag; None for none.
    warm : jobs that are modules of this project's code are forked from a process that has loaded what they need.
    """

    def __init__(self, reaper: Reaper, *, code: Path | None = None, warm: bool = False) -> None:
        self._reaper, self._code, self._warm = reaper, code, warm
        self._lock = threading.Lock()

    @cached_property
    def _warm_starts(self) -> WarmStarts:
        return WarmStarts(str(_PACKAGES))

    def _code_in(self, image: str) -> str:
        folder = self._code and self._code / image.rpartition(":")[2]
        return str(folder if folder and folder.is_dir() else _PACKAGES)

    def start(self, task: Task, output: Callable[[str], None]) -> Running:
        if not task.command:
            raise CannotStartError("CannotStartContainerError: there is no command, and no image to have one")
        folder = Path(tempfile.mkdtemp(prefix="job-"))  # below the server's own folder
        environment = {
            # Settings of this machine (PATH, GDAL's and conda's), but none of AWS or of the project.
            **{key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "RIOS_"))},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",  # its python3 is this one
            "PYTHONPATH": self._code_in(task.image),
            "PYTHONUNBUFFERED": "1",
            "HOME": str(folder),
            **task.environment,
        }
        try:
            process = self._process(task.command, folder, environment)
        except OSError as error:
            shutil.rmtree(folder)
            raise CannotStartError(f"CannotStartContainerError: {error}") from error
        self._reaper.watch("group", process.pid)
        return _Process(process, folder, output, self._reaper)

    def _process(
        self, command: Sequence[str], folder: Path, environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes] | WarmJob:
        if self._warm and command[:2] == ("python3", "-m") and environment["PYTHONPATH"] == str(_PACKAGES):
            with self._lock:
                return self._warm_starts.start(command, folder, environment)
        return subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


class _Process:
    def __init__(
        self,
        process: subprocess.Popen[bytes] | WarmJob,
        folder: Path,
        output: Callable[[str], None],
        reaper: Reaper,
    ) -> None:
        self.handle = str(process.pid)
        self._process, self._folder, self._reaper = process, folder, reaper
        assert process.stdout is not None
        self._output = _Output(process.stdout, output)

    def wait(self, seconds: float) -> int | None:
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        return code if code >= 0 else 128 - code

    def signal(self, number: int, *, group: bool = False) -> None:
        if group:
            os.killpg(self._process.pid, number)
        else:
            self._process.send_signal(number)

    def finish(self) -> str:
        # As a container ends with its first process.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._output.join()
        self._reaper.forget("group", self._process.pid)
        shutil.rmtree(self._folder, ignore_errors=True)
        return ""


class ContainerRunner:
    """Runs a job's image with Docker.

    Parameters
    ----------
    reaper : removes containers that outlive the server.
    image : a local image in place of those of the job definitions; None for none.
    docker : the command.
    """

    def __init__(self, reaper: Reaper, *, image: str | None = None, docker: str = "docker") -> None:
        self._reaper, self._image, self._docker = reaper, image, docker

    def start(self, task: Task, output: Callable[[str], None]) -> Running:
        image = self._image or task.image
        known = subprocess.run([self._docker, "image", "inspect", image], capture_output=True, check=False)
        if known.returncode:
            raise CannotStartError(f"CannotPullContainerError: pull image manifest has failed: {task.image}")
        variables = [part for key in task.environment for part in ("--env", key)]  # values: from our own
        process = subprocess.Popen(
            [
                # The host's network, where the emulation is, so that it need listen nowhere else.
                *(self._docker, "run", "--init", "--name", task.name, "--network", "host"),
                *("--memory", f"{task.memory_mib}m", "--memory-swap", f"{task.memory_mib}m"),
                *(*variables, image, *task.command),
            ],
            env={**os.environ, **task.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._reaper.watch("container", task.name)
        return _Container(process, task.name, output, self._reaper, self._docker)


class _Container:
    def __init__(
        self,
        process: subprocess.Popen[bytes],
        name: str,
        output: Callable[[str], None],
        reaper: Reaper,
        docker: str,
    ) -> None:
        self.handle = name
        self._process, self._reaper, self._docker = process, reaper, docker
        assert process.stdout is not None
        self._output = _Output(process.stdout, output)

    def wait(self, seconds: float) -> int | None:
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def signal(self, number: int, *, group: bool = False) -> None:
        if group and number in (signal.SIGSTOP, signal.SIGCONT):
            self._call("pause" if number == signal.SIGSTOP else "unpause", self.handle)
        else:
            self._call("kill", "--signal", str(number), self.handle)

    def finish(self) -> str:
        self._output.join()
        state = self._call("inspect", "--format", "{{.State.OOMKilled}}", self.handle)
        self._call("rm", "--force", "--volumes", self.handle)
        self._reaper.forget("container", self.handle)
        return OUT_OF_MEMORY if state == "true" else ""

    def _call(self, *arguments: str) -> str:
        # What is gone already can be neither signalled nor removed.
        done = subprocess.run([self._docker, *arguments], capture_output=True, text=True, check=False)
        return done.stdout.strip()
