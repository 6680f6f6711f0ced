"""What only AWSBatch can suffer: lost machines, lost and doubled messages, a main that dies, a missing stack."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import numpy as np
import pytest

from rios_batch import applier
from rios_batch.aws.objects import UploadStoppedError
from rios_batch.aws.queue import WorkQueue
from rios_batch.awsbatch import polling, starting
from rios_batch.awsbatch.runstore import RunStore
from rios_batch.contract import ENV_STACK, StackOutput
from rios_batch.errors import JobMgrError, ProcessCancelledError, RiosBatchError, StackExportsError
from rios_batch.testing.emulation.leavings import clean_up, wait_for_jobs
from tests.support import ROOT, make_raster, read_raster, run_python, run_script, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rios_batch.applier import ApplierReturn
    from rios_batch.testing.emulation.cloud import Emulator
    from rios_batch.testing.emulation.records import Job

SCENE = np.random.default_rng(3).integers(1, 200, (2, 96, 160), np.uint8)
EXPECTED = SCENE.astype(np.uint16) * 2
NTILES = 15


def controls(threads: int = 2) -> applier.ApplierControls:
    made = applier.ApplierControls()
    made.setWindowSize(32, 32)
    made.setTileSize(32, 32)
    made.setCreationOptions(["TILED=YES", "BLOCKXSIZE=32", "BLOCKYSIZE=32", "COMPRESS=DEFLATE"])
    made.setNumThreads(threads)
    made.setJobManagerType("AWSBatch")
    return made


def double(_info: Any, inputs: Any, outputs: Any) -> None:
    outputs.result = inputs.image.astype(np.uint16) * 2


@dataclass
class Scene:
    """A scene on disk, and the way to run over it."""

    folder: Path

    def __call__(
        self,
        function: Callable[..., None] = double,
        with_controls: applier.ApplierControls | None = None,
        target: str = "out.tif",
    ) -> ApplierReturn:
        infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
        infiles.image = str(self.folder / "scene.tif")
        outfiles.result = str(self.folder / target)
        return applier.apply(function, infiles, outfiles, controls=with_controls or controls())

    def assert_right(self, target: str = "out.tif") -> None:
        np.testing.assert_array_equal(read_raster(self.folder / target), EXPECTED)


@pytest.fixture
def scene(tmp_path: Path, quick_cloud: Emulator) -> Scene:
    del quick_cloud
    make_raster(tmp_path / "scene.tif", SCENE)
    return Scene(tmp_path)


def worker_job(cloud: Emulator) -> Job:
    """Return the running Batch job."""
    wait_until(lambda: any(job.handle for job in cloud.jobs()))
    return next(job for job in cloud.jobs() if job.handle)


# -- workers


def slowly_on_batch(folder: Path, seconds: float) -> Callable[..., None]:
    """Return a function that takes long in the first block on a Batch worker, and says so in ``began``.

    Main's own worker waits for that, or it could do all alone.
    """

    def function(info: Any, inputs: Any, outputs: Any) -> None:
        outputs.result = inputs.image.astype(np.uint16) * 2
        if os.environ.get("AWS_BATCH_JOB_ID"):
            with contextlib.suppress(FileExistsError), (folder / "began").open("x") as file:
                xblock, yblock = info.getBlockCount()
                file.write(str(yblock * 5 + xblock))
                file.flush()
                time.sleep(seconds)
        while not (folder / "began").exists():
            time.sleep(0.02)
        time.sleep(0.1)

    return function


@contextlib.contextmanager
def meanwhile(act: Callable[[], None]) -> Iterator[None]:
    """Do something beside the run, and see that it was done."""
    with ThreadPoolExecutor(1) as executor:
        done = executor.submit(act)
        yield
        done.result()


@pytest.mark.parametrize(
    ("number", "what_batch_says"),
    [
        (signal.SIGKILL, "OutOfMemoryError: Container killed due to memory usage"),
        (signal.SIGKILL, "Host EC2 (instance i-0123456789abcdef0) terminated."),
        (signal.SIGTERM, "Your Spot Task was interrupted."),
    ],
    ids=["SIGKILL", "a reclaimed machine, which tells its jobs nothing", "a notice of Fargate Spot"],
)
def test_a_lost_worker_costs_its_tiles_and_nothing_else(
    scene: Scene, quick_cloud: Emulator, number: int, what_batch_says: str
) -> None:
    def lose() -> None:
        wait_until((scene.folder / "began").exists)
        job = worker_job(quick_cloud).job_id
        quick_cloud.signal_job(job, number, status_reason=what_batch_says)

    with meanwhile(lose):
        scene(slowly_on_batch(scene.folder, seconds=60))

    scene.assert_right()
    returned = [call for call in quick_cloud.calls() if call.operation == "change_message_visibility"]
    # Told to end, a worker gives its leases back; killed, they lapse.
    assert bool(returned) == (number == signal.SIGTERM)


def test_a_paused_worker_loses_its_lease_and_does_no_harm_when_it_goes_on(
    scene: Scene, quick_cloud: Emulator
) -> None:
    def pause_until_others_did_its_tile() -> None:
        wait_until((scene.folder / "began").exists)
        wait_until((scene.folder / "began").read_text)
        job = worker_job(quick_cloud).job_id
        tile = int((scene.folder / "began").read_text())
        quick_cloud.signal_job(job, signal.SIGSTOP, group=True)
        wait_until(lambda: any(key.endswith(f"/{tile:07d}") for key in finished_tiles(quick_cloud)))
        quick_cloud.signal_job(job, signal.SIGCONT, group=True)

    with meanwhile(pause_until_others_did_its_tile):
        scene(slowly_on_batch(scene.folder, seconds=1))

    scene.assert_right()


# -- messages


def test_every_message_delivered_twice_changes_nothing(scene: Scene, quick_cloud: Emulator) -> None:
    quick_cloud.duplicate_messages(on=True)

    result = scene()

    scene.assert_right()
    assert [record.tile for record in result.tiles] == list(range(NTILES))


def test_a_lost_message_is_sent_again(
    scene: Scene, quick_cloud: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: list[str] = []
    send = WorkQueue.send

    def send_and_lose(queue: WorkQueue, works: Any) -> None:
        send(queue, works)
        if len(works) == NTILES and not lost:
            lost.append(quick_cloud.lose_message(queue.url))

    monkeypatch.setattr(WorkQueue, "send", send_and_lose)

    scene()

    scene.assert_right()
    assert "tile" in lost[0]


# -- main


MAIN_SCRIPT = """
    import os, time
    import numpy as np
    from rios_batch import applier

    here = os.getcwd()

    def double(info, inputs, outputs):
        outputs.result = inputs.image.astype(np.uint16) * 2
        with open(os.path.join(here, "calls"), "a") as calls:
            calls.write(f"{info.getBlockCount()}\\n")
        time.sleep(0.3)

    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.image, outfiles.result = "scene.tif", "out.tif"
    controls = applier.ApplierControls()
    controls.setWindowSize(32, 32)
    controls.setTileSize(32, 32)
    controls.setCreationOptions(["TILED=YES", "BLOCKXSIZE=32", "BLOCKYSIZE=32"])
    controls.setNumThreads(2)
    controls.setJobManagerType("AWSBatch")
    controls.setResume(True)
    applier.apply(double, infiles, outfiles, controls=controls)
