"""Worker processes of scripts that treat signals, streams and exceptions in ways of their own."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.support import make_raster, ramp, read_raster, run_python

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

SCENE = ramp(1, 40, 40)
BEGINNING = """
    import os, signal, sys
    from rios_batch import applier

    class Unspeakable(Exception):
        def __str__(self):
            raise AttributeError("no text")

    def work(info, inputs, outputs):
        outputs.result = inputs.image
"""
RUN = """
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.image, outfiles.result = "scene.tif", "out.tif"
    controls = applier.ApplierControls()
    controls.setWindowSize(16, 16)
    controls.setNumThreads({threads})
    controls.setJobManagerType("multiprocessing")
    applier.apply(work, infiles, outfiles, controls=controls)
"""


def run_with(folder: Path, lines: str, threads: int = 2) -> subprocess.CompletedProcess[str]:
    make_raster(folder / "scene.tif", SCENE)
    script = folder / "script.py"
    script.write_text("\n".join(map(textwrap.dedent, (BEGINNING, lines, RUN.format(threads=threads)))))
    return run_python(script, folder=folder)


REAPER = """
    def reap(number, frame):
        try:
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
        except ChildProcessError:
            pass
    signal.signal(signal.SIGCHLD, reap)
"""


@pytest.mark.parametrize("lines", ["signal.signal(signal.SIGCHLD, signal.SIG_IGN)", REAPER])
def test_a_script_that_ignores_or_reaps_its_children_gets_its_output(tmp_path: Path, lines: str) -> None:
    done = run_with(tmp_path, lines)

    assert (done.returncode, done.stderr) == (0, "")
    np.testing.assert_array_equal(read_raster(tmp_path / "out.tif"), SCENE)


def test_what_killed_a_worker_is_said_though_the_script_ignores_its_children(tmp_path: Path) -> None:
    done = run_with(
        tmp_path,
        """
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        def work(info, inputs, outputs):
            os.kill(os.getpid(), signal.SIGKILL)
        """,
    )

    assert done.stderr.count("Traceback") == 1
    assert "ended its worker process 3 times, the last time by SIGKILL; if memory ran out" in done.stderr


def test_a_script_without_standard_output_and_error_runs(tmp_path: Path) -> None:
    done = run_with(tmp_path, "os.closerange(1, 3); sys.stdout = sys.stderr = None")

    assert done.returncode == 0
    np.testing.assert_array_equal(read_raster(tmp_path / "out.tif"), SCENE)


def test_a_function_that_closes_standard_output_gets_its_output(tmp_path: Path) -> None:
    done = run_with(
        tmp_path,
        """
        def work(info, inputs, outputs):
            outputs.result = inputs.image
            sys.stdout.close()
        """,
    )

    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(read_raster(tmp_path / "out.tif"), SCENE)


@pytest.mark.parametrize(
    "what",
    [
        "sys.stdout.detach()",
        "sys.stderr.close(); os.close(1); os.close(2)",
        "sys.stdout = sys.stderr = type('Tee', (), {'write': lambda self, text: None})()",
        "sys.stdout = open(os.devnull, 'w'); sys.stdout.close()",
        "del sys.stdout",
        "os.dup2(os.open('log', os.O_CREAT | os.O_WRONLY), 1); print('a block')",
    ],
)
def test_a_function_may_do_with_its_standard_streams_what_it_likes(tmp_path: Path, what: str) -> None:
    done = run_with(
        tmp_path,
        f"""
        def work(info, inputs, outputs):
            outputs.result = inputs.image
            if info.isFirstBlock():
                {what}
        """,
    )

    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(read_raster(tmp_path / "out.tif"), SCENE)


def test_a_function_that_ends_its_process_is_not_called_a_lack_of_memory(tmp_path: Path) -> None:
    done = run_with(
        tmp_path,
        """
        def work(info, inputs, outputs):
            os._exit(1)
        """,
    )

    assert "the last time by exit code 1; the function, or a library that it uses, has ended" in done.stderr
    assert "memory" not in done.stderr.splitlines()[-1]


def test_a_crash_is_not_called_a_lack_of_memory(tmp_path: Path) -> None:
    done = run_with(
        tmp_path,
        """
        def work(info, inputs, outputs):
            os.kill(os.getpid(), signal.SIGSEGV)
        """,
    )

    assert "the last time by SIGSEGV; a library that the function uses has crashed" in done.stderr


def test_a_full_standard_output_is_said_and_not_called_a_lack_of_memory(tmp_path: Path) -> None:
    done = run_with(
        tmp_path,
        """
        sys.stdout = open("/dev/full", "w")
        def work(info, inputs, outputs):
            outputs.result = inputs.image
            print("a block")
        """,
    )

    assert "OutputError: what the function printed cannot be written: [Errno 28]" in done.stderr


def test_death_by_a_real_time_signal_is_said_by_its_number(tmp_path: Path) -> None:
    done = run_with(
        tmp_path,
        """
        def work(info, inputs, outputs):
            os.kill(os.getpid(), 40)
        """,
    )

    assert "WorkerLostError: tile 0 " in done.stderr
    assert "the last time by signal 40; if memory" in done.stderr


def test_a_function_that_closes_all_files_ends_the_run_with_a_sentence(tmp_path: Path) -> None:
    done = run_with(
        tmp_path,
        """
        import time
        def work(info, inputs, outputs):
            os.closerange(3, 100)
            time.sleep(60)
        """,
    )

    assert "WorkerLostError: tile " in done.stderr


def test_an_exception_without_a_text_still_names_block_and_tile(tmp_path: Path) -> None:
    done = run_with(
        tmp_path,
        """
        def work(info, inputs, outputs):
            raise Unspeakable
        """,
    )

    assert (
        "UserFunctionError: work raised Unspeakable: (its text cannot be made: AttributeError)" in done.stderr
    )
    assert "in block (0, 0), columns 0-15, rows 0-15, of tile 0" in done.stderr


LIMIT = """
    import resource
    resource.setrlimit(resource.RLIMIT_{0}, ({1}, {1}))
