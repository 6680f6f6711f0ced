from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from osgeo import gdal, ogr

from rios_batch.errors import (
    FileOpenError,
    GridError,
    ImageOpenError,
    MissingFileError,
)
from rios_batch.model.grid import PixelWindow
from rios_batch.model.spec import InputFile, InputSpec, RunSpec
from rios_batch.model.tiles import BlockGrid
from rios_batch.plan.tiling import plan_tiles
from rios_batch.read.facts import describe, open_raster
from rios_batch.read.layers import open_vectors
from rios_batch.read.sources import BlockReader
from tests.support import ORIGIN, make_raster, ramp, utm_wkt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support import Array

NROWS, NCOLS = 30, 40


def file_of(path: str, layers: Sequence[int] | None = None, col: int = 0, row: int = 0) -> InputFile:
    """Return the file as planning would describe it, shifted against the working grid."""
    facts = describe(path)
    layers = tuple(layers or range(1, facts.nbands + 1))
    nodata = tuple(facts.nodata[layer - 1] for layer in layers)
    return InputFile(
        path, path, col, row, facts.grid.ncols, facts.grid.nrows, facts.dtype_of(layers), layers, nodata
    )


def reader_of(*files: InputFile, overlap_px: int = 0, is_list: bool = False) -> BlockReader:
    grid = describe(files[0].path).grid
    job = RunSpec(
        function=print,
        takes_other_args=False,
        inputs=(InputSpec("image", files, is_list=is_list),),
        outputs=(),
        grid=grid,
        plan=plan_tiles(BlockGrid(grid.ncols, grid.nrows, 16, 16)),
        overlap_px=overlap_px,
        input_cache_bytes=0,
    )
    return BlockReader(job)


def read(file: InputFile, window: PixelWindow, overlap_px: int = 0) -> Array:
    inputs, files = reader_of(file, overlap_px=overlap_px).read(window)
    block: Array = inputs.image
    assert files == {id(block): file}
    assert block.dtype == file.dtype
    return block


@pytest.fixture(scope="module")
def three_bands(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Array]:
    """Return a file with a nodata value per band (a VRT: GeoTIFF has one for all), and its pixels."""
    folder = tmp_path_factory.mktemp("three")
    pixels = ramp(3, NROWS, NCOLS, "int16")
    names = []
    for number, (band, nodata) in enumerate(zip(pixels, [-9999, None, 7], strict=True)):
        names.append(make_raster(folder / f"{number}.tif", band, nodata=nodata))
    path = str(folder / "three.vrt")
    vrt = gdal.BuildVRT(path, names, separate=True)
    vrt.FlushCache()
    del vrt
    return path, pixels


def test_facts_are_grid_type_and_nodata_of_every_band(three_bands: tuple[str, Array]) -> None:
    facts = describe(three_bands[0])

    assert (facts.nbands, facts.dtypes, facts.nodata) == (3, ("int16",) * 3, (-9999, None, 7))
    assert facts.grid.getDimensions() == (NROWS, NCOLS)
    assert facts.grid.makeGeoTransform() == (ORIGIN[0], 10.0, 0.0, ORIGIN[1], 0.0, -10.0)
    assert "UTM zone 13N" in facts.grid.projection


@given(st.integers(-60, 60), st.integers(-60, 60), st.integers(1, 60), st.integers(1, 60), st.integers(0, 5))
def test_what_is_outside_the_file_is_each_bands_nodata_or_zero(
    three_bands: tuple[str, Array], col: int, row: int, width: int, height: int, overlap_px: int
) -> None:
    path, pixels = three_bands
    far = 130  # farther out than any window reaches
    whole = np.stack(
        [np.pad(band, far, constant_values=fill) for band, fill in zip(pixels, [-9999, 0, 7], strict=True)]
    )

    block = read(file_of(path), PixelWindow(col, row, width, height), overlap_px)

    top, left = far + row - overlap_px, far + col - overlap_px
    expected = whole[:, top : top + height + 2 * overlap_px, left : left + width + 2 * overlap_px]
    assert np.array_equal(block, expected)


