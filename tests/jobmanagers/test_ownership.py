from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from rios_batch.jobmanagers import ownership
from rios_batch.jobmanagers.ownership import LOCK, OWNER, Ownership, owner_of, remove_dead_folders, taken_over
from tests.support import ROOT, wait_until

if TYPE_CHECKING:
    from pathlib import Path


def left_by_a_killed_process(folder: Path) -> None:
    folder.mkdir()
    code = (
        "import os, signal, sys; from pathlib import Path; from rios_batch.jobmanagers.ownership import Ownership;"
        "kept = Ownership(Path(sys.argv[1])); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], cwd=ROOT, check=False)


def test_a_dead_processs_folder_is_removed_and_all_others_stay(tmp_path: Path) -> None:
    left_by_a_killed_process(tmp_path / ".out.tif.dead")
    left_by_a_killed_process(tmp_path / ".other.tif.dead")
    (tmp_path / ".out.tif.mine").mkdir()
    mine = Ownership(tmp_path / ".out.tif.mine")
    (tmp_path / ".out.tif.old").mkdir()  # of a version that left no mark, or one that is just being made
    (tmp_path / ".out.tif.file").touch()
    (tmp_path / ".out.tif.link").symlink_to(tmp_path / ".other.tif.dead")

    remove_dead_folders(tmp_path, ".out.tif.")

    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".other.tif.dead",
        *(f".out.tif.{name}" for name in ("file", "link", "mine", "old")),
    ]
    mine.close()


@pytest.mark.parametrize(
    "owner",
    [
        ["another-host", 1, ""],
        "nonsense",
        ["host"],
        [5, 5, 5],
        ["{host}", 0, ""],
        ["{host}", -1, ""],
    ],
)
def test_a_folder_whose_process_nobody_can_look_for_stays(tmp_path: Path, owner: object) -> None:
    folder = tmp_path / ".out.tif.other"
    left_by_a_killed_process(folder)
    text = json.dumps(owner).replace("{host}", ownership.platform.node())  # type: ignore[attr-defined]
    (folder / OWNER).write_text(text)

    assert taken_over(folder) is None
    remove_dead_folders(tmp_path, ".out.tif.")
    assert folder.exists()


def test_a_number_that_another_process_has_by_now_is_not_the_owner(tmp_path: Path) -> None:
    folder = tmp_path / ".out.tif.dead"
    left_by_a_killed_process(folder)
    host, _, started = json.loads((folder / OWNER).read_text())
    (folder / OWNER).write_text(json.dumps([host, os.getpid(), started]))

    taken = taken_over(folder)

    assert taken is not None
    assert owner_of(folder) == f"process {os.getpid()} on {host}"
    assert taken_over(folder) is None
    taken.close()
    taken.close()


def test_a_process_that_has_ended_is_dead_before_its_parent_has_asked_for_it(tmp_path: Path) -> None:
    folder = tmp_path / ".out.tif.dead"
    folder.mkdir()
    code = (
        "import sys, time; from pathlib import Path; from rios_batch.jobmanagers.ownership import Ownership;"
        "kept = Ownership(Path(sys.argv[1])); print('mine', flush=True); time.sleep(100)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert taken_over(folder) is None
        process.kill()
        wait_until(lambda: taken_over(folder) is not None)


def test_a_lock_that_somebody_holds_counts_even_if_the_process_is_not_found(tmp_path: Path) -> None:
    folder = tmp_path / ".out.tif.held"
    left_by_a_killed_process(folder)
    code = (
        "import fcntl, sys; file = open(sys.argv[1], 'r+'); fcntl.lockf(file, fcntl.LOCK_EX);"
        "print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder / LOCK)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert taken_over(folder) is None
        holder.communicate()
    taken = taken_over(folder)
    assert taken is not None
    taken.close()
