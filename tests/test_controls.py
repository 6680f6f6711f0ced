# ruff: noqa: ARG001 - user functions and merge rules have the arguments they are called with
from __future__ import annotations

import ast
import copy
import inspect
import pickle
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rios_batch import applier
from rios_batch.controls import ApplierControls
from rios_batch.cuiprogress import SilentProgress
from rios_batch.errors import ColorTableGenerationError, ParameterError
from rios_batch.model.grid import PixelGridDefn

if TYPE_CHECKING:
    from pathlib import Path

GRID = PixelGridDefn((0.0, 10.0, 0.0, 0.0, 0.0, -10.0), 5, 5)


def test_defaults_are_those_that_the_documentation_names() -> None:
    controls = ApplierControls()

    assert (controls.windowxsize, controls.windowysize, controls.overlap) == (256, 256, 0)
    assert controls.footprint == applier.INTERSECTION
    assert (controls.referenceImage, controls.referencePixgrid) == (None, None)
    assert (controls.referenceLimitsExtent, controls.filesForExtent) == (False, None)
    assert (controls.resampleMethod, controls.allowOverviewsGdalwarp) == ("near", False)
    assert controls.inputNodata is None
    assert (controls.burnvalue, controls.burnattribute, controls.vectornull) == (1, None, 0)
    assert (controls.filtersql, controls.alltouched) == (None, False)
    assert (controls.vectordatatype, controls.vectorlayer) == ("uint8", 0)
    assert (controls.progress, controls.tileSize) == (None, None)
    assert (controls.numThreads, controls.jobManagerType) == (1, None)
    assert (controls.drivername, controls.creationoptions) == (None, None)
    assert (controls.statsIgnore, controls.thematic) == (0, False)
    assert (controls.layernames, controls.layerselection) == (None, None)
    assert (controls.calcStats, controls.omitBasicStats, controls.omitHistogram) == (True, False, False)
    assert (controls.approxStats, controls.autoColorTableType) == (False, None)
    assert controls.omitPyramids is False
    assert controls.overviewLevels == [4, 8, 16, 32, 64, 128, 256, 512]
    assert (controls.overviewMinDim, controls.overviewAggType, controls.callBeforeClose) == (128, None, None)
    assert controls.otherArgsMergeRules == {}
    assert (controls.concurrency, controls.jobName, controls.loggingstream) == (None, None, None)


# setter, arguments, attribute that scripts read, its value then
PLAIN_SETTERS: list[tuple[str, tuple[Any, ...], str, Any]] = [
    ("setWindowXsize", (100,), "windowxsize", 100),
    ("setWindowYsize", (100,), "windowysize", 100),
    ("setOverlap", (2,), "overlap", 2),
    ("setOverlap", (0,), "overlap", 0),
    ("setTileSize", (512, 256), "tileSize", (512, 256)),
    ("setFootprintType", (applier.UNION,), "footprint", applier.UNION),
    ("setFootprintType", (applier.BOUNDS_FROM_REFERENCE,), "footprint", applier.BOUNDS_FROM_REFERENCE),
    ("setFootprintType", ("Intersection",), "footprint", applier.INTERSECTION),
    ("setFootprintType", ("UNION",), "footprint", applier.UNION),
    ("setFootprintType", ("BOUNDS_FROM_REFERENCE",), "footprint", applier.BOUNDS_FROM_REFERENCE),
    ("setReferenceImage", ("ref.tif",), "referenceImage", "ref.tif"),
    ("setReferencePixgrid", (GRID,), "referencePixgrid", GRID),
    ("setReferenceLimitsExtent", (True,), "referenceLimitsExtent", True),
    ("setFilesForExtent", (["a.tif", "image"],), "filesForExtent", ["a.tif", "image"]),
    ("setResampleMethod", ("cubic",), "resampleMethod", "cubic"),
    ("setResampleMethod", ("Nearest",), "resampleMethod", "near"),
    ("setAllowOverviewsGdalwarp", (True,), "allowOverviewsGdalwarp", True),
    ("setInputNoDataValue", (np.int16(-9999),), "inputNodata", -9999),
    ("setInputNoDataValue", ((0, None, np.float32(2.5)),), "inputNodata", [0, None, 2.5]),
    ("setInputNoDataValue", (None,), "inputNodata", None),
    ("setBurnValue", (np.uint8(7),), "burnvalue", 7),
    ("setBurnAttribute", ("id",), "burnattribute", "id"),
    ("setVectorNull", (255,), "vectornull", 255),
    ("setFilterSQL", ("id > 3",), "filtersql", "id > 3"),
    ("setAlltouched", (True,), "alltouched", True),
    ("setVectorDatatype", (np.int32,), "vectordatatype", "int32"),
    ("setVectorDatatype", ("float32",), "vectordatatype", "float32"),
    ("setVectorlayer", ("roads",), "vectorlayer", "roads"),
    ("setTempdir", ("/somewhere",), "tempdir", "/somewhere"),
    ("setNumThreads", (4,), "numThreads", 4),
    ("setJobManagerType", ("threads",), "jobManagerType", "threads"),
    ("setJobManagerType", (None,), "jobManagerType", None),
    ("setProgress", (None,), "progress", None),
    ("setJobName", ("ndvi of May",), "jobName", "ndvi of May"),
]