"""


def finished_tiles(cloud: Emulator) -> list[str]:
    bucket = cloud.outputs()[StackOutput.BUCKET]
    reply = cloud.client("s3").list_objects_v2(Bucket=bucket, Prefix="runs/")
    return [item["Key"] for item in reply.get("Contents", []) if "/tiles/" in item["Key"]]


def block_of(key: str) -> str:
    """Return the block of a tile's object, as MAIN_SCRIPT writes it down."""
    yblock, xblock = divmod(int(key.rpartition("/")[2]), 5)
    return str((xblock, yblock))


def test_a_killed_main_is_resumed_from_its_finished_tiles(scene: Scene, quick_cloud: Emulator) -> None:
    (scene.folder / "script.py").write_text(textwrap.dedent(MAIN_SCRIPT))
    main = subprocess.Popen([sys.executable, "script.py"], cwd=scene.folder)
    wait_until(lambda: len(finished_tiles(quick_cloud)) >= 3)

    main.kill()
    main.wait()
    finished = {block_of(key) for key in finished_tiles(quick_cloud)}
    calls_before = (scene.folder / "calls").read_text().splitlines()
    done = run_script(scene.folder, MAIN_SCRIPT)

    assert done.returncode == 0, done.stderr
    scene.assert_right()
    calls = (scene.folder / "calls").read_text().splitlines()
    assert len(set(calls)) == NTILES
    # What the killed main's worker and those of its job had in hand was begun again, and nothing that was finished.
    assert len(finished) >= 3
    assert finished.isdisjoint(calls[len(calls_before) :])
    assert not finished_tiles(quick_cloud)
    wait_for_jobs(quick_cloud)
    clean_up(quick_cloud)  # the killed main's queue, which nobody could delete


