"""A campaign of a thousand scenes: the mains run in this process, and S3 and Batch are stand-ins that count."""

from __future__ import annotations

import io
import json
import signal
import sys
import textwrap
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from rios_batch import cli
from rios_batch.aws.clients import TIMES_OF_CONTENTS
from rios_batch.aws.cloud import Cloud
from rios_batch.aws.objects import Bucket
from rios_batch.aws.stackoutputs import StackOutputs
from rios_batch.awsbatch import scenejob, scriptjob
from rios_batch.awsbatch.campaignstore import CampaignStore
from rios_batch.contract import CONTRACT_VERSION, StackOutput

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCENES = 1000
BROKEN = {17: "raise ValueError('no such band')", 500: "sys.exit('no data')", 999: "os._exit(139)"}
SCRIPT = """
    import os, pathlib, sys
    scene, out = sys.argv[1:]
    {broken}
    pathlib.Path(out).write_text(scene + " with " + os.environ["RIOS_DFLT_NUMTHREADS"])
"""
PAGE = 1000


class Counting:
    """Stand-in for S3 and Batch; every request is counted."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.objects: dict[str, bytes] = {}
        self.jobs: dict[str, dict[str, Any]] = {}

    # S3

    def put_object(self, *, Key: str, Body: bytes, **_: Any) -> dict[str, str]:  # noqa: N803
        self.calls["put_object"] += 1
        self.objects[Key] = Body
        return {"ETag": "tag"}

    def get_object(self, *, Key: str, **_: Any) -> dict[str, Any]:  # noqa: N803
        self.calls["get_object"] += 1
        if Key not in self.objects:
            raise ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")
        return {"Body": io.BytesIO(self.objects[Key])}

    def get_paginator(self, name: str) -> Any:
        self.paginate = {"list_objects_v2": self._objects, "list_jobs": self._jobs}[name]
        return self

    def _objects(self, *, Prefix: str, **_: Any) -> Iterator[dict[str, Any]]:  # noqa: N803
        keys = sorted(key for key in self.objects if key.startswith(Prefix))
        for start in range(0, max(len(keys), 1), PAGE):
            self.calls["list_objects_v2"] += 1
            page = keys[start : start + PAGE]
            entries = [{"Key": key, "Size": 0, "ETag": "tag"} for key in page]
            yield {"Contents": entries, TIMES_OF_CONTENTS: ["2026-01-01T00:00:00Z"] * len(page)}

    # Batch

    def submit_job(self, **asked: Any) -> dict[str, str]:
        self.calls["submit_job"] += 1
        job_id = f"job-{len(self.jobs)}"
        size = asked.get("arrayProperties", {}).get("size", 1)
        self.jobs[job_id] = {**asked, "ended": dict.fromkeys(range(size), None)}
        return {"jobId": job_id}

    def describe_jobs(self, *, jobs: list[str]) -> dict[str, Any]:
        self.calls["describe_jobs"] += 1
        return {"jobs": [self._described(job_id.partition(":")[0]) for job_id in jobs]}

    def _described(self, job_id: str) -> dict[str, Any]:
        states = Counter(code_state(code) for code in self.jobs[job_id]["ended"].values())
        described: dict[str, Any] = {
            "jobId": job_id,
            "status": "PENDING" if "RUNNABLE" in states else "FAILED",
        }
        if "arrayProperties" in self.jobs[job_id]:
            size = self.jobs[job_id]["arrayProperties"]["size"]
            return {**described, "arrayProperties": {"size": size, "statusSummary": dict(states)}}
        return {**described, "status": next(iter(states))}

    def _jobs(self, **asked: Any) -> Iterator[dict[str, Any]]:
        self.calls["list_jobs"] += 1
        if "filters" in asked:
            (name,) = asked["filters"][0]["values"]
            found = [
                {"jobId": job_id, "jobName": name, "status": self._described(job_id)["status"]}
                for job_id, job in self.jobs.items()
                if job["jobName"] == name
            ]
        else:
            found = [
                {
                    "jobId": f"{asked['arrayJobId']}:{index}",
                    "arrayProperties": {"index": index},
                    **(
                        {"container": {"exitCode": code}} if isinstance(code, int) else {"statusReason": code}
                    ),
                }
                for index, code in self.jobs[asked["arrayJobId"]]["ended"].items()
                if code_state(code) == asked["jobStatus"]
            ]
        yield {"jobSummaryList": found}

    def list_jobs(self, **asked: Any) -> dict[str, Any]:
        return next(self._jobs(**asked))

    def terminate_job(self, *, jobId: str, reason: str) -> None:  # noqa: N803
        self.jobs[jobId]["ended"] = dict.fromkeys(self.jobs[jobId]["ended"], reason)


def code_state(code: int | str | None) -> str:
    return "RUNNABLE" if code is None else "SUCCEEDED" if code == 0 else "FAILED"


class KilledError(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Counting:
    aws: Any = Counting()
    outputs = {key.value: f"the-{key.value}" for key in StackOutput}
    outputs |= {StackOutput.CONTRACT: str(CONTRACT_VERSION), StackOutput.MAIN_VCPUS: "16"}
    outputs |= {
        StackOutput.WORKER_VCPUS: "2",
        StackOutput.MAX_VCPUS: "64",
        StackOutput.WORKER_MEMORY_MIB: "9",
    }
    outputs[StackOutput.WORKER_GPUS] = "0"
    cloud = Cloud(StackOutputs.from_outputs("RiosBatch", outputs), "eu-west-1", Bucket("b", aws), aws, aws)
    monkeypatch.setattr(Cloud, "connect", lambda: cloud)
    monkeypatch.setattr(Cloud, "check_queue", lambda *_: None)
    monkeypatch.setattr(scriptjob, "make_client", lambda *_, **__: aws)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr("sys.argv", list(sys.argv))
    monkeypatch.setattr("sys.path", ["", *sys.path])

    def killed(code: int) -> None:
        raise KilledError(code)

    monkeypatch.setattr("os._exit", killed)
    monkeypatch.setattr(scenejob, "text_of", str)
    return aws  # type: ignore[no-any-return]


def run_mains(aws: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each main of the last array job, as Batch would."""
    job = aws.jobs[f"job-{len(aws.jobs) - 1}"]
    overrides = job["containerOverrides"]
    for item in overrides["environment"]:
        monkeypatch.setenv(item["name"], item["value"])
    assert overrides["command"][:3] == ["python3", "-m", "rios_batch.awsbatch.scenejob"]
    assert (job["jobQueue"], job["jobDefinition"]) == (
        "the-BatchProcessingJobQueueMainName",
        "the-BatchScriptJobDefinitionName",
    )
    put_failed = CampaignStore.put_failed

    def unless_killed(self: Any, attempt: Any, scene: Any, reason: str) -> None:
        if not reason.startswith("KilledError"):
            put_failed(self, attempt, scene, reason)

    monkeypatch.setattr(CampaignStore, "put_failed", unless_killed)
    for index in job["ended"]:
        monkeypatch.setenv("AWS_BATCH_JOB_ARRAY_INDEX", str(index))
        try:
            scenejob.main(overrides["command"][3:])
        except KilledError as error:
            job["ended"][index] = error.args[0]
        except BaseException:  # noqa: BLE001 - as a process would end
            job["ended"][index] = 1
        else:
            job["ended"][index] = 0


