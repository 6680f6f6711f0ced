"""A run's report: what is noted for it while the run goes on, and the file or object that it becomes."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from rios_batch.errors import OutputError, ParameterError, RiosBatchError, text_of
from rios_batch.gdalapi import reason
from rios_batch.model.runreport import RunReport
from rios_batch.model.s3names import SCHEME, S3Name
from rios_batch.read.quicklook import quicklook_png

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rios_batch.jobmanagers.base import Run
    from rios_batch.model.spec import RunSpec
    from rios_batch.model.tileresult import TileRecord, TileResult

log = logging.getLogger("rios_batch")

_PICTURE_PX = 640


class Reporter:
    """Notes what happens in a run, and writes the report when the run has ended, well or not.

    Parameters
    ----------
    path : where to, a file or ``s3://...``; None for no report.
    run : not begun yet; ended when this object's block ends.
    manager : name of the job manager.

    Raises
    ------
    OutputError : the report's folder does not exist.
    ParameterError : the report would replace an input or an output.
    """

    def __init__(self, path: str | None, run: Run, manager: str) -> None:
        if path is not None:
            check_place(path)
            _check_is_no_raster(path, run.spec)
        self._path, self._run, self._manager = path, run, manager
        self._records: list[TileRecord] = []
        self._began, self._writing_s = time.perf_counter(), 0.0

    def __enter__(self) -> Self:
        return self

    def noted(self, results: Iterable[TileResult]) -> Iterator[TileResult]:
        """Yield results as they come."""
        for result in results:
            if self._path is not None:
                self._records.append(result.record)
            began = time.perf_counter()
            yield result
            self._writing_s += time.perf_counter() - began

    def __exit__(self, _: object, error: BaseException | None, *__: object) -> None:
        if self._path is None:
            return
        spec, outputs = self._run.spec, tuple(output.path for output in self._run.spec.outputs)
        report = RunReport(
            state="finished" if error is None else f"failed: {type(error).__name__}: {text_of(error)}",
            good=error is None,
            manager=self._manager,
            plan=spec.plan,
            records=tuple(self._records),
            outputs=outputs,
            facts=self._run.facts(),
            main_seconds={"walltime": time.perf_counter() - self._began, "writing": self._writing_s},
            picture=_picture(outputs) if error is None else b"",
        )
        try:
            write_report(self._path, report)
        except (OSError, RiosBatchError) as failure:  # the outputs are what the script is about
            log.warning("the report %s was not written: %s", self._path, text_of(failure))
        else:
            log.info("the report of the run is in %s", self._path)


def check_place(path: str) -> None:
    """See that a report can become a file, or an object in S3.

    Raises
    ------
    OutputError : its folder does not exist, or it is a folder itself.
    ParameterError : the name is none of an object in S3.
    """
    if path.startswith(SCHEME):
        S3Name.parse(path)
    elif Path(path).is_dir() or not Path(path).absolute().parent.is_dir():
        raise OutputError(f"the report {path!r} cannot be written: name a file in a folder that exists")


def _check_is_no_raster(path: str, spec: RunSpec) -> None:
    files = [file.path for given in spec.inputs for file in given.files]
    for other in (*files, *(output.path for output in spec.outputs)):
        if path == other or (SCHEME not in other and os.path.realpath(path) == os.path.realpath(other)):
            raise ParameterError(
                f"the report {path!r} would replace an input or an output; give it another name"
            )


def write_report(path: str, report: RunReport) -> None:
    """Write a report as a file that replaces an older one at once, or as an object in S3.

    Raises
    ------
    OSError : it cannot be written; S3Error in S3.
    """
    from rios_batch.assemble.reportpage import page  # noqa: PLC0415 - few scripts want a report

    data = page(report).encode("utf-8", "backslashreplace")
    if path.startswith(SCHEME):
        from rios_batch.aws.objects import Bucket  # noqa: PLC0415 - boto3 takes a quarter of a second

        name = S3Name.parse(path)
        Bucket(name.bucket).put(name.key, data)
        return
    beside = Path(f"{path}.{os.getpid()}~")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _picture(outputs: tuple[str, ...]) -> bytes:
    if not outputs or outputs[0].startswith(SCHEME):  # looking must not fetch anything
        return b""
    try:
        return quicklook_png(outputs[0], _PICTURE_PX)
    except RuntimeError as error:
        log.info("the report has no picture of %s: %s", outputs[0], reason(error))
        return b""
