"""Vector files as inputs: as gdal_rasterize would have it, however the grid is cut."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from osgeo import gdal, ogr, osr

from rios_batch import applier, rioserrors
from rios_batch.gdalapi import gdal_exceptions
from rios_batch.model.grid import PixelWindow
from rios_batch.pixelgrid import PixelGridDefn
from rios_batch.plan.inputs import plan_inputs
from rios_batch.read.vectors import CHUNK_PX, Rasterizer
from tests.support import utm_wkt

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rios_batch.model.spec import Array

# Three columns and two rows of chunks of 30 m pixels.
GRID = PixelGridDefn((499_980.0, 30.0, 0.0, 4_400_010.0, 0.0, -30.0), 400, 700, utm_wkt())
Point = tuple[float, float]


def polygon(points: Sequence[Point]) -> ogr.Geometry:
    ring, shape = ogr.Geometry(ogr.wkbLinearRing), ogr.Geometry(ogr.wkbPolygon)
    for x, y in [*points, points[0]]:
        ring.AddPoint_2D(x, y)
    shape.AddGeometry(ring)
    return shape


def line(points: Sequence[Point]) -> ogr.Geometry:
    shape = ogr.Geometry(ogr.wkbLineString)
    for x, y in points:
        shape.AddPoint_2D(x, y)
    return shape


def square(col: int, row: int, side: int) -> ogr.Geometry:
    """Return a square along the edges of the grid's pixels."""
    x, y, s = GRID.xMin + col * 30, GRID.yMax - row * 30, side * 30
    return polygon([(x, y), (x + s, y), (x + s, y - s), (x, y - s)])


def write(
    path: Path,
    shapes: Sequence[ogr.Geometry],
    *,
    driver: str = "GPKG",
    epsg: int | None = 32613,
    layer: str = "first",
) -> Path:
    """Add a layer with the attributes ``number`` (from 1), ``name`` and ``height`` (number + 0.5)."""
    if path.exists():
        dataset = gdal.OpenEx(str(path), gdal.OF_VECTOR | gdal.OF_UPDATE)
    else:
        dataset = gdal.GetDriverByName(driver).Create(str(path), 0, 0, 0, gdal.GDT_Unknown)
    reference = None
    if epsg is not None:
        reference = osr.SpatialReference()
        reference.ImportFromEPSG(epsg)
        reference.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    added = dataset.CreateLayer(layer, reference)
    for name, kind in (("number", ogr.OFTInteger), ("name", ogr.OFTString), ("height", ogr.OFTReal)):
        added.CreateField(ogr.FieldDefn(name, kind))
    for number, shape in enumerate(shapes, start=1):
        feature = ogr.Feature(added.GetLayerDefn())
        feature.SetField("number", number)
        feature.SetField("name", f"n{number}")
        feature.SetField("height", number + 0.5)
        feature.SetGeometry(shape)
        added.CreateFeature(feature)
    return path


def scattered() -> list[Sequence[Point]]:
    """Return outlines all over the grid and beyond, every other one with corners on pixel corners and centres."""
    random = np.random.default_rng(3)
    outlines: list[Sequence[Point]] = []
    for number in range(120):
        x, y = GRID.xMin + random.uniform(-500, 21_500), GRID.yMax - random.uniform(-500, 12_500)
        angles = np.sort(random.uniform(0, 2 * np.pi, random.integers(3, 12)))
        radius = random.uniform(100, 3000)
        points = np.column_stack([x + radius * np.cos(angles), y + radius * np.sin(angles)])
        if number % 2:
            points = np.round(points / 15) * 15
        outlines.append([(float(px), float(py)) for px, py in points])
    return outlines


