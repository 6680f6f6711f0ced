"""otherArgs: shared, or copied for each tile and merged."""

from __future__ import annotations

import threading
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rios_batch import applier
from rios_batch.errors import ParameterError, PicklingFailedError
from rios_batch.testing.rasters import read_raster
from rios_batch.testing.running import SCENE, ManagerTestBase, SceneRun, as_in_a_script

if TYPE_CHECKING:
    from pathlib import Path


@as_in_a_script
def survey(info: Any, inputs: Any, outputs: Any, other: Any) -> None:
    other.total += int(inputs.image.sum())
    other.lowest = min(other.lowest, int(inputs.image.min()))
    other.highest = np.maximum(other.highest, inputs.image.max(axis=(1, 2)))
    if info.getBlockCount()[0] == 0:
        other.rows.append(info.getBlockCount()[1])
    outputs.result = inputs.image


@as_in_a_script
def ignore(_info: Any, inputs: Any, outputs: Any, _other: Any) -> None:
    outputs.result = inputs.image


@as_in_a_script
def count(_info: Any, inputs: Any, _outputs: Any, other: Any) -> None:
    other["pixels"] += inputs.image[0].size


class Costly:
    """Notes in a file each time that it is unpickled; travels by name, as a class of an installed package."""

    def __init__(self, log: Path) -> None:
        self.log = log

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        with self.log.open("a") as file:
            file.write("unpickled\n")


@as_in_a_script
def read(_info: Any, inputs: Any, outputs: Any, other: Any) -> None:
    outputs.result = inputs.image if other.table.log else None


def survey_arguments() -> applier.OtherInputs:
    other = applier.OtherInputs()
    other.total, other.lowest, other.highest, other.rows = 10, 255, np.zeros(2, np.uint8), [-1]
    other.title = "unchanged"
    return other


@as_in_a_script
class Scale:
    """A class of the script, which travels by value."""

    def __init__(self, factor: int) -> None:
        self.factor = factor

    def of(self, array: Any) -> Any:
        return array * self.factor


@as_in_a_script
def scale(_info: Any, inputs: Any, outputs: Any, other: Any) -> None:
    other.buffer = other.scale.of(inputs.image)
    outputs.result = other.buffer


class OtherArgsTests(ManagerTestBase):
    """What a function changes is merged or shown, never lost."""

    def test_other_args_are_merged_by_their_rules(self, run: SceneRun) -> None:
        other = survey_arguments()
        controls = run.controls()
        for name, rule in {"total": "sum", "lowest": "min", "highest": "max", "rows": "concat"}.items():
            controls.setOtherArgsMerge(name, rule)
        infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
        infiles.image, outfiles.result = run.scene, run.target

        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result = applier.apply(survey, infiles, outfiles, other, controls=controls)

        assert result.otherArgs is other
        assert other.total == 10 + int(SCENE.sum())
        assert other.lowest == SCENE.min()
        np.testing.assert_array_equal(other.highest, SCENE.max(axis=(1, 2)))
        assert other.rows == [-1, 0, 1, 2]
        assert other.title == "unchanged"

    def test_other_args_without_a_rule_are_never_lost_silently(self, run: SceneRun) -> None:
        other = survey_arguments()

        if self.shares_other_args:
            result = run(survey, other)
            assert result.otherArgsList == [other]
            assert other.total == 10 + int(SCENE.sum())
            return
        with pytest.raises(
            ParameterError,
            match=r"^otherArgs.highest, otherArgs.lowest, .*have no merge rule.*'sum'.*'scratch' .* or use one thread$",
        ):
            run(survey, other)
        assert other.total == 10
        run.assert_nothing_left()

    def test_other_args_are_copied_for_scripts_that_merge_them_themselves(self, run: SceneRun) -> None:
        if self.shares_other_args:
            pytest.skip(f"with {self.manager_type} there are no copies")
        other = survey_arguments()
        controls = run.controls()
        for name in ("total", "lowest", "highest", "rows"):
            controls.setOtherArgsMerge(name, lambda initial, _values: initial)
        infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
        infiles.image, outfiles.result = run.scene, run.target

        result = applier.apply(survey, infiles, outfiles, other, controls=controls)

        assert other.total == 10
        assert sum(copy.total - 10 for copy in result.otherArgsList) == int(SCENE.sum())
        assert len(result.otherArgsList) == len(result.tiles)
        assert {copy.title for copy in result.otherArgsList} == {"unchanged"}

    def test_other_args_that_cannot_be_copied_are_refused_by_name_or_shared(self, run: SceneRun) -> None:
        other = applier.OtherInputs(factor=2, lock=threading.Lock())

        if self.shares_other_args:
            run(ignore, other)
        else:
            with pytest.raises(PicklingFailedError, match=r"otherArgs.lock cannot be copied"):
                run(ignore, other)
            run.assert_nothing_left()

    def test_runs_without_outputs(self, run: SceneRun) -> None:
        other = {"pixels": 0}
        controls = run.controls()
        controls.setOtherArgsMerge("pixels", "sum")
        infiles = applier.FilenameAssociations()
        infiles.image = run.scene

        applier.apply(count, infiles, applier.FilenameAssociations(), other, controls=controls)

        assert other["pixels"] == 90 * 70

    def test_an_attribute_that_is_only_read_is_unpickled_once_for_each_worker(
        self, run: SceneRun, tmp_path: Path
    ) -> None:
        log = tmp_path / "unpickled"
        log.touch()

        run(read, applier.OtherInputs(table=Costly(log), n=0))

        assert len(log.read_text().splitlines()) <= self.num_processes

    def test_scratch_need_not_be_merged_and_a_class_of_the_script_is_not_taken_for_changed(
        self, run: SceneRun
    ) -> None:
        other = applier.OtherInputs(scale=Scale(1), buffer=None)
        controls = run.controls()
        controls.setOtherArgsMerge("buffer", "scratch")
        infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
        infiles.image, outfiles.result = run.scene, run.target

        applier.apply(scale, infiles, outfiles, other, controls=controls)

        np.testing.assert_array_equal(read_raster(run.target), SCENE)
        assert self.shares_other_args or other.buffer is None
