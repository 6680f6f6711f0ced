"""A replayed tile, of a job that was fetched already."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rios_batch import applier
from rios_batch.awsbatch import debugging
from rios_batch.awsbatch.failurerecord import Failure
from rios_batch.awsbatch.replaying import ReplayJob, replay, same_failure
from rios_batch.errors import JobMgrError
from rios_batch.gdalapi import gdal_exceptions
from rios_batch.jobmanagers.children import WorkOrder
from rios_batch.jobmanagers.pickling import dump_other_args, dump_spec
from rios_batch.plan.prepare import prepare
from tests.support import make_raster, ramp

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def job_of(folder: Path, function: Callable[..., None], other_args: Any = None) -> ReplayJob:
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.image = make_raster(folder / "scene.tif", ramp(1, 64, 64))
    outfiles.result = str(folder / "out.tif")
    with gdal_exceptions():
        spec = prepare(
            function,
            infiles,
            outfiles,
            applier.ApplierControls(),
            takes_other_args=other_args is not None,
            num_workers=1,
        )
    order = WorkOrder(dump_spec(spec), dump_other_args(other_args), 1, packages={"no-such-package": "1.2"})
    return ReplayJob("a-run", spec.plan.tile(0), order, None, (), image_known=True)


def double(_info: Any, inputs: Any, outputs: Any) -> None:
    outputs.result = inputs.image * 2


def test_a_tile_that_passes_has_a_record_and_a_peak_and_leaves_nothing(tmp_path: Path) -> None:
    found = replay(job_of(tmp_path, double))

    assert (found.failed, found.record and found.record.tile) == (None, 0)
    assert (found.peak_mib or 0) > 10 or sys.platform != "linux"
    assert [path.name for path in tmp_path.iterdir()] == ["scene.tif"]


@pytest.mark.parametrize("how", ["dies", "exits", "returns another shape"])
def test_however_a_tile_ends_only_its_process_ends(tmp_path: Path, how: str) -> None:
    def work(_info: Any, inputs: Any, outputs: Any) -> None:
        if how == "dies":
            os.kill(os.getpid(), 9)
        elif how == "exits":
            sys.exit(4)
        outputs.result = inputs.image[:, 1:]

    failed = replay(job_of(tmp_path, work)).failed

    assert failed is not None
    kinds = {"dies": "WorkerLostError", "exits": "SystemExit", "returns another shape": "ArrayShapeError"}
    assert failed.kind.rpartition(".")[2] == kinds[how]
    assert ("SIGKILL; most likely memory ran out" in failed.message) == (how == "dies")


def test_a_function_that_cannot_be_loaded_says_what_to_install(tmp_path: Path) -> None:
    job = job_of(tmp_path, double)
    broken = replace(job, order=replace(job.order, spec=job.order.spec.replace(b"rios_batch", b"rios_betch")))

    says = (
        r"^run a-run cannot be replayed here: .*No module named 'rios_betch'.*; install what it was sent with: pip "
        r"install no-such-package==1\.2$"
    )
    with pytest.raises(JobMgrError, match=says):
        replay(broken)
    with pytest.raises(
        JobMgrError, match=r"^run a-run cannot be replayed here: No module named 'rios_betch'; install"
    ):
        debugging.debug(broken)


def test_failures_are_the_same_if_their_exceptions_are() -> None:
    one = Failure(
        1, "rios_batch.errors.UserFunctionError", "text", "worker 1", stops_run=True, exception_type="a.B"
    )

    assert same_failure(one, replace(one, message="another", worker="here"))
    assert not same_failure(one, replace(one, exception_type="a.C"))


# -- where the debugger opens


def frame_of(job: ReplayJob) -> str:
    found, traceback = debugging.debug(job)
    assert found.failed is not None
    stack, index = debugging._Debugger().get_stack(None, traceback)
    return str(stack[index][0].f_code.co_name)


def test_the_debugger_begins_in_the_users_innermost_function(tmp_path: Path) -> None:
    def helper(pixels: Any) -> None:
        np.linalg.inv(pixels * 0.0)

    def work(_info: Any, inputs: Any, _outputs: Any) -> None:
        helper(inputs.image[0])

    assert frame_of(job_of(tmp_path, work)) == "helper"


def test_a_function_that_comes_from_a_package_is_where_the_debugger_begins(tmp_path: Path) -> None:
    assert frame_of(job_of(tmp_path, shutil.copytree)) == "copytree"


def test_what_the_function_returned_is_refused_where_the_debugger_begins(tmp_path: Path) -> None:
    assert "outputs" in frame_of(job_of(tmp_path, lambda *_: None))


def test_otherargs_and_a_function_that_ends_the_process_reach_the_debugger(tmp_path: Path) -> None:
    def work(_info: Any, _inputs: Any, _outputs: Any, args: Any) -> None:
        sys.exit(args.status)

    assert frame_of(job_of(tmp_path, work, applier.OtherInputs(status=3))) == "work"


def test_a_tile_that_passes_opens_no_debugger(tmp_path: Path) -> None:
    found, traceback = debugging.debug(job_of(tmp_path, double))

    assert (found.failed, traceback) == (None, None)
