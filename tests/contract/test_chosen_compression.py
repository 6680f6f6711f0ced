# ruff: noqa: N815 - RIOS's names
"""How outputs are compressed where a script sets no creation options: chosen by pixels, the same for every plan."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from osgeo import gdal

from rios_batch import applier
from rios_batch.compute.tile import TileRunner
from rios_batch.encode import compression
from rios_batch.jobmanagers import GeneratorRun, JobManager
from tests.support import make_raster, read_raster

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from rios_batch.model.spec import Array, RunSpec
    from rios_batch.model.tileresult import TileResult

ROWS, COLS = 600, 700
KINDS = ("smooth", "of_few_values", "numbers", "classes", "marked", "empty")


def function(_info: Any, inputs: Any, outputs: Any) -> None:
    values = inputs.scene[0]
    outputs.smooth = ratio(inputs.scene)
    outputs.of_few_values = (values // 500 * np.float32(0.1)).astype("f4")[None]
    outputs.numbers = values.astype("i2")[None]
    outputs.classes = (values // 1000).astype("u1")[None]
    outputs.marked = outputs.numbers
    outputs.empty = np.zeros_like(outputs.smooth)


def ratio(bands: Array) -> Array:
    one, other = bands.astype("f4")
    found: Array = ((one - other) / (one + other + 1))[None]
    return found


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return hills with some noise, and no data in the upper left corner."""
    rows, cols = np.mgrid[:ROWS, :COLS]
    hills = 2400 + 1000 * np.sin(cols / 90) + 1000 * np.cos(rows / 70)
    pixels = np.stack([hills, 0.7 * hills]) + np.random.default_rng(1).standard_normal((2, ROWS, COLS)) * 9
    pixels[:, rows + cols < 300] = 0  # more than a square that is looked at
    return make_raster(tmp_path_factory.mktemp("scene") / "scene.tif", pixels.astype("u2"))


def run(scene: str, folder: Path, **settings: Any) -> dict[str, Path]:
    """Run the function with settings such as ``NumThreads=2``, and return the outputs by what they are."""
    outputs = {kind: folder / f"{kind}.tif" for kind in KINDS}
    controls = applier.ApplierControls()
    controls.setThematic(True, imagename="marked")
    for name, value in settings.items():
        getattr(controls, f"set{name}")(*(value if isinstance(value, tuple) else (value,)))
    infiles, outfiles = applier.FilenameAssociations(scene=scene), applier.FilenameAssociations()
    for kind, path in outputs.items():
        setattr(outfiles, kind, path)
    applier.apply(function, infiles, outfiles, controls=controls)
    return outputs


def predictor(path: Path) -> str | None:
    metadata: dict[str, str] = gdal.Open(str(path)).GetMetadata("IMAGE_STRUCTURE")
    assert metadata["COMPRESSION"] == "DEFLATE"
    return metadata.get("PREDICTOR")


EXPECTED = {
    "smooth": "3",
    "of_few_values": None,
    "numbers": "2",
    "classes": None,
    "marked": None,
    "empty": None,
}
PLANS: dict[str, dict[str, Any]] = {
    "one worker": {},
    "processes": {"NumThreads": 2},
    "threads, small tiles": {"NumThreads": 3, "JobManagerType": "threads", "TileSize": (256, 256)},
    "windows that cut squares": {"WindowSize": (200, 120), "TileSize": (400, 240)},
    "one writer": {"WindowSize": (257, 257), "TileSize": (257, 257)},
    "COG": {"OutputDriverName": "COG"},
}


@pytest.mark.parametrize("plan", PLANS)
def test_each_kind_has_its_predictor_whatever_the_plan(scene: str, tmp_path: Path, plan: str) -> None:
    outputs = run(scene, tmp_path, **PLANS[plan])

    assert {kind: predictor(path) for kind, path in outputs.items()} == EXPECTED
    np.testing.assert_array_equal(read_raster(outputs["smooth"]), ratio(read_raster(scene)))


def test_overviews_are_compressed_as_the_image_is(scene: str, tmp_path: Path) -> None:
    path = run(scene, tmp_path)["smooth"]

    overview = gdal.OpenEx(str(path), open_options=["OVERVIEW_LEVEL=0"])
    assert overview.RasterXSize == COLS // 4
    directories = path.read_bytes()[:4096]
    predictors = re.findall(rb"\x3d\x01\x03\x00\x01\x00\x00\x00(.)", directories)  # tag 317, one SHORT
    assert predictors == [b"\x03"] * 2  # of the image, and of the overview of level 4