def submit(folder: Path, *options: str) -> list[str]:
    script, listed = str(folder / "work.py"), str(folder / "scenes.txt")
    return ["submit", "--detach", "--each", listed, *options, script, "{1}", f"{folder}/out/{{2}}.txt"]


def test_of_a_thousand_scenes_three_fail_and_a_second_submission_does_these(
    tmp_path: Path, aws: Counting, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "scenes.txt").write_text(
        "# my scenes\n" + "".join(f"s3://b/{n} {n}\n" for n in range(2, SCENES + 2))
    )
    broken = "\n".join(f"    if scene == 's3://b/{line}': {what}" for line, what in BROKEN.items())
    (tmp_path / "work.py").write_text(textwrap.dedent(SCRIPT.format(broken=broken.strip())))

    assert cli.main(submit(tmp_path)) == 0
    (campaign_id,) = capsys.readouterr().out.split()
    assert aws.calls == {"put_object": 3, "submit_job": 1}  # script, its list of files, the scenes
    aws.calls.clear()
    run_mains(aws, monkeypatch)
    # What is to be done, list of files and script; and how it went, but for the one that was killed.
    assert aws.calls == {"get_object": 3 * SCENES, "put_object": SCENES - 1}
    assert len(list((tmp_path / "out").iterdir())) == SCENES - 3
    assert (tmp_path / "out/2.txt").read_text() == "s3://b/2 with 16"
    aws.calls.clear()
    capsys.readouterr()
    assert cli.main(["status", "--json", campaign_id]) == 0
    status = json.loads(capsys.readouterr().out)

    assert aws.calls == {"list_objects_v2": 3, "get_object": 3, "describe_jobs": 2, "list_jobs": 2}
    assert (status["done"], status["scenes"]) == (SCENES - 3, SCENES)
    assert {scene["line"]: scene["reason"] for scene in status["failed"]} == {
        17: "ValueError: no such band",
        500: "no data",
        999: "exit code 139",
    }

    (tmp_path / "work.py").write_text(textwrap.dedent(SCRIPT.format(broken="")))
    with (tmp_path / "scenes.txt").open("a") as listed:
        listed.write("s3://b/new new\n")
    assert cli.main(submit(tmp_path, "--resume")) == 0
    assert capsys.readouterr().out.split() == [campaign_id]
    aws.calls.clear()
    run_mains(aws, monkeypatch)

    assert aws.calls["put_object"] == 4
    assert len(list((tmp_path / "out").iterdir())) == SCENES + 1
    capsys.readouterr()
    assert cli.main(["watch", campaign_id]) == 0
    assert f"{SCENES + 1} of {SCENES + 1} done, 0 failed" in capsys.readouterr().out
    assert cli.main(submit(tmp_path, "--resume")) == 1
    assert "all lines of scenes.txt are done" in capsys.readouterr().err
    assert cli.main(submit(tmp_path)) == 0  # without --resume everything is done anew
    assert aws.jobs["job-2"]["arrayProperties"] == {"size": SCENES + 1}


