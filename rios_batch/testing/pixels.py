"""What is written, whoever computes the tiles."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rios_batch.testing.rasters import make_raster, read_metadata, read_raster
from rios_batch.testing.running import SCENE, ManagerTestBase, SceneRun, as_in_a_script, double

if TYPE_CHECKING:
    from pathlib import Path


@as_in_a_script
def reciprocal(_info: Any, inputs: Any, outputs: Any) -> None:
    outputs.result = np.float32(1) / inputs.image


@as_in_a_script
def windowed_maximum(info: Any, inputs: Any, outputs: Any) -> None:
    radius = info.getOverlapSize()
    views = np.lib.stride_tricks.sliding_window_view(
        np.pad(inputs.image, ((0, 0), (radius, radius), (radius, radius))),
        (1, 2 * radius + 1, 2 * radius + 1),
    )
    outputs.result = views.max(axis=(3, 4, 5))


@as_in_a_script
def swap(_info: Any, inputs: Any, outputs: Any) -> None:
    outputs.parts = [inputs.images[1][:1], inputs.images[0]]


@as_in_a_script
def bright(_info: Any, inputs: Any, outputs: Any) -> None:
    outputs.result = inputs.image > 100


class PixelTests(ManagerTestBase):
    """The outputs are those of one call on the whole image."""

    def test_gives_the_pixels_of_one_call_on_the_whole_image(self, run: SceneRun) -> None:
        result = run(double)

        np.testing.assert_array_equal(read_raster(run.target), SCENE.astype(np.uint16) * 2)
        assert result.jobManagerType == self.manager_type
        assert result.outputs == (str(run.target),)
        run.assert_no_worker_left()

    def test_writes_the_same_statistics_to_the_last_bit(self, run: SceneRun) -> None:
        options = {"setOutputDriverName": "HFA", "setCreationOptions": None}

        run.in_process(reciprocal, **options)
        expected = read_metadata(run.target)
        run(reciprocal, **options)

        assert read_metadata(run.target) == expected
        means = [float(items["STATISTICS_MEAN"]) for items in expected]
        assert means == pytest.approx((1 / SCENE.astype(np.float64)).mean(axis=(1, 2)), rel=1e-7)

    def test_counts_the_pixels_that_are_nodata_only_by_default(
        self, run: SceneRun, caplog: pytest.LogCaptureFixture
    ) -> None:
        run(bright)

        lost = int((SCENE <= 100).any(axis=0).sum())
        (warning,) = [record.getMessage() for record in caplog.records if "setStatsIgnore" in record.msg]
        assert f"{run.target}: {lost:,} pixels computed from data are 0" in warning

    def test_overlap_makes_block_borders_invisible(self, run: SceneRun) -> None:
        run(windowed_maximum, setOverlap=3)

        padded = np.pad(SCENE, ((0, 0), (3, 3), (3, 3)))
        expected = np.lib.stride_tricks.sliding_window_view(padded, (1, 7, 7)).max(axis=(3, 4, 5))
        np.testing.assert_array_equal(read_raster(run.target), expected)

    def test_calls_the_function_once_for_every_block(self, run: SceneRun, tmp_path: Path) -> None:
        log = tmp_path / "calls"

        def record(info: Any, inputs: Any, outputs: Any) -> None:
            with log.open("a") as file:
                file.write(f"{info.getBlockCount()}\n")
            outputs.result = inputs.image

        result = run(record)

        calls = log.read_text().splitlines()
        assert sorted(calls) == sorted(f"{(x, y)}" for x in range(5) for y in range(3))
        assert sum(record.blocks for record in result.tiles) == len(calls)
        assert [record.tile for record in result.tiles] == list(range(9))
        assert len({record.worker for record in result.tiles}) <= self.num_processes

    def test_writes_the_same_file_byte_for_byte_as_without_a_manager(self, run: SceneRun) -> None:
        run.in_process(double)
        expected = hashlib.sha256(run.target.read_bytes()).hexdigest()

        run(double)

        assert hashlib.sha256(run.target.read_bytes()).hexdigest() == expected

    def test_a_raster_of_one_block_and_more_workers_than_tiles(self, run: SceneRun) -> None:
        make_raster(run.scene, SCENE[:, :1, :1])

        result = run(double)

        assert read_raster(run.target).tolist() == (SCENE[:, :1, :1].astype(np.uint16) * 2).tolist()
        assert len(result.tiles) == 1

    def test_lists_of_files_in_and_out(self, run: SceneRun) -> None:
        make_raster(run.folder / "other.tif", SCENE[::-1])
        targets = [run.folder / "a.tif", run.folder / "b.tif"]

        run.apply(swap, {"images": [run.scene, str(run.folder / "other.tif")]}, {"parts": targets})

        np.testing.assert_array_equal(read_raster(targets[0]), SCENE[1:])
        np.testing.assert_array_equal(read_raster(targets[1]), SCENE)

    def test_a_format_that_is_written_by_one_writer(self, run: SceneRun) -> None:
        target = run.folder / "out.img"

        run.apply(double, {"image": run.scene}, {"result": target}, setCreationOptions=None)

        np.testing.assert_array_equal(read_raster(target), SCENE.astype(np.uint16) * 2)
