from __future__ import annotations

import pickle

import pytest

from rios_batch.associations import BlockAssociations, FilenameAssociations, OtherInputs


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
