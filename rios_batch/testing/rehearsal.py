"""A person's script, run on AWS Batch and in one process, and what the two have written compared bit for bit.

AWS is emulated unless the real one is asked for. The person's files are as they were afterwards.
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rios_batch.errors import JobMgrError, ParameterError
from rios_batch.jobmanagers.environment import environment_with
from rios_batch.testing.guarding import put_back
from rios_batch.testing.rehearsed import FOUND, REPORT, Setting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rios_batch.aws.cloud import Cloud
    from rios_batch.testing.emulation import Emulator

_ON_AWS = "on AWS Batch"
_STANDARD_ERROR = 2
_LOOK_S = 0.3  # between looks for a new run
_HERE = "in one process of this machine"


@dataclass(frozen=True)
class ComparedOutput:
    """An output of both runs.

    Attributes
    ----------
    call : number of the ``apply`` that wrote it, counted from 1.
    name : symbolic name.
    path : name of the file or object, as the script gave it.
    difference : what differs first, in words; empty if nothing does.
    """

    call: int
    name: str
    path: str
    difference: str

    def __str__(self) -> str:
        whose = f"{self.path} (output {self.name!r} of apply number {self.call})"
        return (
            f"{whose} differs: {self.difference}" if self.difference else f"{whose} is the same, bit for bit"
        )


@dataclass(frozen=True)
class Rehearsal:
    """What to rehearse.

    Parameters
    ----------
    script, arguments : a script of Python, and what its command line has.
    workers : workers on AWS Batch; main computes nothing.
    say : told what happens, in lines for a person.
    report : where the reports of the runs on AWS Batch go; of the second ``apply`` to ``NAME-2.html``, and so on.
    image : a local Docker image, of which workers on the emulated AWS are containers; None for processes.
    watch : draws a run on the emulated AWS in the terminal until the run has ended. What the script prints comes after.
    """

    script: Path
    arguments: tuple[str, ...]
    workers: int
    say: Callable[[str], None]
    report: Path | None = None
    image: str | None = None
    watch: Callable[[Cloud, str], None] | None = None

    def on_emulated_aws(self) -> list[ComparedOutput]:
        """Rehearse on an AWS that is made for it on this machine, with workers as processes or containers.

        Raises
        ------
        JobMgrError : the emulation's packages or the image are missing, the script fails, or does not write the same
            outputs twice.
        RiosBatchError : the emulation fails, or something is left on it.
        """
        missing = [name for name in ("moto", "flask") if importlib.util.find_spec(name) is None]
        if missing:
            raise JobMgrError(
                "the emulated AWS needs packages that are not installed: pip install 'rios_batch[emulation]'"
            )
        from rios_batch.testing.emulation.deployed import deployed  # noqa: PLC0415

        if self.image is not None:
            _check_image(self.image)
        kind = "processes" if self.image is None else f"containers of {self.image}"
        self.say(f"Starting an emulated AWS on this machine; workers will be {kind}.")
        with self._scratch() as scratch, environment_with(_without_aws()), deployed(self.image) as cloud:
            environment = cloud.environment()
            there = self._run(scratch, environment, there=True, cloud=cloud)
            return self._compared(there, self._run(scratch, environment, there=False))

    def on_real_aws(self) -> list[ComparedOutput]:
        """Rehearse one tile of each ``apply``, as one job of the stack that the environment names.

        Raises
        ------
        JobMgrError : the script fails, or does not write the same outputs twice.
        """
        with self._scratch() as scratch:
            return self._compared(self._run(scratch, {}, there=True), self._run(scratch, {}, there=False))

    @contextlib.contextmanager
    def _scratch(self) -> Iterator[Path]:
        if not self.script.is_file():
            raise ParameterError(f"{str(self.script)!r} is not a file; name the script to rehearse")
        scratch = Path(tempfile.mkdtemp(prefix="rios-batch-rehearsal-"))
        try:
            yield scratch
        finally:
            for found in scratch.glob(f"*/{FOUND}"):
                for folder in json.loads(found.read_text())["folders"]:
                    shutil.rmtree(folder, ignore_errors=True)
            shutil.rmtree(scratch, ignore_errors=True)

    def _run(
        self, scratch: Path, environment: dict[str, str], *, there: bool, cloud: Emulator | None = None
    ) -> list[list[dict[str, Any]]]:
        """Run the script, and return the outputs of each ``apply``."""
        where = _ON_AWS if there else _HERE
        self.say(f"Running {self.script} {where}.")
        folder = scratch / ("there" if there else "here")
        folder.mkdir()
        setting = Setting(
            there=there,
            scratch=str(folder),
            workers=self.workers,
            emulated=bool(environment),
            reports=there and self.report is not None,
        )
        command = [sys.executable, "-m", "rios_batch.testing.rehearsed", setting.encode(), str(self.script)]
        command += self.arguments
        try:
            if cloud is not None and self.watch is not None:
                with _said_later(folder) as said, _started(command, environment, said) as process:
                    _watch_all(cloud, process, self.watch)
            else:
                with _started(command, environment, _STANDARD_ERROR) as process:
                    pass
        finally:
            put_back(folder)  # if the script's process could not
            self._keep_reports(folder)
        if process.returncode:
            raise JobMgrError(
                f"{self.script} ended with status {process.returncode} {where}; what it said is above, and its outputs "
                "are as they were"
            )
        found = json.loads((folder / FOUND).read_text())["calls"]
        if not found:
            raise JobMgrError(
                f"{self.script} did not call applier.apply {where}, so there is nothing to rehearse; if it skips what "
                "is there already, name other outputs"
            )
        calls: list[list[dict[str, Any]]] = found
        return calls

    def _keep_reports(self, folder: Path) -> None:
        for number in itertools.count(1):
            made = folder / REPORT.format(number)
            if self.report is None or not made.exists():
                return
            name = self.report.name if number == 1 else f"{self.report.stem}-{number}{self.report.suffix}"
            shutil.move(made, self.report.with_name(name))
            self.say(f"The report of apply number {number} is in {self.report.with_name(name)}.")

    def _compared(
        self, there: list[list[dict[str, Any]]], here: list[list[dict[str, Any]]]
    ) -> list[ComparedOutput]:
        from rios_batch.testing.comparing import difference  # noqa: PLC0415

        shapes = [[[output["name"] for output in call] for call in run] for run in (there, here)]
        if shapes[0] != shapes[1]:
            raise JobMgrError(
                f"{self.script} called apply for other outputs {_ON_AWS} ({shapes[0]}) than {_HERE} ({shapes[1]}), so "
                "they cannot be compared; what it does must not depend on chance, time or earlier runs"
            )
        return [
            ComparedOutput(number, one["name"], one["path"], difference(one["kept"], other["kept"]))
            for number, (call, other_call) in enumerate(zip(there, here, strict=True), start=1)
            for one, other in zip(call, other_call, strict=True)
        ]


def _check_image(image: str) -> None:
    """Refuse an image that Docker does not have here, or no Docker at all."""
    docker = shutil.which("docker")
    if docker is None:
        raise JobMgrError(
            "--docker needs Docker, and there is no command docker here; without it workers are processes"
        )
    found = subprocess.run([docker, "image", "inspect", image], capture_output=True, text=True, check=False)
    if found.returncode:
        raise JobMgrError(
            f"Docker has no image {image!r} here ({found.stderr.strip()}); build the workers' image from a checkout of "
            "this version: docker build --file docker/Dockerfile --tag rios-batch-worker ."
        )


def _without_aws() -> dict[str, str | None]:
    """Return what takes the person's own AWS out of the environment: profiles, endpoints, the stack, a run to resume.

    No proxy is asked for this machine either.
    """
    mine = [name for name in os.environ if name.startswith(("AWS_", "RIOS_AWSBATCH_"))]
    files = dict.fromkeys(("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"), os.devnull)
    direct = {name: f"{os.environ.get(name, '')},127.0.0.1" for name in ("NO_PROXY", "no_proxy")}
    return {**dict.fromkeys(mine), **files, **direct}


@contextlib.contextmanager
def _started(
    command: Sequence[str], environment: dict[str, str], output: int
) -> Iterator[subprocess.Popen[bytes]]:
    """Have a script run; what it prints goes to ``output``, since its results are no results of a rehearsal."""
    variables = {**os.environ, **environment}
    process = subprocess.Popen(command, env=variables, stdout=output, stderr=output)
    try:
        yield process
        process.wait()
    except KeyboardInterrupt:
        process.wait()  # Ctrl-C reached it too; it puts the person's files back
        raise
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


@contextlib.contextmanager
def _said_later(folder: Path) -> Iterator[int]:
    """Give a file for what a script prints, and print it at the end: a picture is being drawn meanwhile."""
    with (folder / "said").open("w+b") as said:
        try:
            yield said.fileno()
        finally:
            said.seek(0)
            os.write(_STANDARD_ERROR, said.read())


def _watch_all(
    emulated: Emulator, process: subprocess.Popen[bytes], watch: Callable[[Cloud, str], None]
) -> None:
    """Watch one run of a script after the other."""
    from rios_batch.aws.cloud import Cloud  # noqa: PLC0415
    from rios_batch.awsbatch.runstore import run_ids  # noqa: PLC0415

    seen: set[str] = set()
    with environment_with(emulated.environment()):
        cloud = Cloud.connect()
        while process.poll() is None:
            for run_id in sorted(set(run_ids(cloud.bucket)) - seen):
                seen.add(run_id)
                with contextlib.suppress(JobMgrError):  # it has just ended
                    watch(cloud, run_id)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_LOOK_S)
