from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING, Any

import pytest

from rios_batch import applier
from rios_batch.associations import BlockAssociations, FilenameAssociations, OtherInputs
from rios_batch.errors import KeysMismatch
from tests.support import make_raster, ramp, read_raster

if TYPE_CHECKING:
    from pathlib import Path


def test_files_are_listed_in_the_order_they_were_set() -> None:
    files = FilenameAssociations(b="1.tif")
    files.a = ["2.tif", "3.tif"]
    files.absent = None

    assert list(files) == [("b", None, "1.tif"), ("a", 0, "2.tif"), ("a", 1, "3.tif")]
    assert len(files) == 3  # names, as in RIOS 1.4
    assert repr(files) == "FilenameAssociations(b='1.tif', a=['2.tif', '3.tif'], absent=None)"


@pytest.mark.parametrize("cls", [FilenameAssociations, BlockAssociations])
def test_values_are_also_found_by_name_and_sequence(
    cls: type[FilenameAssociations | BlockAssociations],
) -> None:
    values = cls(one="1.tif", some=["2.tif", "3.tif"])

    assert values["one"] == values["one", None] == "1.tif"
    assert values["some", 1] == "3.tif"
    assert values["some"] == ["2.tif", "3.tif"]
    for key in ("one", ("one", None), "some", ("some", 0), ("some", 1)):
        assert key in values
    for key in ("two", ("two", None), ("one", 0), ("some", 2), ("some", -1)):
        assert key not in values
        with pytest.raises(KeyError):
            values[key]


def test_arrays_are_also_set_by_name_and_sequence_in_any_order() -> None:
    outputs = BlockAssociations()

    outputs["one", None] = "a"
    outputs["two"] = "b"
    outputs["some", 1] = "d"
    outputs["some", 0] = "c"

    assert vars(outputs) == {"one": "a", "two": "b", "some": ["c", "d"]}
    assert list(outputs) == ["one", "two", "some"]


def test_other_inputs_are_names() -> None:
    other = OtherInputs(n=1, items=[2])

    assert list(other) == ["n", "items"]
    assert "n" in other
    assert ("items", 0) not in other


@pytest.mark.parametrize("cls", [FilenameAssociations, BlockAssociations, OtherInputs])
def test_a_name_that_was_not_set_is_an_attribute_error(cls: type[OtherInputs]) -> None:
    with pytest.raises(AttributeError, match="nothing"):
        _ = cls().nothing


def test_other_inputs_survive_pickling() -> None:
    assert vars(pickle.loads(pickle.dumps(OtherInputs(n=1, items=[2])))) == {"n": 1, "items": [2]}


def test_a_name_without_a_file_is_none_in_the_function(tmp_path: Path) -> None:
    infiles, outfiles = FilenameAssociations(), FilenameAssociations()
    infiles.scene, infiles.mask = make_raster(tmp_path / "a.tif", ramp(1, 20, 30)), None
    outfiles.copy, outfiles.quality = tmp_path / "copy.tif", None
    seen = []

    def copy(_info: Any, inputs: Any, outputs: Any) -> None:
        seen.append((inputs.mask, outputs.quality))
        assert (list(inputs), list(outputs)) == (["scene"], [])
        assert "mask" not in inputs
        assert ("mask", None) not in inputs
        outputs.copy = inputs.scene
        outputs.quality = inputs.scene  # a script need not know that nobody wants it

    applier.apply(copy, infiles, outfiles)

    assert seen == [(None, None)]
    assert (read_raster(tmp_path / "copy.tif") == ramp(1, 20, 30)).all()


def test_an_output_that_is_not_set_is_named_among_those_that_are(tmp_path: Path) -> None:
    infiles = FilenameAssociations(scene=make_raster(tmp_path / "a.tif", ramp(1, 20, 30)))
    outfiles = FilenameAssociations(copy=tmp_path / "copy.tif", quality=None)

    with pytest.raises(KeysMismatch, match="did not set outputs.copy .*; it set nothing"):
        applier.apply(lambda _info, _inputs, _outputs: None, infiles, outfiles)


@pytest.mark.parametrize("cls", [FilenameAssociations, BlockAssociations, OtherInputs])
def test_a_misspelt_name_is_answered_with_the_nearest_name(cls: type[OtherInputs]) -> None:
    with pytest.raises(AttributeError, match="has no 'scen'; did you mean 'scene'"):
        _ = cls(scene=1, mask=2).scen
    with pytest.raises(AttributeError, match="has no 'quux'; the names are scene, mask"):
        _ = cls(scene=1, mask=2).quux
    assert not hasattr(cls(scene=1), "scen")


@pytest.mark.parametrize("cls", [FilenameAssociations, BlockAssociations, OtherInputs])
def test_containers_are_copied_and_pickled(cls: type[OtherInputs]) -> None:
    given = cls(scene=1, mask=[2])

    for again in (copy.copy(given), copy.deepcopy(given), pickle.loads(pickle.dumps(given))):
        assert vars(again) == {"scene": 1, "mask": [2]}
