"""Scripts for RIOS 1.4 and for RIOS 2: what each of them says of workers, and what it gets."""

from __future__ import annotations

import io
import logging
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from osgeo import gdal

from rios_batch import applier, rioserrors
from rios_batch.errors import ParameterError, UserFunctionError, WorkerExceptionError
from rios_batch.gdalapi import gdal_exceptions
from rios_batch.readerinfo import ReaderInfo
from tests.support import make_raster, read_raster

if TYPE_CHECKING:
    from rios_batch.applier import ApplierReturn
    from rios_batch.testing.emulation.cloud import Emulator

SCENE = np.random.default_rng(11).integers(1, 200, (2, 90, 150), np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_raster(tmp_path / "scene.tif", SCENE)
    return tmp_path


def brightness(info: Any, inputs: Any, outputs: Any, other: Any) -> None:
    """Write the bands' sum; count pixels and remember blocks, as scripts of both generations do."""
    outputs.bright = inputs.scene.astype(np.uint16).sum(axis=0, dtype=np.uint16)[None]
    other.pixels += inputs.scene[0].size
    other.blocks.append(info.getBlockCount())


def run(
    folder: Path, target: str, other: applier.OtherInputs, controls: applier.ApplierControls
) -> ApplierReturn:
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.scene, outfiles.bright = str(folder / "scene.tif"), str(folder / target)
    controls.setWindowSize(32, 32)
    return applier.apply(brightness, infiles, outfiles, other, controls=controls)


def as_in_rios_1(folder: Path, manager: str, workers: int) -> int:
    """Run with 1.4's names; return the number of pixels, which comes back on the caller's object."""
    controls = applier.ApplierControls()
    controls.setNumThreads(workers)
    controls.setJobManagerType(manager)
    controls.setOtherArgsMerge("pixels", "sum")
    controls.setOtherArgsMerge("blocks", "concat")
    other = applier.OtherInputs(pixels=0, blocks=[])
    run(folder, "old.tif", other, controls)
    assert len(other.blocks) == 15
    pixels: int = other.pixels
    return pixels


def as_in_rios_2(folder: Path, kind: str, workers: int) -> tuple[int, ApplierReturn]:
    """Run with 2.x's names; return the number of pixels, which the script merges itself, and the result."""
    controls = applier.ApplierControls()
    style = applier.ConcurrencyStyle(
        numReadWorkers=1, numComputeWorkers=workers, computeWorkerKind=kind, computeBufferPopTimeout=None
    )
    controls.setConcurrencyStyle(style)
    other = applier.OtherInputs(pixels=0, blocks=[])
    result = run(folder, "new.tif", other, controls)
    copies = result.otherArgsList
    assert sum(len(copies[i].blocks) for i in range(len(copies))) == 15
    return sum(copy.pixels for copy in copies), result


@pytest.mark.parametrize(
    ("manager", "kind", "workers"),
    [
        ("in-process", applier.CW_NONE, 0),
        ("threads", applier.CW_THREADS, 2),
        ("multiprocessing", applier.CW_SUBPROC, 2),
    ],
)
def test_a_script_of_either_generation_gives_the_same_file(
    folder: Path, manager: str, kind: str, workers: int
) -> None:
    old_pixels = as_in_rios_1(folder, manager, max(workers, 1))
    new_pixels, result = as_in_rios_2(folder, kind, workers)

    assert old_pixels == new_pixels == SCENE[0].size
    assert (folder / "old.tif").read_bytes() == (folder / "new.tif").read_bytes()
    np.testing.assert_array_equal(read_raster(folder / "new.tif")[0], SCENE.sum(axis=0, dtype=np.uint16))
    assert result.jobManagerType == manager


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_one_worker_on_aws_batch_is_one_job_and_main_computes_nothing(
    folder: Path, quick_cloud: Emulator
) -> None:
    pixels, result = as_in_rios_2(folder, applier.CW_AWSBATCH, 1)

    np.testing.assert_array_equal(read_raster(folder / "new.tif")[0], SCENE.sum(axis=0, dtype=np.uint16))
    assert pixels == SCENE[0].size
    assert result.jobManagerType == "AWSBatch"
    assert all(record.worker.startswith("worker 1 (job ") for record in result.tiles)
    assert [call.operation for call in quick_cloud.calls() if call.operation == "submit_job"] == [
        "submit_job"
    ]


def test_one_thread_of_rios_2_is_a_thread_with_its_own_copy(folder: Path) -> None:
    controls = applier.ApplierControls()
    controls.setConcurrencyStyle(
        applier.ConcurrencyStyle(numComputeWorkers=1, computeWorkerKind=applier.CW_THREADS)
    )
    seen = set()

    def spy(_info: Any, inputs: Any, outputs: Any, other: Any) -> None:
        seen.add(threading.current_thread())
        other.n += 1
        outputs.bright = inputs.scene

    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.scene, outfiles.bright = folder / "scene.tif", folder / "out.tif"
    other = applier.OtherInputs(n=5)

    result = applier.apply(spy, infiles, outfiles, other, controls=controls)

    assert len(seen) == 1
    assert threading.current_thread() not in seen
    assert result.jobManagerType == "threads"
    # What workers did is in the copies, each grown from the value before the run.
    assert other.n == 5
    assert sum(copy.n - 5 for copy in result.otherArgsList) == 1


def test_merge_rules_work_with_rios_2_names_too(folder: Path) -> None:
    controls = applier.ApplierControls()
    controls.setConcurrencyStyle(
        applier.ConcurrencyStyle(numComputeWorkers=2, computeWorkerKind=applier.CW_THREADS)
    )
    controls.setOtherArgsMerge("pixels", "sum")
    other = applier.OtherInputs(pixels=0, blocks=[])

    run(folder, "out.tif", other, controls)

    assert other.pixels == SCENE[0].size
    assert other.blocks == []


def test_a_style_is_stronger_than_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RIOS_DFLT_JOBMGRTYPE", "multiprocessing")

    assert as_in_rios_2(folder, applier.CW_THREADS, 2)[1].jobManagerType == "threads"


def test_what_a_script_of_rios_2_reads_of_the_result_is_there(folder: Path) -> None:
    _, result = as_in_rios_2(folder, applier.CW_THREADS, 2)

    summary = result.timings.makeSummaryDict()
    for part in ("reading", "userfunction", "writing"):
        assert summary[part]["N"] == len(result.tiles)
        assert len(result.timings.getDurationsForName(part) or []) == len(result.tiles)
    assert summary["pop_computebuffer"]["tot"] == 0
    assert "userfunction" in result.timings.formatReport()
    assert (result.workinggrid.nrows, result.workinggrid.ncols) == SCENE.shape[1:]


def test_an_exception_in_a_worker_is_what_rios_2_calls_it(folder: Path) -> None:
    def fail(_info: Any, _inputs: Any, _outputs: Any) -> None:
        raise LookupError("no such class")

    controls = applier.ApplierControls()
    controls.setConcurrencyStyle(
        applier.ConcurrencyStyle(numComputeWorkers=2, computeWorkerKind=applier.CW_SUBPROC)
    )
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.scene, outfiles.bright = folder / "scene.tif", folder / "out.tif"

    with pytest.raises(WorkerExceptionError, match="no such class") as caught:
        applier.apply(fail, infiles, outfiles, controls=controls)
    assert isinstance(caught.value, UserFunctionError)


def test_arrays_and_files_are_found_by_name_and_number_as_in_rios_2(folder: Path) -> None:
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.scenes, outfiles.bands = [folder / "scene.tif"], [folder / "1.tif", folder / "2.tif"]

    def split(_info: Any, inputs: Any, outputs: Any) -> None:
        for number in (1, 0):
            outputs["bands", number] = inputs["scenes", 0][number : number + 1]

    applier.apply(split, infiles, outfiles)

    for name, number, file in outfiles:
        assert (name, file) == ("bands", outfiles["bands", number])
        np.testing.assert_array_equal(read_raster(file)[0], SCENE[number or 0])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DEFAULTDRIVERNAME", "GTiff"),
        ("DEFAULTCREATIONOPTIONS", ["TILED=YES", "INTERLEAVE=BAND", "BIGTIFF=IF_SAFER", "COMPRESS=DEFLATE"]),
        ("DEFAULTFOOTPRINT", applier.INTERSECTION),
        ("DEFAULTWINDOWXSIZE", 256),
        ("DEFAULTWINDOWYSIZE", 256),
        ("DEFAULTOVERLAP", 0),
        ("DEFAULT_RESAMPLEMETHOD", "near"),
        ("DEFAULT_OVERVIEWLEVELS", [4, 8, 16, 32, 64, 128, 256, 512]),
        ("DEFAULT_MINOVERVIEWDIM", 128),
        ("DEFAULT_OVERVIEWAGGREGRATIONTYPE", None),
        ("DEFAULT_AUTOCOLORTABLETYPE", None),
    ],
)
def test_a_default_that_scripts_take_from_applier_is_there(name: str, value: Any) -> None:
    assert getattr(applier, name) == value