@pytest.mark.parametrize(("setter", "arguments", "attribute", "value"), PLAIN_SETTERS)
def test_a_setter_sets_the_attribute_that_scripts_read(
    setter: str, arguments: tuple[Any, ...], attribute: str, value: Any
) -> None:
    controls = ApplierControls()

    getattr(controls, setter)(*arguments)

    assert getattr(controls, attribute) == value


def test_set_window_size_sets_both_sides() -> None:
    controls = ApplierControls()

    controls.setWindowSize(100, 200)

    assert (controls.windowxsize, controls.windowysize) == (100, 200)


def test_set_progress_keeps_the_very_object() -> None:
    controls, progress = ApplierControls(), SilentProgress()

    controls.setProgress(progress)

    assert controls.progress is progress


def test_paths_are_taken_for_names(tmp_path: Path) -> None:
    controls = ApplierControls()

    controls.setReferenceImage(tmp_path / "ref.tif")
    controls.setTempdir(tmp_path)

    assert (controls.referenceImage, controls.tempdir) == (str(tmp_path / "ref.tif"), str(tmp_path))


# setter, option, value for all, value for one image
IMAGE_SETTERS: list[tuple[str, str, Any, Any]] = [
    ("selectInputImageLayers", "layerselection", [1, 2], [3, 3, 1]),
    ("setOutputDriverName", "drivername", "HFA", "ENVI"),
    ("setCreationOptions", "creationoptions", ["COMPRESS=LZW"], []),
    ("setStatsIgnore", "statsIgnore", 255, None),
    ("setThematic", "thematic", True, False),
    ("setLayerNames", "layernames", ["a", "b"], ["c"]),
    ("setCalcStats", "calcStats", False, True),
    ("setOmitBasicStats", "omitBasicStats", True, False),
    ("setOmitHistogram", "omitHistogram", True, False),
    ("setSinglePassBasicStats", "singlePassBasicStats", True, None),
    ("setSinglePassHistogram", "singlePassHistogram", False, None),
    ("setSinglePassPyramids", "singlePassPyramids", True, None),
    ("setApproxStats", "approxStats", True, False),
    ("setAutoColorTableType", "autoColorTableType", "random", None),
    ("setColorTable", "colorTable", {1: (1, 2, 3, 255)}, None),
    ("setOmitPyramids", "omitPyramids", True, True),
    ("setOverviewLevels", "overviewLevels", [2, 4], [4]),
    ("setOverviewMinDim", "overviewMinDim", 16, 0),
    ("setOverviewAggregationType", "overviewAggType", "AVERAGE", "MODE"),
]


