"""``rios-batch submit``: a script that runs as main on AWS Batch, and what its submitter sees."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rios_batch import cli
from rios_batch.aws import scripts
from rios_batch.awsbatch import campaign
from rios_batch.contract import SCRIPTS_PREFIX, StackOutput
from rios_batch.testing.emulation.leavings import clean_up, wait_for_jobs
from tests.support import make_raster, read_raster

if TYPE_CHECKING:
    from pathlib import Path

    from rios_batch.testing.emulation.cloud import Emulator

pytestmark = pytest.mark.usefixtures("quick_cloud")

MAIN = """
    import sys
    import numpy as np
    from rios_batch import applier
    from my_helpers import triple

    def work(info, inputs, outputs):
        outputs.result = triple(inputs.image)

    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.image, outfiles.result = sys.argv[1:]
    controls = applier.ApplierControls()
    controls.setWindowSize(256, 256)
    controls.setTileSize(256, 256)
    controls.setNumThreads(2)
    controls.setJobManagerType("AWSBatch")
    result = applier.apply(work, infiles, outfiles, controls=controls)
    print(len(result.tiles), "tiles")
"""


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scripts, "_POLL_SECONDS", 0.2)


def write(folder: Path, name: str, source: str) -> str:
    (folder / name).write_text(textwrap.dedent(source))
    return str(folder / name)


def test_a_script_runs_as_main_and_its_output_is_printed(
    tmp_path: Path, quick_cloud: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    s3, bucket = quick_cloud.client("s3"), "somebodys-maps-of-main"
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": quick_cloud.region})
    pixels = np.random.default_rng(1).integers(0, 80, (1, 512, 768), np.uint8)
    s3.upload_file(make_raster(tmp_path / "scene.tif", pixels), bucket, "data/scene.tif")
    helper = write(tmp_path, "my_helpers.py", "def triple(a):\n    return a * 3\n")
    script = write(tmp_path, "main.py", MAIN)

    status = cli.main(
        ["submit", "--with", helper, script, f"s3://{bucket}/data/scene.tif", f"s3://{bucket}/data/out.tif"]
    )

    printed = capsys.readouterr().out
    assert status == 0, printed
    assert "6 tiles" in printed.splitlines()
    assert ": SUCCEEDED]" in printed
    s3.download_file(bucket, "data/out.tif", str(tmp_path / "out.tif"))
    np.testing.assert_array_equal(read_raster(tmp_path / "out.tif"), pixels * 3)
    for item in s3.list_objects_v2(Bucket=bucket)["Contents"]:
        s3.delete_object(Bucket=bucket, Key=item["Key"])
    s3.delete_bucket(Bucket=bucket)


def test_a_failing_script_gives_its_status_and_its_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = write(tmp_path, "main.py", "import sys\nprint('so far')\nsys.exit('no such band')\n")

    status = cli.main(["submit", script])

    printed = capsys.readouterr().out
    assert status == 1
    assert "so far" in printed
    assert "no such band" in printed
    assert ": FAILED" in printed


def test_a_file_that_is_sent_along_may_have_any_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = write(tmp_path, "main.py", "print(open(__file__.replace('main.py', 'files.json')).read())\n")

    status = cli.main(["submit", "--with", write(tmp_path, "files.json", "the script's own"), script])

    assert "the script's own" in capsys.readouterr().out
    assert status == 0


def test_a_detached_script_is_followed_and_terminated_by_its_id(
    tmp_path: Path, quick_cloud: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    script = write(tmp_path, "main.py", "import time\nprint('begun', flush=True)\ntime.sleep(100)\n")

    assert cli.main(["submit", "--detach", script]) == 0
    job_id = capsys.readouterr().out.strip()
    assert cli.main(["terminate", job_id]) == 0
    wait_for_jobs(quick_cloud)
    status = cli.main(["follow", job_id])

    assert status != 0
    assert f"[job {job_id}: FAILED (ended by rios-batch terminate)]" in capsys.readouterr().out


def test_what_cannot_be_submitted_is_said_in_a_sentence(
    tmp_path: Path, quick_cloud: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    script = write(tmp_path, "main.py", "")
    (tmp_path / "other").mkdir()
    same_name = write(tmp_path / "other", "main.py", "")
    newline = write(tmp_path, "a\nb.py", "")

    for arguments, said in (
        (["submit", str(tmp_path / "absent.py")], "absent.py is not a file"),
        (["submit", "--with", same_name, script], "two of the files are called main.py"),
        (["submit", "--with", newline, script], r"the name 'a\nb.py' has a line break"),
        (["follow", "no-such-job"], "there is no job no-such-job in us-west-2"),
    ):
        assert cli.main(arguments) == 1
        assert said in capsys.readouterr().err
    assert not any(call.operation == "submit_job" for call in quick_cloud.calls())
    bucket = quick_cloud.outputs()[StackOutput.BUCKET]
    assert "Contents" not in quick_cloud.client("s3").list_objects_v2(Bucket=bucket, Prefix=SCRIPTS_PREFIX)


def test_a_job_that_is_unknown_just_after_its_submission_is_waited_for(
    tmp_path: Path, quick_cloud: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    quick_cloud.be_late(jobs_s=1.5)

    status = cli.main(["submit", write(tmp_path, "main.py", "print('done at last')\n")])

    printed = capsys.readouterr().out
    assert status == 0, printed
    assert "done at last" in printed


EACH = """
    import os, pathlib, sys
    from rios_batch import applier

    scene, folder = sys.argv[1:]
    print("scene", scene, "with", applier.ApplierControls().numThreads, "threads")
    if scene == "a scene with blanks" and not pathlib.Path(folder, "mended").exists():
        raise LookupError("no such band")
    if scene == "s6" and not pathlib.Path(folder, "mended").exists():
        os._exit(3)
    pathlib.Path(folder, scene).touch(exist_ok=False)  # each is done once