@given(st.lists(st.integers(1, 3), min_size=1, max_size=6))
def test_layers_come_in_the_order_asked_for_and_as_often(
    three_bands: tuple[str, Array], layers: list[int]
) -> None:
    path, pixels = three_bands

    block = read(file_of(path, layers), PixelWindow(-1, 0, 5, 4))

    assert np.array_equal(block[:, :, 1:], pixels[[layer - 1 for layer in layers], :4, :4])
    assert block[:, 0, 0].tolist() == [(-9999, 0, 7)[layer - 1] for layer in layers]


def test_a_file_elsewhere_on_the_lattice_is_read_where_it_lies(three_bands: tuple[str, Array]) -> None:
    path, pixels = three_bands

    block = read(file_of(path, [1], col=10, row=-5), PixelWindow(0, 5, 8, 6))

    assert np.array_equal(block, pixels[:1, 0:6, 10:18])


def test_a_list_of_files_gives_a_list_of_arrays(tmp_path: Path) -> None:
    first, second = ramp(1, 8, 8, "uint8"), ramp(2, 8, 8, "float32")
    files = [file_of(make_raster(tmp_path / f"{i}.tif", pixels)) for i, pixels in enumerate((first, second))]

    inputs, found = reader_of(*files, is_list=True).read(PixelWindow(0, 0, 8, 8))

    assert [block.dtype for block in inputs.image] == ["uint8", "float32"]
    assert np.array_equal(inputs.image[0], first)
    assert np.array_equal(inputs.image[1], second)
    assert [found[id(block)].path for block in inputs.image] == [file.path for file in files]


def test_one_file_under_two_names_is_told_apart_by_array(tmp_path: Path) -> None:
    path = make_raster(tmp_path / "in.tif", ramp(2, 8, 8))
    files = [file_of(path, [1]), file_of(path, [2, 1])]

    inputs, found = reader_of(*files, is_list=True).read(PixelWindow(0, 0, 4, 4))

    assert [found[id(block)] for block in inputs.image] == files
    assert [block.shape[0] for block in inputs.image] == [1, 2]


@pytest.mark.parametrize(
    "dtype",
    ["uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64", "complex64"],
)
def test_blocks_have_the_files_own_type_and_pixels(tmp_path: Path, dtype: str) -> None:
    pixels = ramp(2, 6, 5, dtype)
    pixels[0, 0, 0] = np.iinfo(dtype).max if np.dtype(dtype).kind in "iu" else 1e30

    block = read(file_of(make_raster(tmp_path / "in.tif", pixels)), PixelWindow(0, 0, 5, 6))

    assert block.dtype == dtype
    assert block.tobytes() == pixels.tobytes()


@pytest.mark.skipif(hasattr(gdal, "GDT_Int8"), reason="from GDAL 3.7 on signed bytes are a type of their own")
@pytest.mark.parametrize("nbands", [1, 2])
def test_signed_bytes_are_negative_numbers_with_a_nodata_value(tmp_path: Path, nbands: int) -> None:
    path = str(tmp_path / "signed.tif")
    dataset = gdal.GetDriverByName("GTiff").Create(
        path, 3, 2, nbands, gdal.GDT_Byte, ["PIXELTYPE=SIGNEDBYTE"]
    )
    dataset.SetGeoTransform((0, 10, 0, 0, 0, -10))
    for number in range(1, nbands + 1):
        dataset.GetRasterBand(number).WriteArray(np.array([[1, 0xFF, 0x80], [0, 2, 3]], np.uint8))
        dataset.GetRasterBand(number).SetNoDataValue(-1)
    del dataset

    block = read(file_of(path), PixelWindow(0, 0, 4, 2))

    assert describe(path).nodata == (-1,) * nbands
    assert block[nbands - 1].tolist() == [[1, -1, -128, -1], [0, 2, 3, -1]]


def vrt_of_types(folder: Path, *bands: Array) -> str:
    """Return a file whose bands have different types, which GeoTIFF cannot hold."""
    names = [make_raster(folder / f"band{i}.tif", band) for i, band in enumerate(bands)]
    path = str(folder / "mixed.vrt")
    vrt = gdal.BuildVRT(path, names, separate=True)
    vrt.FlushCache()
    del vrt
    return path


# gdal_array would read bands of different types as float32, which has 24 bits for whole numbers.
def test_bands_of_other_types_do_not_change_the_first_bands_pixels(tmp_path: Path) -> None:
    path = vrt_of_types(tmp_path, np.full((2, 2), 2**24 + 1, np.int32), np.full((2, 2), 1.5, np.float32))

    assert read(file_of(path), PixelWindow(0, 0, 2, 2))[0].tolist() == [[2**24 + 1] * 2] * 2


