"""One of a rehearsal's two runs: the script in this process, with another ``apply``.

python -m rios_batch.testing.rehearsed '{"there": true, ...}' script.py its arguments
"""

from __future__ import annotations

import copy
import functools
import json
import os
import runpy
import shutil
import sys
import threading
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rios_batch import applier
from rios_batch.assemble.staging import SIDE_FILE_SUFFIXES
from rios_batch.associations import FilenameAssociations
from rios_batch.awsbatch import polling
from rios_batch.model.concurrency import CW_AWSBATCH, CW_NONE
from rios_batch.model.s3names import SCHEME
from rios_batch.pixelgrid import PixelGridDefn
from rios_batch.plan.prepare import prepare
from rios_batch.testing.guarding import Guard

if TYPE_CHECKING:
    from rios_batch.applier import ApplierControls, ApplierReturn

FOUND = "found.json"
REPORT = "report-{}.html"
_PARENT_LOOK_S = 1.0
_POLL_S = 0.5  # requests to an emulated AWS cost nothing


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How a script is to be run.

    Attributes
    ----------
    there : on AWS Batch; else in this process.
    scratch : a folder of this run's own.
    workers : on AWS Batch.
    emulated : AWS is; else it is the real one, and one tile of each ``apply`` is computed.
    reports : each ``apply`` leaves a report in ``scratch``.
    """

    there: bool
    scratch: str
    workers: int
    emulated: bool
    reports: bool = False

    def encode(self) -> str:
        return json.dumps(asdict(self))


class Rehearsed:
    """Takes the place of ``apply``, and keeps what every call has written.

    Parameters
    ----------
    setting : how the script is run.
    guard : knows what stood at the outputs' places.
    """

    def __init__(self, setting: Setting, guard: Guard) -> None:
        self._setting, self._guard = setting, guard
        self._apply = applier.apply
        self.calls: list[list[dict[str, Any]]] = []

    def __call__(
        self,
        userFunction: Any,  # noqa: N803 - RIOS's names
        infiles: FilenameAssociations,
        outfiles: FilenameAssociations,
        otherArgs: Any = None,  # noqa: N803
        controls: Any = None,
    ) -> ApplierReturn:
        """Do what ``apply`` does, by whom the rehearsal wants, and keep the outputs."""
        given = applier.ApplierControls() if controls is None else copy.copy(controls)
        wanted = functools.partial(self._apply, userFunction, infiles, outfiles, otherArgs)
        if not isinstance(given, applier.ApplierControls) or not isinstance(outfiles, FilenameAssociations):
            return wanted(controls=controls)  # it says what is wrong
        outputs = [(name, str(os.fspath(file))) for name, _, file in outfiles]
        if not self._setting.emulated:
            given = _one_tile(given, userFunction, infiles, outfiles, takes_other_args=otherArgs is not None)
            outfiles = self._without_s3(outfiles)
            wanted = functools.partial(self._apply, userFunction, infiles, outfiles, otherArgs)
        places = [str(os.fspath(file)) for _, _, file in outfiles]
        for place in places:
            self._make_room(place)
        if self._setting.reports:
            given.setReport(Path(self._setting.scratch) / REPORT.format(len(self.calls) + 1))
        done = wanted(controls=self._by_whom(given))
        self.calls.append(
            [
                {"name": name, "path": path, "kept": self._kept(place)}
                for (name, path), place in zip(outputs, places, strict=True)
            ]
        )
        return done

    def _by_whom(self, controls: ApplierControls) -> ApplierControls:
        """Have tiles computed by workers on AWS Batch only, or by this process."""
        there, workers = self._setting.there, self._setting.workers
        controls.setDryRun(False)
        if controls.concurrency is not None:
            kind = CW_AWSBATCH if there else CW_NONE
            style = replace(
                controls.concurrency,
                numComputeWorkers=workers if there else 0,
                computeWorkerKind=kind,
                numReadWorkers=0,
                computeWorkersRead=True,
            )
            vars(controls)["concurrency"] = style
            return controls
        controls.setNumThreads(workers + 1 if there else 1)
        controls.setJobManagerType("AWSBatch" if there else "in-process")
        controls.setCoordinateOnly(there)
        return controls

    def _make_room(self, place: str) -> None:
        if place.startswith(SCHEME):
            from rios_batch.testing.emulation.buckets import make_bucket  # noqa: PLC0415

            make_bucket(place)
        else:
            for suffix in ("", *SIDE_FILE_SUFFIXES):
                self._guard.keep(place + suffix, in_place=False)

    def _kept(self, place: str) -> str:
        if not place.startswith(SCHEME):
            return self._guard.save_output(place)
        from rios_batch.testing.emulation.buckets import fetch  # noqa: PLC0415

        return fetch(place, self._guard.new_folder())

    def _without_s3(self, outfiles: FilenameAssociations) -> FilenameAssociations:
        """Name files of the rehearsal's own in place of objects in S3."""

        def local(file: Any) -> Any:
            if isinstance(file, list | tuple):
                return [local(one) for one in file]
            if not str(file).startswith(SCHEME):
                return file
            return str(self._guard.new_folder() / Path(str(file)).name)

        return FilenameAssociations(**{name: local(file) for name, file in vars(outfiles).items()})


def _one_tile(
    controls: ApplierControls, function: Any, infiles: Any, outfiles: Any, *, takes_other_args: bool
) -> ApplierControls:
    """Have the working grid be that of the tile in the middle."""
    threads = controls.concurrency.numThreads if controls.concurrency else controls.numThreads
    spec = prepare(
        function, infiles, outfiles, controls, takes_other_args=takes_other_args, num_workers=threads
    )
    window, grid = spec.plan.tile(len(spec.plan) // 2).window, spec.grid
    controls.setReferenceImage(None)
    controls.setReferencePixgrid(
        PixelGridDefn(
            geotransform=(
                grid.xMin + window.col * grid.xRes,
                grid.xRes,
                0.0,
                grid.yMax - window.row * grid.yRes,
                0.0,
                -grid.yRes,
            ),
            nrows=window.height,
            ncols=window.width,
            projection=grid.projection,
        )
    )
    controls.setFootprintType(applier.BOUNDS_FROM_REFERENCE)
    controls.setTileSize(window.width, window.height)
    return controls


def _end_with(parent: int, guard: Guard, setting: Setting) -> None:
    """Put everything back and end this process when the rehearsal is gone: killed, and nobody else would."""
    while os.getppid() == parent:
        time.sleep(_PARENT_LOOK_S)
    guard.put_back()
    for folder in (*guard.output_folders, str(Path(setting.scratch).parent)):
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def main() -> None:
    """Run a script."""
    described, script, *arguments = sys.argv[1:]
    setting = Setting(**json.loads(described))
    guard = Guard(Path(setting.scratch))
    rehearsed = Rehearsed(setting, guard)
    applier.apply = rehearsed
    sys.argv = [script, *arguments]
    sys.path[0] = str(Path(script).resolve().parent)
    if setting.emulated:
        polling.POLL_SECONDS = _POLL_S
    guard.watch()
    threading.Thread(target=_end_with, args=(os.getppid(), guard, setting), daemon=True).start()
    try:
        runpy.run_path(script, run_name="__main__")
    finally:
        guard.put_back()
        found = {"calls": rehearsed.calls, "folders": guard.output_folders}
        (Path(setting.scratch) / FOUND).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
