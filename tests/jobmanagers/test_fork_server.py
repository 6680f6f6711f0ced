"""What worker processes have of the script that starts them, and what they do not have."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from osgeo import gdal

from rios_batch.errors import ParameterError
from rios_batch.read.credentials import handed_over, take_over
from rios_batch.read.network import apply_cloud_options, path_options
from rios_batch.testing.running import SceneRun, double, wait_until
from rios_batch.testing.workers import is_running
from tests.read.test_cloud_inputs import job_for
from tests.support import ROOT, make_raster, ramp, read_raster, run_script

if TYPE_CHECKING:
    from collections.abc import Iterator

PIXELS = ramp(1, 40, 40)
BEGINNING = """
import os, sys
from rios_batch import applier
if os.path.exists("of_the_script.py"):
    import types  # with a module of the script's, the server is a new interpreter
    sys.modules["of_the_script"] = types.ModuleType("of_the_script")

def run(function, other_args=None, kind="multiprocessing", target="out.tif", threads=3):
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.image, outfiles.result = "scene.tif", target
    controls = applier.ApplierControls()
    controls.setWindowSize(16, 16)
    controls.setTileSize(16, 16)
    controls.setCreationOptions(["TILED=YES", "BLOCKXSIZE=16", "BLOCKYSIZE=16"])
    controls.setNumThreads(threads)
    controls.setJobManagerType(kind)
    controls.setOtherArgsMerge("seen", "concat")
    return applier.apply(function, infiles, outfiles, other_args, controls=controls)

def copy(info, inputs, outputs):
    outputs.result = inputs.image

def meet(wanted):
    # Wait until three workers are here, and for a file.
    import glob, time
    open(f"started-{os.getpid()}-{os.getppid()}", "w").close()
    while len(glob.glob("started-*")) < 3 or not os.path.exists(wanted):
        time.sleep(0.01)
"""


@pytest.fixture(params=["copy", "new interpreter"])
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Return the folder of a script whose server is a copy of the script's process, and of one whose server is not."""
    make_raster(tmp_path / "scene.tif", PIXELS)
    if request.param == "new interpreter":
        (tmp_path / "of_the_script.py").touch()
    return tmp_path