def read_whole(names: dict[str, Any], *, window: tuple[int, int] = (256, 256), tile: Any = None, overlap: int = 0,
               set_for: dict[str, dict[str, Any]] | None = None) -> dict[str, Array]:  # fmt: skip
    """Run a function that copies its vector inputs; return for each name what it saw of the grid.

    Parameters
    ----------
    set_for : for each name (``None`` for all) setters and values.
    """
    controls = applier.ApplierControls()
    controls.setReferencePixgrid(GRID)
    controls.setFootprintType(applier.BOUNDS_FROM_REFERENCE)
    controls.setWindowSize(*window)
    controls.setOverlap(overlap)
    if tile:
        controls.setTileSize(*tile)
    for name, settings_ in (set_for or {}).items():
        for setter, value in settings_.items():
            getattr(controls, setter)(value, vectorname=None if name == "all" else name)
    whole: dict[str, Array] = {}

    def keep(info: Any, inputs: Any, _outputs: Any) -> None:
        rows, cols = info.getBlockSize()[::-1]
        for name in names:
            block = getattr(inputs, name)
            assert block.shape == (1, rows + 2 * overlap, cols + 2 * overlap)
            first_row, first_col = info.yblock * window[1], info.xblock * window[0]
            target = whole.setdefault(name, np.zeros(GRID.getDimensions(), block.dtype))
            target[first_row : first_row + rows, first_col : first_col + cols] = block[
                0, overlap : overlap + rows, overlap : overlap + cols
            ]

    applier.apply(
        keep, applier.FilenameAssociations(**names), applier.FilenameAssociations(), controls=controls
    )
    return whole


def rasterized(path: Path, **options: Any) -> Array:
    """Return what gdal_rasterize makes of a file on the whole grid."""
    raster = gdal.Rasterize(
        "", str(path), format="MEM", outputBounds=(GRID.xMin, GRID.yMin, GRID.xMax, GRID.yMax),
        xRes=30, yRes=30, outputType=gdal.GDT_Byte, **options,
    )  # fmt: skip
    pixels: Array = raster.ReadAsArray()
    return pixels


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("vectors")
    outlines = scattered()
    return {
        "polygons": write(folder / "polygons.gpkg", [polygon(outline) for outline in outlines]),
        "lines": write(folder / "lines.gpkg", [line(outline) for outline in outlines]),
    }


ATTRIBUTE = {"setBurnAttribute": "number"}


@pytest.mark.parametrize("kind", ["polygons", "lines"])
def test_pixels_are_those_of_gdal_rasterize(files: dict[str, Path], kind: str) -> None:
    expected = rasterized(files[kind], attribute="number")
    assert np.count_nonzero(expected) > 5000

    np.testing.assert_array_equal(read_whole({"v": files[kind]}, set_for={"v": ATTRIBUTE})["v"], expected)


# GDAL decides by rounding whether a line that passes through the very corner of a pixel touches it.
@pytest.mark.parametrize("kind", ["polygons", "lines"])
def test_all_touched_pixels_are_those_of_gdal_rasterize_but_for_touched_corners(
    files: dict[str, Path], kind: str
) -> None:
    expected = rasterized(files[kind], attribute="number", allTouched=True)

    pixels = read_whole({"v": files[kind]}, set_for={"v": {**ATTRIBUTE, "setAlltouched": True}})["v"]

    assert np.count_nonzero(pixels != expected) < np.count_nonzero(expected) / 200
    assert np.count_nonzero(pixels) > np.count_nonzero(rasterized(files[kind], attribute="number"))


@pytest.fixture(scope="module")
def in_one_window(files: dict[str, Path]) -> dict[tuple[str, bool], Array]:
    return {
        (kind, touched): read_whole(
            {"v": path}, window=(700, 400), set_for={"v": {**ATTRIBUTE, "setAlltouched": touched}}
        )["v"]
        for kind, path in files.items()
        for touched in (False, True)
    }


@settings(max_examples=12)
@given(
    kind=st.sampled_from(["polygons", "lines"]),
    touched=st.booleans(),
    window=st.tuples(st.integers(50, 700), st.integers(50, 400)),
    tile=st.tuples(st.integers(50, 700), st.integers(50, 400)),
    overlap=st.integers(0, 9),
)
def test_pixels_do_not_depend_on_windows_tiles_or_overlap(
    files: dict[str, Path],
    in_one_window: dict[tuple[str, bool], Array],
    kind: str,
    touched: bool,
    window: tuple[int, int],
    tile: tuple[int, int],
    overlap: int,
) -> None:
    pixels = read_whole(
        {"v": files[kind]}, window=window, tile=tile, overlap=overlap,
        set_for={"v": {**ATTRIBUTE, "setAlltouched": touched}},
    )["v"]  # fmt: skip

    np.testing.assert_array_equal(pixels, in_one_window[kind, touched])


