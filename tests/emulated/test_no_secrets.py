"""Main's credentials, and what an environment holds besides, stay with main: sentinels are looked for everywhere."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
from osgeo import gdal

from rios_batch import applier
from rios_batch.aws.jobs import WorkerJobs
from rios_batch.aws.objects import Bucket
from rios_batch.aws.queue import WorkQueue
from rios_batch.errors import UserFunctionError
from tests.support import make_raster, ramp

if TYPE_CHECKING:
    from pathlib import Path

    from rios_batch.testing.emulation.cloud import Emulator

SENTINELS = {
    "AWS_SECRET_ACCESS_KEY": "SentinelSecretKey",
    "AWS_SESSION_TOKEN": "SentinelSessionToken",
    "DATABASE_PASSWORD": "SentinelPassword",
    "GDAL_HTTP_AUTHORIZATION": "SentinelBearer",
}


def function(_info: Any, inputs: Any, outputs: Any) -> None:
    outputs.result = inputs.image
    if inputs.image.max() > 0:
        raise LookupError("a function's own words")


def test_nothing_that_leaves_main_holds_its_secrets(
    tmp_path: Path,
    quick_cloud: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for name, value in SENTINELS.items():
        monkeypatch.setenv(name, value)
    gdal.SetPathSpecificOption("/vsis3/somewhere/", "AWS_SECRET_ACCESS_KEY", "SentinelOfAPath")
    caplog.set_level(logging.DEBUG, "rios_batch")
    sent: list[Any] = []
    for owner, method in (
        *((Bucket, name) for name in ("put", "put_new")),
        (WorkQueue, "send"),
        (WorkerJobs, "submit"),
    ):
        record(monkeypatch, owner, method, sent)
    make_raster(tmp_path / "scene.tif", ramp(1, 64, 64))
    controls = applier.ApplierControls()
    controls.setWindowSize(32, 32)
    controls.setTileSize(32, 32)
    controls.setNumThreads(2)
    controls.setJobManagerType("AWSBatch")
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.image, outfiles.result = str(tmp_path / "scene.tif"), str(tmp_path / "out.tif")

    with pytest.raises(UserFunctionError) as caught:
        applier.apply(function, infiles, outfiles, controls=controls)
    gdal.ClearPathSpecificOptions("/vsis3/somewhere/")

    printed = capfd.readouterr()
    told = "".join(map(str, [*caught.value.__notes__, caught.value, caplog.text, printed.out, printed.err]))
    jobs = json.dumps([vars(job) for job in quick_cloud.jobs()], default=str)
    everything = {"told": told, "jobs": jobs, "sent": b"\n".join(map(as_bytes, sent)).decode("latin-1")}
    assert "a function's own words" in everything["told"]
    assert len(everything["sent"]) > 1000
    for where, text in everything.items():
        found = [value for value in [*SENTINELS.values(), "SentinelOfAPath"] if value in text]
        assert found == [], where


def record(monkeypatch: pytest.MonkeyPatch, owner: type, method: str, sent: list[Any]) -> None:
    original = getattr(owner, method)

    def recording(self: Any, *arguments: Any, **more: Any) -> Any:
        sent.extend([*arguments, more])
        return original(self, *arguments, **more)

    monkeypatch.setattr(owner, method, recording)


def as_bytes(value: Any) -> bytes:
    return bytes(value) if isinstance(value, bytes | memoryview) else repr(value).encode()
