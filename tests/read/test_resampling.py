"""Inputs that are not on the working grid: as gdalwarp would have it, however the grid is cut."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from osgeo import gdal

from rios_batch import applier, pixelgrid, rioserrors
from rios_batch.gdalapi import GDAL_TYPES
from rios_batch.model.spec import RESAMPLE_METHODS
from rios_batch.read.facts import describe
from rios_batch.read.warp import SOURCE_EXTRA_PX, plan_warp, scale_of
from tests.support import DEMO_BANDS, make_raster, ramp, utm_wkt

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rios_batch.model.spec import Array
    from rios_batch.pixelgrid import PixelGridDefn

NODATA = -9999
# Three columns and two rows of chunks, at pixels and in a projection that are not the file's.
FINE = pixelgrid.PixelGridDefn(
    xMin=1_013_960, xMax=1_013_960 + 560 * 25, yMin=4_410_000, yMax=4_410_000 + 290 * 25, xRes=25, yRes=25,
    projection=utm_wkt(32612),
)  # fmt: skip
COARSE = pixelgrid.PixelGridDefn(
    xMin=1_013_950, xMax=1_013_950 + 150 * 100, yMin=4_407_050, yMax=4_407_050 + 140 * 100, xRes=100, yRes=100,
    projection=utm_wkt(32612),
)  # fmt: skip


def landscape(nodata: float = NODATA) -> Array:
    """Return two bands of hills with a lake and holes of nodata, other ones in each band."""
    random = np.random.default_rng(5)
    rows, cols = np.mgrid[0:400, 0:420]
    hills = 2000 + 800 * np.sin(cols / 37) + 600 * np.cos(rows / 23) + random.normal(0, 60, (400, 420))
    bands: Array = np.stack([hills, hills[::-1] / 2])
    bands[0][(cols - 150) ** 2 + (rows - 200) ** 2 < 40**2] = nodata
    bands[random.random(bands.shape) < 0.01] = nodata
    return bands


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("scene")
    return {
        dtype: make_raster(
            folder / f"{dtype}.tif",
            landscape().astype(dtype),
            pixel_size=30,
            nodata=NODATA,
            options=["TILED=YES"],
        )
        for dtype in ("int16", "float32")
    }


def read_whole(path: Any, grid: PixelGridDefn, **settings: Any) -> Array:
    """Run a function that keeps its blocks, on a grid; return them as one array.

    Parameters
    ----------
    settings : what controls' setters get; ``window`` and ``tile`` as (columns, rows).
    """
    controls = applier.ApplierControls()
    controls.setReferencePixgrid(grid)
    controls.setFootprintType(applier.BOUNDS_FROM_REFERENCE)
    controls.setWindowSize(*settings.pop("window", (256, 256)))
    if tile := settings.pop("tile", None):
        controls.setTileSize(*tile)
    for setter, value in settings.items():
        getattr(controls, setter)(value)
    kept: dict[tuple[int, int], Array] = {}

    def keep(info: Any, inputs: Any, _outputs: Any) -> None:
        kept[info.yblock, info.xblock] = inputs.image

    infiles = applier.FilenameAssociations(image=path)
    applier.apply(keep, infiles, applier.FilenameAssociations(), controls=controls)
    margin = controls.overlap
    columns = max(x for _, x in kept) + 1
    rows = []
    for y in range(max(y for y, _ in kept) + 1):
        row = [kept[y, x] for x in range(columns)]
        rows.append(
            np.concatenate([b[:, margin : b.shape[1] - margin, margin : b.shape[2] - margin] for b in row], 2)
        )
    return np.concatenate(rows, 1)


def gdalwarp(path: str, grid: PixelGridDefn, method: str, **options: Any) -> Array:
    """Return what gdalwarp makes of a file in one piece, with all that can be chosen chosen."""
    xscale, yscale = scale_of(describe(path), grid)
    warped = gdal.Warp(
        "",
        path,
        format="MEM",
        dstSRS=grid.projection,
        outputBounds=(grid.xMin, grid.yMin, grid.xMax, grid.yMax),
        xRes=grid.xRes,
        yRes=grid.yRes,
        resampleAlg=method,
        errorThreshold=0,
        warpMemoryLimit=1e9,
        warpOptions=[
            f"XSCALE={xscale!r}",
            f"YSCALE={yscale!r}",
            "SAMPLE_GRID=YES",
            f"SOURCE_EXTRA={SOURCE_EXTRA_PX}",
            "UNIFIED_SRC_NODATA=NO",
        ],
        **options,
    )
    pixels: Array = warped.ReadAsArray()
    return pixels


@pytest.mark.parametrize("grid", [FINE, COARSE], ids=["finer", "coarser"])
@pytest.mark.parametrize("method", RESAMPLE_METHODS)
def test_pixels_are_gdalwarps(scene: dict[str, str], method: str, grid: PixelGridDefn) -> None:
    path = scene["int16" if method in ("near", "mode") else "float32"]
    expected = gdalwarp(path, grid, method)
    assert np.count_nonzero(expected != NODATA) > expected.size / 2

    np.testing.assert_array_equal(read_whole(path, grid, setResampleMethod=method), expected)


SAME_SIZE = pixelgrid.PixelGridDefn(
    xMin=1_013_960, xMax=1_013_960 + 400 * 30, yMin=4_410_000, yMax=4_410_000 + 200 * 30, xRes=30, yRes=30,
    projection=utm_wkt(32612),
)  # fmt: skip


@pytest.mark.parametrize(
    "method", [name for name in RESAMPLE_METHODS if name not in ("cubicspline", "lanczos")]
)
def test_where_pixels_keep_their_size_a_command_that_everybody_can_type_gives_the_same(
    scene: dict[str, str], method: str
) -> None:
    path = scene["int16"]

    def command(*options: str) -> Array:
        warped: Array = gdal.Warp(
            "",
            path,
            format="MEM",
            dstSRS=SAME_SIZE.projection,
            outputBounds=(SAME_SIZE.xMin, SAME_SIZE.yMin, SAME_SIZE.xMax, SAME_SIZE.yMax),
            xRes=30,
            yRes=30,
            resampleAlg=method,
            errorThreshold=0,
            warpOptions=list(options),
        ).ReadAsArray()
        return warped

    pixels = read_whole(path, SAME_SIZE, setResampleMethod=method)

    np.testing.assert_array_equal(pixels, command("XSCALE=1", "YSCALE=1", "UNIFIED_SRC_NODATA=NO"))
    assert (method == "cubic") <= bool((pixels != command()).any())  # so the options are needed


@pytest.fixture(scope="module")
def in_one_piece(scene: dict[str, str]) -> dict[str, Array]:
    methods = ("near", "bilinear", "cubic", "average", "mode")
    return {method: gdalwarp(scene["int16"], FINE, method) for method in methods}


@settings(max_examples=8)
@given(
    method=st.sampled_from(["near", "bilinear", "cubic", "average", "mode"]),
    window=st.tuples(st.integers(60, 600), st.integers(60, 600)),
    tile=st.tuples(st.integers(60, 600), st.integers(60, 600)),
    overlap=st.integers(0, 9),
)
def test_pixels_do_not_depend_on_windows_tiles_or_overlap(
    scene: dict[str, str],
    in_one_piece: dict[str, Array],
    method: str,
    window: tuple[int, int],
    tile: tuple[int, int],
    overlap: int,
) -> None:
    pixels = read_whole(
        scene["int16"], FINE, setResampleMethod=method, window=window, tile=tile, setOverlap=overlap
    )

    np.testing.assert_array_equal(pixels, in_one_piece[method])


def test_workers_resample_alike(scene: dict[str, str], tmp_path: Path) -> None:
    def copy(_info: Any, inputs: Any, outputs: Any) -> None:
        outputs.copy = inputs.image

    controls = applier.ApplierControls()
    controls.setReferencePixgrid(FINE)
    controls.setFootprintType(applier.BOUNDS_FROM_REFERENCE)
    controls.setResampleMethod("cubic", imagename="image")
    controls.setTileSize(256, 256)
    controls.setNumThreads(2)
    infiles = applier.FilenameAssociations(image=scene["int16"])
    for kind in ("threads", "multiprocessing"):
        controls.setJobManagerType(kind)
        outfiles = applier.FilenameAssociations(copy=tmp_path / f"{kind}.tif")
        applier.apply(copy, infiles, outfiles, controls=controls)

        written = gdal.Open(str(tmp_path / f"{kind}.tif")).ReadAsArray()
        np.testing.assert_array_equal(written, gdalwarp(scene["int16"], FINE, "cubic"))


def test_the_margin_has_pixels_from_beyond_the_working_grid(scene: dict[str, str]) -> None:
    inner = pixelgrid.PixelGridDefn.of(FINE.window(200, 100, 90, 80))
    blocks: list[Array] = []
    controls = applier.ApplierControls()
    controls.setReferencePixgrid(inner)
    controls.setFootprintType(applier.BOUNDS_FROM_REFERENCE)
    controls.setResampleMethod("bilinear")
    controls.setOverlap(4)
    infiles = applier.FilenameAssociations(image=scene["int16"])
    applier.apply(
        lambda _info, inputs, _outputs: blocks.append(inputs.image),
        infiles,
        applier.FilenameAssociations(),
        controls=controls,
    )

    grown = pixelgrid.PixelGridDefn.of(FINE.window(196, 96, 98, 88))
    np.testing.assert_array_equal(blocks[0], gdalwarp(scene["int16"], grown, "bilinear"))


# gdalwarp's own rule takes a pixel for nodata only if all bands are; here each band has holes of its own.
def test_nodata_of_one_band_smears_into_no_pixel_of_any_band(scene: dict[str, str]) -> None:
    pixels = read_whole(scene["float32"], FINE, setResampleMethod="bilinear")

    valid = landscape()[landscape() != NODATA]
    seen = pixels[pixels != NODATA]
    assert valid.min() - 1 < seen.min()
    assert seen.max() < valid.max() + 1


def test_the_scripts_nodata_values_replace_the_files_band_by_band(tmp_path: Path) -> None:
    pixels = np.full((2, 40, 40), 100, np.uint8)
    pixels[0, 10:20, 10:20], pixels[1, 10:20, 10:20] = 255, 0
    path = make_raster(tmp_path / "plain.tif", pixels)
    grid = pixelgrid.PixelGridDefn(
        xMin=500_003, xMax=500_450, yMin=4_399_603, yMax=4_400_000, xRes=3, yRes=3, projection=utm_wkt()
    )

    masked = read_whole(path, grid, setResampleMethod="cubic", setInputNoDataValue=[255, 0])
    one_masked = read_whole(path, grid, setResampleMethod="cubic", setInputNoDataValue=[255, None])

    assert [np.unique(band).tolist() for band in masked] == [[100, 255], [0, 100]]
    assert masked[:, 0, -1].tolist() == [255, 0]  # outside the file
    assert np.unique(one_masked[0]).tolist() == [100, 255]
    assert len(np.unique(one_masked[1])) > 5  # 0 is a value like any other
    assert one_masked[:, 0, -1].tolist() == [255, 0]


def test_the_scripts_nodata_value_fills_and_is_told_where_nothing_is_resampled(tmp_path: Path) -> None:
    path = make_raster(tmp_path / "a.tif", ramp(2, 8, 8, "int16"), nodata=7)
    controls = applier.ApplierControls()
    controls.setOverlap(1)
    controls.setInputNoDataValue([-1, -2], imagename="a")
    controls.selectInputImageLayers([2])
    seen: list[tuple[int, int]] = []

    def look(info: Any, inputs: Any, _outputs: Any) -> None:
        seen.append((info.getNoDataValueFor(inputs.a).item(), inputs.a[0, 0, 0].item()))

    infiles = applier.FilenameAssociations(a=path)
    applier.apply(look, infiles, applier.FilenameAssociations(), controls=controls)

    assert seen == [(-2, -2)]


@pytest.mark.parametrize(
    ("nodata", "says"), [([1, 2, 3], "has 3 values, but input .* has 2 bands"), (-1, "uint8 cannot hold")]
)
def test_nodata_values_that_do_not_fit_the_file_are_refused(tmp_path: Path, nodata: Any, says: str) -> None:
    path = make_raster(tmp_path / "a.tif", ramp(2, 8, 8, "uint8"))

    with pytest.raises(rioserrors.ParameterError, match=says):
        read_whole(path, pixelgrid.pixelGridFromFile(path), setInputNoDataValue=nodata)


@pytest.mark.parametrize("nodata", [float("nan"), float("inf"), float("-inf")])
def test_nodata_that_is_no_number_is_left_out_too(tmp_path: Path, nodata: float) -> None:
    pixels = np.full((1, 20, 20), 5, np.float32)
    pixels[0, 5:9, 5:9] = nodata
    path = make_raster(tmp_path / "a.tif", pixels, nodata=nodata)
    grid = pixelgrid.PixelGridDefn(
        xMin=500_003, xMax=500_243, yMin=4_399_803, yMax=4_400_000, xRes=4, yRes=4, projection=utm_wkt()
    )

    warped = read_whole(path, grid, setResampleMethod="cubic")

    assert np.all((warped == 5) | np.isnan(warped) | np.isinf(warped))
    assert np.array_equal(warped[0, 0, -1], nodata, equal_nan=True)


@pytest.mark.parametrize("dtype", sorted(GDAL_TYPES))
def test_every_type_is_resampled(tmp_path: Path, dtype: str) -> None:
    pixels = ramp(1, 30, 40, dtype) if dtype != "int8" else ramp(1, 30, 40, "int16").clip(0, 99).astype(dtype)
    path = make_raster(tmp_path / "a.tif", pixels)
    # A third of a pixel off: the nearest pixel is the same one.
    grid = pixelgrid.PixelGridDefn(
        xMin=500_003, xMax=500_303, yMin=4_399_797, yMax=4_399_997, xRes=10, yRes=10, projection=utm_wkt()
    )

    warped = read_whole(path, grid)

    assert warped.dtype == dtype
    np.testing.assert_array_equal(warped, pixels[:, :20, :30])


def test_selected_layers_alone_are_resampled_in_the_order_asked_for(scene: dict[str, str]) -> None:
    expected = gdalwarp(scene["int16"], COARSE, "average")

    pixels = read_whole(scene["int16"], COARSE, setResampleMethod="average", selectInputImageLayers=[2, 1, 2])

    np.testing.assert_array_equal(pixels, expected[[1, 0, 1]])


@pytest.mark.parametrize("allowed", [False, True])
def test_overviews_are_used_only_where_they_are_allowed(tmp_path: Path, allowed: bool) -> None:
    path = make_raster(tmp_path / "a.tif", landscape().astype(np.float32), pixel_size=30, nodata=NODATA)
    dataset = gdal.Open(path, gdal.GA_Update)
    dataset.BuildOverviews("NEAREST", [2, 4])
    dataset.GetRasterBand(1).GetOverview(0).Fill(7)  # so that it can be told from the pixels
    del dataset
    grid = pixelgrid.PixelGridDefn(
        xMin=500_000, xMax=510_000, yMin=4_390_000, yMax=4_400_000, xRes=80, yRes=80, projection=utm_wkt()
    )

    pixels = read_whole(
        path, grid, setAllowOverviewsGdalwarp=allowed, setResampleMethod="near", selectInputImageLayers=[1]
    )

    level = "AUTO" if allowed else "NONE"
    np.testing.assert_array_equal(pixels[0], gdalwarp(path, grid, "near", overviewLevel=level)[0])
    assert (7 in pixels) is allowed


@pytest.mark.parametrize(
    "transform",
    [
        (500_000.0, 20.0, 5.0, 4_400_000.0, 4.0, -20.0),
        (500_000.0, 10.0, 0.0, 4_398_000.0, 0.0, 10.0),
    ],
    ids=["rotated", "south-up"],
)
def test_rasters_that_are_not_north_up_are_resampled_onto_a_reference(
    tmp_path: Path, transform: Sequence[float]
) -> None:
    path = make_raster(tmp_path / "askew.tif", ramp(1, 200, 150), geotransform=transform, nodata=0)
    grid = pixelgrid.PixelGridDefn(
        xMin=500_000, xMax=503_000, yMin=4_398_000, yMax=4_400_000, xRes=10, yRes=10, projection=utm_wkt()
    )

    pixels = read_whole(path, grid)

    np.testing.assert_array_equal(pixels[0], gdalwarp(path, grid, "near"))
    assert np.count_nonzero(pixels) > 10_000
    with pytest.raises(rioserrors.GridError, match="askew.tif' is .*gdalwarp"):
        applier.apply(print, applier.FilenameAssociations(a=path), applier.FilenameAssociations())


def test_a_raster_without_georeference_cannot_be_resampled(tmp_path: Path) -> None:
    path = make_raster(tmp_path / "bare.tif", ramp(1, 9, 9), origin=None, epsg=None)
    grid = pixelgrid.PixelGridDefn((0.0, 2.0, 0.0, 0.0, 0.0, -2.0), 5, 5)

    with pytest.raises(rioserrors.GdalWarpError, match="bare.tif.* it has no georeference"):
        read_whole(path, grid)


def test_a_raster_far_from_the_working_grid_is_all_nodata(scene: dict[str, str]) -> None:
    far = pixelgrid.PixelGridDefn.of(FINE.window(100_000, 0, 50, 50))

    assert np.unique(read_whole(scene["int16"], far, setResampleMethod="cubic")).tolist() == [NODATA]


def test_many_source_pixels_to_one_are_read_in_small_chunks(tmp_path: Path) -> None:
    """A world of 70,000 columns that exists only as a VRT, onto a few pixels."""
    tiny = make_raster(tmp_path / "tiny.tif", np.full((1, 1, 1), 9, np.float32), origin=None, epsg=None)
    path = str(tmp_path / "world.vrt")
    world = gdal.Translate(path, tiny, format="VRT", width=70_000, height=35_000, outputSRS="EPSG:4326",
                           outputBounds=(-180, 90, 180, -90))  # fmt: skip
    del world
    grid = pixelgrid.PixelGridDefn(
        xMin=500_000,
        xMax=900_000,
        yMin=4_000_000,
        yMax=4_400_000,
        xRes=10_000,
        yRes=10_000,
        projection=utm_wkt(),
    )

    assert np.unique(read_whole(path, grid, setResampleMethod="average")).tolist() == [9]


def test_chunks_are_smaller_the_more_source_pixels_they_need(scene: dict[str, str]) -> None:
    facts = describe(scene["float32"])
    very_coarse = pixelgrid.PixelGridDefn(
        xMin=0, xMax=10**7, yMin=0, yMax=10**7, xRes=10**4, yRes=10**4, projection=utm_wkt()
    )

    sides = [
        plan_warp(facts, 2, grid, 5, "average", overviews_allowed=False).chunk_px
        for grid in (FINE, very_coarse)
    ]

    assert sides[0] == 256
    assert sides[1] ** 2 * (10_000 / 30) ** 2 * 2 * 4 <= 64 * 2**20 * 4
    assert sides[1] < 64


@pytest.mark.skipif("int8" in GDAL_TYPES, reason="from GDAL 3.7 on signed bytes are a type of their own")
def test_signed_bytes_are_not_resampled_as_if_they_had_no_sign(tmp_path: Path) -> None:
    path = str(tmp_path / "signed.tif")
    options = ["PIXELTYPE=SIGNEDBYTE"]
    dataset = gdal.GetDriverByName("GTiff").Create(path, 3, 2, 1, gdal.GDT_Byte, options)
    dataset.SetGeoTransform((500_000, 30, 0, 4_400_000, 0, -30))
    dataset.SetProjection(utm_wkt())
    del dataset

    with pytest.raises(rioserrors.GdalWarpError, match="signed.tif.* cannot resample int8"):
        read_whole(path, FINE)


# -- a real scene: Landsat bands in degrees, with nodata where they were turned

# The demo's part of the scene, which has data nearly everywhere; in finer pixels than its own of 127 x 166 m, and in
# coarser ones.
PARK = {
    pixel_m: pixelgrid.PixelGridDefn(
        xMin=411_500, xMax=411_500 + 55_000, yMin=4_441_000, yMax=4_441_000 + 40_000, xRes=pixel_m, yRes=pixel_m,
        projection=utm_wkt(),
    )
    for pixel_m in (50, 500)
}  # fmt: skip


@pytest.fixture(scope="module")
def landsat(tmp_path_factory: pytest.TempPathFactory) -> str:
    bands = [DEMO_BANDS / f"{name}.tif" for name in ("red", "green", "blue")]
    if not all(band.exists() for band in bands):
        pytest.fail(f"there are no Landsat bands in {DEMO_BANDS}; `make test` fetches them")
    path = str(tmp_path_factory.mktemp("landsat") / "scene.vrt")
    stack = gdal.BuildVRT(path, list(map(str, bands)), separate=True)
    del stack
    return path


@pytest.mark.parametrize("pixel_m", PARK)
@pytest.mark.parametrize("method", ["near", "bilinear", "cubic", "average", "mode"])
def test_a_landsat_scene_in_tiles_is_gdalwarps_in_one_piece(landsat: str, method: str, pixel_m: int) -> None:
    grid = PARK[pixel_m]
    window, tile = (grid.ncols // 10 + 1, grid.nrows // 11), (grid.ncols // 5 + 1, grid.nrows // 5 + 1)
    expected = gdalwarp(landsat, grid, method)
    assert expected.shape == (3, *grid.getDimensions())
    assert expected.dtype == np.uint8
    assert np.count_nonzero(expected != 255) > 0.9 * expected.size

    pixels = read_whole(landsat, grid, setResampleMethod=method, window=window, tile=tile)

    np.testing.assert_array_equal(pixels, expected)