@pytest.mark.parametrize(
    ("setter", "argument", "message"),
    [
        ("setOverviewLevels", [], "at least one overview level"),
        ("setOverviewLevels", 4, r"overview levels are a list, such as \[4\], not a number"),
        ("setProgress", True, r"progress object is one such as cuiprogress.CUIProgressBar\(\), not True"),
        ("setOverviewLevels", [4, 1], "overview level must be a whole number of at least 2, not 1"),
        ("setOverviewMinDim", -1, "smallest overview must be a whole number of at least 0, not -1"),
        ("setOverviewAggregationType", "BEST", "aggregation type 'BEST': use one of NEAREST, AVERAGE"),
        ("setCallBeforeClose", "print", "callBeforeClose is a str, not a function"),
    ],
)
def test_settings_of_overviews_that_make_no_sense_are_refused(
    setter: str, argument: Any, message: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        getattr(ApplierControls(), setter)(argument)


def test_overview_settings_are_taken_as_they_are_meant() -> None:
    controls = ApplierControls()

    controls.setOverviewLevels((8, 4, 4))
    controls.setOverviewAggregationType("average")

    assert (controls.overviewLevels, controls.overviewAggType) == ([4, 8], "AVERAGE")


@pytest.mark.parametrize(("setter", "option", "for_all", "for_one"), IMAGE_SETTERS)
def test_an_images_own_value_is_used_for_it_and_the_general_one_for_the_rest(
    setter: str, option: str, for_all: Any, for_one: Any
) -> None:
    controls = ApplierControls()
    getattr(controls, setter)(for_one, imagename="one")
    default = getattr(ApplierControls(), option)
    assert controls.getOptionForImagename(option, "other") == default

    getattr(controls, setter)(for_all)

    assert controls.getOptionForImagename(option, "one") == for_one
    assert controls.getOptionForImagename(option, "other") == for_all
    assert controls.getOptionForImagename(option, None) == for_all
    assert getattr(controls, option) == for_all


@pytest.mark.parametrize("setter", ["setCreationOptions", "setLayerNames", "selectInputImageLayers"])
def test_lists_are_copied_and_tuples_and_none_are_accepted(setter: str) -> None:
    controls = ApplierControls()
    option = next(row[1] for row in IMAGE_SETTERS if row[0] == setter)
    given: list[Any] = [1] if setter == "selectInputImageLayers" else ["A=1"]

    getattr(controls, setter)(given)
    given.append(None)
    assert len(getattr(controls, option)) == 1
    getattr(controls, setter)(tuple(given[:1]))
    assert getattr(controls, option) == given[:1]
    getattr(controls, setter)(None)
    assert getattr(controls, option) is None


WHOLE_NUMBERS = [
    ("setWindowXsize", "window x size", 1),
    ("setWindowYsize", "window y size", 1),
    ("setOverlap", "overlap", 0),
    ("setNumThreads", "number of threads", 1),
]


@pytest.mark.parametrize(("setter", "words", "least"), WHOLE_NUMBERS)
@pytest.mark.parametrize("value", [-1, 2.5, True, "3"])
def test_a_value_that_is_not_a_whole_number_in_range_is_refused_with_the_range(
    setter: str, words: str, least: int, value: Any
) -> None:
    controls = ApplierControls()

    with pytest.raises(
        ParameterError, match=rf"the {words} must be a whole number of at least {least}, not {value!r}"
    ):
        getattr(controls, setter)(value)


@pytest.mark.parametrize(("setter", "words", "least"), WHOLE_NUMBERS)
@pytest.mark.parametrize("value", ["two", None, [1], float("inf"), float("nan")])
def test_a_value_that_is_no_number_at_all_is_refused_the_same_way(
    setter: str, words: str, least: int, value: Any
) -> None:
    controls = ApplierControls()

    with pytest.raises(ParameterError, match=rf"the {words} must be a whole number of at least {least}"):
        getattr(controls, setter)(value)


@pytest.mark.parametrize("sizes", [(0, 5), (5, 0)])
def test_a_tile_size_below_one_is_refused(sizes: tuple[int, int]) -> None:
    with pytest.raises(ParameterError, match=r"tile . size must be a whole number of at least 1, not 0"):
        ApplierControls().setTileSize(*sizes)


def test_an_unknown_footprint_is_refused_with_the_three_there_are() -> None:
    with pytest.raises(
        ParameterError,
        match=r"type 7: use applier\.INTERSECTION, applier\.UNION, applier\.BOUNDS_FROM_REFERENCE",
    ):
        ApplierControls().setFootprintType(7)


def test_a_reference_image_and_a_reference_grid_exclude_each_other() -> None:
    with_image, with_grid = ApplierControls(), ApplierControls()
    with_image.setReferenceImage("ref.tif")
    with_grid.setReferencePixgrid(GRID)

    with pytest.raises(ParameterError, match="not both"):
        with_image.setReferencePixgrid(GRID)
    with pytest.raises(ParameterError, match="not both"):
        with_grid.setReferenceImage("ref.tif")


def test_a_reference_grid_that_is_something_else_is_refused_by_name_of_its_type() -> None:
    with pytest.raises(ParameterError, match="is a PixelGridDefn, not a str"):
        ApplierControls().setReferencePixgrid("ref.tif")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("setter", "value", "says"),
    [
        ("setResampleMethod", "nearly-cubic", "one of near, bilinear, .*q3"),
        ("setResampleMethod", None, "one of near"),
        ("setResampleMethod", "sum", "'sum' is not available: GDAL loses .*'average'"),
        ("setInputNoDataValue", "0", "must be a number, not '0'"),
        ("setInputNoDataValue", [1, True], "must be a number, not True"),
        ("setBurnValue", "1", "burn value must be a number"),
        ("setVectorNull", None, "vector null value must be a number"),
        ("setVectorDatatype", "uint7", "'uint7' is not a numpy type"),
        ("setFilesForExtent", "a.tif", r"such as \['a.tif'\], not a text"),
    ],
)
def test_what_an_input_cannot_be_is_refused_with_what_it_can(setter: str, value: Any, says: str) -> None:
    with pytest.raises(ParameterError, match=says):
        getattr(ApplierControls(), setter)(value)


