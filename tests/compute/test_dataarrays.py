"""User functions on xarray's DataArrays, and outputs opened as DataArrays."""

from __future__ import annotations

import datetime as dt
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from osgeo import gdal

from rios_batch import applier
from rios_batch.errors import ArrayShapeError, MissingFileError, ParameterError, UserFunctionError
from rios_batch.read import facts
from rios_batch.testing.running import as_in_a_script
from tests.s3server import ON_LOOPBACK
from tests.support import ORIGIN, PIXEL_M, make_raster, ramp, read_raster, run_script

xarray = pytest.importorskip("xarray", reason="the extra 'xarray' is not installed")
pytest.importorskip("rioxarray")  # gives DataArrays their attribute `rio`; blocks do without

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rios_batch.aws.objects import Bucket
    from tests.s3server import S3Server

# affine 3, which rioxarray uses, is to get another operator.
pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")

SHAPE = (2, 90, 70)
SCENES = [ramp(*SHAPE), ramp(*SHAPE)[:, ::-1] + 3, ramp(*SHAPE)[:, :, ::-1] + 9]
NODATA = [7, 200, None]
DATES: list[Any] = ["2024-03-01T12:00:00+02:00", dt.date(2024, 4, 2), np.datetime64("2024-06-30")]


@pytest.fixture
def scenes(tmp_path: Path) -> list[str]:
    paths = [tmp_path / f"scene{number}.tif" for number in range(len(SCENES))]
    for path, pixels, nodata in zip(paths, SCENES, NODATA, strict=True):
        make_raster(path, pixels, nodata=nodata)
    return list(map(str, paths))


def run(
    function: Callable[..., Any], folder: Path, scenes: Any, other: Any = None, **setters: Any
) -> applier.ApplierReturn:
    controls = applier.ApplierControls()
    for setter, value in {
        "setWindowSize": (32, 32),
        "setTileSize": (32, 32),
        "setStatsIgnore": (0,),
        **setters,
    }.items():
        getattr(controls, setter)(*value)
    return applier.apply(
        function,
        applier.FilenameAssociations(scenes=scenes, first=str(folder / "scene0.tif")),
        applier.FilenameAssociations(out=str(folder / "out.tif")),
        other,
        controls,
    )


@as_in_a_script
def look_at_all(info: Any, inputs: Any, outputs: Any, other: Any) -> None:
    """Raise where a DataArray is not what is promised; write the mean of the dates, and the first."""
    scenes, first = inputs.scenes, inputs.first
    x, y = info.getBlockCoordArrays()
    for array, dims in ((scenes, ("time", "band", "y", "x")), (first, ("band", "y", "x"))):
        if array.dims != dims or array.crs != info.getProjection():
            raise RuntimeError(str(array))
        if (array.x.values != x[0]).any() or (array.y.values != y[:, 0]).any():
            raise RuntimeError(f"the coordinates are {array.x.values}, not {x[0]}")
    if [str(date)[:16] for date in scenes.time.values] != other.dates or scenes.name != "scenes":
        raise RuntimeError(str(scenes.time))
    if not info.getFilenameFor(first).endswith("scene0.tif") or info.getNoDataValueFor(first) != 7:
        raise RuntimeError("info does not know the DataArray")
    outputs.out = scenes.mean("time").transpose("x", "band", "y") * other.factor


@pytest.mark.parametrize("manager", ["in-process", "threads", "multiprocessing"])
def test_a_function_gets_dataarrays_with_dates_places_and_the_margin_with_every_job_manager(
    tmp_path: Path, scenes: list[str], manager: str
) -> None:
    other = applier.OtherInputs(
        dates=["2024-03-01T10:00", "2024-04-02T00:00", "2024-06-30T00:00"], factor=2.0
    )
    function = applier.dataarrays(look_at_all, {"scenes": DATES}, masked=True)

    run(
        function,
        tmp_path,
        scenes,
        other,
        setOverlap=(2,),
        setJobManagerType=(manager,),
        setNumThreads=(1 if manager == "in-process" else 2,),
    )

    masked = [
        np.where(pixels == nodata, np.nan, pixels) for pixels, nodata in zip(SCENES, NODATA, strict=True)
    ]
    np.testing.assert_allclose(read_raster(tmp_path / "out.tif"), 2 * np.nanmean(masked, axis=0), rtol=1e-6)


