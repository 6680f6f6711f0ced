from __future__ import annotations

import pytest

from rios_batch.creationoptions import CreationOptions

OPTIONS = CreationOptions(("compress=DEFLATE", "TILED=yes", "COMPRESS=LZW"))


def test_names_have_no_case_and_the_first_of_several_counts() -> None:
    assert OPTIONS.get("COMPRESS") == "DEFLATE"
    assert OPTIONS.get("PREDICTOR") is None


@pytest.mark.parametrize(
    ("value", "on"), [("YES", True), ("true", True), ("ON", True), ("1", True), ("NO", False), ("", False)]
)
def test_a_switch_is_on_in_all_of_gdals_spellings(value: str, *, on: bool) -> None:
    assert CreationOptions((f"SPARSE_OK={value}",)).is_on("SPARSE_OK") is on


def test_a_switch_that_is_not_there_is_off() -> None:
    assert not CreationOptions().is_on("SPARSE_OK")


def test_a_copy_has_other_values_and_leaves_options_out() -> None:
    assert OPTIONS.but(COMPRESS="ZSTD", NUM_THREADS=None).texts == ("TILED=yes", "COMPRESS=ZSTD")
    assert OPTIONS.but(TILED=None).texts == ("compress=DEFLATE", "COMPRESS=LZW")
    assert OPTIONS.get("COMPRESS") == "DEFLATE"