@pytest.mark.parametrize("layers", [[0], [1, -2], [1.5]])
def test_layers_are_counted_from_one(layers: list[Any]) -> None:
    with pytest.raises(ParameterError, match="layer number must be a whole number of at least 1"):
        ApplierControls().selectInputImageLayers(layers)


def test_an_empty_selection_of_layers_is_refused() -> None:
    with pytest.raises(ParameterError, match="at least one layer, or None for all"):
        ApplierControls().selectInputImageLayers([])


def test_creation_options_as_one_text_are_refused_with_the_list_to_write() -> None:
    with pytest.raises(ParameterError, match=r"such as \['COMPRESS=LZW'\], not a text"):
        ApplierControls().setCreationOptions("COMPRESS=LZW")


def test_an_unknown_merge_rule_is_refused_when_it_is_set() -> None:
    with pytest.raises(ParameterError, match="'average' is not a merge rule"):
        ApplierControls().setOtherArgsMerge("n", "average")


def test_merge_rules_are_kept_by_attribute_name() -> None:
    controls = ApplierControls()

    def last(initial: Any, values: list[Any]) -> Any:
        return values[-1]

    controls.setOtherArgsMerge("n", "sum")
    controls.setOtherArgsMerge("m", last)

    assert controls.otherArgsMergeRules["n"](1, [2, 3]) == 4
    assert controls.otherArgsMergeRules["m"] is last


def test_calc_stats_switches_all_three_as_in_rios_2() -> None:
    controls = ApplierControls()

    controls.setCalcStats(False, "mask")

    options = ("omitBasicStats", "omitHistogram", "omitPyramids")
    assert [controls.getOptionForImagename(option, "mask") for option in options] == [True, True, True]
    assert not controls.getOptionForImagename("omitHistogram", "other")


