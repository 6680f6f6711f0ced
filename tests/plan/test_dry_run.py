"""``setDryRun``: what is said, what is not done, and what the script has afterwards."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rios_batch import applier
from rios_batch.awsbatch.manager import AWSBatch
from rios_batch.errors import (
    JobMgrError,
    MemoryLimitError,
    ParameterError,
    UserFunctionError,
    WorkerLostError,
)
from rios_batch.gdalapi import gdal_exceptions
from rios_batch.jobmanagers import measuring
from rios_batch.model.forecast import ENV_DRY_RUN, Workforce
from rios_batch.plan.prepare import prepare
from rios_batch.plan.traffic import traffic_of
from rios_batch.plan.typicaltile import typical_tile
from tests.support import files_below, make_raster, ramp

if TYPE_CHECKING:
    from pathlib import Path

    from rios_batch.model.forecast import Forecast
    from rios_batch.model.spec import RunSpec

PIXELS = ramp(2, 512, 768)


def double(_info: Any, inputs: Any, outputs: Any) -> None:
    outputs.result = inputs.image[:1] * np.float32(2)


def associations(
    folder: Path, image: Any = PIXELS, **options: Any
) -> tuple[Any, Any, applier.ApplierControls]:
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.image = image if isinstance(image, str) else make_raster(folder / "scene.tif", image, **options)
    outfiles.result = str(folder / "out.tif")
    controls = applier.ApplierControls()
    controls.setWindowSize(256, 256)
    controls.setTileSize(256, 256)
    controls.setDryRun(True)
    return infiles, outfiles, controls


def prepared(folder: Path, image: Any = PIXELS, **options: Any) -> RunSpec:
    infiles, outfiles, controls = associations(folder, image, **options)
    with gdal_exceptions():
        return prepare(double, infiles, outfiles, controls, takes_other_args=False, num_workers=2)


def forecast_of(result: applier.ApplierReturn) -> Forecast:
    assert result.forecast is not None
    return result.forecast


@pytest.mark.parametrize(
    ("threads", "manager"), [(1, "in-process"), (2, "threads"), (2, "multiprocessing"), (9, "AWSBatch")]
)
def test_one_tile_is_computed_elsewhere_and_nothing_is_written_or_changed(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    threads: int,
    manager: str,
) -> None:
    def count(info: Any, inputs: Any, outputs: Any, args: Any) -> None:
        print("block", info.xblock, info.yblock, os.getpid() == args.pid, flush=True)  # noqa: T201
        args.blocks += 1
        double(info, inputs, outputs)

    infiles, outfiles, controls = associations(tmp_path)
    controls.setNumThreads(threads)
    controls.setJobManagerType(manager)
    controls.setOtherArgsMerge("blocks", "sum")
    args = applier.OtherInputs(blocks=0, pid=os.getpid())

    result = applier.apply(count, infiles, outfiles, args, controls=controls)

    assert capfd.readouterr().out == "block 1 1 False\n"
    assert "dry run: tile 4 of 6 (columns 256-511, rows 256-511) is computed here" in caplog.text
    assert "outputs.result is 1 band of float32" in caplog.text
    assert files_below(tmp_path) == ["scene.tif"]
    assert (result.outputs, result.tiles, result.otherArgs, result.otherArgsList) == ((), (), args, [args])
    assert args.blocks == 0
    assert repr(result) == f"ApplierReturn(dry run: 768 columns x 512 rows, 6 tiles for {manager!r})"
    assert "walltime" in result.timings.formatReport()
    got = forecast_of(result)
    assert (got.ncols, got.nrows, got.tiles, got.tile_cols, got.tile_rows) == (768, 512, 6, 256, 256)
    assert got.measured is not None
    assert got.measured.tile == 4
    assert got.traffic.written_bytes == 6 * got.measured.bytes_out
    assert got.traffic.pixels_read_bytes == PIXELS.nbytes
    assert got.traffic.copied_bytes == (got.traffic.read_bytes if manager == "AWSBatch" else 0)
    assert threads - (manager == "AWSBatch") in [one.workers for one in got.scenarios]
    assert all((one.usd is None) == (manager != "AWSBatch") for one in got.scenarios)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a process takes")
def test_memory_follows_what_the_function_allocates(tmp_path: Path) -> None:
    def greedy(info: Any, inputs: Any, outputs: Any, args: Any) -> None:
        np.ones(args.mib * 2**17)
        double(info, inputs, outputs)

    infiles, outfiles, controls = associations(tmp_path)
    controls.setNumThreads(2)
    small, large = (
        forecast_of(
            applier.apply(greedy, infiles, outfiles, applier.OtherInputs(mib=mib), controls=controls)
        ).memory_mib
        or 0
        for mib in (1, 201)
    )

    assert 190 <= large - small <= 210


def test_a_worker_on_batch_that_would_take_too_much_is_refused_with_both_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    workers = Workforce(3, processes=2, on_batch=True, memory_mib=100, place="stack Mine")
    monkeypatch.setattr(AWSBatch, "workforce", lambda _: workers)
    infiles, outfiles, controls = associations(tmp_path)
    controls.setNumThreads(4)
    controls.setJobManagerType("AWSBatch")

    says = (
        r"^a worker is predicted to take \d+ MiB for 2 tiles at a time, and may take 100 MiB \(memory_mib of stack "
        r"Mine\); use .* or deploy with `-c memory_mib=\d+`$"
    )
    with pytest.raises(MemoryLimitError, match=says):
        applier.apply(double, infiles, outfiles, controls=controls)

    assert "REFUSED   a worker is predicted" in caplog.text


def test_what_cannot_leave_main_is_planned_without_times_where_main_computes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    infiles, outfiles, controls = associations(tmp_path)
    with (tmp_path / "scene.tif").open("rb") as file:
        args = applier.OtherInputs(file=file)
        result = applier.apply(lambda *_: None, infiles, outfiles, args, controls=controls)
        controls.setNumThreads(2)
        with pytest.raises(JobMgrError, match=r"otherArgs\.file cannot be copied"):
            applier.apply(lambda *_: None, infiles, outfiles, args, controls=controls)

    got = forecast_of(result)
    assert (got.measured, got.memory_mib, got.scenarios, got.tiles) == (None, None, (), 6)
    assert "otherArgs.file cannot be copied" in got.not_measured
    assert "measured  nothing, so that memory and time are not known: otherArgs.file" in caplog.text


def test_what_would_end_the_run_ends_the_dry_run(tmp_path: Path) -> None:
    def fail(*_: Any) -> None:
        raise ValueError("my own")

    def change(_info: Any, inputs: Any, outputs: Any, args: Any) -> None:
        args.seen = True
        outputs.result = inputs.image

    infiles, outfiles, controls = associations(tmp_path)
    with pytest.raises(UserFunctionError, match=r"fail raised ValueError: my own\nin block \(1, 1\)"):
        applier.apply(fail, infiles, outfiles, controls=controls)
    with pytest.raises(
        WorkerLostError, match=r"^tile 4 .*, which was computed here to measure it, ended its"
    ):
        applier.apply(lambda *_: os._exit(3), infiles, outfiles, controls=controls)
    controls.setNumThreads(2)
    with pytest.raises(ParameterError, match=r"otherArgs\.seen changed"):
        applier.apply(change, infiles, outfiles, applier.OtherInputs(seen=False), controls=controls)


def test_the_environment_has_the_last_word_and_gets_the_forecast(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(ENV_DRY_RUN, str(tmp_path / "plan"))
    infiles, outfiles, controls = associations(tmp_path)
    controls.setDryRun(False)

    applier.apply(double, infiles, outfiles, controls=controls)

    (line,) = (tmp_path / "plan").read_text().splitlines()
    assert json.loads(line)["forecast"]["tiles"] == 6
    assert "plan of double" not in caplog.text
    assert not (tmp_path / "out.tif").exists()


# -- the tile that stands for all


def test_the_typical_tile_has_data_where_the_middle_has_none(tmp_path: Path) -> None:
    image = np.zeros((1, 5 * 256, 5 * 256), "u1")
    image[:, -256:, :256] = 7  # of the nine that are looked at, the lower left one

    spec = prepared(tmp_path, image, nodata=0)

    assert typical_tile(spec).index == 20


def test_the_typical_tile_is_a_whole_one(tmp_path: Path) -> None:
    tile = typical_tile(prepared(tmp_path, ramp(1, 256 + 1, 256 + 1)))

    assert (tile.window.width, tile.window.height) == (256, 256)


# -- what is read


def test_only_the_share_of_a_file_that_the_grid_needs_is_read(tmp_path: Path) -> None:
    whole = make_raster(tmp_path / "whole.tif", ramp(3, 400, 400))
    part = make_raster(tmp_path / "part.tif", ramp(1, 400, 100))
    infiles, outfiles, controls = associations(tmp_path)
    infiles.image, infiles.part = [whole, whole], part
    controls.selectInputImageLayers([1], "image")
    with gdal_exceptions():
        spec = prepare(double, infiles, outfiles, controls, takes_other_args=False, num_workers=1)

    got = traffic_of(spec, copies=True)

    sizes = [(tmp_path / name).stat().st_size for name in ("whole.tif", "part.tif")]
    assert got.read_bytes == round(sizes[0] / 4) + sizes[1]  # the file that is named twice counts once
    assert got.copied_bytes == sum(sizes)
    assert got.pixels_read_bytes == 3 * 400 * 100 * 2
    assert got.files_without_size == 0


def test_a_file_that_is_resampled_is_read_where_the_grid_is(tmp_path: Path) -> None:
    image = make_raster(tmp_path / "scene.tif", ramp(1, 300, 300))
    other = make_raster(tmp_path / "other.tif", ramp(1, 600, 600), pixel_size=5)
    infiles, outfiles, controls = associations(tmp_path, image)
    infiles.other = other
    controls.setReferenceImage(image)
    with gdal_exceptions():
        spec = prepare(double, infiles, outfiles, controls, takes_other_args=False, num_workers=1)

    got = traffic_of(spec, copies=False)

    assert got.pixels_read_bytes == pytest.approx(2 * 300 * 300 * 2, rel=0.03)


def test_inputs_whose_size_nobody_tells_are_counted(tmp_path: Path) -> None:
    text = "<VRTDataset rasterXSize='256' rasterYSize='256'><VRTRasterBand dataType='Byte' band='1'/></VRTDataset>"

    got = traffic_of(prepared(tmp_path, text), copies=False)

    assert (got.files_without_size, got.read_bytes, got.pixels_read_bytes) == (1, 0, 256 * 256)


def test_a_system_that_tells_nothing_of_processes_leaves_memory_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(measuring, "PRELOAD", False)
    infiles, outfiles, controls = associations(tmp_path)

    assert forecast_of(applier.apply(double, infiles, outfiles, controls=controls)).memory_mib is None
    assert "memory    not known" in caplog.text
