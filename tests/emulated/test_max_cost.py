"""``setMaxCost`` stops a run on AWS Batch, and keeps what is finished; the end of a run says what it cost."""

from __future__ import annotations

import json
import pathlib
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from rios_batch import applier, cli
from rios_batch.awsbatch import metering
from rios_batch.errors import CostLimitError
from rios_batch.model import costs
from rios_batch.testing.emulation.leavings import wait_for_jobs
from tests.support import make_raster, ramp

if TYPE_CHECKING:
    from rios_batch.testing.emulation.cloud import Emulator

PIXELS = ramp(1, 512, 768)  # six tiles


def slow(info: Any, inputs: Any, outputs: Any, args: Any) -> None:
    if info.xblock == 2:  # two of the tiles; then the worker has no process left
        pathlib.Path(args.folder, f"waits {info.yblock}").touch()
        time.sleep(100)
    outputs.result = inputs.image


def run(folder: Path, max_usd: float) -> None:
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.image = make_raster(folder / "scene.tif", PIXELS)
    outfiles.result = str(folder / "out.tif")
    controls = applier.ApplierControls()
    controls.setWindowSize(256, 256)
    controls.setTileSize(256, 256)
    controls.setNumThreads(2)
    controls.setJobManagerType("AWSBatch")
    controls.setCoordinateOnly(True)
    controls.setMaxCost(max_usd)
    applier.apply(slow, infiles, outfiles, applier.OtherInputs(folder=str(folder)), controls=controls)


@pytest.fixture(autouse=True)
def _dear_workers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Have a worker cost a dollar a second."""
    table = json.loads(Path(costs._OWN).read_text())
    (tmp_path / "prices.json").write_text(json.dumps({**table, "vcpu_hour": 1800, "tail_minutes": 0}))
    monkeypatch.setenv(costs.ENV_PRICES, str(tmp_path / "prices.json"))
    monkeypatch.setattr(metering, "METER_SECONDS", 0.5)

    def monotonic() -> float:
        """Let hours pass when all tiles but the slow ones are computed."""
        return time.monotonic() + 7200 * (len(list(tmp_path.glob("waits *"))) == 2)

    monkeypatch.setattr(metering, "time", SimpleNamespace(monotonic=monotonic))


def test_a_run_is_stopped_before_it_costs_more_and_its_tiles_are_kept(
    quick_cloud: Emulator,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(
        CostLimitError, match=r"the run has cost about \d+\.\d\d USD, .*, and may cost 5000\.00 USD"
    ):
        run(tmp_path, 5000.0)

    wait_for_jobs(quick_cloud)
    assert [job.status_reason for job in quick_cloud.jobs()][-1] == "the run failed or was stopped"
    capsys.readouterr()
    assert cli.main(["runs", "--json"]) == 0
    (kept,) = json.loads(capsys.readouterr().out)
    assert kept["state"] == "stopped"
    assert 0 < kept["tiles_done"] < 6
    assert [line for line in caplog.messages if f"run {kept['run_id']} cost about " in line]
    assert not (tmp_path / "out.tif").exists()


def test_workers_that_are_too_dear_are_not_submitted(quick_cloud: Emulator, tmp_path: Path) -> None:
    with pytest.raises(CostLimitError, match="use fewer workers"):
        run(tmp_path, 0.01)

    assert not any(call.operation == "submit_job" for call in quick_cloud.calls())