def test_a_colour_table_of_no_known_type_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ColorTableGenerationError, match="'viridis': use one of 'rainbow', 'gray', 'random'"):
        ApplierControls().setAutoColorTableType("viridis")
    monkeypatch.setenv("RIOS_DFLT_AUTOCOLORTABLETYPE", "Rainbow")
    with pytest.raises(
        ParameterError, match="RIOS_DFLT_AUTOCOLORTABLETYPE must be one of rainbow.*'Rainbow'"
    ):
        ApplierControls()
    monkeypatch.setenv("RIOS_DFLT_AUTOCOLORTABLETYPE", "gray")
    assert ApplierControls().autoColorTableType == "gray"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("viridis", "a dict such as {1: \\(0, 0, 255\\)}.*not 'viridis'"),
        ({1: 5}, "not {1: 5}"),
        (np.zeros((4, 3)), "rows of value, red, green, blue and alpha"),
        (7, "not 7"),
        ({}, "the colour table is empty"),
        ({1: (0, 0)}, r"colour \(0, 0\) of value 1: a colour is red, green, blue and perhaps alpha"),
        ({1: (0, 0, 256)}, r"colour \(0, 0, 256\) of value 1.*0 to 255 each"),
        ({1: (0, 0, 0.5)}, r"the colour of value 1 must be a whole number.*0\.5"),
        ({-1: (0, 0, 0)}, "the value in a colour table must be a whole number of at least 0"),
        ({70_000: (0, 0, 0)}, "a colour for 70000; the largest value is 65535"),
    ],
)
def test_what_is_no_colour_table_is_refused(table: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        ApplierControls().setColorTable(table)


def test_an_option_for_a_name_that_is_no_file_is_refused_with_the_names_there_are() -> None:
    controls = ApplierControls()
    controls.setStatsIgnore(255, imagename="ouput")
    controls.setThematic(True, imagename="ouput")

    with pytest.raises(
        ParameterError, match=r"statsIgnore, thematic was set for 'ouput'.*names 'image', 'output'"
    ):
        controls.check_names(["output", "image"])


ENVIRONMENT = [
    ("RIOS_DFLT_BLOCKXSIZE", "100", "windowxsize", 100),
    ("RIOS_DFLT_BLOCKYSIZE", "200", "windowysize", 200),
    ("RIOS_DFLT_MINOVERLEVELDIM", "33", "overviewMinDim", 33),
    ("RIOS_DFLT_OVERLAP", "3", "overlap", 3),
    ("RIOS_DFLT_FOOTPRINT", "1", "footprint", applier.UNION),
    ("RIOS_DFLT_JOBMGRTYPE", "threads", "jobManagerType", "threads"),
    ("RIOS_DFLT_NUMTHREADS", "8", "numThreads", 8),
    ("RIOS_DFLT_DRIVER", "HFA", "drivername", "HFA"),
    ("RIOS_DFLT_OVERVIEWLEVELS", "8,2", "overviewLevels", [2, 8]),
    ("RIOS_DFLT_OVERVIEWAGGTYPE", "average", "overviewAggType", "AVERAGE"),
]


@pytest.mark.parametrize(("variable", "text", "attribute", "value"), ENVIRONMENT)
def test_an_environment_variable_sets_a_default(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str, attribute: str, value: Any
) -> None:
    monkeypatch.setenv(variable, text)

    assert getattr(ApplierControls(), attribute) == value


@pytest.mark.parametrize(("variable", "text", "attribute", "value"), ENVIRONMENT)
def test_an_empty_environment_variable_is_as_good_as_none(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str, attribute: str, value: Any
) -> None:
    del text, value
    default = getattr(ApplierControls(), attribute)
    monkeypatch.setenv(variable, "")

    assert getattr(ApplierControls(), attribute) == default


NUMERIC_VARIABLES = [row[0] for row in ENVIRONMENT[:5]]


@pytest.mark.parametrize("variable", NUMERIC_VARIABLES)
def test_an_environment_variable_that_is_no_number_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "many")

    with pytest.raises(ParameterError, match=f"{variable} must be a whole number, .*, not 'many'"):
        ApplierControls()


# Unnoticed, footprint 7 would work as UNION, and an overlap of -2 would blame the user function.
@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("RIOS_DFLT_BLOCKXSIZE", "0"),
        ("RIOS_DFLT_BLOCKYSIZE", "-5"),
        ("RIOS_DFLT_OVERLAP", "-2"),
        ("RIOS_DFLT_FOOTPRINT", "7"),
        ("RIOS_DFLT_OVERVIEWLEVELS", "4,x"),
        ("RIOS_DFLT_OVERVIEWLEVELS", "1"),
    ],
)
def test_an_environment_variable_out_of_range_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str
) -> None:
    monkeypatch.setenv(variable, text)

    with pytest.raises(ParameterError, match=variable):
        ApplierControls()