"""


def test_an_output_larger_than_the_limit_of_files_is_said_with_the_limits_name(tmp_path: Path) -> None:
    done = run_with(tmp_path, LIMIT.format("FSIZE", 1500), threads=1)

    assert "OutputError: output 'out.tif' cannot be written: the file would be larger" in done.stderr
    assert "(`ulimit -f`)" in done.stderr
    assert not (tmp_path / "out.tif").exists()


def test_a_result_larger_than_the_limit_of_files_is_said_and_not_called_a_lack_of_memory(
    tmp_path: Path,
) -> None:
    done = run_with(tmp_path, LIMIT.format("FSIZE", 100))

    assert (
        "OutputError: a tile's result cannot be handed to main: File too large; use smaller tiles"
        in done.stderr
    )
    assert "memory ran out" not in done.stderr


@pytest.mark.parametrize(
    ("limit", "lines", "said"),
    [
        ("open files", LIMIT.format("NOFILE", 9), "Too many open files"),
        # A limit of the address space lets a start fail only when the run is nearly at it, which no test can arrange.
        (
            "memory",
            """
            import os, subprocess
            def fail(*_, **__): raise OSError(12, 'Cannot allocate memory')
            os.fork = subprocess.Popen = fail
            """,
            "Cannot allocate memory",
        ),
    ],
)
def test_a_worker_process_that_cannot_be_started_is_said_with_the_limits(
    tmp_path: Path, limit: str, lines: str, said: str
) -> None:
    done = run_with(tmp_path, lines)

    assert re.search(
        rf"JobMgrError: worker process \d cannot be started: {said}; use fewer threads", done.stderr
    ), (
        limit,
        done.stderr,
    )


def test_a_worker_process_keeps_nothing_of_the_last_tile_while_it_computes_the_next(tmp_path: Path) -> None:
    lines = """
        import gc

        def work(info, inputs, outputs):
            kept = [one for one in gc.get_objects() if type(one).__name__ == "TileResult"]
            print(len(kept), "results are kept", flush=True)
            outputs.result = inputs.image
    """
    make_raster(tmp_path / "scene.tif", ramp(1, 512, 256))
    script = tmp_path / "script.py"
    settings = RUN.replace("setWindowSize(16, 16)", "setWindowSize(256, 256); controls.setTileSize(256, 256)")
    script.write_text("\n".join(map(textwrap.dedent, (BEGINNING, lines, settings.format(threads=2)))))
    one_worker = "import rios_batch.jobmanagers.workerprocesses as w; w.min = lambda *_: 1\n"
    script.write_text(one_worker + script.read_text())

    done = run_python(script, folder=tmp_path)

    assert (done.returncode, done.stdout) == (0, "0 results are kept\n" * 2), done.stderr
