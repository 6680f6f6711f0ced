from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from rios_batch.assemble.staging import StagedFile
from rios_batch.errors import OutputError
from rios_batch.gdalapi import output_errors_named
from tests.support import files_below


def test_nothing_is_at_the_target_until_commit(tmp_path: Path) -> None:
    target = tmp_path / "out.tif"
    staged = StagedFile(str(target))
    staged.path.write_text("new")
    assert not target.exists()

    staged.commit()

    assert target.read_text() == "new"
    assert files_below(tmp_path) == ["out.tif"]


def test_what_stood_at_the_target_stays_until_commit_replaces_it(tmp_path: Path) -> None:
    target = tmp_path / "out.tif"
    target.write_text("old")
    staged = StagedFile(str(target))
    staged.path.write_text("new")
    assert target.read_text() == "old"

    staged.commit()

    assert target.read_text() == "new"


@pytest.mark.parametrize("replaced", [True, False])
def test_only_a_file_that_replaces_another_is_waited_for(
    replaced: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out.tif"
    if replaced:
        target.write_text("old")
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.fstat(fd).st_size))
    staged = StagedFile(str(target))
    staged.path.write_text("newer")

    staged.commit()

    assert synced == ([len("newer")] if replaced else [])


def test_abort_removes_everything_and_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "out.tif").write_text("old")
    (tmp_path / "out.tif.aux.xml").write_text("old statistics")
    staged = StagedFile(str(tmp_path / "out.tif"))
    staged.path.write_text("half")
    (staged.path.parent / "out.tfw").write_text("half")

    staged.abort()
    staged.abort()

    assert files_below(tmp_path) == ["out.tif", "out.tif.aux.xml"]
    assert (tmp_path / "out.tif").read_text() == "old"


def test_abort_after_commit_is_harmless(tmp_path: Path) -> None:
    staged = StagedFile(str(tmp_path / "out.tif"))
    staged.path.write_text("new")
    staged.commit()

    staged.abort()

    assert files_below(tmp_path) == ["out.tif"]


def test_the_file_is_made_on_the_targets_own_file_system_where_a_rename_is_enough(tmp_path: Path) -> None:
    staged = StagedFile(str(tmp_path / "out.tif"))
    staged.path.write_text("new")
    made = staged.path.stat()
    assert staged.path.name == "out.tif"  # drivers look at the name
    assert tmp_path in staged.path.parents

    staged.commit()

    assert (tmp_path / "out.tif").stat().st_ino == made.st_ino


@pytest.mark.parametrize("sidecar", [".aux.xml", ".ovr", ".msk", ".msk.ovr"])
def test_old_sidecar_files_would_describe_the_new_file_and_go(tmp_path: Path, sidecar: str) -> None:
    (tmp_path / f"out.tif{sidecar}").write_text("of the old file")
    staged = StagedFile(str(tmp_path / "out.tif"))
    staged.path.write_text("new")

    staged.commit()

    assert files_below(tmp_path) == ["out.tif"]


def test_sidecar_files_that_were_made_arrive_next_to_the_target(tmp_path: Path) -> None:
    (tmp_path / "out.tif.aux.xml").write_text("old")
    staged = StagedFile(str(tmp_path / "out.tif"))
    for name in ("out.tif", "out.tif.aux.xml", "out.tfw"):
        (staged.path.parent / name).write_text("new")

    staged.commit()

    assert files_below(tmp_path) == ["out.tfw", "out.tif", "out.tif.aux.xml"]
    assert {(tmp_path / name).read_text() for name in files_below(tmp_path)} == {"new"}


def test_files_of_others_beside_the_target_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out2.tif").write_text("mine")
    (tmp_path / "out.txt").write_text("mine")
    staged = StagedFile(str(tmp_path / "out.tif"))
    staged.path.write_text("new")

    staged.commit()

    assert files_below(tmp_path) == ["out.tif", "out.txt", "out2.tif"]


def test_two_runs_to_one_target_do_not_meet(tmp_path: Path) -> None:
    first, second = StagedFile(str(tmp_path / "out.tif")), StagedFile(str(tmp_path / "out.tif"))
    first.path.write_text("first")
    second.path.write_text("second")

    first.commit()
    second.commit()

    assert (tmp_path / "out.tif").read_text() == "second"
    assert files_below(tmp_path) == ["out.tif"]


