from __future__ import annotations

import pickle

import pytest

from rios_batch.associations import BlockAssociations, FilenameAssociations, OtherInputs


def test_names_are_listed_in_the_order_they_were_set() -> None:
    files = FilenameAssociations(b="1.tif")
    files.a = ["2.tif", "3.tif"]

    assert list(files) == ["b", "a"]
    assert len(files) == 2
    assert "a" in files
    assert "c" not in files
    assert repr(files) == "FilenameAssociations(b='1.tif', a=['2.tif', '3.tif'])"


@pytest.mark.parametrize("cls", [FilenameAssociations, BlockAssociations, OtherInputs])
def test_a_name_that_was_not_set_is_an_attribute_error(cls: type[OtherInputs]) -> None:
    with pytest.raises(AttributeError, match="nothing"):
        _ = cls().nothing


def test_other_inputs_survive_pickling() -> None:
    assert vars(pickle.loads(pickle.dumps(OtherInputs(n=1, items=[2])))) == {"n": 1, "items": [2]}
