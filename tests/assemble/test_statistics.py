"""Statistics and colour tables of whole runs, as GDAL reads them back."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from osgeo import gdal
from osgeo_utils.samples.validate_cloud_optimized_geotiff import validate

from rios_batch import applier
from rios_batch.assemble.bandinfo import describe
from rios_batch.errors import ThematicError
from rios_batch.gdalapi import MemoryFolder, gdal_exceptions, gdal_type, memory_file
from rios_batch.model.grid import PixelWindow
from rios_batch.model.spec import Layout, StatisticsSpec
from rios_batch.model.statitems import finished, longest
from rios_batch.model.tilestatistics import TileStatistics
from tests.support import make_raster, output_spec

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rios_batch.model.spec import Array
    from rios_batch.model.statitems import BandStatistics

SCENE = np.random.default_rng(11).integers(0, 240, (2, 150, 170)).astype(np.uint8)


@dataclass
class Band:
    """What GDAL says of a band."""

    items: dict[str, str]
    pixels: Array
    colours: list[tuple[int, ...]] | None

    def number(self, name: str) -> float:
        return float(self.items[f"STATISTICS_{name}"])


def read_bands(path: Path) -> list[Band]:
    with gdal_exceptions():
        dataset = gdal.Open(str(path))
        bands = []
        for number in range(1, dataset.RasterCount + 1):
            band = dataset.GetRasterBand(number)
            table = band.GetColorTable()
            colours = table and [table.GetColorEntry(value) for value in range(table.GetCount())]
            items = {k: v for k, v in band.GetMetadata().items() if k.startswith("STATISTICS_")}
            bands.append(Band(items, band.ReadAsArray(), colours))
        return bands


Run = Callable[..., list[Band]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    make_raster(tmp_path / "scene.tif", SCENE)

    def run_one(function: Callable[[Array], Array], path: str = "out.img", **options: Any) -> list[Band]:
        infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
        infiles.scene, outfiles.result = tmp_path / "scene.tif", tmp_path / path
        controls = applier.ApplierControls()
        controls.setWindowSize(32, 48)
        controls.setTileSize(96, 48)
        if path.endswith(".tif"):
            controls.setCreationOptions(["TILED=NO"])
        if path.endswith(".envi"):
            controls.setOutputDriverName("ENVI")
        for setter, value in options.items():
            getattr(controls, setter)(value)

        def user_function(_info: Any, inputs: Any, outputs: Any) -> None:
            outputs.result = function(inputs.scene)

        applier.apply(user_function, infiles, outfiles, controls=controls)
        return read_bands(tmp_path / path)

    return run_one


@pytest.mark.parametrize("path", ["out.img", "out.tif", "out.envi"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
def test_every_format_has_the_statistics_of_its_pixels(run: Run, path: str, dtype: str) -> None:
    bands = run(lambda scene: scene.astype(dtype) * 3 - 100, path)

    assert len(bands) == 2
    for band in bands:
        values = band.pixels[band.pixels != 0]
        assert band.number("MINIMUM") == values.min()
        assert band.number("MAXIMUM") == values.max()
        assert band.number("MEAN") == pytest.approx(values.mean(dtype=np.float64), rel=1e-12)
        assert band.number("STDDEV") == pytest.approx(values.std(dtype=np.float64), rel=1e-12)
        assert band.number("EXCLUDEDVALUES") == 0
        counts = [int(text) for text in band.items["STATISTICS_HISTOBINVALUES"].split("|")[:-1]]
        nbins = 256
        if dtype == "uint8":
            nbins = int(values.max()) + 1
            assert band.items["STATISTICS_HISTOBINFUNCTION"] == "direct"
            assert counts == np.bincount(values).tolist()
        assert (len(counts), sum(counts)) == (nbins, len(values))


def test_gdal_answers_from_them_without_reading_a_pixel(run: Run, tmp_path: Path) -> None:
    run(lambda scene: scene[:1])

    with gdal_exceptions():
        dataset = gdal.Open(str(tmp_path / "out.img"))
        lowest, highest, mean, deviation = dataset.GetRasterBand(1).GetStatistics(False, False)

    valid = SCENE[0][SCENE[0] != 0]
    assert (lowest, highest) == (valid.min(), valid.max())
    assert (mean, deviation) == pytest.approx((valid.mean(), valid.std()))


@pytest.mark.parametrize("path", ["out.img", "out.tif"])
def test_no_pixel_is_read_again(run: Run, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    read = []
    for name in ("ReadAsArray", "ReadRaster", "ComputeStatistics", "GetHistogram", "GetDefaultHistogram"):
        original = getattr(gdal.Band, name)

        def noted(band: gdal.Band, *arguments: Any, original: Any = original, **more: Any) -> Any:
            read.append(band.GetDataset().GetDescription())
            return original(band, *arguments, **more)

        monkeypatch.setattr(gdal.Band, name, noted)

    run(lambda scene: scene[:1], path)

    outputs = [name for name in read if not name.endswith("scene.tif")]
    # One pixel, the last, is read to see that the file can be read; the other time is this test's own.
    assert len(outputs) == 2


def test_pixels_of_the_margin_are_not_counted_twice(run: Run) -> None:
    (band,) = run(lambda scene: scene[:1].astype(np.int32) + 7, "out.tif", setOverlap=3, setStatsIgnore=None)

    assert sum(map(int, band.items["STATISTICS_HISTOBINVALUES"].split("|")[:-1])) == SCENE[0].size
    assert "STATISTICS_EXCLUDEDVALUES" not in band.items


def test_a_nodata_value_that_the_type_does_not_have_is_never_met(run: Run) -> None:
    (band,) = run(lambda scene: scene[:1], setStatsIgnore=-9999)

    assert band.number("MINIMUM") == SCENE[0].min()
    assert band.items["STATISTICS_EXCLUDEDVALUES"] == "-9999"


def test_nan_is_left_out(run: Run) -> None:
    def some_nan(scene: Array) -> Array:
        return np.where(scene[:1] < 100, np.nan, scene[:1]).astype(np.float32)

    (band,) = run(some_nan, setStatsIgnore=np.nan)

    assert band.number("MINIMUM") == 100
    assert band.items["STATISTICS_EXCLUDEDVALUES"] == "nan"


@pytest.mark.parametrize(
    ("function", "options"),
    [
        pytest.param(lambda scene: scene * 0, {}, id="only nodata"),
        pytest.param(lambda scene: scene.astype(np.complex64), {}, id="complex"),
        pytest.param(lambda scene: scene, {"setCalcStats": False}, id="switched off"),
    ],
)
def test_what_has_no_statistics_has_no_items(
    run: Run, function: Callable[[Array], Array], options: dict[str, Any]
) -> None:
    for band in run(function, **options):
        assert band.items == {}


def test_masks_count_as_bytes(run: Run) -> None:
    (band,) = run(lambda scene: scene[:1] > 100, setStatsIgnore=None)

    counts = [(SCENE[0] <= 100).sum(), (SCENE[0] > 100).sum()]
    assert band.items["STATISTICS_HISTOBINVALUES"] == "{}|{}|".format(*counts)


def test_a_sample_is_of_the_same_pixels_whatever_the_windows(run: Run) -> None:
    (one,) = run(lambda scene: scene[:1], setApproxStats=True, setWindowXsize=30)
    (other,) = run(lambda scene: scene[:1], setApproxStats=True)

    assert one.items == other.items
    assert one.items["STATISTICS_APPROXIMATE"] == "YES"
    sample = SCENE[0, ::4, ::4]
    assert one.number("MEAN") == pytest.approx(sample[sample != 0].mean())


# -- colour tables


@pytest.mark.parametrize("path", ["out.img", "out.tif"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_thematic_output_gets_the_colours_that_were_asked_for(run: Run, path: str, dtype: str) -> None:
    (band,) = run(
        lambda scene: (scene[:1] // 24).astype(dtype), path, setThematic=True, setAutoColorTableType="gray"
    )

    assert band.colours is not None
    assert band.colours[0][3] == 0
    assert band.colours[1:10] == [(round(255 * i / 9),) * 3 + (255,) for i in range(1, 10)]


def test_without_statistics_every_value_has_a_colour(run: Run) -> None:
    for switched in ({"setCalcStats": False}, {"setApproxStats": True}):
        (band,) = run(lambda scene: scene[:1], setThematic=True, setAutoColorTableType="rainbow", **switched)
        assert band.colours is not None
        assert len(band.colours) == 256


@pytest.mark.parametrize(
    ("path", "function", "reason"),
    [
        ("out.img", lambda scene: scene.astype(np.int32), "a colour table is for uint8 and uint16"),
        ("out.tif", lambda scene: scene, "a TIFF with a colour table has one band"),
    ],
)
def test_what_cannot_have_colours_says_so_once_and_is_written(
    run: Run, caplog: pytest.LogCaptureFixture, path: str, function: Callable[[Array], Array], reason: str
) -> None:
    with caplog.at_level(logging.WARNING, "rios_batch"):
        bands = run(function, path, setThematic=True, setAutoColorTableType="random")

    assert [band.colours for band in bands] == [None, None]
    assert sum(reason in message for message in caplog.messages) == 1


def test_colours_are_for_thematic_outputs(run: Run, tmp_path: Path) -> None:
    (band,) = run(lambda scene: scene[:1], setAutoColorTableType="random")
    assert band.colours is None

    controls = applier.ApplierControls()
    controls.setAutoColorTableType("random", "result")
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.scene, outfiles.result = tmp_path / "scene.tif", tmp_path / "out.tif"
    with pytest.raises(ThematicError, match=r"'result', which is not thematic; use controls.setThematic too"):
        applier.apply(lambda *_: None, infiles, outfiles, controls=controls)


COLOURS = {0: (255, 255, 255, 0), 7: (0, 0, 255, 128), 200: (0, 128, 0, 255)}


def gdal_table() -> gdal.ColorTable:
    table = gdal.ColorTable()
    for value, colour in COLOURS.items():
        table.SetColorEntry(value, colour)
    return table


@pytest.mark.parametrize(
    "table",
    [
        COLOURS,
        {np.uint8(value): list(colour) for value, colour in COLOURS.items()},
        [(value, *colour) for value, colour in COLOURS.items()],
        np.array([(value, *colour) for value, colour in COLOURS.items()]),
        gdal_table(),
    ],
    ids=["dict", "dict of numpy's numbers", "rows", "array", "gdal.ColorTable"],
)
def test_the_colours_of_a_script_are_written_and_the_rest_is_transparent(run: Run, table: Any) -> None:
    (band,) = run(lambda scene: scene[:1], setColorTable=table)

    assert band.colours is not None
    assert {value: colour for value, colour in enumerate(band.colours) if any(colour)} == COLOURS


@pytest.mark.parametrize("calc_stats", [False, True])
def test_a_cog_with_the_colours_of_a_script_remains_one(tmp_path: Path, calc_stats: bool) -> None:
    make_raster(tmp_path / "scene.tif", np.tile(np.arange(1, 5, dtype=np.uint8), (1, 600, 150)))
    infiles = applier.FilenameAssociations(scene=tmp_path / "scene.tif")
    outfiles = applier.FilenameAssociations(classes=tmp_path / "classes.tif")
    controls = applier.ApplierControls()
    controls.setOutputDriverName("COG")
    controls.setCalcStats(calc_stats)
    controls.setThematic(True)
    controls.setColorTable({1: (255, 0, 0), 4: (0, 0, 255)}, "classes")
    controls.setAutoColorTableType("gray")  # of other outputs

    def copy(_info: Any, inputs: Any, outputs: Any) -> None:
        outputs.classes = inputs.scene

    applier.apply(copy, infiles, outfiles, controls=controls)

    with gdal_exceptions():
        dataset = gdal.Open(str(outfiles.classes))
        band = dataset.GetRasterBand(1)
        assert validate(str(outfiles.classes))[1] == []
        assert band.GetOverviewCount() == (1 if calc_stats else 0)
        assert band.GetColorInterpretation() == gdal.GCI_PaletteIndex
        entries = [band.GetColorTable().GetColorEntry(value)[:3] for value in range(5)]
    assert entries == [(0, 0, 0), (255, 0, 0), (0, 0, 0), (0, 0, 0), (0, 0, 255)]


def test_a_colour_for_a_value_that_the_type_does_not_have_is_said(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    (band,) = run(lambda scene: scene[:1], setColorTable={300: (1, 2, 3)})

    assert band.colours is None
    assert "the colour table goes up to 300, and outputs.result has 1 band of uint8" in caplog.text


@pytest.mark.parametrize("thematic", [False, True])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32"])
def test_a_tiff_directory_is_never_larger_than_the_room_that_is_kept_for_it(
    dtype: str, thematic: bool
) -> None:
    output = output_spec(
        nodata=0,
        thematic=thematic,
        statistics=StatisticsSpec(basic=True, histogram=True, step=1),
        colour_table="random" if thematic else None,
    )
    layout = Layout(dtype, 1)
    pixels = np.random.default_rng(1).normal(120, 30, (1, 200, 200)).astype(dtype)
    collector = TileStatistics(StatisticsSpec(basic=True, histogram=True, step=1), layout, 0)
    collector.add(pixels, PixelWindow(0, 0, 200, 200))

    def directory_bytes(statistics: Sequence[BandStatistics]) -> int:
        with gdal_exceptions(), MemoryFolder() as folder:
            dataset = gdal.GetDriverByName("GTiff").Create(
                f"{folder}/a.tif", 200, 200, 1, gdal_type(dtype), ["TILED=YES", "SPARSE_OK=TRUE"]
            )
            describe(dataset, output, layout, statistics)
            dataset.FlushCache()
            del dataset
            assert gdal.ReadDir(folder) == ["a.tif"]
            return len(memory_file(f"{folder}/a.tif"))

    real = directory_bytes(finished(output, layout, collector.finish()))

    assert real > 1000
    assert real <= directory_bytes(longest(output, layout, pixels.size))
