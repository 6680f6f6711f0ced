"""A job forked from a process that has loaded its packages is, to who starts it, as one of a new interpreter."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import rios_batch
from rios_batch.testing.emulation.warm import WarmStarts

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGES = str(Path(rios_batch.__file__).parents[1])
PROBE = """
import atexit, os, sys, threading, time

print(__name__, sys.argv[1:], os.getcwd(), os.getsid(0) == os.getpid(), sorted(os.environ.items()), flush=True)
print("boto3" in sys.modules, "gdal" in vars(), file=sys.stderr, flush=True)
atexit.register(lambda: print("at exit", flush=True))
threading.Thread(target=lambda: (time.sleep(0.1), print("a thread has ended", flush=True))).start()
print("no end of line", end="")
if sys.argv[1] == "waits":
    print(flush=True)
    time.sleep(600)
if sys.argv[1] == "fails":
    raise ValueError("in the job")
if sys.argv[1] != "ends":
    sys.exit(int(sys.argv[1]) if sys.argv[1].isdigit() else sys.argv[1])
"""


@pytest.fixture(scope="module")
def warm_starts() -> Iterator[WarmStarts]:
    starts = WarmStarts(PACKAGES)
    yield starts
    starts.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "probe.py").write_text(PROBE)
    return tmp_path


def command(end: str) -> list[str]:
    return ["python3", "-m", "probe", end]


def environment(folder: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONPATH": PACKAGES,
        "PYTHONUNBUFFERED": "1",
        "LC_CTYPE": "C.UTF-8",  # Python sets it by itself where no locale is set
    }


def of_new_interpreter(end: str, folder: Path) -> tuple[str, int]:
    ended = subprocess.run(
        [sys.executable, *command(end)[1:]],
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        check=False,
        text=True,
    )
    return ended.stdout, ended.returncode


@pytest.mark.parametrize("end", ["ends", "0", "3", "a sentence at the end", "fails"])
def test_a_warm_job_says_and_ends_as_one_of_a_new_interpreter(
    end: str, folder: Path, warm_starts: WarmStarts
) -> None:
    job = warm_starts.start(command(end), folder, environment(folder))
    with job.stdout:
        said = job.stdout.read().decode()
    code = job.wait(60)

    expected, expected_code = of_new_interpreter(end, folder)
    without_frames = [line for line in said.splitlines() if not line.startswith("  ")]
    assert without_frames == [line for line in expected.splitlines() if not line.startswith("  ")]
    assert (code, "at exit" in said, "a thread has ended" in said) == (expected_code, True, True)


def test_a_warm_job_is_ended_by_a_signal_and_can_be_waited_for_until_a_limit(
    folder: Path, warm_starts: WarmStarts
) -> None:
    job = warm_starts.start(command("waits"), folder, environment(folder))
    with job.stdout:
        while b"no end of line" not in job.stdout.readline():
            pass
        with pytest.raises(subprocess.TimeoutExpired):
            job.wait(0)
        job.send_signal(signal.SIGTERM)
        assert job.wait(60) == -signal.SIGTERM
        job.send_signal(signal.SIGTERM)  # nobody is hit when the job has ended
