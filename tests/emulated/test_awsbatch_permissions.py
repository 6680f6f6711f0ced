"""Least privilege: runs pass with what the stack's policies allow, use all of it, and miss whatever is taken away."""

from __future__ import annotations

import hashlib
import os
import tempfile
import textwrap
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from osgeo import gdal

from rios_batch import applier, batch, cli
from rios_batch.aws import objects, scripts
from rios_batch.aws.calls import CALLS, On, Role, actions
from rios_batch.aws.cloud import Cloud
from rios_batch.aws.jobs import WorkerJobs
from rios_batch.aws.multipart import MIB
from rios_batch.aws.objects import Bucket
from rios_batch.aws.scripts import fetch_script, send_script
from rios_batch.awsbatch import campaign, explaining
from rios_batch.awsbatch.configuration import WorkerConfig
from rios_batch.awsbatch.explaining import Explainer
from rios_batch.errors import (
    DeniedError,
    ImageOpenError,
    JobMgrError,
    OutputError,
    RiosBatchError,
    S3DeniedError,
    S3Error,
)
from rios_batch.testing.emulation.leavings import clean_up, leftovers, wait_for_jobs
from tests.emulated.guarded import MAPS, SCENES, STACK, Guarded
from tests.support import make_raster, read_raster, run_script

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rios_batch.testing.emulation.cloud import Emulator

MAINS = (Role.MAIN, Role.SUBMITTER)
SMALL = np.random.default_rng(5).integers(1, 200, (1, 96, 160), np.uint8)
# An output that is not all in the first part of its upload, and compresses to no less.
LARGE = np.random.default_rng(6).integers(1, 250, (2, 2048, 3072), np.uint8)


