"""A scene on disk, how to run a function over the scene with the job manager under test, and what must not be left."""

from __future__ import annotations

import contextlib
import inspect
import multiprocessing
import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
import pytest

from rios_batch import applier
from rios_batch.jobmanagers import getJobManagerClassByType
from rios_batch.testing.rasters import make_raster

if TYPE_CHECKING:
    from collections.abc import Callable

    from rios_batch.applier import ApplierReturn

SCENE = np.random.default_rng(7).integers(1, 200, (2, 90, 70), np.uint8)

THREADS_END_WITHIN_S = 10
HANGS_AFTER_S = 200.0  # far from what anything here takes; what takes longer never ends

T = TypeVar("T")


def as_in_a_script(function_or_class: T) -> T:
    """Have a function or class travel by value, as those of a script do. A worker then needs no pytest.

    ``assert`` would need pytest, which rewrites the statement: functions for workers raise instead.
    """
    for part in (function_or_class, *filter(inspect.isfunction, vars(function_or_class).values())):
        part.__module__ = "__main__"
    return function_or_class


@as_in_a_script
def double(_info: Any, inputs: Any, outputs: Any) -> None:
    """Write twice the input."""
    outputs.result = inputs.image.astype(np.uint16) * 2


class SceneRun:
    """Calls ``apply`` with the manager under test.

    Parameters
    ----------
    folder : an empty folder, for the scene and the output.
    script_imports : see :class:`rios_batch.testing.JobManagerTests`.
    """

    def __init__(self, folder: Path, manager_type: str, num_threads: int, script_imports: str) -> None:
        self.folder, self.scene, self.target = folder, folder / "scene.tif", folder / "out.tif"
        self._manager_type, self._num_threads = manager_type, num_threads
        self._script_imports = script_imports
        self._threads_before, self._children_before = set(threading.enumerate()), _children()
        make_raster(self.scene, SCENE)

    def controls(self, **options: Any) -> applier.ApplierControls:
        """Return settings for 15 blocks in 9 tiles; options are setters' names with their values."""
        controls = applier.ApplierControls()
        controls.setWindowSize(16, 32)
        controls.setTileSize(32, 32)
        controls.setNumThreads(self._num_threads)
        controls.setJobManagerType(self._manager_type)
        controls.setCreationOptions(["TILED=YES", "BLOCKXSIZE=16", "BLOCKYSIZE=16", "COMPRESS=DEFLATE"])
        for setter, value in options.items():
            getattr(controls, setter)(value)
        return controls

    def __call__(
        self, function: Callable[..., None], other_args: Any = None, **options: Any
    ) -> ApplierReturn:
        """Run a function whose input is ``image`` and whose output is ``result``."""
        return self.apply(function, {"image": self.scene}, {"result": self.target}, other_args, **options)

    def apply(
        self,
        function: Callable[..., None],
        inputs: dict[str, Any],
        outputs: dict[str, Any],
        other_args: Any = None,
        **options: Any,
    ) -> ApplierReturn:
        """Run a function with the files of these names."""
        infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
        for associations, files in ((infiles, inputs), (outfiles, outputs)):
            for name, value in files.items():
                setattr(associations, name, value)
        return applier.apply(function, infiles, outfiles, other_args, controls=self.controls(**options))

    def in_process(self, function: Callable[..., None], **options: Any) -> ApplierReturn:
        """Run a function as it runs without a job manager: what all others are compared with."""
        return self(function, setNumThreads=1, **options)

    def start_script(self, source: str, **options: Any) -> subprocess.Popen[str]:
        """Start a script in the folder; its arguments are the manager's type and ``num_threads``.

        Parameters
        ----------
        options : for ``subprocess.Popen``.
        """
        script = self.folder / "script.py"
        script.write_text(f"{self._script_imports}\n{textwrap.dedent(source)}")
        # Output is buffered, as it is for a script whose output goes into a file.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        return subprocess.Popen(
            [sys.executable, script.name, self._manager_type, str(self._num_threads)],
            cwd=self.folder,
            env=environment,
            text=True,
            **options,
        )

    def run_script(self, source: str, stdout: int | IO[str] = subprocess.PIPE) -> tuple[str, str]:
        """Run a script as ``start_script`` does, to a good end; return what it printed, and its messages."""
        with self.start_script(source, stdout=stdout, stderr=subprocess.PIPE) as process:
            try:
                printed, messages = process.communicate(timeout=HANGS_AFTER_S)
            finally:
                process.kill()  # nothing, if the script has ended
        assert process.returncode == 0, messages
        return printed, messages

    def assert_nothing_left(self) -> None:
        """Nothing half-written, no worker."""
        assert sorted(path.name for path in self.folder.iterdir()) == [self.scene.name]
        self.assert_no_worker_left()

    def assert_no_worker_left(self) -> None:
        """No thread and no child process that was not there before the first run.

        A thread may take a moment to end, for instance where a request was on its way.
        """
        assert _children().items() - self._children_before.items() == set()
        for thread in set(threading.enumerate()) - self._threads_before:
            thread.join(THREADS_END_WITHIN_S)
        assert set(threading.enumerate()) - self._threads_before == set()


class ManagerTestBase:
    """What the parts of :class:`rios_batch.testing.JobManagerTests` have in common; that class says what is what."""

    manager_type: ClassVar[str]
    num_threads: ClassVar[int] = 2
    pickles: ClassVar[bool] = False
    survives_sigkill: ClassVar[bool] = False
    same_machine: ClassVar[bool] = True
    same_surroundings: ClassVar[bool] = True
    script_imports: ClassVar[str] = ""

    @pytest.fixture
    def run(self, tmp_path: Path) -> SceneRun:
        """Give a scene, and the means to run a function over it."""
        folder = tmp_path / "work"
        folder.mkdir()
        return SceneRun(folder, self.manager_type, self.num_threads, self.script_imports)

    @property
    def shares_other_args(self) -> bool:
        """Every block works on the caller's own object."""
        return getJobManagerClassByType(self.manager_type).shares_other_args

    @property
    def num_processes(self) -> int:
        """How many tiles are computed at a time."""
        return getJobManagerClassByType(self.manager_type)(self.num_threads).num_processes


def wait_until(condition: Callable[[], Any]) -> None:
    """Wait for a condition.

    Raises
    ------
    TimeoutError : the condition does not come true.
    """
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > HANGS_AFTER_S:
            raise TimeoutError(f"what was waited for has not come in {HANGS_AFTER_S:.0f} seconds")
        time.sleep(0.02)


def _children() -> dict[int, str]:
    """Return the command lines of this process's children by process id.

    Not among them are Python's resource tracker and rios_batch's fork server, which live as long as the process. In the
    server's place are its children, which are workers.
    """
    multiprocessing.active_children()  # takes note of those that have ended
    found: dict[int, str] = {}
    for pid, command in _children_of("self").items():
        if "rios_batch.jobmanagers.forkserver" in command:
            found |= _children_of(str(pid))
        elif "resource_tracker" not in command:
            found[pid] = command
    return found


def _children_of(process: str) -> dict[int, str]:
    pids: list[str] = []
    for task in Path(f"/proc/{process}/task").iterdir():
        with contextlib.suppress(FileNotFoundError):  # a thread that has just ended
            pids += (task / "children").read_text().split()
    return {int(pid): Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ") for pid in pids}
