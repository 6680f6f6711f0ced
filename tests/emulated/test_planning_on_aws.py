"""A plan against a deployed stack, and a run that the stack's workers have no memory for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from rios_batch import applier, cli
from rios_batch.awsbatch import memory
from rios_batch.contract import StackOutput
from rios_batch.errors import MemoryLimitError
from tests.support import make_raster, ramp

if TYPE_CHECKING:
    from pathlib import Path

    from rios_batch.testing.emulation.cloud import Emulator

SCRIPT = """
import sys
from rios_batch import applier

def double(info, inputs, outputs):
    outputs.result = inputs.image * 2

infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
infiles.image, outfiles.result = sys.argv[1:3]
controls = applier.ApplierControls()
controls.setNumThreads(int(sys.argv[3]))
controls.setJobManagerType("AWSBatch")
applier.apply(double, infiles, outfiles, controls=controls)
"""


def kept(cloud: Emulator) -> list[str]:
    """Return what is in the exchange bucket."""
    found = cloud.client("s3").list_objects_v2(Bucket=cloud.outputs()[StackOutput.BUCKET])
    return [item["Key"] for item in found.get("Contents", [])]


def test_a_plan_knows_the_stack_and_sends_nothing_there(
    tmp_path: Path, quick_cloud: Emulator, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    scene = make_raster(tmp_path / "scene.tif", ramp(1, 512, 512))
    command = ["plan", str(tmp_path / "script.py"), scene, str(tmp_path / "out.tif")]

    assert cli.main([*command, "21"]) == 0
    printed = capfd.readouterr().out
    assert cli.main([*command, "200"]) == 1
    refused = capfd.readouterr().err

    assert re.search(
        r"memory +\d+ MiB at most in a worker of 2 vCPUs; it may take 6,144 MiB \(stack RiosBatch\)", printed
    )
    assert re.search(r" 100 .* stack RiosBatch may have 64$", printed, re.MULTILINE)
    assert "assumed" not in printed
    assert "may have 128 vCPUs" in refused
    assert {call.operation for call in quick_cloud.calls()} <= {
        "get_caller_identity",
        "describe_stacks",
        "head_bucket",
        "describe_job_queues",
    }
    assert kept(quick_cloud) == []


def test_a_run_whose_blocks_no_worker_can_hold_is_refused_before_anything_is_submitted(
    tmp_path: Path, quick_cloud: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def double(_info: Any, inputs: Any, outputs: Any) -> None:
        outputs.result = inputs.image * 2

    monkeypatch.setattr(memory, "block_bytes", lambda _: 4 * 2**30)
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.image = make_raster(tmp_path / "scene.tif", ramp(1, 64, 64))
    outfiles.result = str(tmp_path / "out.tif")
    controls = applier.ApplierControls()
    controls.setNumThreads(2)
    controls.setJobManagerType("AWSBatch")

    with pytest.raises(
        MemoryLimitError, match=r"at least 8,192 MiB for the inputs of 2 blocks .* take 6,144 MiB"
    ):
        applier.apply(double, infiles, outfiles, controls=controls)

    assert not any(call.operation in {"create_queue", "submit_job"} for call in quick_cloud.calls())
    assert kept(quick_cloud) == []
