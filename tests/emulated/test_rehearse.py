"""``rios-batch rehearse``: a person's script on an AWS of its own, compared, and everything as it was afterwards."""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from rios_batch import cli
from rios_batch.testing.emulation import deployed
from rios_batch.testing.emulation.leavings import wait_for_jobs
from tests.support import files_below, make_raster, ramp

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rios_batch.testing.emulation import Emulator

# It removes what is there, goes on from its own output, writes into S3, changes an output afterwards, and writes a log.
SCRIPT = """
import os, sys
from pathlib import Path
from osgeo import gdal
from rios_batch import applier

def doubled(info, inputs, outputs):
    outputs.result = inputs.image * 2

def more(info, inputs, outputs, args):
    outputs.also = [inputs.image + 1, inputs.image * args.factor]
    if os.environ.get("AWS_BATCH_JOB_ID") and args.worse and info.xblock == 1:
        outputs.also[1][1, 5, 7] += 1

def associations(**files):
    return applier.FilenameAssociations(**files)

if os.path.exists("out.tif"):
    os.remove("out.tif")
controls = applier.ApplierControls()
controls.setStatsIgnore(None)
controls.setNumThreads(1)
applier.apply(doubled, associations(image="scene.tif"), associations(result="out.tif"), controls=controls)
os.makedirs("new/folder")
outputs = ["new/folder/one.img", "s3://maps/two.tif"]
controls.setConcurrencyStyle(applier.ConcurrencyStyle(numComputeWorkers=2, computeWorkerKind=applier.CW_THREADS))
args = applier.OtherInputs(factor=3, worse=sys.argv[1] == "worse")
applier.apply(more, associations(image="out.tif"), associations(also=outputs), args, controls=controls)
dataset = gdal.Open("out.tif", gdal.GA_Update)
dataset.SetMetadataItem("seen", "yes")
del dataset
gdal.Translate("picture.png", "out.tif", format="PNG", bandList=[1], outputType=gdal.GDT_Byte)
with open("log.txt", "a") as log:
    log.write("written again")
print("the script's own words", Path("out.tif").stat().st_size > 0)
"""
PIXELS = ramp(2, 256, 512)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a person's folder, with outputs of earlier days."""
    monkeypatch.chdir(tmp_path)
    make_raster("scene.tif", PIXELS)
    for name in ("out.tif", "out.tif.aux.xml", "picture.png", "log.txt"):
        (tmp_path / name).write_text(f"an earlier {name}")
    (tmp_path / "script.py").write_text(SCRIPT)
    return tmp_path


def snapshot(folder: Path) -> dict[str, Any]:
    found = {name: folder / name for name in files_below(folder)}
    return {
        name: (path.read_bytes(), path.stat().st_mtime_ns) for name, path in found.items() if path.is_file()
    }


