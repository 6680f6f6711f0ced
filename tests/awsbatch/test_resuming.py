"""Running a script again, as `rios-batch resume` does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from rios_batch.awsbatch.resuming import run_again

if TYPE_CHECKING:
    from pathlib import Path

SLOW_TO_END = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # who started the tests may ignore it
try:
    print("begun", flush=True)
    time.sleep(100)
except KeyboardInterrupt:
    time.sleep(1)  # it ends its workers
    print("ended in good order", flush=True)
    sys.exit(7)
"""
RESUME = """
import signal, sys
from rios_batch.awsbatch.resuming import run_again
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(run_again("R", [sys.executable, "slow.py"], "."))
"""


def test_the_script_gets_the_run_and_its_folder(tmp_path: Path) -> None:
    script = "import os, pathlib; pathlib.Path('run').write_text(os.environ['RIOS_AWSBATCH_RESUME'])"

    assert run_again("R", [sys.executable, "-c", script], str(tmp_path)) == 0

    assert (tmp_path / "run").read_text() == "R"


def test_a_script_that_is_killed_has_the_status_that_a_shell_gives(tmp_path: Path) -> None:
    script = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"

    assert run_again("R", [sys.executable, "-c", script], str(tmp_path)) == 128 + signal.SIGKILL


def test_after_ctrl_c_the_script_has_time_to_end_its_workers(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW_TO_END)
    (tmp_path / "resume.py").write_text(RESUME)
    with subprocess.Popen(
        [sys.executable, "resume.py"], cwd=tmp_path, stdout=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        said = process.stdout.read()

    assert (process.returncode, said) == (7, "ended in good order\n")