def test_workers_finish_what_is_queued_when_main_is_killed(scene: Scene, quick_cloud: Emulator) -> None:
    (scene.folder / "script.py").write_text(textwrap.dedent(MAIN_SCRIPT))
    main = subprocess.Popen([sys.executable, "script.py"], cwd=scene.folder)
    wait_until(lambda: len(finished_tiles(quick_cloud)) >= 3 and worker_job(quick_cloud).handle)

    main.kill()
    main.wait()

    wait_until(lambda: len(finished_tiles(quick_cloud)) == NTILES)
    clean_up(quick_cloud)


def test_a_run_that_changed_is_not_resumed(scene: Scene) -> None:
    def fails_late(info: Any, inputs: Any, outputs: Any) -> None:
        if info.isLastBlock():
            raise LookupError
        outputs.result = inputs.image.astype(np.uint16) * 2

    made = controls()
    made.setResume(True)
    with pytest.raises(RiosBatchError, match="LookupError"):
        scene(fails_late, made)

    with pytest.raises(JobMgrError, match="cannot be resumed, because the function changed since it began"):
        scene(double, made)
    make_raster(scene.folder / "scene.tif", SCENE[:, :, ::-1].copy(), options=["COMPRESS=DEFLATE"])
    with pytest.raises(JobMgrError, match="because infiles.image changed"):
        scene(fails_late, made)


