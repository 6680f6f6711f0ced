from __future__ import annotations

import pytest

from rios_batch.model.creationoptions import CreationOptions, defaults_from

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


@pytest.mark.parametrize(
    ("environment", "defaults"),
    [
        ({"OTHER": "A=1"}, {}),
        (
            {"RIOS_DFLT_CREOPT_GTiff": "A=1  B=2", "RIOS_DFLT_CREOPT_HFA": ""},
            {"GTiff": ["A=1", "B=2"], "HFA": []},
        ),
        ({"RIOS_DFLT_CREOPT_KEA": "None"}, {"KEA": []}),
        ({"RIOS_DFLT_DRIVER": "GTiff", "RIOS_DFLT_DRIVEROPTIONS": "A=1 B=2"}, {"GTiff": ["A=1", "B=2"]}),
        ({"RIOS_DFLT_DRIVER": "KEA", "RIOS_DFLT_DRIVEROPTIONS": "None"}, {"KEA": []}),
        # RIOS's default driver: what is meant for it would be wrong for a GeoTIFF.
        ({"RIOS_DFLT_DRIVEROPTIONS": "COMPRESSED=TRUE"}, {"HFA": ["COMPRESSED=TRUE"]}),
        (
            {"RIOS_DFLT_DRIVER": "", "RIOS_DFLT_DRIVEROPTIONS": "COMPRESSED=TRUE"},
            {"HFA": ["COMPRESSED=TRUE"]},
        ),
        (
            {
                "RIOS_DFLT_DRIVER": "GTiff",
                "RIOS_DFLT_DRIVEROPTIONS": "A=1",
                "RIOS_DFLT_CREOPT_GTiff": "B=2",
            },
            {"GTiff": ["B=2"]},
        ),
    ],
)
def test_the_environment_gives_drivers_their_defaults(
    environment: dict[str, str], defaults: dict[str, list[str]]
) -> None:
    assert defaults_from(environment) == defaults