def test_one_file_under_two_names_is_two_inputs(tmp_path: Path) -> None:
    path = write(tmp_path / "two.gpkg", [square(10, 10, 5), square(30, 10, 5)])
    write(path, [square(50, 10, 5)], layer="second")

    seen = read_whole(
        {"ones": path, "numbers": path, "second": path, "few": path},
        set_for={
            "all": {"setBurnValue": 9},
            "numbers": {"setBurnAttribute": "number", "setVectorNull": 255, "setVectorDatatype": np.int16},
            "second": {"setVectorlayer": "second"},
            "few": {"setFilterSQL": "name = 'n2'", "setVectorlayer": 0},
        },
    )

    at = {name: [int(pixels[12, col]) for col in (12, 32, 52, 0)] for name, pixels in seen.items()}
    assert at == {
        "ones": [9, 9, 0, 0],
        "numbers": [1, 2, 255, 255],
        "second": [0, 0, 9, 0],
        "few": [0, 9, 0, 0],
    }
    assert seen["numbers"].dtype == np.int16
    assert np.count_nonzero(seen["ones"]) == 50


def test_layers_are_found_by_number_too(tmp_path: Path) -> None:
    path = write(tmp_path / "two.gpkg", [square(10, 10, 5)])
    write(path, [square(50, 10, 6)], layer="second")

    assert np.count_nonzero(read_whole({"v": path}, set_for={"v": {"setVectorlayer": 1}})["v"]) == 36


def test_the_last_of_overlapping_features_is_seen_whatever_an_index_says(tmp_path: Path) -> None:
    shapes = [square(col, 10, 40) for col in (100, 240, 90, 230, 110, 250)]
    path = write(tmp_path / "a.gpkg", shapes)

    pixels = read_whole({"v": path}, set_for={"v": ATTRIBUTE})["v"]

    np.testing.assert_array_equal(pixels, rasterized(path, attribute="number"))
    assert np.unique(pixels).tolist() == [0, 3, 4, 5, 6]  # which hide the first two


# Straight along a parallel is a curve in UTM: the middle of a one-degree edge lies 250 m off its chord, and what is
# drawn must follow, or the filter for a tile would not find it.
def test_long_edges_follow_the_projection(tmp_path: Path) -> None:
    path = write(tmp_path / "wide.geojson", [polygon([(-105.1, 39.7), (-104.7, 39.7), (-104.7, 39.8), (-105.1, 39.8)])],
                 driver="GeoJSON", epsg=4326)  # fmt: skip
    longlat, utm = osr.SpatialReference(osr.SRS_WKT_WGS84_LAT_LONG), osr.SpatialReference(GRID.projection)
    for reference in (longlat, utm):
        reference.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    rows, cols = np.mgrid[0 : GRID.nrows, 0 : GRID.ncols]
    x, y = GRID.xMin + (cols + 0.5) * 30, GRID.yMax - (rows + 0.5) * 30
    points = np.array(
        osr.CoordinateTransformation(utm, longlat).TransformPoints(np.column_stack([x.ravel(), y.ravel()]))
    )
    inside = (np.abs(points[:, 0] + 104.9) < 0.2) & (np.abs(points[:, 1] - 39.75) < 0.05)

    pixels = read_whole({"v": path})["v"]

    assert 0 < inside.sum() < inside.size
    assert np.count_nonzero(pixels != inside.reshape(pixels.shape)) <= 3


@pytest.mark.parametrize("name", ["a.gpkg", "a.shp"])
def test_only_the_features_of_a_window_are_read(tmp_path: Path, name: str) -> None:
    shapes = [square(10 * col, 10 * row, 4) for row in range(40) for col in range(70)]
    path = write(tmp_path / name, shapes, driver={"a.gpkg": "GPKG", "a.shp": "ESRI Shapefile"}[name])
    controls = applier.ApplierControls()
    controls.setReferencePixgrid(GRID)
    controls.setFootprintType(applier.BOUNDS_FROM_REFERENCE)
    with gdal_exceptions():
        file = plan_inputs({"v": str(path)}, controls).placements[0].file
    assert file.burn is not None
    reader = Rasterizer(file, file.burn, GRID, GRID.ncols)

    assert np.count_nonzero(reader.read(PixelWindow(0, 0, CHUNK_PX, CHUNK_PX))) == 26 * 26 * 16
    layer = reader._layer._layer
    in_first_chunk = layer.GetFeaturesRead()
    reader.read(PixelWindow(100, 100, 50, 50))
    again = layer.GetFeaturesRead()
    reader.read(PixelWindow(CHUNK_PX, 0, 10, 10))

    assert 26 * 26 <= in_first_chunk <= 27 * 27
    assert again == in_first_chunk
    assert layer.GetFeaturesRead() <= 2 * 27 * 27