def test_without_dates_a_list_stays_a_list_and_pixels_keep_type_and_nodata(
    tmp_path: Path, scenes: list[str]
) -> None:
    names = ["red", "nir"]
    seen = []

    def function(_info: Any, inputs: Any, outputs: Any) -> None:
        seen.extend(inputs.scenes)
        outputs.out = inputs.first.sel(band="nir")

    dataset = gdal.Open(scenes[0], gdal.GA_Update)
    for number, name in enumerate(names, start=1):
        dataset.GetRasterBand(number).SetDescription(name)
    del dataset
    run(applier.dataarrays(function), tmp_path, scenes)

    assert [array.attrs.get("nodata") for array in seen[:3]] == NODATA
    assert [array.rio.nodata for array in seen[:3]] == NODATA
    assert {array.dtype.name for array in seen} == {"uint16"}
    assert [list(array.band.values) for array in seen[:2]] == [names, [1, 2]]
    np.testing.assert_array_equal(read_raster(tmp_path / "out.tif"), SCENES[0][1:])


def test_nan_becomes_nodata_if_there_is_a_nodata_value(tmp_path: Path, scenes: list[str]) -> None:
    def function(_info: Any, inputs: Any, outputs: Any) -> None:
        outputs.out = inputs.first.where(inputs.first > 100)

    expected = np.where(SCENES[0] > 100, SCENES[0], np.nan)

    for nodata in (-1, None):
        run(applier.dataarrays(function), tmp_path, scenes, setStatsIgnore=(nodata,))
        filled = expected if nodata is None else np.where(np.isnan(expected), nodata, expected)
        np.testing.assert_array_equal(read_raster(tmp_path / "out.tif"), filled)