@pytest.fixture
def own_cloud(cloud: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """Have a rehearsal use the emulation that is there; its own takes seconds to start."""

    @contextlib.contextmanager
    def the_one_there(_image: str | None) -> Iterator[Emulator]:
        yield cloud
        wait_for_jobs(cloud)
        s3 = cloud.client("s3")
        for item in s3.list_objects_v2(Bucket="maps")["Contents"]:
            s3.delete_object(Bucket="maps", Key=item["Key"])
        s3.delete_bucket(Bucket="maps")

    monkeypatch.setattr(deployed, "deployed", the_one_there)
    return cloud


@pytest.mark.usefixtures("own_cloud")
def test_a_script_that_computes_something_else_on_aws_is_told_where(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = snapshot(folder)

    assert cli.main(["rehearse", "--json", "script.py", "worse"]) == 1

    printed = capfd.readouterr()
    assert printed.out, printed.err
    told = json.loads(printed.out)
    assert not told["same"]
    assert [(one["call"], one["name"], one["path"]) for one in told["outputs"]] == [
        (1, "result", "out.tif"),
        (2, "also", "new/folder/one.img"),
        (2, "also", "s3://maps/two.tif"),
    ]
    value = int(PIXELS[1, 5, 263]) * 6
    assert [one["difference"] for one in told["outputs"]] == [
        "",
        "",
        f"band 2, row 5, column 263: {value + 1} on AWS Batch, {value} in one process",
    ]
    assert printed.err.count("the script's own words True") == 2
    assert "by 2 workers on AWS Batch" in printed.err or "by 1 worker on AWS Batch" in printed.err
    assert snapshot(folder) == before
    assert not (folder / "new").exists()


def test_a_script_that_fails_on_aws_leaves_the_files_as_they_were(
    folder: Path, capfd: pytest.CaptureFixture[str], cloud: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployed, "deployed", lambda _image: contextlib.nullcontext(cloud))
    (folder / "script.py").write_text(SCRIPT.partition("applier.apply(")[0] + "raise SystemExit(3)")
    before = snapshot(folder)

    assert cli.main(["rehearse", "script.py", "same"]) == 1

    assert "script.py ended with status 3 on AWS Batch" in capfd.readouterr().err
    assert snapshot(folder) == before
    (folder / "script.py").write_text("print('nothing')")
    assert cli.main(["rehearse", "script.py"]) == 1
    assert "script.py did not call applier.apply on AWS Batch" in capfd.readouterr().err


def test_one_tile_is_rehearsed_on_the_account_s_own_stack(
    folder: Path, capfd: pytest.CaptureFixture[str], quick_cloud: Emulator
) -> None:
    make_raster("scene.tif", ramp(1, 1024, 512))
    (folder / "script.py").write_text(
        SCRIPT.partition("if os.path")[0]
        + """
controls = applier.ApplierControls()
controls.setStatsIgnore(None)
controls.setTileSize(256, 256)
out = associations(result="s3://somebodys-maps/out.tif", other="out.tif")
def both(info, inputs, outputs):
    outputs.result = outputs.other = inputs.image * 2
done = applier.apply(both, associations(image="scene.tif"), out, controls=controls)
print(len(done.tiles), done.workinggrid.nrows, done.workinggrid.ncols, done.tiles[0].worker)
"""
    )
    before = snapshot(folder)

    assert cli.main(["rehearse", "--real", "script.py", "worse"]) == 0

    printed = capfd.readouterr()
    assert "s3://somebodys-maps/out.tif (output 'result' of apply number 1) is the same" in printed.out
    assert "1 256 256 worker 1 (job" in printed.err
    assert snapshot(folder) == before
    array = [job for job in quick_cloud.jobs() if job.index is None]
    assert len(array) >= 1
    assert not [call for call in quick_cloud.calls() if "somebodys-maps" in str(call.resources)]


def test_what_is_no_script_is_refused_before_anything_starts(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["rehearse", "nothing.py"]) == 1
    assert "'nothing.py' is not a file; name the script to rehearse" in capfd.readouterr().err
    for clash in (["--watch", "--real"], ["--watch", "--json"], ["--open"]):
        with pytest.raises(SystemExit):
            cli.main(["rehearse", *clash, os.devnull])


def test_without_docker_or_the_image_a_sentence_says_what_to_do(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cli.main(["rehearse", "--docker", "worker", __file__]) == 1
    assert "there is no command docker here" in capfd.readouterr().err
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\necho Error: No such image: $3 >&2; exit 1\n")
    docker.chmod(0o755)
    assert cli.main(["rehearse", "--docker", "worker", __file__]) == 1
    assert "Docker has no image 'worker' here (Error: No such image: worker); build" in capfd.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["rehearse", "--docker", "worker", "--real", __file__])


def test_without_the_emulation_s_packages_a_sentence_says_what_to_install(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "moto" else name)
    assert cli.main(["rehearse", __file__]) == 1
    assert "pip install 'rios_batch[emulation]'" in capfd.readouterr().err