def test_the_default_options_of_drivers_are_there_by_name() -> None:
    assert applier.dfltDriverOptions["GTiff"] == applier.DEFAULTCREATIONOPTIONS
    assert applier.dfltDriverOptions["HFA"] == ["COMPRESSED=YES", "IGNOREUTM=YES"]


def test_the_environments_driver_and_options_make_the_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RIOS_DFLT_DRIVER", "GTiff")
    monkeypatch.setenv("RIOS_DFLT_DRIVEROPTIONS", "TILED=YES COMPRESS=LZW")
    controls = applier.ApplierControls()
    monkeypatch.delenv("RIOS_DFLT_DRIVEROPTIONS")  # read when the controls were made

    run(folder, "out.img", applier.OtherInputs(pixels=0, blocks=[]), controls)

    with gdal_exceptions():
        dataset = gdal.Open(str(folder / "out.img"))
        assert dataset.GetDriver().ShortName == "GTiff"
        assert dataset.GetMetadataItem("COMPRESSION", "IMAGE_STRUCTURE") == "LZW"


# -- the logging stream


def strips_to(folder: Path, stream: io.StringIO | None) -> None:
    """Run over the scene into strips, which gives a warning."""
    controls = applier.ApplierControls()
    controls.setLoggingStream(stream)
    controls.setCreationOptions(["TILED=NO"])
    run(folder, "strips.tif", applier.OtherInputs(pixels=0, blocks=[]), controls)


