from __future__ import annotations

import pytest

from rios_batch.model.colourtables import KINDS, colour_entries


@pytest.mark.parametrize("kind", KINDS)
def test_there_is_an_entry_for_every_value_up_to_the_highest(kind: str) -> None:
    entries = colour_entries(kind, "uint8", 9, None)

    assert len(entries) == 10
    assert all(0 <= part <= 255 for entry in entries for part in entry)
    assert {entry[3] for entry in entries} == {255}


def test_without_a_highest_value_there_is_one_for_all_of_the_type() -> None:
    assert [len(colour_entries("gray", dtype, None, None)) for dtype in ("uint8", "uint16")] == [256, 65_536]


def test_gray_goes_from_black_to_white_and_rainbow_from_blue_to_red() -> None:
    gray, rainbow = (colour_entries(kind, "uint8", 200, None) for kind in ("gray", "rainbow"))

    assert (gray[0][:3], gray[200][:3]) == ((0, 0, 0), (255, 255, 255))
    assert gray == sorted(gray)
    assert (rainbow[0][:3], rainbow[200][:3]) == ((0, 0, 255), (255, 0, 0))
    assert len(set(rainbow)) == 201


def test_at_random_a_value_has_the_same_colour_in_every_file() -> None:
    few, many = (
        colour_entries("random", dtype, highest, None) for dtype, highest in (("uint8", 9), ("uint16", 999))
    )

    assert many[:10] == few
    assert len(set(many)) > 990


def test_nodata_is_transparent() -> None:
    assert [entry[3] for entry in colour_entries("random", "uint8", 3, 2)] == [255, 255, 0, 255]
    assert colour_entries("rainbow", "uint8", 0, 0) == [(0, 0, 255, 0)]