def test_creation_options_come_from_the_script_then_the_drivers_variable_then_nowhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = ApplierControls()
    monkeypatch.setenv("RIOS_DFLT_CREOPT_GTiff", "COMPRESS=LZW TILED=YES")
    assert before.creation_options_for("out", "GTiff") is None

    controls = ApplierControls()
    assert controls.creation_options_for("out", "GTiff") == ["COMPRESS=LZW", "TILED=YES"]
    assert controls.creation_options_for("out", "HFA") is None

    controls.setCreationOptions(["COMPRESS=ZSTD"])
    controls.setCreationOptions([], imagename="bare")
    assert controls.creation_options_for("out", "GTiff") == ["COMPRESS=ZSTD"]
    assert controls.creation_options_for("bare", "GTiff") == []


SETTERS = [name for name in vars(ApplierControls) if name.startswith(("set", "select"))]


@pytest.mark.parametrize("name", SETTERS)
def test_a_setter_says_what_it_raises(name: str) -> None:
    assert "\nRaises\n------\n" in (inspect.getdoc(getattr(ApplierControls, name)) or "")


def test_every_setting_is_followed_by_a_line_with_its_default() -> None:
    (function,) = ast.parse(textwrap.dedent(inspect.getsource(ApplierControls.__init__))).body
    assert isinstance(function, ast.FunctionDef)
    settings = [node for node in function.body if isinstance(node, ast.Assign | ast.AnnAssign)]
    texts = [
        node.value.value
        for node in function.body
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    ]

    assert len(texts) == len(vars(ApplierControls())) == len(settings) - 1  # all but the environment
    assert [text for text in texts if "default " not in str(text)] == []


# -- attributes that scripts of RIOS 1.4 assign

ASSIGNED = [(row[2], row[1][0], row[3]) for row in PLAIN_SETTERS if len(row[1]) == 1] + [
    (row[1], row[2], row[2]) for row in IMAGE_SETTERS
]


@pytest.mark.parametrize(("attribute", "given", "value"), ASSIGNED)
def test_an_attribute_that_is_assigned_is_what_its_setter_makes_of_the_value(
    attribute: str, given: Any, value: Any
) -> None:
    controls = ApplierControls()

    setattr(controls, attribute, given)

    assert getattr(controls, attribute) == value


def test_calc_stats_is_obeyed_when_it_is_assigned() -> None:
    controls = ApplierControls()

    controls.calcStats = False

    assert (controls.omitBasicStats, controls.omitHistogram, controls.omitPyramids) == (True, True, True)


def test_calc_stats_that_is_on_already_does_not_bring_overviews_back() -> None:
    controls = ApplierControls()

    controls.omitPyramids = True
    controls.calcStats = True

    assert (controls.calcStats, controls.omitPyramids) == (True, True)


@pytest.mark.parametrize(
    ("attribute", "value", "says"),
    [
        ("overlap", -2, "the overlap must be a whole number of at least 0, not -2"),
        ("creationoptions", "COMPRESS=LZW", r"such as \['COMPRESS=LZW'\], not a text"),
        ("footprint", 7, "footprint type 7: use applier.INTERSECTION"),
        ("progress", 3, "progress object"),
    ],
)
def test_a_value_that_is_assigned_is_checked_as_the_setter_checks_it(
    attribute: str, value: Any, says: str
) -> None:
    with pytest.raises(ParameterError, match=says):
        setattr(ApplierControls(), attribute, value)


@pytest.mark.parametrize(
    ("attribute", "says"),
    [
        ("drivrname", "has no setting 'drivrname'; did you mean 'drivername'"),
        ("numthreads", "has no setting 'numthreads'; did you mean 'numThreads'"),
        ("windowXsize", "did you mean 'windowxsize'"),
        ("setNumThreads", r"setNumThreads is a method; write controls.setNumThreads\(4\)"),
        ("quux", "has no setting 'quux'; the settings are allowOverviewsGdalwarp, .*, windowysize"),
    ],
)
def test_an_attribute_that_is_no_setting_is_refused_with_the_nearest_one(attribute: str, says: str) -> None:
    with pytest.raises(ParameterError, match=says):
        setattr(ApplierControls(), attribute, 4)