@pytest.mark.parametrize("layers", [[1, 2], [2]])
def test_bands_of_wider_types_keep_their_values(tmp_path: Path, layers: list[int]) -> None:
    path = vrt_of_types(tmp_path, np.full((2, 2), 7, np.uint8), np.full((2, 2), 300, np.uint16))

    block = read(file_of(path, layers), PixelWindow(0, 0, 2, 2))

    assert block.dtype == np.uint16
    assert block[-1].tolist() == [[300, 300]] * 2


@pytest.mark.parametrize(("dtype", "nodata"), [("uint8", -9999), ("uint8", 0.5), ("int16", float("nan"))])
def test_a_nodata_value_that_the_type_cannot_hold_fills_with_zero(
    tmp_path: Path, dtype: str, nodata: float
) -> None:
    # A VRT says anything about nodata; the drivers of real formats clamp some of it.
    inner = make_raster(tmp_path / "in.tif", ramp(1, 4, 4, dtype))
    outer = gdal.Translate(str(tmp_path / "in.vrt"), inner, format="VRT")
    outer.FlushCache()
    del outer
    text = (tmp_path / "in.vrt").read_text()
    type_name = {"uint8": "Byte", "int16": "Int16"}[dtype]
    band = f'<VRTRasterBand dataType="{type_name}" band="1">'
    assert band in text
    (tmp_path / "in.vrt").write_text(text.replace(band, f"{band}<NoDataValue>{nodata}</NoDataValue>"))
    path = str(tmp_path / "in.vrt")

    assert describe(path).nodata == (None,)
    assert read(file_of(path), PixelWindow(-1, 0, 1, 1)).tolist() == [[[0]]]


@pytest.mark.parametrize(
    ("dtype", "nodata"), [("int64", -(2**63)), ("uint64", 2**64 - 1), ("int64", 2**53 + 1)]
)
def test_nodata_of_64_bit_integers_is_exact(tmp_path: Path, dtype: str, nodata: int) -> None:
    path = make_raster(tmp_path / "in.tif", ramp(1, 4, 4, dtype), nodata=nodata)

    assert describe(path).nodata == (nodata,)
    assert read(file_of(path), PixelWindow(-1, 0, 1, 1)).tolist() == [[[nodata]]]


def test_nan_nodata_fills_with_nan(tmp_path: Path) -> None:
    path = make_raster(tmp_path / "in.tif", ramp(1, 4, 4, "float32"), nodata=float("nan"))

    assert np.isnan(read(file_of(path), PixelWindow(-1, 0, 1, 1))).all()


