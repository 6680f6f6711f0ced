"""A table of faults and job managers: each run ends with the same bits or one clear error, and leaves nothing.

``make chaos`` runs it and prints the table.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from rios_batch.errors import RiosBatchError, text_of
from rios_batch.testing.rasters import read_raster
from rios_batch.testing.running import HANGS_AFTER_S, SCENE, SceneRun, wait_until
from tests.chaos.faults import ALL, FAULTS, LOCAL, Bench, Fault

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rios_batch.testing.emulation.cloud import Emulator

pytestmark = pytest.mark.chaos

EXPECTED = SCENE.astype(np.uint16) * 2
TILES = 9  # of a run
CELLS = [(fault, manager) for fault in FAULTS for manager in LOCAL if manager in fault.ends]
ON_AWS = [(fault, "AWSBatch") for fault in FAULTS if "AWSBatch" in fault.ends]


def names(cells: list[tuple[Fault, str]]) -> list[str]:
    return [f"{type(fault).__name__}-{manager}" for fault, manager in cells]


@pytest.mark.parametrize(("fault", "manager"), CELLS, ids=names(CELLS))
def test_a_run_ends_well(fault: Fault, manager: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_with(fault, manager, tmp_path, monkeypatch, None)


@pytest.mark.parametrize(("fault", "manager"), ON_AWS, ids=names(ON_AWS))
def test_a_run_on_aws_ends_well(
    fault: Fault, manager: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick_cloud: Emulator
) -> None:
    run_with(fault, manager, tmp_path, monkeypatch, quick_cloud)


def run_with(
    fault: Fault, manager: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cloud: Emulator | None
) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.setenv("CHAOS_FOLDER", str(tmp_path))
    run = SceneRun(folder, manager, 1 if manager == "in-process" else 2, "")
    end = fault.ends[manager]

    with contextlib.ExitStack() as stack:
        target: Path | str = (
            stack.enter_context(fault.around(Bench(folder, manager, monkeypatch, cloud))) or run.target
        )
        if fault.to_s3:
            assert cloud is not None
            is_made = end is None or "setResume" in fault.settings
            target = stack.enter_context(an_object(cloud, run.target, is_made=is_made))

        def go() -> None:
            run.apply(fault.function, {"image": run.scene}, {"result": target}, **fault.settings)

        if end is None:
            go()
        else:
            with pytest.raises(end) as caught:
                go()
            assert isinstance(caught.value, RiosBatchError)
            assert len(text_of(caught.value)) > 20
            for _ in range(TILES if "setResume" in fault.settings else 0):
                try:
                    go()
                    break
                except end:  # of several damaged tiles each run finds one, and the next run computes it again
                    continue
    if end is None or "setResume" in fault.settings:
        np.testing.assert_array_equal(read_raster(run.target), EXPECTED)
        run.target.unlink()
        run.target.with_name("out.tif.aux.xml").unlink(missing_ok=True)
    run.assert_nothing_left()


@contextlib.contextmanager
def an_object(cloud: Emulator, copy: Path, *, is_made: bool) -> Iterator[str]:
    """Give a name for an output in S3, which is copied and removed at the end."""
    s3, bucket = cloud.client("s3"), "chaos-outputs"
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": cloud.region})
    try:
        yield f"s3://{bucket}/out.tif"
        if is_made:
            s3.download_file(bucket, "out.tif", str(copy))
        # Where S3's answer to the beginning of an upload was lost, boto3 has begun another one.
        for upload in s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []):
            assert not s3.list_parts(Bucket=bucket, Key="out.tif", UploadId=upload["UploadId"]).get("Parts")
    finally:
        for item in s3.list_objects_v2(Bucket=bucket).get("Contents", []):
            s3.delete_object(Bucket=bucket, Key=item["Key"])
        s3.delete_bucket(Bucket=bucket)


# -- what happens to main

MAIN = """
import os, signal, sys, time
from rios_batch import applier
signal.signal(signal.SIGINT, signal.default_int_handler)  # who started the tests may ignore it

def double(info, inputs, outputs):
    with open(os.path.join({folder!r}, "blocks"), "a") as file:
        file.write("x")
    time.sleep(0.15)
    outputs.result = inputs.image.astype("u2") * 2

infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
infiles.image, outfiles.result = "scene.tif", "out.tif"
controls = applier.ApplierControls()
controls.setWindowSize(16, 32)
controls.setTileSize(32, 32)
controls.setJobManagerType(sys.argv[1])
controls.setNumThreads(int(sys.argv[2]))
controls.setCreationOptions(["TILED=YES", "BLOCKXSIZE=16", "BLOCKYSIZE=16", "COMPRESS=DEFLATE"])
controls.setResume(True)
applier.apply(double, infiles, outfiles, controls=controls)
"""
HITS = {
    "Killed": signal.SIGKILL,
    "Terminated": signal.SIGTERM,
    "Interrupted": signal.SIGINT,
    "Paused": signal.SIGSTOP,
}
MAINS = [(f"MainIs{name}", manager) for name in HITS for manager in ALL]


class MainRun(SceneRun):
    """A script that counts the blocks that it has begun."""

    def __init__(self, tmp_path: Path, manager: str) -> None:
        folder = tmp_path / "work"
        folder.mkdir()
        super().__init__(folder, manager, 1 if manager == "in-process" else 2, "")
        self._source, self._blocks = MAIN.format(folder=str(tmp_path)), tmp_path / "blocks"

    def start(self) -> subprocess.Popen[str]:
        return self.start_script(self._source, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def wait_for_blocks(self, count: int) -> None:
        wait_until(lambda: self._blocks.exists() and len(self._blocks.read_text()) >= count)

    def assert_right_and_nothing_left(self) -> None:
        np.testing.assert_array_equal(read_raster(self.target), EXPECTED)
        self.target.unlink()
        (self.folder / "script.py").unlink()
        # What a main that is killed leaves behind is hidden, and the next run removes it, or the system.
        for left in self.folder.glob(".*"):
            shutil.rmtree(left)
        self.assert_nothing_left()


def hit_main(name: str, manager: str, tmp_path: Path) -> None:
    number, run = HITS[name.removeprefix("MainIs")], MainRun(tmp_path, manager)
    with run.start() as main:
        run.wait_for_blocks(3)
        main.send_signal(number)
        if number == signal.SIGSTOP:
            time.sleep(1)
            main.send_signal(signal.SIGCONT)
        _, messages = main.communicate(timeout=HANGS_AFTER_S)
    if number == signal.SIGSTOP:
        assert main.returncode == 0, messages
    else:
        assert main.returncode != 0
        assert not run.target.exists()
        with run.start() as main:
            _, messages = main.communicate(timeout=HANGS_AFTER_S)
        assert main.returncode == 0, messages
    run.assert_right_and_nothing_left()


@pytest.mark.parametrize(
    ("name", "manager"),
    [cell for cell in MAINS if cell[1] in LOCAL],
    ids=[f"{name}-{manager}" for name, manager in MAINS if manager in LOCAL],
)
def test_a_main_ends_well(name: str, manager: str, tmp_path: Path) -> None:
    hit_main(name, manager, tmp_path)


@pytest.mark.usefixtures("quick_cloud")
@pytest.mark.parametrize(
    ("name", "manager"),
    [cell for cell in MAINS if cell[1] not in LOCAL],
    ids=[f"{name}-{manager}" for name, manager in MAINS if manager not in LOCAL],
)
def test_a_main_on_aws_ends_well(name: str, manager: str, tmp_path: Path) -> None:
    hit_main(name, manager, tmp_path)


@pytest.mark.usefixtures("quick_cloud")
@pytest.mark.parametrize(
    ("name", "manager"), [("TwoMainsResumeOneRun", "AWSBatch")], ids=["TwoMainsResumeOneRun-AWSBatch"]
)
def test_two_mains_on_aws_ends_well(name: str, manager: str, tmp_path: Path) -> None:
    run = MainRun(tmp_path, manager)
    with run.start() as first:
        run.wait_for_blocks(3)
        with run.start() as second:
            said = [main.communicate(timeout=HANGS_AFTER_S)[1] for main in (first, second)]
    assert second.returncode == 0, (name, said)
    assert first.returncode == 0 or "RunTakenOverError" in said[0], said
    run.assert_right_and_nothing_left()