def test_a_date_without_a_file_in_the_block_is_left_out(tmp_path: Path, scenes: list[str]) -> None:
    left, top = ORIGIN
    make_raster(scenes[1], SCENES[1][:, :32, :32], origin=(left + 32 * PIXEL_M, top))
    counts = []

    def function(_info: Any, inputs: Any, outputs: Any) -> None:
        counts.append(inputs.scenes.sizes["time"])
        outputs.out = inputs.first

    run(
        applier.dataarrays(function, {"scenes": DATES}),
        tmp_path,
        scenes,
        setOutsideAsNone=(True,),
        setFootprintType=(applier.UNION,),
    )

    assert counts == [2, 3, 2] + 6 * [2]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda a: a.expand_dims("time"), r"outputs\.out in block .* \(time, band, y, x\); .*\(band, y, x\) or \(y"),
        (lambda a: a.mean("x"), r"dimensions \(band, y\)"),
        (lambda a: a.sortby("y"), "whose y coordinates are not in the inputs' order"),
        (lambda a: a.isel(x=slice(1, None)), r"outputs\.out has shape .* in block"),
        (lambda a: a.to_dataset(name="a"), "outputs.out is a Dataset in block"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_refused(
    tmp_path: Path, scenes: list[str], change: Callable[..., Any], sentence: str
) -> None:
    def function(_info: Any, inputs: Any, outputs: Any) -> None:
        outputs.out = change(inputs.first)

    with pytest.raises(ArrayShapeError, match=sentence):
        run(applier.dataarrays(function), tmp_path, scenes)
    assert not (tmp_path / "out.tif").exists()


@pytest.mark.parametrize(
    ("dates", "sentence"),
    [
        ({"scenes": DATES[:2]}, "2 dates were given for the 3 files of infiles.scenes"),
        ({"first": DATES[:1]}, "infiles.first, which is no list of files; the lists are scenes"),
        ({"sceens": DATES}, "infiles.sceens, which is no list of files"),
        ({"scenes": ["May", *DATES[1:]]}, "the dates of infiles.scenes have 'May'; a date is"),
        ({"scenes": [20240301, *DATES[1:]]}, "have 20240301"),
        ({"scenes": [None, *DATES[1:]]}, "have None"),
    ],
)
def test_dates_that_do_not_fit_are_refused_before_any_work(
    tmp_path: Path, scenes: list[str], dates: Any, sentence: str
) -> None:
    with pytest.raises(ParameterError, match=sentence):
        run(applier.dataarrays(look_at_all, dates), tmp_path, scenes)


def test_dates_need_the_same_bands_and_a_function_is_a_function(tmp_path: Path, scenes: list[str]) -> None:
    make_raster(scenes[1], SCENES[1][:1])

    with pytest.raises(UserFunctionError, match="infiles.scenes have 1 and 2 bands"):
        run(applier.dataarrays(look_at_all, {"scenes": DATES}), tmp_path, scenes)
    with pytest.raises(ParameterError, match="dataarrays was given a str, not a function"):
        applier.dataarrays("mean")  # type: ignore[arg-type]


def test_an_exception_shows_the_function_and_its_name(tmp_path: Path, scenes: list[str]) -> None:
    def fails(_info: Any, inputs: Any, _outputs: Any) -> None:
        int(inputs.first.dims[0])

    with pytest.raises(UserFunctionError, match="^fails raised ValueError") as raised:
        run(applier.dataarrays(fails), tmp_path, scenes)
    first, second = raised.value.traceback_text.splitlines()[:2]
    assert first == "Traceback (most recent call last):"
    assert second.endswith("in fails")


def test_without_the_extra_one_sentence_says_what_to_install_and_with_it_nothing_is_loaded_early(
    tmp_path: Path,
) -> None:
    source = """
        import sys
        from rios_batch import applier
        applier.dataarrays(print)
        print([name for name in ("xarray", "pandas") if name in sys.modules])
        sys.modules["xarray"] = None
        applier.dataarrays(print)
    """
    done = run_script(tmp_path, source)

    assert done.stdout == "[]\n"
    assert done.stderr.splitlines()[-1] == (
        "ModuleNotFoundError: DataArrays need xarray, and it is not installed; use pip install 'rios_batch[xarray]'"
    )


# -- outputs


def doubled(_info: Any, inputs: Any, outputs: Any) -> None:
    outputs.one = inputs.image[:1] * 2
    outputs.several = [inputs.image, inputs.image.astype("f4")]
    outputs.none = None


def written(folder: Path, *, one: str = "", **setters: Any) -> applier.ApplierReturn:
    make_raster(folder / "image.tif", SCENES[0])
    controls = applier.ApplierControls()
    controls.setStatsIgnore(7, "several")
    controls.setLayerNames(["red", "nir"], "several")
    controls.setStatsIgnore(None, "one")
    for setter, value in setters.items():
        getattr(controls, setter)(value)
    return applier.apply(
        doubled,
        applier.FilenameAssociations(image=str(folder / "image.tif")),
        applier.FilenameAssociations(
            one=one or str(folder / "one.tif"),
            several=[str(folder / "a.tif"), str(folder / "b.img")],
            none=None,
        ),
        controls=controls,
    )


def test_outputs_are_dataarrays_by_name_with_place_band_names_and_nodata(tmp_path: Path) -> None:
    found: Any = written(tmp_path).to_xarray()

    assert list(found) == ["one", "several"]
    one, (two, three) = found["one"], found["several"]
    assert (one.dims, one.shape, one.dtype, one.rio.nodata) == (
        ("band", "y", "x"),
        (1, 90, 70),
        "uint16",
        None,
    )
    assert [list(array.band.values) for array in (one, two, three)] == [[1], ["red", "nir"], ["red", "nir"]]
    assert (two.rio.nodata, three.rio.nodata, two.dtype, three.dtype) == (7, 7, "uint16", "float32")
    assert two.rio.crs.to_epsg() == 32613
    left, top = ORIGIN
    assert tuple(two.rio.transform())[:6] == (PIXEL_M, 0, left, 0, -PIXEL_M, top)
    assert (float(two.x[0]), float(two.y[0])) == (left + PIXEL_M / 2, top - PIXEL_M / 2)
    for array, pixels in ((one, SCENES[0][:1] * 2), (two, SCENES[0]), (three, SCENES[0])):
        np.testing.assert_array_equal(array.values, pixels)
    np.testing.assert_array_equal(
        two.sel(band="nir")[40:3:-3, [5, 1, 60]], SCENES[0][1, 40:3:-3][:, [5, 1, 60]]
    )
    assert two[:, 5:5].shape == (2, 0, 70)
    assert two.chunk({"x": 30}).sum().compute() == SCENES[0].sum()
    two.rio.to_raster(tmp_path / "copy.tif")
    np.testing.assert_array_equal(read_raster(tmp_path / "copy.tif"), SCENES[0])


def test_masked_outputs_have_nan_and_remember_nodata(tmp_path: Path) -> None:
    found: Any = written(tmp_path).to_xarray(masked=True)

    two = found["several"][0]
    assert (found["one"].dtype, two.dtype, two.rio.encoded_nodata) == ("uint16", "float32", 7)
    np.testing.assert_array_equal(two.values, np.where(SCENES[0] == 7, np.nan, SCENES[0]))


def test_only_what_is_looked_at_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rios_batch.read import xarrays  # noqa: PLC0415

    result = written(tmp_path)
    windows = []

    class Counted:
        def __init__(self, band: Any) -> None:
            self._band = band

        def ReadAsArray(self, *window: int) -> Any:  # noqa: N802 - GDAL's
            windows.append(window)
            return self._band.ReadAsArray(*window)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._band, name)

    class Opened:
        def __init__(self, name: str) -> None:
            self._dataset = facts.open_raster(name)

        def GetRasterBand(self, number: int) -> Counted:  # noqa: N802 - GDAL's
            return Counted(self._dataset.GetRasterBand(number))

        def __getattr__(self, name: str) -> Any:
            return getattr(self._dataset, name)

    monkeypatch.setattr(xarrays, "open_raster", Opened)
    found: Any = result.to_xarray(masked=True)
    assert windows == []

    assert found["several"][0][1, 10:20, 30].shape == (10,)
    assert found["several"][0][1, 10:20, 30].values.tolist() == SCENES[0][1, 10:20, 30].tolist()
    assert windows == [(30, 10, 1, 10)]


def test_a_dry_run_and_an_output_that_is_gone_say_so(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="a dry run writes no outputs to open"):
        written(tmp_path, setDryRun=True).to_xarray()
    result = written(tmp_path)
    (tmp_path / "a.tif").unlink()
    with pytest.raises(MissingFileError, match=r"a\.tif"):
        result.to_xarray()


def test_without_rioxarray_one_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = written(tmp_path)
    monkeypatch.setitem(sys.modules, "rioxarray", None)

    with pytest.raises(ModuleNotFoundError, match=r"pip install 'rios_batch\[xarray\]'"):
        result.to_xarray()


@ON_LOOPBACK
def test_outputs_in_s3_are_read_in_parts(tmp_path: Path, bucket: Bucket, s3_server: S3Server) -> None:
    result = written(tmp_path, one=f"s3://{bucket.name}/maps/one.tif")
    s3_server.requests.clear()

    found: Any = result.to_xarray()["one"]

    np.testing.assert_array_equal(found[0, 3:9].values, SCENES[0][0, 3:9] * 2)
    assert found.rio.crs.to_epsg() == 32613