def test_an_option_is_set_by_its_name_for_one_image_or_for_all() -> None:
    controls = ApplierControls()

    controls.setOptionForImagename("calcStats", "mask", False)
    controls.setOptionForImagename("resampleMethod", None, "Nearest")

    assert controls.getOptionForImagename("omitHistogram", "mask") is True
    assert (controls.omitHistogram, controls.resampleMethod) == (False, "near")
    with pytest.raises(ParameterError, match="did you mean 'statsIgnore'"):
        controls.setOptionForImagename("statsignore", "mask", 1)
    with pytest.raises(ParameterError, match="'overlap' is one setting for the whole run, not for 'mask'"):
        controls.setOptionForImagename("overlap", "mask", 1)


def test_controls_are_copied_and_pickled_with_their_settings() -> None:
    controls = ApplierControls()
    controls.overlap = 3
    controls.setThematic(True, imagename="mask")

    for again in (copy.copy(controls), copy.deepcopy(controls), pickle.loads(pickle.dumps(controls))):
        assert vars(again) == vars(controls)
        again.overlap = 4
        with pytest.raises(ParameterError, match="did you mean 'overlap'"):
            setattr(again, "overlapp", 1)  # noqa: B010 - mypy knows that there is no such setting
    assert controls.overlap == 3


def test_a_subclass_may_have_attributes_of_its_own() -> None:
    class Controls(ApplierControls):
        def __init__(self) -> None:
            super().__init__()
            self.season = "dry"
            self.overlap = 2

    controls = Controls()
    assert (controls.season, controls.overlap) == ("dry", 2)
    with pytest.raises(ParameterError, match="at least 0, not -1"):
        controls.overlap = -1


# -- keyword names of both generations


@pytest.mark.parametrize(
    ("setter", "keyword", "value", "attribute"),
    [
        ("setLayerNames", "layerNames", ["a"], "layernames"),
        ("setLayerNames", "layernames", ["a"], "layernames"),
        ("setInputNoDataValue", "nodataValue", 9, "inputNodata"),
        ("setInputNoDataValue", "nodata", 9, "inputNodata"),
        ("setFilesForExtent", "filesforextent", ["a.tif"], "filesForExtent"),
        ("setFilesForExtent", "filesForExtent", ["a.tif"], "filesForExtent"),
    ],
)
def test_a_setter_has_the_keyword_names_of_both_generations(
    setter: str, keyword: str, value: Any, attribute: str
) -> None:
    controls = ApplierControls()

    getattr(controls, setter)(**{keyword: value})

    assert getattr(controls, attribute) == value


@pytest.mark.parametrize("keyword", ["func", "callBeforeClose"])
def test_the_function_before_closing_has_the_keyword_names_of_both_generations(keyword: str) -> None:
    controls = ApplierControls()
    given: dict[str, Any] = {keyword: max}

    controls.setCallBeforeClose(**given, args=(3, 4))

    assert controls.callBeforeClose is not None
    assert controls.callBeforeClose(1) == 4


def test_a_keyword_that_is_given_twice_or_not_known_is_refused() -> None:
    controls = ApplierControls()

    with pytest.raises(TypeError, match="layernames"):
        controls.setLayerNames(layerNames=["a"], layernames=["b"])  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="names"):
        controls.setLayerNames(names=["a"])  # type: ignore[call-arg]


# -- not set


def test_none_means_that_no_reference_is_set() -> None:
    controls = ApplierControls()

    controls.setReferenceImage("ref.tif")
    controls.setReferenceImage(None)
    controls.setReferencePixgrid(GRID)
    controls.setReferencePixgrid(None)
    controls.setReferenceImage(None)

    assert (controls.referenceImage, controls.referencePixgrid) == (None, None)


@pytest.mark.parametrize("given", [0, -1, float("nan"), float("inf"), True, "2"])
def test_the_most_that_a_run_may_cost_is_a_number_above_0(given: Any) -> None:
    controls = ApplierControls()
    controls.setMaxCost(2.5)

    with pytest.raises(ParameterError, match=r"cost"):
        controls.setMaxCost(given)

    assert controls.maxCost == 2.5
    controls.setMaxCost(None)
    assert controls.maxCost is None