def test_no_file_is_larger_than_with_options_of_rios(scene: str, tmp_path: Path) -> None:
    chosen = run(scene, tmp_path)
    sizes = {kind: path.stat().st_size for kind, path in chosen.items()}
    rios = run(scene, tmp_path, CreationOptions=applier.dfltDriverOptions["GTiff"])

    assert {kind: predictor(path) for kind, path in rios.items()} == dict.fromkeys(KINDS)
    larger = {kind for kind, path in rios.items() if sizes[kind] > 1.001 * path.stat().st_size}
    assert not larger


def test_what_a_script_or_the_environment_sets_is_obeyed(
    scene: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = run(scene, tmp_path, CreationOptions=["COMPRESS=DEFLATE"])
    assert predictor(outputs["numbers"]) is None

    monkeypatch.setenv("RIOS_DFLT_CREOPT_GTiff", "COMPRESS=LZW")
    outputs = run(scene, tmp_path)
    metadata = gdal.Open(str(outputs["numbers"])).GetMetadata("IMAGE_STRUCTURE")
    assert (metadata["COMPRESSION"], metadata.get("PREDICTOR")) == ("LZW", None)


def test_the_function_is_called_once_for_each_block(scene: str, tmp_path: Path) -> None:
    calls = []

    def counted(info: Any, inputs: Any, outputs: Any) -> None:
        calls.append(info.getBlockCount())
        outputs.smooth = inputs.scene[:1].astype("f4")

    infiles, outfiles = applier.FilenameAssociations(scene=scene), applier.FilenameAssociations()
    outfiles.smooth = tmp_path / "smooth.tif"
    applier.apply(counted, infiles, outfiles)

    assert calls == [(col, row) for row in range(3) for col in range(3)]


def test_an_array_that_a_function_uses_again_is_not_written_twice(scene: str, tmp_path: Path) -> None:
    buffer = np.zeros((2, 256, 256), "f4")

    def reusing(info: Any, inputs: Any, outputs: Any) -> None:
        part = buffer[:, : inputs.scene.shape[1], : inputs.scene.shape[2]]
        part[:] = info.getBlockCount()[0] if info.getBlockCount()[0] < 2 else inputs.scene
        outputs.out = part

    infiles, outfiles = applier.FilenameAssociations(scene=scene), applier.FilenameAssociations()
    outfiles.out = tmp_path / "out.tif"
    applier.apply(reusing, infiles, outfiles)

    first_row = read_raster(outfiles.out)[0, 0, ::256]
    assert first_row.tolist() == [0, 1, read_raster(scene)[0, 0, 2 * 256]]


class Deaf(JobManager):
    """Its workers compress every tile as they like: they are never told what main has chosen."""

    jobMgrType = "deaf"

    def start(self, spec: RunSpec, other_args: Any) -> GeneratorRun:
        return GeneratorRun(spec, self._results(spec, other_args))

    def _results(self, spec: RunSpec, other_args: Any) -> Generator[TileResult, None, None]:
        runner = TileRunner(spec, "the only worker")
        for tile in spec.plan:
            yield runner.run(tile, other_args)
        runner.close()


def test_tiles_that_were_compressed_otherwise_are_compressed_again(
    scene: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = {kind: path.read_bytes() for kind, path in run(scene, tmp_path, TileSize=(512, 256)).items()}
    used: list[tuple[str, ...]] = []

    def at_random(_spec: Any, dtype: str, _squares: list[Array]) -> tuple[str, ...]:
        options = (("ZLEVEL=1",), (), ("ZLEVEL=1", f"PREDICTOR={3 if dtype == 'float32' else 2}"))
        used.append(options[len(used) % 3])
        return used[-1]

    monkeypatch.setattr("rios_batch.encode.blocks.choose_compression", at_random)
    outputs = run(scene, tmp_path, TileSize=(512, 256), NumThreads=2, JobManagerType=Deaf.jobMgrType)

    assert len(set(used)) == 4
    assert {kind: path.read_bytes() == expected[kind] for kind, path in outputs.items()} == dict.fromkeys(
        KINDS, True
    )


def test_workers_are_told_of_the_choice(scene: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen_by_workers = []
    choose = compression.choose_compression

    def counted(*arguments: Any) -> tuple[str, ...]:
        chosen_by_workers.append(arguments)
        return choose(*arguments)

    monkeypatch.setattr("rios_batch.encode.blocks.choose_compression", counted)
    run(scene, tmp_path, TileSize=(512, 256))

    # The fourth square that is not empty is in the fifth of six tiles. What is empty is never chosen before the end.
    assert len(chosen_by_workers) == 5 * 5 + 6


def test_pixels_far_from_the_beginning_are_not_waited_for() -> None:
    windows = list(compression.sample_windows(1_000_000, 1_000_000))

    assert max(window.end_row for window in windows) <= 1024
    assert max(window.end_col for window in windows) <= 16_384