def test_a_failed_run_says_how_to_resume_it_and_does_only_what_is_missing(
    scene: Scene, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    flag, log = scene.folder / "fixed", scene.folder / "calls"

    def fails_first(info: Any, inputs: Any, outputs: Any) -> None:
        with log.open("a") as file:
            file.write(f"{info.getBlockCount()}\n")
        if info.isLastBlock() and not flag.exists():
            time.sleep(1)  # so that all others are finished
            raise LookupError
        outputs.result = inputs.image.astype(np.uint16) * 2

    with pytest.raises(RiosBatchError, match="LookupError"):
        scene(fails_first)
    said = caplog.records[-1].getMessage()
    assert f"of {NTILES} tiles are finished and kept" in said
    name, _, run_id = said.splitlines()[1].split()[0].partition("=")
    finished = int(said.split()[0])

    flag.touch()
    log.unlink()
    monkeypatch.setenv(name, run_id)
    scene(fails_first)

    scene.assert_right()
    assert len(log.read_text().splitlines()) == NTILES - finished


def fail_in_the_last_block(scene: Scene) -> Callable[..., None]:
    """Run a function that fails unless there is a file ``mended``, and return it; all other tiles are finished."""
    mended, folder = scene.folder / "mended", scene.folder

    def function(info: Any, inputs: Any, outputs: Any) -> None:
        if info.isLastBlock() and not mended.exists():
            while len(list(folder.glob("done-*"))) < NTILES - 1:
                time.sleep(0.05)
            time.sleep(1)  # for the last upload
            raise LookupError
        outputs.result = inputs.image.astype(np.uint16) * 2
        (folder / f"done-{info.getBlockCount()}").touch()

    with pytest.raises(RiosBatchError, match="LookupError"):
        scene(function)
    mended.touch()
    return function


def test_a_resume_that_is_interrupted_at_once_loses_nothing(
    scene: Scene, quick_cloud: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    function = fail_in_the_last_block(scene)
    before = finished_tiles(quick_cloud)
    resuming = controls()
    resuming.setResume(True)

    def interrupt(*_: object) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunStore, "put_job", interrupt)
        with pytest.raises(KeyboardInterrupt):
            scene(function, resuming)

    assert len(before) == NTILES - 1
    assert finished_tiles(quick_cloud) == before
    scene(function, resuming)
    scene.assert_right()


def test_a_main_that_only_coordinates_resumes_what_needs_no_worker(
    scene: Scene, quick_cloud: Emulator
) -> None:
    made = controls()
    made.setCoordinateOnly(True)
    made.setResume(True)
    made.setProgress(Cancelling())
    with pytest.raises(ProcessCancelledError):
        scene(with_controls=made)
    assert len(finished_tiles(quick_cloud)) == NTILES

    made.setProgress(None)
    quick_cloud.forget_calls()
    scene(with_controls=made)

    scene.assert_right()
    assert not any(call.operation == "submit_job" for call in quick_cloud.calls())


class Cancelling:
    """A progress object that cancels when everything is done."""

    done = False

    def setTotalSteps(self, steps: int) -> None: ...  # noqa: N802 - RIOS's names
    def setLabelText(self, text: str) -> None: ...  # noqa: N802
    def reset(self) -> None: ...
    def setProgress(self, progress: int) -> None:  # noqa: N802
        self.done = progress == 100

    def wasCancelled(self) -> bool:  # noqa: N802
        return self.done


def test_a_resume_ends_what_a_killed_main_has_left(scene: Scene, quick_cloud: Emulator) -> None:
    (scene.folder / "script.py").write_text(textwrap.dedent(MAIN_SCRIPT.replace("0.3", "1.0")))
    main = subprocess.Popen([sys.executable, "script.py"], cwd=scene.folder)
    left = worker_job(quick_cloud)
    main.kill()
    main.wait()

    done = run_script(scene.folder, MAIN_SCRIPT.replace("0.3", "1.0"))

    assert done.returncode == 0, done.stderr
    scene.assert_right()
    ended = next(job for job in quick_cloud.jobs() if job.job_id == left.job_id)
    assert (ended.status, ended.status_reason) == ("FAILED", "its run is resumed")


def test_two_runs_at_a_time_do_not_meet(scene: Scene) -> None:
    script = MAIN_SCRIPT.replace('"out.tif"', '__import__("sys").argv[1]')
    (scene.folder / "two.py").write_text(textwrap.dedent(script))
    mains = [
        subprocess.Popen([sys.executable, "two.py", name], cwd=scene.folder) for name in ("a.tif", "b.tif")
    ]

    assert [main.wait() for main in mains] == [0, 0]
    scene.assert_right("a.tif")
    scene.assert_right("b.tif")


# -- AWS


def test_a_tenth_of_all_requests_refused_changes_nothing(scene: Scene, quick_cloud: Emulator) -> None:
    quick_cloud.slow_down("s3", share=0.1)

    scene()

    scene.assert_right()
    assert any(call.status == 503 for call in quick_cloud.calls())


def test_without_machines_main_does_everything(scene: Scene, quick_cloud: Emulator) -> None:
    quick_cloud.limit_capacity(0)

    result = scene()

    scene.assert_right()
    assert {record.worker.partition(",")[0] for record in result.tiles} == {"main"}


def test_main_may_be_quicker_than_the_copying_of_its_inputs(
    scene: Scene, quick_cloud: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copy_for_ever(*arguments: Any) -> dict[str, str]:
        stopped: Callable[[], bool] = arguments[-1]
        wait_until(stopped)
        raise UploadStoppedError

    monkeypatch.setattr(starting, "copy_local_inputs", copy_for_ever)

    scene()

    scene.assert_right()
    assert not any(call.operation == "submit_job" for call in quick_cloud.calls())


def test_foreign_objects_among_the_tiles_of_a_run_are_ignored(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_job = RunStore.put_job

    def with_foreign_objects(store: RunStore, pickled: bytes) -> str:
        for name in ("9999999", "notes", "backup/0000001"):
            store.bucket.put(f"runs/{store.run_id}/tiles/{name}", b"not a tile")
        return put_job(store, pickled)

    monkeypatch.setattr(RunStore, "put_job", with_foreign_objects)

    scene()

    scene.assert_right()


def test_modules_of_mains_working_directory_are_not_run_by_its_worker_and_those_of_pythonpath_are(
    scene: Scene, tmp_path: Path
) -> None:
    planted, path = tmp_path / "planted", tmp_path / "path"
    planted.mkdir()
    path.mkdir()
    for name in ("queue", "boto3", "pickle"):
        (planted / f"{name}.py").write_text(f"open('{name} was run', 'w')\nraise SystemExit('{name}')\n")
    (path / "sitecustomize.py").write_text(f"open('{path}/seen by ' + str(__import__('os').getpid()), 'w')\n")
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            f"""
            from rios_batch import applier

            def work(info, inputs, outputs):
                outputs.result = inputs.image.astype("u2") * 2

            infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
            infiles.image, outfiles.result = "{scene.folder}/scene.tif", "{scene.folder}/out.tif"
            controls = applier.ApplierControls()
            controls.setNumThreads(2)
            controls.setJobManagerType("AWSBatch")
            applier.apply(work, infiles, outfiles, controls=controls)
            """
        )
    )

    done = run_python(script, folder=planted, PYTHONPATH=os.pathsep.join([str(path), str(ROOT)]))

    assert done.returncode == 0, done.stderr
    scene.assert_right()
    assert sorted(file.name for file in planted.iterdir()) == ["boto3.py", "pickle.py", "queue.py"]
    assert len([file for file in path.iterdir() if file.name.startswith("seen by")]) > 1


def test_main_that_only_coordinates_computes_nothing(scene: Scene) -> None:
    made = controls()
    made.setCoordinateOnly(True)

    result = scene(with_controls=made)

    scene.assert_right()
    assert all(record.worker.startswith("worker 1 (job ") for record in result.tiles)


def test_requests_per_tile_are_few_and_the_job_is_submitted_once(
    scene: Scene, quick_cloud: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "POLL_SECONDS", 1.0)  # as for users
    per_tile = {}
    for rows in (1, 4):
        make_raster(scene.folder / "scene.tif", np.tile(SCENE, (1, rows, 1)))
        quick_cloud.forget_calls()
        ntiles = len(scene(with_controls=controls(3)).tiles)
        made = Counter(f"{call.service}.{call.operation}" for call in quick_cloud.calls())
        # Looking whether something has happened costs by the second, not by the tile.
        looks = made["s3.list_objects_v2"] + made["sqs.get_queue_attributes"]
        per_tile[ntiles] = (made.total() - looks) / ntiles
        assert made["batch.submit_job"] == 1

    few, many = per_tile.values()
    assert many <= few
    assert many <= 6


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        (ENV_STACK, "Nowhere", "there is no stack Nowhere in us-west-2; make it with `npx cdk deploy`"),
        ("RIOS_AWSBATCH_REGION", "eu-west-1", "there is no stack RiosBatch in eu-west-1"),
    ],
)
def test_a_stack_that_is_not_there_is_named(
    scene: Scene, quick_cloud: Emulator, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(StackExportsError, match=says):
        scene()
    assert not any(call.operation == "submit_job" for call in quick_cloud.calls())


def test_missing_region_and_credentials_are_named(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it keeps what it has found once
    monkeypatch.setenv("HOME", str(scene.folder))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(JobMgrError, match="cannot be used without AWS credentials .*run `aws configure`"):
        scene()
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(JobMgrError, match="no AWS region is set.*RIOS_AWSBATCH_REGION"):
        scene()


def test_more_workers_than_the_stack_may_have_are_refused(scene: Scene) -> None:
    with pytest.raises(
        JobMgrError,
        match=r"65 Batch workers of 2 vCPUs are asked for; .* at most setNumThreads\(65\), or numComputeWorkers=64",
    ):
        scene(with_controls=controls(66))