def test_messages_go_to_the_logging_stream_for_the_run_only(folder: Path) -> None:
    log = logging.getLogger("rios_batch")
    before = list(log.handlers)
    stream = io.StringIO()

    strips_to(folder, stream)

    assert f"{folder / 'strips.tif'} is written by one process" in stream.getvalue()
    assert log.handlers == before
    log.warning("after the run")
    assert "after the run" not in stream.getvalue()


def test_the_logging_stream_is_let_go_after_a_failure(folder: Path) -> None:
    log = logging.getLogger("rios_batch")
    before = list(log.handlers)
    (folder / "scene.tif").unlink()
    stream = io.StringIO()

    with pytest.raises(FileNotFoundError):
        strips_to(folder, stream)

    assert log.handlers == before


def test_without_a_stream_messages_go_where_logging_sends_them(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    strips_to(folder, None)

    assert "is written by one process" in caplog.text


def test_what_cannot_be_written_to_is_no_logging_stream() -> None:
    with pytest.raises(ParameterError, match="an open text file or the like, not a str"):
        applier.ApplierControls().setLoggingStream("run.log")  # type: ignore[arg-type]


PORTING = (Path(__file__).parents[2] / "docs" / "porting-from-rios.md").read_text()
# Not for scripts: what apply itself asks.
INTERNAL = {"check_names", "creation_options_for"}
NAMES = [
    *(name for name in vars(applier.ApplierControls) if not name.startswith("_") and name not in INTERNAL),
    *(name for name in vars(ReaderInfo) if name.startswith(("get", "is"))),
    *applier.__all__,
]


@pytest.mark.parametrize("name", NAMES)
def test_the_porting_page_says_of_every_name_whether_it_is_the_same(name: str) -> None:
    wildcard = name.startswith("CW_") and "`applier.CW_*`" in PORTING
    assert wildcard or re.search(rf"`[^`\n]*\b{name}\b[^`\n]*`", PORTING)


def test_controls_in_the_place_of_other_args_are_refused(folder: Path) -> None:
    infiles, outfiles = (
        applier.FilenameAssociations(scene=folder / "scene.tif"),
        applier.FilenameAssociations(),
    )

    with pytest.raises(rioserrors.WrongControlsObject, match="give controls as controls="):
        applier.apply(brightness, infiles, outfiles, applier.ApplierControls())