@pytest.fixture(scope="module")
def stack(shared_cloud: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("scenes")
    s3 = shared_cloud.client("s3")
    with Guarded.deployed(shared_cloud) as stack:
        for name, pixels in (("small.tif", SMALL), ("large.tif", LARGE)):
            s3.upload_file(make_raster(folder / name, pixels, options=["TILED=YES"]), SCENES, name)
        yield stack


@pytest.fixture(autouse=True)
def _guarded(stack: Guarded, quick_cloud: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(explaining, "EXPLAIN_SECONDS", 0.2)
    monkeypatch.setattr(scripts, "_POLL_SECONDS", 0.2)
    gdal.VSICurlClearCache()  # what it has read with other credentials
    quick_cloud.enforce_iam(on=True)
    yield
    quick_cloud.no_faults()
    wait_for_jobs(quick_cloud)
    left = remains(stack)
    clean_up(quick_cloud, STACK)
    empty_maps(stack)
    assert left == []


def remains(stack: Guarded) -> list[str]:
    """What is left of a run, the parts of outputs included."""
    # A worker on its way out may still leave a record of a failure after main has removed the rest; it expires.
    left = [one for one in leftovers(stack.cloud, STACK) if "/failures/" not in one]
    uploads = stack.cloud.client("s3").list_multipart_uploads(Bucket=MAPS).get("Uploads", [])
    return [*left, *(f"unfinished upload {upload['Key']}" for upload in uploads)]


def empty_maps(stack: Guarded) -> None:
    s3 = stack.cloud.client("s3")
    for item in s3.list_objects_v2(Bucket=MAPS).get("Contents", []):
        s3.delete_object(Bucket=MAPS, Key=item["Key"])
    for upload in s3.list_multipart_uploads(Bucket=MAPS).get("Uploads", []):
        s3.abort_multipart_upload(Bucket=MAPS, Key=upload["Key"], UploadId=upload["UploadId"])


# -- runs that pass

# Three runs, which together need everything: workers that have to give a tile back, outputs in S3, workers that die.
SCRIPT = """
    import os, signal, sys, time
    import numpy as np
    from rios_batch import applier
    from rios_batch.errors import RiosBatchError
    from rios_batch.awsbatch import explaining, polling, starting
    polling.POLL_SECONDS, starting.LEASE_SECONDS, explaining.EXPLAIN_SECONDS = 0.2, 10, 0.2

    here = os.path.dirname(os.path.abspath(__file__))
    shared, scene, *targets = sys.argv[1:]

    def run(function, image, targets, side_px, threads, alone=False):
        infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
        infiles.image, outfiles.maps = image, targets
        controls = applier.ApplierControls()
        controls.setWindowSize(side_px, side_px)
        controls.setTileSize(side_px, side_px)
        controls.setCreationOptions(["TILED=YES", f"BLOCKXSIZE={side_px}", f"BLOCKYSIZE={side_px}"])
        controls.setOmitPyramids(True)  # main sends what it makes of them, and with it tiles that could be copied
        controls.setNumThreads(threads)
        controls.setJobManagerType("AWSBatch")
        controls.setCoordinateOnly(alone)
        return applier.apply(function, infiles, outfiles, controls=controls)

    def first(name):
        try:
            os.close(os.open(os.path.join(shared, name), os.O_CREAT | os.O_EXCL))
            return True
        except FileExistsError:
            return False

    def unlucky(info, inputs, outputs):
        place = "worker" if os.environ.get("AWS_BATCH_JOB_ID") else "main"
        first(place)
        while not all(os.path.exists(os.path.join(shared, name)) for name in ("main", "worker")):
            time.sleep(0.05)
        if first("killed " + place):
            os._exit(1)
        outputs.maps = [inputs.image * 2, inputs.image]

    def invert(info, inputs, outputs):
        outputs.maps = [255 - inputs.image] * len(targets)

    def kill_the_worker(info, inputs, outputs):
        os.killpg(0, signal.SIGKILL)

    run(unlucky, os.path.join(here, "small.tif"), [os.path.join(here, "local.tif"), targets[0] + "-small.tif"], 32, 2)
    run(invert, scene, targets, 512, 2, alone=True)
    try:
        run(kill_the_worker, os.path.join(here, "small.tif"), targets, 32, 3, alone=True)
    except RiosBatchError as error:
        print(error)
    print("done")
"""

Row = tuple[str, str, str, On | None]


@dataclass
class Runs:
    """Who has made which kinds of calls; runs are made once."""

    stack: Guarded
    folder: Path
    seen: dict[Role, set[Row]] = field(default_factory=lambda: {role: set() for role in Role})
    made: set[Role] = field(default_factory=set)

    def of(self, role: Role, monkeypatch: pytest.MonkeyPatch) -> None:
        """Run the script in a role: from here, or as a submitted job with its submitter."""
        if role in self.made:
            return
        cloud = self.stack.cloud
        here = Path(tempfile.mkdtemp(dir=self.folder))
        (here / "shared").mkdir()
        make_raster(here / "small.tif", SMALL)
        outputs = [f"s3://{MAPS}/large.tif", f"s3://{MAPS}/other.tif"]
        arguments = [str(here / "shared"), f"s3://{SCENES}/large.tif", *outputs]
        cloud.client("s3").put_object(Bucket=MAPS, Key="large.tif.aux.xml", Body=b"of an older output")
        cloud.forget_calls()
        with self.stack.acting_as(Role.SUBMITTER, monkeypatch):
            if role is Role.MAIN:
                (here / "script.py").write_text(textwrap.dedent(SCRIPT))
                files = ["--with", str(here / "small.tif"), str(here / "script.py")]
                assert cli.main(["submit", *files, *arguments]) == 0
            else:
                done = run_script(here, SCRIPT, *arguments)
                assert done.returncode == 0, done.stderr
                assert "nobody is left to go on" in done.stdout
                assert "done" in done.stdout
                np.testing.assert_array_equal(read_raster(here / "local.tif"), SMALL * 2)
        s3 = cloud.client("s3")
        s3.download_file(MAPS, "large.tif", str(here / "large.tif"))
        np.testing.assert_array_equal(read_raster(here / "large.tif"), 255 - LARGE)
        aux = s3.get_object(Bucket=MAPS, Key="large.tif.aux.xml")["Body"].read()
        assert b"older" not in aux
        wait_for_jobs(cloud)
        calls = cloud.calls()
        assert [call for call in calls if call.status in (401, 403)] == []
        for one in Role:
            self.seen[one] |= {
                (call.service, call.operation, action, self.stack.on(action, resource, granted(one)))
                for call in calls
                if call.caller == self.stack.caller(one)
                for action, resource in zip(call.actions, call.resources, strict=True)
            }
        self.made.add(role)


def granted(role: Role) -> set[tuple[On, str]]:
    return {(on, action) for on, names in actions(role).items() for action in names}


@pytest.fixture(scope="module")
def runs(stack: Guarded, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(stack, tmp_path_factory.mktemp("runs"))


@pytest.mark.timeout(240)  # deploying included
@pytest.mark.parametrize("role", MAINS)
def test_runs_pass_with_the_policies_of_the_stack_alone(
    runs: Runs, role: Role, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.of(role, monkeypatch)


def test_a_detached_script_is_followed_and_terminated_with_the_submitters_policy(
    stack: Guarded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "script.py").write_text("import time\ntime.sleep(100)\n")
    with stack.acting_as(Role.SUBMITTER, monkeypatch):
        assert cli.main(["submit", "--detach", str(tmp_path / "script.py")]) == 0
        job_id = capsys.readouterr().out.strip()
        assert cli.main(["terminate", job_id]) == 0
        assert cli.main(["follow", job_id]) != 0
    assert f"[job {job_id}: FAILED (ended by rios-batch terminate)]" in capsys.readouterr().out


def test_a_campaign_and_workers_for_many_runs_pass_with_the_policies_alone(
    stack: Guarded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(campaign, "LOOK_SECONDS", 0.3)
    (tmp_path / "script.py").write_text("import sys\nassert sys.argv[1] != 'b', 'no such scene'\n")
    (tmp_path / "scenes.txt").write_text("a\nb\n")
    each = ["submit", "--each", str(tmp_path / "scenes.txt"), str(tmp_path / "script.py"), "{}"]

    def double(_info: Any, inputs: Any, outputs: Any) -> None:
        outputs.result = inputs.image * 2

    with stack.acting_as(Role.SUBMITTER, monkeypatch):
        assert cli.main(each) == 1
        printed = capsys.readouterr().out
        campaign_id = printed.partition("\n")[0].removeprefix("[campaign ").removesuffix("]")
        assert cli.main(["logs", "--line", "2", campaign_id]) == 0
        with batch.Workers(1):
            for _ in range(2):
                infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
                infiles.image = make_raster(tmp_path / "small.tif", SMALL)
                outfiles.result = f"s3://{MAPS}/double.tif"
                controls = applier.ApplierControls()
                controls.setNumThreads(2)
                controls.setJobManagerType("AWSBatch")
                controls.setCoordinateOnly(True)
                applier.apply(double, infiles, outfiles, controls=controls)

    assert "failed    line 2 (b): AssertionError: no such scene" in printed
    assert [call for call in stack.cloud.calls() if call.status in (401, 403)] == []
    clean_up(stack.cloud, STACK)


MULTIPART = (
    "create_multipart_upload",
    "upload_part",
    "complete_multipart_upload",
    "abort_multipart_upload",
)
# What the table has and these runs do not do.
NOT_MADE: dict[tuple[Role, str] | tuple[Role, str, On], str] = {
    **dict.fromkeys(
        ((role, "change_message_visibility_batch") for role in Role),
        "a tile that takes longer than a third of a lease",
    ),
    (Role.WORKER, "get_queue_attributes"): "an empty queue, for twenty seconds",
    (Role.WORKER, "list_objects"): "an input that is gone, since main has seen it",
    (Role.WORKER, "head_object"): "a tile handed out again, which main's worker may get",
    **dict.fromkeys(
        ((role, operation, On.RUN_OBJECTS) for role in MAINS for operation in MULTIPART),
        "a local input of more than 16 MiB",
    ),
    **dict.fromkeys(
        ((role, "get_object", On.IMAGES) for role in MAINS), "a function that refers to a package"
    ),
}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("role", Role)
def test_every_call_in_the_table_is_made_by_a_run_and_no_other(
    runs: Runs, role: Role, monkeypatch: pytest.MonkeyPatch
) -> None:
    for main in MAINS:
        runs.of(main, monkeypatch)

    listed = {
        (call.service, call.operation, action, call.on)
        for call in CALLS
        if role in call.roles
        for action in call.actions
    }
    assert runs.seen[role] <= listed
    assert {
        (service, operation, action, on)
        for service, operation, action, on in listed - runs.seen[role]
        if (role, operation) not in NOT_MADE and (role, operation, on) not in NOT_MADE
    } == set()


# -- what a role may not do, whoever holds it


@pytest.mark.parametrize(
    "key",
    [
        "scripts/20260101T000000-1a2b3c4d/files/main.py",
        "runs/somebody-s/job.pkl",
        "runs/somebody-s/run.json",
        "runs/somebody-s/main.json",
        "runs/somebody-s/inputs.json",
        "runs/somebody-s/inputs/scene.tif",
        "maps/out.tif",
    ],
)
def test_a_worker_writes_nothing_that_others_obey(
    stack: Guarded, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    with stack.acting_as(Role.WORKER, monkeypatch):
        with pytest.raises(S3DeniedError, match="s3:PutObject"):
            Bucket(stack.bucket).put(key, b"mine")
        Bucket(stack.bucket).put("runs/somebody-s/tiles/0000001", b"a tile")
    clean_up(stack.cloud, STACK)


def test_nobody_but_main_reads_scripts(stack: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.cloud.client("s3").put_object(Bucket=stack.bucket, Key="scripts/one/files.json", Body=b"{}")
    with stack.acting_as(Role.MAIN, monkeypatch):
        assert Bucket(stack.bucket).get("scripts/one/files.json") == b"{}"
    for role in (Role.WORKER, Role.SUBMITTER):
        with stack.acting_as(role, monkeypatch), pytest.raises(S3DeniedError, match="s3:GetObject"):
            Bucket(stack.bucket).get("scripts/one/files.json")


# -- runs that fail, for one action is missing


def controls(threads: int = 2, *, alone: bool = True, side_px: int = 32) -> applier.ApplierControls:
    made = applier.ApplierControls()
    made.setWindowSize(side_px, side_px)
    made.setTileSize(side_px, side_px)
    made.setCreationOptions(["TILED=YES", f"BLOCKXSIZE={side_px}", f"BLOCKYSIZE={side_px}"])
    made.setOmitPyramids(True)
    made.setNumThreads(threads)
    made.setJobManagerType("AWSBatch")
    made.setCoordinateOnly(alone)
    return made


def copy(_info: Any, inputs: Any, outputs: Any) -> None:
    outputs.copy = inputs.image


@dataclass
class Scenario:
    """Ways to run, each of which needs some actions and little time."""

    stack: Guarded
    folder: Path
    monkeypatch: pytest.MonkeyPatch

    def run(
        self,
        with_controls: applier.ApplierControls,
        function: Callable[..., None] = copy,
        image: str = "",
        target: str = "",
        **other_args: object,
    ) -> None:
        infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
        infiles.image = image or make_raster(self.folder / "small.tif", SMALL)
        outfiles.copy = target or str(self.folder / "copy.tif")
        others = applier.OtherInputs(**other_args) if other_args else None
        applier.apply(function, infiles, outfiles, others, controls=with_controls)

    # Main's part.

    def begin(self) -> None:
        """Main does all until it would wait for workers, and asks Batch about them."""
        self.monkeypatch.setattr(explaining, "EXPLAIN_SECONDS", 0.0)
        self.stack.cloud.limit_capacity(0)
        self.run(controls())

    def begin_and_fail(self) -> None:
        """The same, and then something goes wrong."""
        self.monkeypatch.setattr(Explainer, "look", fail_once_submitted)
        with pytest.raises(JobMgrError, match="^something went wrong$"):
            self.begin()

    def refer_to_a_package(self) -> None:
        self.run(controls(), kind=pytest.Config)

    def compute_beside_main(self) -> None:
        self.stack.cloud.limit_capacity(0)
        self.run(controls(alone=False))

    def die_beside_main(self) -> None:
        self.stack.cloud.limit_capacity(0)
        self.run(controls(alone=False), die)

    def lose_all_workers(self) -> None:
        """Workers of an image of another version do not start."""
        run_env = WorkerConfig.run_env
        self.monkeypatch.setattr(
            WorkerConfig, "run_env", lambda config: {**run_env(config), "RIOS_BATCH_RUN_ID": "no id"}
        )
        self.run(controls(threads=3))

    def read_from_s3(self) -> None:
        self.run(controls(1), image=f"s3://{SCENES}/small.tif")

    def read_what_is_missing(self) -> None:
        self.run(controls(1), image=f"s3://{SCENES}/missing.tif")

    def write_to_s3(self) -> None:
        self.stack.cloud.client("s3").put_object(
            Bucket=MAPS, Key="copy.tif.aux.xml", Body=b"of an older output"
        )
        self.run(controls(1), target=f"s3://{MAPS}/copy.tif")

    def write_much_to_s3(self) -> None:
        self._write_much(f"s3://{MAPS}/copy.tif")

    def copy_an_input_that_is_refused(self) -> None:
        """A large input, whose copying S3 breaks off."""
        self.monkeypatch.setattr(objects, "_UPLOAD_PART_BYTES", 5 * MIB)
        self.monkeypatch.setattr(BaseClient, "_make_api_call", without_parts)
        with pytest.raises(S3Error, match="EntityTooSmall"):
            self.run(controls(side_px=512), image=make_raster(self.folder / "large.tif", LARGE))

    def submit_a_script(self) -> None:
        (self.folder / "script.py").write_text("print('begun')\n")
        send_script(Cloud.connect().bucket, [self.folder / "script.py"])

    def fetch_a_script(self) -> None:
        self.stack.cloud.client("s3").put_object(
            Bucket=self.stack.bucket, Key="scripts/one/files.json", Body=b"{}"
        )
        fetch_script(
            Bucket(self.stack.bucket), "scripts/one/", hashlib.sha256(b"{}").hexdigest(), self.folder
        )

    def _write_much(self, target: str) -> None:
        self.run(controls(1, side_px=512), image=make_raster(self.folder / "large.tif", LARGE), target=target)

    # Workers' part.

    def compute_on_batch(self) -> None:
        self._hurry()
        self.run(controls())

    def compute_slowly_on_batch(self) -> None:
        self._hurry()
        self.run(controls(side_px=96), slow)

    def read_from_s3_on_batch(self) -> None:
        self._hurry()
        self.run(controls(), image=f"s3://{SCENES}/small.tif")

    def die_on_batch(self) -> None:
        self._hurry()
        self.run(controls(), die)

    def _hurry(self) -> None:
        """Have workers not wait long for work, nor before they try again."""
        submit = WorkerJobs.submit

        def submit_hurried(jobs: WorkerJobs, *arguments: Any) -> None:
            hurried: Any = Hurried(jobs._client)
            with self.monkeypatch.context() as context:
                context.setattr(jobs, "_client", hurried)
                submit(jobs, *arguments)

        self.monkeypatch.setattr(WorkerJobs, "submit", submit_hurried)


HURRIED = """
import sys
from rios_batch import worker
from rios_batch.awsbatch import supervisor
supervisor.LONGEST_WAIT_SECONDS, supervisor._RETRY_SECONDS = 1, 0
sys.exit(worker.main([]))
"""


@dataclass
class Hurried:
    """A Batch client whose jobs begin with HURRIED."""

    client: Any

    def submit_job(self, **request: Any) -> Any:
        overrides = {**request["containerOverrides"], "command": ["python3", "-c", HURRIED]}
        return self.client.submit_job(**{**request, "containerOverrides": overrides})


def fail_once_submitted(explainer: Explainer) -> None:
    if explainer._jobs.submitted:
        raise JobMgrError("something went wrong")


make_api_call: Callable[..., Any] = vars(BaseClient)["_make_api_call"]


def without_parts(client: BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
    if operation == "UploadPart":
        raise ClientError({"Error": {"Code": "EntityTooSmall", "Message": "too small"}}, operation)
    return make_api_call(client, operation, arguments)


def slow(_info: Any, inputs: Any, outputs: Any) -> None:
    time.sleep(1.5)
    outputs.copy = inputs.image


def die(*_: object) -> None:
    os._exit(1)


@dataclass(frozen=True)
class Missing:
    """What comes of a missing action: the run raises, or, where it would only clean up, a warning and what is left."""

    scenario: Callable[[Scenario], None]
    error: type[RiosBatchError] = DeniedError
    leaves: str = ""
    in_silence: bool = False
    may_leave: tuple[str, ...] = ()


S = Scenario
REFUSED = Missing(S.begin)
REFUSED_BY_S3 = Missing(S.begin, S3DeniedError)

OF_MAINS: dict[tuple[On, str], Missing] = {
    (On.STACK, "cloudformation:DescribeStacks"): REFUSED,
    (On.EXCHANGE_BUCKET, "s3:ListBucket"): REFUSED_BY_S3,
    (On.RUN_OBJECTS, "s3:GetObject"): REFUSED_BY_S3,
    (On.RUN_OBJECTS, "s3:PutObject"): REFUSED_BY_S3,
    (On.RUN_OBJECTS, "s3:DeleteObject"): Missing(S.begin_and_fail, leaves="object"),
    # boto3 does not say so. The bucket takes unfinished uploads away after a day.
    (On.RUN_OBJECTS, "s3:AbortMultipartUpload"): Missing(
        S.copy_an_input_that_is_refused, leaves="unfinished upload", in_silence=True
    ),
    (On.SCRIPTS, "s3:GetObject"): Missing(S.fetch_a_script, S3DeniedError),
    (On.SCRIPTS, "s3:PutObject"): Missing(S.submit_a_script, S3DeniedError),
    (On.IMAGES, "s3:GetObject"): Missing(S.refer_to_a_package, S3DeniedError),
    (On.INPUT_BUCKETS, "s3:ListBucket"): Missing(S.read_what_is_missing, ImageOpenError),
    (On.INPUT_OBJECTS, "s3:GetObject"): Missing(S.read_from_s3, ImageOpenError),
    (On.OUTPUT_BUCKETS, "s3:ListBucket"): Missing(S.write_to_s3, OutputError),
    (On.OUTPUT_OBJECTS, "s3:PutObject"): Missing(S.write_to_s3, OutputError),
    (On.OUTPUT_OBJECTS, "s3:AbortMultipartUpload"): Missing(S.write_to_s3, leaves="unfinished upload"),
    (On.OUTPUT_OBJECTS, "s3:ListMultipartUploadParts"): Missing(S.write_much_to_s3, OutputError),
    (On.RUN_QUEUES, "sqs:CreateQueue"): REFUSED,
    # Until its job is ended a worker that still has the queue may commit one more tile.
    (On.RUN_QUEUES, "sqs:DeleteQueue"): Missing(
        S.begin_and_fail, leaves="queue", may_leave=("object", "job")
    ),
    (On.RUN_QUEUES, "sqs:SendMessage"): REFUSED,
    (On.RUN_QUEUES, "sqs:ReceiveMessage"): Missing(S.compute_beside_main),
    (On.RUN_QUEUES, "sqs:DeleteMessage"): Missing(S.compute_beside_main),
    (On.RUN_QUEUES, "sqs:ChangeMessageVisibility"): Missing(S.die_beside_main),
    (On.RUN_QUEUES, "sqs:GetQueueAttributes"): REFUSED,
    (On.JOB_QUEUES_AND_DEFINITIONS, "batch:SubmitJob"): REFUSED,
    (On.NEW_JOBS, "batch:TagResource"): REFUSED,
    (On.OWN_JOBS, "batch:TerminateJob"): Missing(S.begin_and_fail, leaves="job"),
    (On.EVERYTHING, "batch:DescribeJobQueues"): REFUSED,
    (On.EVERYTHING, "batch:DescribeJobs"): REFUSED,
    (On.EVERYTHING, "batch:ListJobs"): Missing(S.lose_all_workers, JobMgrError),
    (On.JOB_LOG, "logs:GetLogEvents"): Missing(S.lose_all_workers, JobMgrError),
}
OF_WORKERS: dict[tuple[On, str], Missing] = {
    (On.EXCHANGE_BUCKET, "s3:ListBucket"): Missing(S.die_on_batch, S3DeniedError),
    (On.RUN_OBJECTS, "s3:GetObject"): Missing(S.compute_on_batch, S3DeniedError),
    (On.RUN_RESULTS, "s3:PutObject"): Missing(S.compute_on_batch, JobMgrError),
    (On.IMAGES, "s3:PutObject"): Missing(S.compute_on_batch, S3DeniedError),
    (On.INPUT_BUCKETS, "s3:ListBucket"): Missing(S.read_what_is_missing, ImageOpenError),
    (On.INPUT_OBJECTS, "s3:GetObject"): Missing(S.read_from_s3_on_batch, ImageOpenError),
    (On.RUN_QUEUES, "sqs:ReceiveMessage"): Missing(S.compute_on_batch),
    (On.RUN_QUEUES, "sqs:DeleteMessage"): Missing(S.compute_on_batch),
    (On.RUN_QUEUES, "sqs:ChangeMessageVisibility"): Missing(S.die_on_batch),
    (On.RUN_QUEUES, "sqs:GetQueueAttributes"): Missing(S.compute_slowly_on_batch),
}
EACH_ACTION = [(role, on, action) for role in Role for on, names in actions(role).items() for action in names]


@pytest.mark.parametrize(
    ("role", "on", "action"), EACH_ACTION, ids=[f"{r.name}-{o.name}-{a}" for r, o, a in EACH_ACTION]
)
def test_without_an_action_the_run_says_so(
    stack: Guarded,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    role: Role,
    on: On,
    action: str,
) -> None:
    missing = (OF_WORKERS if role is Role.WORKER else OF_MAINS)[on, action]
    # Workers on Batch have their own role, whoever submits them.
    on_batch = role is Role.WORKER and missing.scenario is not S.read_what_is_missing
    scenario = Scenario(stack, tmp_path, monkeypatch)
    left: list[str] = []

    with (
        stack.acting_as(Role.SUBMITTER if on_batch else role, monkeypatch),
        stack.without(role, on, action),
    ):
        if missing.leaves:
            missing.scenario(scenario)
            left = [*remains(stack), *(f"object {key}" for key in stack.keys("runs/"))]
            clean_up(stack.cloud, STACK)
            empty_maps(stack)
            said = [record.getMessage() for record in caplog.records]
        else:
            with pytest.raises(missing.error) as caught:
                missing.scenario(scenario)
            said = [str(caught.value)]

    assert missing.in_silence or any(action in text for text in said), said
    assert not any("\n" in text for text in said), said
    assert {text.startswith((missing.leaves, *missing.may_leave)) for text in left} <= {True}
    assert any(text.startswith(missing.leaves) for text in left) == bool(missing.leaves)
    assert not (tmp_path / "copy.tif").exists()