def test_a_file_without_georeference_counts_pixels_from_its_corner(tmp_path: Path) -> None:
    path = make_raster(tmp_path / "bare.tif", ramp(1, 4, 6), origin=None, epsg=None)

    grid = describe(path).grid

    assert grid.makeGeoTransform() == (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
    assert (grid.projection, grid.getDimensions()) == ("", (4, 6))


@pytest.mark.parametrize(
    ("transform", "words"),
    [
        ((0.0, 10.0, 2.0, 0.0, 0.0, -10.0), "is rotated"),
        ((0.0, 10.0, 0.0, 0.0, 0.0, 10.0), "is not north-up"),
    ],
)
def test_a_file_that_is_not_north_up_has_no_grid_and_is_named(
    tmp_path: Path, transform: tuple[float, ...], words: str
) -> None:
    path = make_raster(tmp_path / "askew.tif", ramp(1, 4, 4), geotransform=transform)

    facts = describe(path)

    assert not facts.is_north_up
    with pytest.raises(GridError, match=rf"'.*askew\.tif' {words}.*gdalwarp"):
        _ = facts.grid


def test_a_missing_file_is_named_and_is_a_file_not_found_error(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"input file '.*nothing\.tif' does not exist") as caught:
        describe(str(tmp_path / "nothing.tif"))
    assert isinstance(caught.value, FileNotFoundError)


@pytest.mark.parametrize(
    "name", ["/vsimem/nothing.tif", "NETCDF:nothing.nc:band", "/vsizip/nothing.zip/a.tif"]
)
@pytest.mark.usefixtures("quiet_gdal")
def test_gdals_own_names_of_missing_files_are_open_errors_that_name_them(name: str) -> None:
    with pytest.raises(FileOpenError, match=name):
        describe(name)


@pytest.mark.parametrize("content", [b"", b"not a raster", b"II*\0"])
@pytest.mark.usefixtures("quiet_gdal")
def test_a_file_that_is_no_raster_is_refused_by_name_with_gdals_reason(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "broken.tif"
    path.write_bytes(content)

    with pytest.raises(
        ImageOpenError, match=r"input '.*broken\.tif' cannot be opened as a raster: \S"
    ) as caught:
        describe(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("quiet_gdal")
def test_a_folder_is_no_raster(tmp_path: Path) -> None:
    with pytest.raises(ImageOpenError, match="cannot be opened as a raster"):
        describe(str(tmp_path))


@pytest.mark.parametrize(("name", "driver"), [("areas.geojson", "GeoJSON"), ("areas.shp", "ESRI Shapefile")])
def test_a_vector_file_is_no_raster_and_is_known_as_vectors(tmp_path: Path, name: str, driver: str) -> None:
    path = str(tmp_path / name)
    dataset = ogr.GetDriverByName(driver).CreateDataSource(path)
    dataset.CreateLayer("areas")
    del dataset

    assert open_vectors(path) is not None
    with pytest.raises(ImageOpenError, match=r"'.*areas.*' cannot be opened as a raster"):
        describe(path)


def test_a_raster_is_not_known_as_vectors(three_bands: tuple[str, Array]) -> None:
    assert open_vectors(three_bands[0]) is None


def test_a_container_of_subdatasets_is_refused_with_the_name_of_one(tmp_path: Path) -> None:
    path = str(tmp_path / "container.gpkg")
    for append, table in (([], "first"), (["APPEND_SUBDATASET=YES"], "second")):
        source = make_raster(tmp_path / f"{table}.tif", ramp(1, 8, 8, "uint8"))
        gdal.Translate(path, source, format="GPKG", creationOptions=["RASTER_TABLE=" + table, *append])

    with pytest.raises(
        ImageOpenError, match=r"'.*container\.gpkg' has no bands; name one of its subdatasets, such as"
    ):
        describe(path)

    assert describe(f"GPKG:{path}:first").nbands >= 1


@pytest.mark.usefixtures("quiet_gdal")
def test_a_file_cut_short_is_found_on_reading_and_named_with_the_place(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (1, 256, 256), np.uint8)
    options = ["TILED=YES", "BLOCKXSIZE=64", "BLOCKYSIZE=64", "COMPRESS=DEFLATE"]
    path = Path(make_raster(tmp_path / "cut.tif", pixels, options=options))
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    file_facts = file_of(str(path))
    assert np.array_equal(read(file_facts, PixelWindow(0, 0, 64, 64)), pixels[:, :64, :64])

    with pytest.raises(
        ImageOpenError, match=r"'.*cut\.tif' cannot be read at columns 192-255, rows 192-255; it may be"
    ):
        read(file_facts, PixelWindow(192, 192, 64, 64))


@pytest.mark.usefixtures("quiet_gdal")
def test_a_file_that_vanished_between_planning_and_reading_is_missing(tmp_path: Path) -> None:
    path = make_raster(tmp_path / "in.tif", ramp(1, 8, 8))
    reader = reader_of(file_of(path))
    Path(path).unlink()

    with pytest.raises(MissingFileError, match=r"in\.tif"):
        reader.read(PixelWindow(0, 0, 8, 8))


def test_an_open_file_is_kept_open_between_blocks(tmp_path: Path) -> None:
    path = make_raster(tmp_path / "in.tif", ramp(1, 8, 8))
    reader = reader_of(file_of(path))
    reader.read(PixelWindow(0, 0, 4, 4))
    shutil.move(path, tmp_path / "elsewhere.tif")

    inputs, _ = reader.read(PixelWindow(4, 4, 4, 4))

    assert np.array_equal(inputs.image, ramp(1, 8, 8)[:, 4:, 4:])


def test_an_opened_raster_is_a_gdal_dataset_with_the_files_projection(tmp_path: Path) -> None:
    path = make_raster(tmp_path / "in.tif", ramp(1, 8, 8), epsg=32612)

    dataset: Any = open_raster(path)

    assert "UTM zone 12N" in dataset.GetProjection()
    assert dataset.GetProjection() == utm_wkt(32612)
