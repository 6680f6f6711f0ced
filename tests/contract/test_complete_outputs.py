"""Whatever a job manager leaves out or makes up, no format has an output with pixels that nobody computed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rios_batch import applier
from rios_batch.compute.tile import TileRunner
from rios_batch.errors import JobMgrError, RiosBatchError
from rios_batch.jobmanagers import GeneratorRun, JobManager
from rios_batch.model.encodedblocks import EncodedBlocks
from tests.support import files_below, make_raster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rios_batch.model.spec import RunSpec
    from rios_batch.model.tileresult import TileResult

    Change = Callable[[list[TileResult]], list[TileResult]]

NTILES = 6


class Careless(JobManager):
    """A script's own job manager that does something to the results."""

    jobMgrType = "careless"  # noqa: N815 - RIOS's name
    change: Change = staticmethod(lambda results: results)
    committed = False

    def start(self, spec: RunSpec, other_args: Any) -> GeneratorRun:
        del other_args
        Careless.committed = False
        return CarelessRun(spec, self._results(spec))

    def _results(self, spec: RunSpec) -> Any:
        runner = TileRunner(spec, "careless")
        yield from Careless.change([runner.run(tile, None) for tile in spec.plan])


class CarelessRun(GeneratorRun):
    def outputs_committed(self) -> None:
        Careless.committed = True


def changed_record(results: list[TileResult], index: int, **fields: Any) -> list[TileResult]:
    record = replace(results[index].record, **fields)
    return [*results[:index], replace(results[index], record=record), *results[index + 1 :]]


def changed_payload(results: list[TileResult], index: int) -> list[TileResult]:
    """Give a tile one row of pixels, or one TIFF block."""
    output = results[index].outputs[0]
    payload = output.payload
    if isinstance(payload, EncodedBlocks):
        count = payload.byte_counts[:1]
        payload = EncodedBlocks(payload.data[: int(count[0])], count)
    else:
        assert isinstance(payload, np.ndarray)
        payload = payload[:, :1]
    changed = replace(results[index], outputs=(replace(output, payload=payload),))
    return [*results[:index], changed, *results[index + 1 :]]


CHANGES: dict[str, tuple[Change, str]] = {
    "the first is missing": (lambda r: r[1:], r"ended without a result of tile 0, of 6 tiles"),
    "one in the middle is missing": (
        lambda r: r[:3] + r[4:],
        r"ended without a result of tile 3, of 6 tiles",
    ),
    "the last is missing": (lambda r: r[:-1], r"ended without a result of tile 5, of 6 tiles"),
    "all are missing": (lambda _: [], r"ended without a result of tile 0, of 6 tiles"),
    "one comes twice": (lambda r: [*r, r[2]], r"gave tile 2 twice"),
    "one has the number of another": (
        lambda r: changed_record(r, 3, tile=2),
        r"gave a result of tile 2 with",
    ),
    "two have each other's numbers": (
        lambda r: changed_record(changed_record(r, 3, tile=2), 2, tile=3),
        r"gave a result of tile 3 with columns 64-95, rows 0-31, but the tile has columns 0-31, rows 32-63",
    ),
    "one more than there are": (
        lambda r: [*r, *changed_record(r[:1], 0, tile=NTILES)],
        r"gave a result of tile 6, but the run has tiles 0 to 5",
    ),
    "a negative number": (lambda r: changed_record(r, 0, tile=-1), r"gave a result of tile -1, but"),
    "no outputs": (
        lambda r: [replace(r[0], outputs=()), *r[1:]],
        r"gave tile 0 with 0 outputs; the run has 1",
    ),
}
FORMATS = {
    "assembled GeoTIFF": ("out.tif", ["TILED=YES", "BLOCKXSIZE=16", "BLOCKYSIZE=16"]),
    "GeoTIFF in strips": ("out.tif", ["TILED=NO"]),
    "HFA": ("out.img", []),
    "netCDF": ("out.nc", []),
}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, Change], None]]:
    make_raster(tmp_path / "in.tif", np.full((1, 64, 96), 7, np.uint8))

    def apply(form: str, change: Change) -> None:
        monkeypatch.setattr(Careless, "change", staticmethod(change))
        infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
        name, options = FORMATS[form]
        infiles.image, outfiles.out = tmp_path / "in.tif", tmp_path / name
        controls = applier.ApplierControls()
        controls.setWindowSize(32, 32)
        controls.setTileSize(32, 32)
        controls.setNumThreads(2)
        controls.setJobManagerType("careless")
        controls.setCreationOptions(options)
        applier.apply(identity, infiles, outfiles, controls=controls)

    yield apply
    assert files_below(tmp_path) == ["in.tif"]
    assert not Careless.committed


def identity(_info: Any, inputs: Any, outputs: Any) -> None:
    outputs.out = inputs.image


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("what", CHANGES)
def test_results_that_are_not_one_for_every_tile_are_refused(
    run: Callable[[str, Change], None], form: str, what: str
) -> None:
    change, words = CHANGES[what]
    with pytest.raises(JobMgrError, match=words):
        run(form, change)


@pytest.mark.parametrize("form", FORMATS)
def test_a_tile_with_too_few_pixels_is_refused(run: Callable[[str, Change], None], form: str) -> None:
    with pytest.raises(
        RiosBatchError, match=r"tile 4 of output '.*out\.\w+' (has 1 blocks, but|is an array of uint8)"
    ):
        run(form, lambda results: changed_payload(results, 4))