def test_info_knows_a_vectors_file_and_null_value_on_workers_too(tmp_path: Path) -> None:
    path = write(tmp_path / "a.gpkg", [square(10, 10, 5)])
    controls = applier.ApplierControls()
    controls.setReferencePixgrid(GRID)
    controls.setFootprintType(applier.BOUNDS_FROM_REFERENCE)
    controls.setVectorNull(3)
    controls.setNumThreads(2)
    controls.setJobManagerType("multiprocessing")
    controls.setTileSize(350, 400)
    controls.setOtherArgsMerge("seen", "concat")

    def look(info: Any, inputs: Any, _outputs: Any, other: Any) -> None:
        other.seen.append((info.getFilenameFor(inputs.v), info.getNoDataValueFor(inputs.v).item()))

    other = applier.OtherInputs(seen=[])
    infiles = applier.FilenameAssociations(v=path)
    applier.apply(look, infiles, applier.FilenameAssociations(), other, controls=controls)

    assert set(other.seen) == {(str(path), 3)}


def test_features_without_a_shape_or_a_value_are_left_out(tmp_path: Path) -> None:
    x, y = GRID.xMin, GRID.yMax
    ring = [[x, y], [x + 60, y], [x + 60, y - 60], [x, y - 60], [x, y]]
    shape = {"type": "Polygon", "coordinates": [ring]}
    features = [
        {"type": "Feature", "properties": {"n": n}, "geometry": geometry}
        for n, geometry in ((5, shape), (None, shape), (6, None))
    ]
    crs = {"type": "name", "properties": {"name": "EPSG:32613"}}
    path = tmp_path / "holes.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": features}))

    pixels = read_whole({"v": path}, set_for={"v": {"setBurnAttribute": "n"}})["v"]

    assert np.unique(pixels, return_counts=True)[1].tolist() == [GRID.nrows * GRID.ncols - 4, 4]
    assert pixels[0, 0] == 5


def refused(path: Path, error: type[Exception], says: str, **settings_: Any) -> None:
    with pytest.raises(error, match=says):
        read_whole({"v": path}, set_for={"v": settings_})


@pytest.mark.usefixtures("quiet_gdal")
def test_what_cannot_be_rasterised_is_refused_by_name(tmp_path: Path) -> None:
    path = write(tmp_path / "a.gpkg", [square(10, 10, 5)])
    errors = rioserrors
    refused(path, errors.VectorLayerError, "a.gpkg' has no layer 'x'; it has 'first'", setVectorlayer="x")
    refused(path, errors.VectorLayerError, "no layer 1; it has 'first', numbered from 0", setVectorlayer=1)
    refused(path, errors.VectorAttributeError, "no attribute 'h'; it has 'number'", setBurnAttribute="h")
    refused(path, errors.VectorAttributeError, "feature 1 of .*'n1', which is not a", setBurnAttribute="name")
    refused(
        path,
        errors.ParameterError,
        "setFilterSQL: 'number ==== 2' is no condition",
        setFilterSQL="number ==== 2",
    )
    refused(path, errors.ParameterError, "setBurnValue is 256 .*uint8 cannot hold", setBurnValue=256)
    refused(path, errors.ParameterError, "setVectorNull is -1 .*uint8 cannot hold", setVectorNull=-1)
    refused(path, errors.ParameterError, "rasterised to complex64", setVectorDatatype=np.complex64)
    refused(
        path, errors.VectorRasterizationError, "'height' of feature 1 .*1.5, which", setBurnAttribute="height"
    )
    bare = write(tmp_path / "bare.shp", [square(10, 10, 5)], driver="ESRI Shapefile", epsg=None)
    refused(bare, errors.VectorProjectionError, "layer 'bare' of .*bare.shp' has no projection")