"""


def test_each_line_of_a_list_is_a_job_and_those_that_failed_are_done_again(
    tmp_path: Path, quick_cloud: Emulator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaign, "LOOK_SECONDS", 0.3)
    out = tmp_path / "out"
    out.mkdir()
    listed = write(tmp_path, "scenes.txt", "# mine\ns2\n\ns4\na scene with blanks\ns6\n")
    command = [write(tmp_path, "work.py", EACH), "{}", str(out)]

    assert cli.main(["submit", "--each", listed, *command]) == 1

    printed = capsys.readouterr().out
    campaign_id = printed.partition("\n")[0].removeprefix("[campaign ").removesuffix("]")
    assert f"failed    line 5 ('a scene with blanks' {out}): LookupError: no such band" in printed
    assert f"failed    line 6 (s6 {out}): " in printed
    assert "exit code 3" in printed
    assert "2 of 4 done, 2 failed, 0 running, 0 not run" in printed
    assert cli.main(["logs", campaign_id, "--line", "4"]) == 0
    assert "line 4 | scene s4 with 2 threads" in capsys.readouterr().out
    assert cli.main(["logs", campaign_id]) == 0
    assert "line 5 | LookupError: no such band" in capsys.readouterr().out
    assert cli.main(["runs"]) == 0
    assert "each-" not in capsys.readouterr().out

    (out / "mended").touch()
    quick_cloud.forget_calls()
    assert cli.main(["submit", "--each", listed, "--resume", *command]) == 0

    assert {path.name for path in out.iterdir()} == {"mended", "s2", "s4", "a scene with blanks", "s6"}
    (submitted,) = (call for call in quick_cloud.calls() if call.operation == "submit_job")
    assert submitted.status == 200
    assert f"rios-batch-{campaign_id}-0002" in {job["jobName"] for job in jobs_of(quick_cloud)}
    clean_up(quick_cloud)  # what is done stays until it expires


def test_a_campaign_is_cancelled_while_its_lines_run(
    tmp_path: Path, quick_cloud: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = write(tmp_path, "scenes.txt", "a\nb\n")
    script = write(tmp_path, "work.py", "import time\ntime.sleep(100)\n")
    assert cli.main(["submit", "--detach", "--each", listed, script, "{}"]) == 0
    campaign_id = capsys.readouterr().out.strip()

    assert cli.main(["cancel", campaign_id]) == 0
    wait_for_jobs(quick_cloud)

    assert cli.main(["follow", campaign_id]) == 1
    assert "0 of 2 done, 0 failed, 0 running, 2 not run" in capsys.readouterr().out
    clean_up(quick_cloud)


def jobs_of(cloud: Emulator) -> list[Any]:
    queue = cloud.outputs()[StackOutput.MAIN_QUEUE]
    found: list[Any] = []
    for state in ("SUCCEEDED", "FAILED"):
        found += cloud.client("batch").list_jobs(jobQueue=queue, jobStatus=state)["jobSummaryList"]
    return found