def test_the_new_file_has_the_permissions_that_any_new_file_has(tmp_path: Path) -> None:
    staged = StagedFile(str(tmp_path / "out.tif"))
    staged.path.write_text("new")
    staged.commit()
    (tmp_path / "other").write_text("")

    assert (tmp_path / "out.tif").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_relative_name_is_meant_from_where_the_script_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    staged = StagedFile("out.tif")
    staged.path.write_text("new")

    staged.commit()

    assert files_below(tmp_path) == ["out.tif"]


def test_a_folder_that_does_not_exist_is_named_with_the_output(tmp_path: Path) -> None:
    with pytest.raises(
        OutputError, match=r"output '.*out\.tif' cannot be written: No such file.*\('.*nowhere'\)"
    ):
        StagedFile(str(tmp_path / "nowhere" / "out.tif"))


def test_a_file_in_place_of_the_folder_is_named_with_the_output(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(OutputError, match=r"output '.*out\.tif' cannot be written: Not a directory"):
        StagedFile(str(tmp_path / "file" / "out.tif"))


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"is a folder; give a file name"):
        StagedFile(str(tmp_path))
    assert files_below(tmp_path) == []


@pytest.mark.skipif(
    not Path("/proc/self").exists(), reason="there is no /proc, the one folder even root cannot write"
)
def test_a_folder_that_nobody_can_write_is_named_with_the_output() -> None:
    with pytest.raises(OutputError, match=r"output '/proc/out\.tif' cannot be written: \w.* \('/proc'\)"):
        StagedFile("/proc/out.tif")


def test_a_folder_without_permission_is_named_with_the_output(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(0o500)
    if os.access(folder, os.W_OK):
        pytest.skip("this user may write anywhere (root)")
    with pytest.raises(OutputError, match=r"cannot be written: Permission denied"):
        StagedFile(str(folder / "out.tif"))


@pytest.mark.parametrize("target", ["/vsis3/bucket/out.tif", "s3://bucket/out.tif", "/vsimem/out.tif"])
def test_names_that_are_no_local_files_are_refused(target: str) -> None:
    with pytest.raises(OutputError, match=rf"output '{target}' is not a local file"):
        StagedFile(target)


def test_a_commit_that_fails_says_which_file_and_abort_cleans_up(tmp_path: Path) -> None:
    target = tmp_path / "out.tif"
    staged = StagedFile(str(target))
    staged.path.write_text("new")
    target.mkdir()  # since the run began
    (target / "someone's").write_text("")

    with pytest.raises(OutputError, match=r"output '.*out\.tif' cannot be written: "):
        staged.commit()
    staged.abort()

    assert files_below(tmp_path) == ["out.tif", "out.tif/someone's"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_or_quota_is_called_a_full_disk(tmp_path: Path, number: int) -> None:
    with (
        pytest.raises(
            OutputError, match="the disk is full; free some space or choose another folder"
        ) as caught,
        output_errors_named(str(tmp_path / "out.tif")),
    ):
        raise OSError(number, os.strerror(number))
    assert isinstance(caught.value.__cause__, OSError)
    assert str(tmp_path / "out.tif") in str(caught.value)


def test_another_error_of_the_system_is_told_in_its_own_words(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match="cannot be written: Input/output error$"),
        output_errors_named(str(tmp_path / "out.tif")),
    ):
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_gdals_error_is_told_in_one_line(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match="cannot be written: first second$"),
        output_errors_named(str(tmp_path / "out.tif")),
    ):
        raise RuntimeError("first\nsecond")


def test_an_error_that_names_the_output_already_is_left_as_it_is(tmp_path: Path) -> None:
    error = OutputError("it names the output")
    with pytest.raises(OutputError) as caught, output_errors_named(str(tmp_path / "out.tif")):
        raise error
    assert caught.value is error


# GDAL 3.6 raises one now and then, for COMPRESS=JPEG with SPARSE_OK=TRUE on int32 for example.
def test_an_error_of_gdal_without_a_text_is_not_a_sentence_without_an_end(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match="cannot be written: GDAL gives no reason"),
        output_errors_named(str(tmp_path / "out.tif")),
    ):
        raise RuntimeError


def test_the_folder_vanishing_during_the_run_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    staged = StagedFile(str(tmp_path / "folder" / "out.tif"))
    shutil.rmtree(tmp_path / "folder")

    with pytest.raises(OutputError, match=r"out\.tif' cannot be written: No such file"):
        staged.commit()