def test_what_cannot_be_submitted_or_gone_on_with_is_said(
    tmp_path: Path, aws: Counting, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "work.py").write_text("")
    listed = tmp_path / "scenes.txt"
    listed.write_text("".join(f"{n} {n}\n" for n in range(10_001)))

    assert cli.main(submit(tmp_path)) == 1
    assert "has 10,001 lines to run, and AWS Batch takes 10,000 at a time; split" in capsys.readouterr().err
    listed.write_text("a b\n")
    assert cli.main(submit(tmp_path, "--resume")) == 1
    assert "there is no campaign of scenes.txt, work.py and these arguments" in capsys.readouterr().err
    assert not aws.jobs

    assert cli.main(submit(tmp_path)) == 0
    assert "arrayProperties" not in aws.jobs["job-0"]  # an array has two jobs at least
    (campaign_id,) = capsys.readouterr().out.split()
    assert cli.main(submit(tmp_path, "--resume")) == 1
    assert f"campaign {campaign_id} still runs (1 RUNNABLE)" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["submit", "--resume", str(tmp_path / "work.py"), "{}"])
    assert "--resume goes with --each" in capsys.readouterr().err
    assert cli.main(["status", "each-nothing"]) == 1
    assert "there is no campaign each-nothing" in capsys.readouterr().err


@pytest.mark.usefixtures("aws")
def test_a_cancelled_campaign_has_lines_that_were_not_run_and_none_that_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "work.py").write_text("")
    (tmp_path / "scenes.txt").write_text("a b\nc d\na b\n")
    assert cli.main(submit(tmp_path)) == 0
    printed = capsys.readouterr()
    assert printed.err == "line 3 is line 1 again, and is not run twice\n"
    (campaign_id,) = printed.out.split()

    assert cli.main(["cancel", campaign_id]) == 0
    assert cli.main(["status", campaign_id]) == 0

    said = capsys.readouterr().out
    assert "0 of 2 done, 0 failed, 0 running, 2 not run" in said
    go_on = f"rios-batch submit --each {tmp_path}/scenes.txt --resume {tmp_path}/work.py '{{1}}'"
    assert f"go on     {go_on} '{tmp_path}/out/{{2}}.txt'" in said


def test_a_damaged_list_of_scenes_is_an_error_with_its_name(
    tmp_path: Path, aws: Counting, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "work.py").write_text("")
    (tmp_path / "scenes.txt").write_text("a b\n")
    assert cli.main(submit(tmp_path)) == 0
    campaign_id = capsys.readouterr().out.strip()
    (key,) = (key for key in aws.objects if "/attempts/" in key)
    for damaged in (b"", b"[]", b'{"to_do": [0]}', b"[" * 100_000, aws.objects[key] + b"\n[1]"):
        aws.objects[key] = damaged
        assert cli.main(["status", campaign_id]) == 1
        assert f"{key} cannot be read as a campaign's list of scenes" in capsys.readouterr().err


def test_changed_scenes_are_not_run(tmp_path: Path, aws: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "scenes.txt").write_text("a b\nc d\n")
    (tmp_path / "work.py").write_text("print('never')")
    assert cli.main(submit(tmp_path)) == 0
    (key,) = (key for key in aws.objects if "/attempts/" in key)
    aws.objects[key] = aws.objects[key].replace(b'["a"', b'["z"')

    run_mains(aws, monkeypatch)

    assert set(aws.jobs["job-0"]["ended"].values()) == {1}
    assert not any("/done/" in key for key in aws.objects)
