"""How many inputs are open at a time."""

from __future__ import annotations

import resource
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from osgeo import gdal

from rios_batch import applier
from rios_batch.read import opened
from rios_batch.read.facts import open_raster
from rios_batch.read.opened import OpenDatasets, map_concurrently, most_open_datasets
from tests.support import make_raster, ramp, read_raster, run_script

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def room_for_six(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opened, "most_open_datasets", lambda: 6 * len(opened._living))


class Counted:
    """Opens names, and counts."""

    def __init__(self) -> None:
        self.opened = 0

    def __call__(self, name: object) -> Callable[[], object]:
        def open_it() -> object:
            self.opened += 1
            return [name]

        return open_it


@pytest.mark.usefixtures("room_for_six")
def test_what_fits_is_opened_once_and_only_the_rest_again_for_each_block() -> None:
    datasets: OpenDatasets[Any] = OpenDatasets()
    count = Counted()

    for _ in range(10):
        datasets.next_block()
        for name in range(8):
            assert datasets.get(name, count(name)) == [name]

    assert count.opened == 6 + 2 * 10


@pytest.mark.usefixtures("room_for_six")
def test_what_later_blocks_do_not_need_makes_room() -> None:
    datasets: OpenDatasets[Any] = OpenDatasets()
    count = Counted()

    for first in (0, 0, 6, 6, 6, 6):  # two blocks with some files, four with others
        datasets.next_block()
        for name in range(first, first + 6):
            datasets.get(name, count(name))

    assert count.opened == 6 + 6 + 6  # in the first of the others the old ones are still kept
    assert 0 not in datasets
    assert 6 in datasets


def test_all_readers_of_a_process_share_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opened, "most_open_datasets", lambda: 12 * (len(opened._living) - 1) // 2)
    first, second = OpenDatasets[Any](), OpenDatasets[Any]()
    for datasets in (first, second):
        datasets.next_block()
        for name in range(100):
            datasets.get(name, lambda: None)
    kept = [sum(name in datasets for name in range(100)) for datasets in (first, second)]

    assert kept[0] == kept[1] < 12


@pytest.mark.parametrize(
    ("soft", "most"),
    [(1024, 896), (256, 128), (resource.RLIM_INFINITY, 4096), (2**20, 4096)],
)
def test_the_limit_is_the_processs(soft: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, soft))

    assert most_open_datasets() == most


MANY = """
    import resource, sys
    from rios_batch import applier

    def add(info, inputs, outputs):
        outputs.result = sum(array.astype("u2") for array in inputs.images)

    resource.setrlimit(resource.RLIMIT_NOFILE, (90, 90))
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.images, outfiles.result = [f"{n}.tif" for n in range(100)], "out.tif"
    controls = applier.ApplierControls()
    controls.setWindowSize(16, 16)
    controls.setNumThreads(2)
    controls.setJobManagerType(sys.argv[1])
    applier.apply(add, infiles, outfiles, controls=controls)
"""


@pytest.mark.parametrize("kind", ["multiprocessing", "threads", "in-process"])
def test_there_may_be_more_inputs_than_open_files(tmp_path: Path, kind: str) -> None:
    pixels = ramp(1, 32, 32)
    for number in range(100):
        make_raster(tmp_path / f"{number}.tif", pixels)

    done = run_script(tmp_path, MANY, kind)

    assert (done.returncode, done.stderr) == (0, "")
    np.testing.assert_array_equal(read_raster(tmp_path / "out.tif"), pixels.astype("u2") * 100)


def test_an_input_is_opened_once_before_the_first_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def add(_info: Any, inputs: Any, outputs: Any) -> None:
        calls.append("a block")
        outputs.result = inputs.image

    calls: list[str] = []
    for name in ("Open", "OpenEx"):
        original = getattr(gdal, name)

        def counting(path: str, *rest: Any, _original: Any = original, **options: Any) -> Any:
            calls.append(str(path))
            return _original(path, *rest, **options)

        monkeypatch.setattr(gdal, name, counting)
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.image, outfiles.result = make_raster(tmp_path / "scene.tif", ramp(1, 9, 9)), tmp_path / "out.tif"

    applier.apply(add, infiles, outfiles)

    before = calls[: calls.index("a block")]
    assert (
        sum("scene.tif" in name for name in before) == 2
    )  # once by main, once by the worker, here the same process


def test_what_waits_for_the_network_waits_at_the_same_time_but_for_the_first() -> None:
    together = threading.Barrier(32)

    def wait(name: str) -> str:
        if name != "first":
            together.wait(timeout=60)
        return name.upper()

    others = [f"name {number}" for number in range(32)]
    assert map_concurrently(wait, ["first", *others]) == ["FIRST", *(name.upper() for name in others)]


def test_files_over_the_network_are_opened_at_the_same_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = threading.Barrier(3)

    def waiting(name: str, path: str) -> Any:
        together.wait(timeout=60)
        return open_raster(name, path)

    monkeypatch.setattr("rios_batch.read.sources.open_raster", waiting)
    monkeypatch.setattr("rios_batch.read.sources.is_remote", lambda _: True)
    pixels = ramp(1, 9, 9)
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.images = [make_raster(tmp_path / f"{n}.tif", pixels) for n in range(3)]
    outfiles.result = tmp_path / "out.tif"

    def add(_info: Any, inputs: Any, outputs: Any) -> None:
        outputs.result = sum(array.astype("u2") for array in inputs.images)

    applier.apply(add, infiles, outfiles)

    np.testing.assert_array_equal(read_raster(tmp_path / "out.tif"), pixels.astype("u2") * 3)