def run_to_its_end(folder: Path, lines: str, *arguments: str) -> str:
    done = run_script(folder, BEGINNING + textwrap.dedent(lines), *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


OPENMP = """
import ctypes

def use_openmp():
    body = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: None)
    ctypes.CDLL("libgomp.so.1").GOMP_parallel(body, None, 3, 0)

def work(info, inputs, outputs):
    use_openmp()
    outputs.result = inputs.image

use_openmp()  # as a model that is trained in the script
run(work, kind=sys.argv[1])
"""


@pytest.mark.parametrize("kind", ["threads", "multiprocessing"])
def test_a_function_may_use_openmp_after_the_script_did(folder: Path, kind: str) -> None:
    run_to_its_end(folder, OPENMP, kind)

    np.testing.assert_array_equal(read_raster(folder / "out.tif"), PIXELS)


def test_threads_of_one_script_may_run_at_the_same_time_with_all_kinds_of_workers(folder: Path) -> None:
    run_to_its_end(
        folder,
        """
        from concurrent.futures import ThreadPoolExecutor
        kinds = ["multiprocessing", "threads", "in-process", "multiprocessing"] * 2
        with ThreadPoolExecutor(8) as executor:
            runs = [executor.submit(run, copy, None, kind, f"{n}.tif", 2) for n, kind in enumerate(kinds)]
        for done in runs:
            done.result()
        """,
    )

    for number in range(8):
        np.testing.assert_array_equal(read_raster(folder / f"{number}.tif"), PIXELS)


def test_workers_have_the_scripts_surroundings_as_they_are_when_the_run_begins(folder: Path) -> None:
    (folder / "elsewhere").mkdir()
    make_raster(folder / "elsewhere" / "scene.tif", PIXELS)

    run_to_its_end(
        folder,
        """
        import resource, warnings
        import numpy as np
        from osgeo import gdal, ogr, osr

        def surroundings():
            return [
                os.environ.get("SET_LATE"), os.environ.get("UNSET_LATE"), os.getcwd(), sys.path, sys.argv,
                resource.getrlimit(resource.RLIMIT_NOFILE), os.getpriority(os.PRIO_PROCESS, 0),
                os.sched_getaffinity(0), np.geterr(), warnings.filters[0][:3], sys.stdout.encoding,
                gdal.GetConfigOption("SET_LATE"), osr.GetPROJSearchPaths(), osr.GetPROJEnableNetwork(),
                ogr.GetUseExceptions(), osr.GetUseExceptions(), gdal.GetUseExceptions(),
            ]

        def look(info, inputs, outputs, other_args):
            mask = os.umask(0)
            os.umask(mask)
            other_args.seen.append([*surroundings(), mask])
            outputs.result = inputs.image

        os.environ["UNSET_LATE"] = "yes"
        run(copy)
        del os.environ["UNSET_LATE"]
        os.environ["SET_LATE"] = "yes"
        os.chdir("elsewhere")
        os.umask(0o027)
        sys.path.append("/nowhere")
        sys.argv.append("an argument")
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, 300))
        os.setpriority(os.PRIO_PROCESS, 0, 3)
        os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
        np.seterr(divide="raise", over="ignore")
        warnings.simplefilter("ignore", np.RankWarning)
        gdal.SetConfigOption("SET_LATE", "a=b")
        osr.SetPROJSearchPaths(["/nowhere", *osr.GetPROJSearchPaths()])
        osr.SetPROJEnableNetwork(True)
        ogr.UseExceptions()

        other_args = applier.OtherInputs(seen=[])
        run(look, other_args)

        assert len(other_args.seen) == 9
        for seen in other_args.seen:
            assert seen == [*surroundings(), 0o027], (seen, surroundings())
        """,
    )


def test_workers_have_no_file_of_the_scripts_open(folder: Path) -> None:
    run_to_its_end(
        folder,
        """
        from osgeo import gdal
        dataset, log = gdal.Open("scene.tif"), open("log", "w")
        os.set_inheritable(log.fileno(), True)

        def look(info, inputs, outputs, other_args):
            files = [os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd") if n > "2"
                     and os.path.exists(f"/proc/self/fd/{n}")]
            other_args.seen.append([f for f in files if not any(part in f for part in ("/proc/", "socket", "proj.db"))])
            outputs.result = inputs.image

        other_args = applier.OtherInputs(seen=[])
        run(look, other_args)
        own = os.path.realpath("scene.tif")  # the worker's own
        assert all(files == [own] for files in other_args.seen), other_args.seen
        """,
    )


def test_workers_draw_random_numbers_of_their_own(folder: Path) -> None:
    run_to_its_end(
        folder,
        """
        import random
        import numpy as np

        def draw(info, inputs, outputs, other_args):
            other_args.seen.append((random.random(), np.random.rand()))
            meet("scene.tif")
            outputs.result = inputs.image

        other_args = applier.OtherInputs(seen=[])
        run(draw, other_args)
        first, second = zip(*other_args.seen)
        assert len(set(first)) == len(set(second)) == 9, other_args.seen
        """,
    )


@pytest.mark.parametrize("way", ["-c", "-"])
def test_a_script_without_a_file_runs(folder: Path, way: str) -> None:
    (folder / "helper.py").write_text("def triple(a):\n    return a * 3\n")
    source = BEGINNING + textwrap.dedent("""
        import helper
        def work(info, inputs, outputs):
            outputs.result = helper.triple(inputs.image)
        run(work)
    """)
    done = subprocess.run(
        [sys.executable, way, *([source] if way == "-c" else [])],
        input=source if way == "-" else "",
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        capture_output=True,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    np.testing.assert_array_equal(read_raster(folder / "out.tif"), PIXELS * 3)


def test_a_script_that_is_started_without_standard_streams_runs(folder: Path) -> None:
    (folder / "script.py").write_text(BEGINNING + "run(copy)\n")
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} script.py <&- >&- 2>&-"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )

    assert done.returncode == 0
    np.testing.assert_array_equal(read_raster(folder / "out.tif"), PIXELS)


def test_what_is_called_like_pythons_own_modules_is_not_loaded_from_the_working_directory(
    folder: Path,
) -> None:
    for name in ("selectors", "struct", "queue", "numpy", "cloudpickle"):
        (folder / f"{name}.py").write_text(f"open('{name} was run', 'w')\nraise SystemExit('{name}')\n")
    (folder / "code").mkdir()
    (folder / "code" / "script.py").write_text(BEGINNING + "run(copy)\n")
    done = subprocess.run(
        [sys.executable, "code/script.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        capture_output=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert not list(folder.glob("*was run"))


SLOW = """
def slow(info, inputs, outputs):
    meet("go")
    outputs.result = inputs.image

run(slow)
run(copy)
"""


@contextlib.contextmanager
def slow_script(folder: Path) -> Iterator[tuple[subprocess.Popen[str], list[int], int]]:
    """Give the script when three workers are at work, their process ids, and the server's."""
    (folder / "script.py").write_text(BEGINNING + SLOW)

    def started() -> list[list[str]]:
        return [path.name.split("-") for path in folder.glob("started-*")]

    with subprocess.Popen(
        [sys.executable, "script.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    ) as script:
        try:
            wait_until(lambda: len(started()) == 3 or script.poll() is not None)
            yield script, [int(pid) for _, pid, _ in started()], int(started()[0][2])
        finally:
            script.kill()


def test_no_process_is_left_when_the_script_ends_or_is_killed(folder: Path) -> None:
    with slow_script(folder) as (script, workers, server):
        (folder / "go").touch()
        assert script.wait() == 0
        assert not any(map(is_running, [*workers, server]))
    for path in (folder / "go", *folder.glob("started-*")):
        path.unlink()
    with slow_script(folder) as (script, workers, server):
        script.kill()
        wait_until(lambda: not any(map(is_running, [*workers, server])))


def test_a_run_goes_on_though_the_server_is_killed_and_the_next_has_a_new_one(folder: Path) -> None:
    with slow_script(folder) as (script, _, server):
        os.kill(server, signal.SIGKILL)
        (folder / "go").touch()

        assert (script.wait(), script.communicate()[1]) == (0, "")
    np.testing.assert_array_equal(read_raster(folder / "out.tif"), PIXELS)


def test_a_server_that_cannot_start_is_said(folder: Path) -> None:
    (folder / "of_the_script.py").touch()
    done = run_script(
        folder,
        BEGINNING + "import multiprocessing\nmultiprocessing.set_executable('/bin/false')\n"
        "import multiprocessing.spawn\nmultiprocessing.spawn.set_executable('/bin/false')\nrun(copy)\n",
    )

    assert (
        "JobMgrError: worker process 1 cannot be started: the process that starts workers has" in done.stderr
    )


def test_a_process_that_the_script_forks_has_a_server_of_its_own(folder: Path) -> None:
    run_to_its_end(
        folder,
        """
        run(copy)
        pid = os.fork()
        if pid == 0:
            run(copy, target="child.tif")
            os._exit(0)
        run(copy, target="parent.tif")
        assert os.waitpid(pid, 0)[1] == 0
        """,
    )

    for name in ("child.tif", "parent.tif"):
        np.testing.assert_array_equal(read_raster(folder / name), PIXELS)


def test_large_other_args_reach_all_workers(folder: Path) -> None:
    run_to_its_end(
        folder,
        """
        import numpy as np
        def add(info, inputs, outputs, other_args):
            outputs.result = inputs.image + (other_args.table.sum() - 3_000_000).astype("u1")
        run(add, applier.OtherInputs(table=np.ones(3_000_000, "u1")))
        """,
    )

    np.testing.assert_array_equal(read_raster(folder / "out.tif"), PIXELS)


@pytest.mark.parametrize("name", ["/vsimem/scene.tif", "scene.vrt"])
def test_an_input_in_the_scripts_memory_is_refused_with_what_to_do(tmp_path: Path, name: str) -> None:
    (tmp_path / "work").mkdir()
    run = SceneRun(tmp_path / "work", "multiprocessing", 2, "")
    make_raster("/vsimem/scene.tif", PIXELS)
    if name.endswith(".vrt"):
        name = str(tmp_path / name)
        gdal.BuildVRT(name, ["/vsimem/scene.tif"]).FlushCache()
    try:
        with pytest.raises(
            ParameterError, match=rf"{Path(name).name}' lies in the memory of this process .*'threads'"
        ):
            run.apply(double, {"image": name}, {"result": run.target})
        run.apply(double, {"image": name}, {"result": run.target}, setJobManagerType="threads")
    finally:
        gdal.Unlink("/vsimem/scene.tif")


def test_what_was_set_for_a_path_in_s3_reaches_workers_with_its_keys() -> None:
    folder = "/vsis3/bucket/scenes/"
    before = handed_over()
    try:
        gdal.SetPathSpecificOption("/vsis3/", "AWS_SESSION_TOKEN", "general")
        gdal.SetPathSpecificOption(folder, "GDAL_HTTP_BEARER", "secret")
        found = path_options(
            job_for(make_raster("/vsimem/x.tif", PIXELS)).with_inputs_at({"/vsimem/x.tif": f"{folder}a.tif"})
        )
        assert found["/vsis3/"]["AWS_SESSION_TOKEN"] == "general"
        assert found[folder] == {"GDAL_HTTP_BEARER": "secret"}

        gdal.ClearPathSpecificOptions()
        apply_cloud_options(found)
        assert gdal.GetPathSpecificOption(f"{folder}a.tif", "GDAL_HTTP_BEARER") == "secret"
        assert gdal.GetPathSpecificOption("/vsis3/other/b.tif", "AWS_SESSION_TOKEN") == "general"
        assert gdal.GetPathSpecificOption("/vsis3/other/b.tif", "GDAL_HTTP_BEARER") is None
    finally:
        gdal.ClearPathSpecificOptions()
        gdal.Unlink("/vsimem/x.tif")
        take_over(before)


COMMAND_OF_THE_SERVER = """
def look(info, inputs, outputs, other_args):
    with open(f"/proc/{os.getppid()}/cmdline") as command:
        other_args.seen.append("forkserver" if "forkserver" in command.read() else "copy")
    outputs.result = inputs.image

def server():
    other_args = applier.OtherInputs(seen=[])
    run(look, other_args)
    return set(other_args.seen).pop()
"""


@pytest.fixture
def script_folder(tmp_path: Path) -> Path:
    make_raster(tmp_path / "scene.tif", PIXELS)
    return tmp_path


@pytest.mark.skipif(sys.platform != "linux", reason="a copy of a process with macOS's libraries does not run")
def test_the_server_of_a_plain_script_is_a_copy_of_its_process(script_folder: Path) -> None:
    run_to_its_end(
        script_folder,
        COMMAND_OF_THE_SERVER
        + """
import argparse, json, logging
import numpy as np
from osgeo import gdal, osr
osr.SpatialReference().ImportFromEPSG(4326)  # PROJ opens its database
assert server() == "copy"
""",
    )


WHAT_A_COPY_MUST_NOT_HAVE = {
    "a module of the script": "import helper",
    "a module with the name of one of Python's": "import turtle; assert turtle.mine",
    "an installed module": "import rich",
    "a thread": "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()",
    "a thread of a library": "import ctypes; body = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: None); "
    "ctypes.CDLL('libgomp.so.1').GOMP_parallel(body, None, 3, 0)",
    "an open file": "log = open('log', 'w')",
    "an open dataset": "from osgeo import gdal; dataset = gdal.Open('scene.tif')",
    "a socket": "import socket; pair = socket.socketpair()",
    "a file in GDAL's memory": "from osgeo import gdal; gdal.FileFromMemBuffer('/vsimem/a', b'b')",
    "much memory": "import numpy as np; array = np.ones(2**25)",
    "a profiler": "sys.setprofile(lambda *_: None)",
}


@pytest.mark.parametrize("lines", WHAT_A_COPY_MUST_NOT_HAVE.values(), ids=WHAT_A_COPY_MUST_NOT_HAVE)
def test_the_server_is_no_copy_of_a_process_with(script_folder: Path, lines: str) -> None:
    for name in ("helper", "turtle"):
        (script_folder / f"{name}.py").write_text("mine = True\n")

    run_to_its_end(script_folder, COMMAND_OF_THE_SERVER + lines + "\nassert server() == 'forkserver'\n")


def test_a_copy_has_forgotten_what_the_script_set(script_folder: Path) -> None:
    out = run_to_its_end(
        script_folder,
        COMMAND_OF_THE_SERVER
        + """
import locale, logging, signal
from osgeo import gdal

class Garbage:
    def __del__(self):
        os.write(2, b"finalised in a copy" * (os.getpid() != main))

def surroundings(info, inputs, outputs, other_args):
    import __main__, gc
    gc.collect()
    other_args.seen.append([
        logging.root.handlers, logging.getLogger("mine").level, logging.root.manager.disable,
        signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, locale.setlocale(locale.LC_NUMERIC),
        gdal.GetConfigOption("SET_EARLY"), hasattr(__main__, "run"), gdal.GetPathSpecificOption("/vsis3/b", "A"),
        os.environ.get("SET_EARLY"),
    ])
    outputs.result = inputs.image

main = os.getpid()
cycle = [Garbage()]
cycle.append(cycle)
del cycle
own_stdout = sys.stdout
sys.stdout = open(1, "w", closefd=False)
sys.stdout.write("once")
logging.basicConfig()
logging.getLogger("mine").setLevel(7)
logging.disable(logging.INFO)
signal.signal(signal.SIGTERM, lambda *_: None)
locale.setlocale(locale.LC_NUMERIC, "C.UTF-8")
gdal.PushErrorHandler("CPLQuietErrorHandler")
gdal.SetPathSpecificOption("/vsis3/b", "A", "early")
gdal.SetConfigOption("SET_EARLY", "yes")
os.environ["SET_EARLY"] = "yes"
assert server() == "copy"
gdal.SetConfigOption("SET_EARLY", None)
del os.environ["SET_EARLY"]
other_args = applier.OtherInputs(seen=[])
run(surroundings, other_args)
assert other_args.seen[0] == [[], 0, 0, True, "C", None, False, None, None], other_args.seen[0]
""",
    )

    assert out == "once"
