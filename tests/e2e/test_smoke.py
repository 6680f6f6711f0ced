"""`make smoke-aws` on the emulated AWS: the real CDK command line, but workers are processes and there is no Docker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from rios_batch.testing.emulation.cloud import Emulator
from rios_batch.testing.emulation.environment import ACCOUNT
from tests.emulation import docker_of_code
from tests.smoke.recording import SERVICES
from tests.smoke.steps import STEPS
from tests.support import ROOT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e

RECORDED = {
    ("batch", "SubmitJob"),
    ("batch", "DescribeJobs"),
    ("batch", "TerminateJob"),
    ("sqs", "CreateQueue"),
    ("sqs", "SendMessageBatch"),
    ("cloudformation", "DescribeStacks"),
    ("cloudformation", "DescribeStackEvents"),
}


def test_every_step_passes_and_the_recordings_do_not_tell_whose_account_it_was(tmp_path: Path) -> None:
    code, folder, printed = (tmp_path / name for name in ("code", "smoke", "printed.txt"))
    code.mkdir()
    with Emulator.start(code=code) as cloud, printed.open("w") as output:
        cloud.enforce_iam(True)
        before = cloud.inventory()
        done = subprocess.run(
            [sys.executable, "-m", "tests.smoke", "--yes", str(folder)],
            cwd=ROOT,
            env={
                **os.environ,
                **cloud.environment(),
                "CDK_DOCKER": docker_of_code.__file__,
                "EMULATED_CODE": str(code),
                "AWS_ENDPOINT_URL_S3_FOR_CLOUDFORMATION": f"https://s3.{cloud.region}.amazonaws.com",
                "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "20",
                "NODE_NO_WARNINGS": "1",
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
        after = cloud.inventory()
        callers = {call.caller for call in cloud.calls()}

    said = printed.read_text()
    assert done.returncode == 0, said
    assert [step.__name__ for step in STEPS if f"\n{step.__name__}: passed in" not in said] == []
    assert any(caller.startswith("user/rios-batch-smoke-") for caller in callers)
    assert [
        line for line in {*after} - {*before} if "RiosBatchSmoke" in line or "rios-batch-smoke" in line
    ] == []
    text = "".join(path.read_text() for path in (folder / "recordings").iterdir())
    replies = [json.loads(line) for line in text.splitlines()]
    assert {reply["service"] for reply in replies} == SERVICES
    assert {(reply["service"], reply["operation"]) for reply in replies} >= RECORDED
    assert [
        secret for secret in (ACCOUNT, "AKIA", "ASIA", "RequestId", "testing", "127.0.0.1") if secret in text
    ] == []
