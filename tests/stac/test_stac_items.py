"""What is made of items without opening a file, and the item that is written beside an output."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pystac
import pystac.validation
import pytest
from osgeo import gdal, osr

from rios_batch import stac
from rios_batch.errors import GridError, ImageOpenError, MissingFileError, ParameterError
from tests.stac.loopback import HERE, recorded, tiff
from tests.support import read_raster, run_script

if TYPE_CHECKING:
    from rios_batch.pixelgrid import PixelGridDefn

NORTH = [10.0, 0.0, 399960.0, 0.0, -10.0, 5400320.0]


def sentinel(**changes: Any) -> dict[str, Any]:
    item = recorded("sentinel-2-l2a")[0]
    item["properties"].update(changes)
    return item


def landsat() -> dict[str, Any]:
    return recorded("landsat-c2-l2")[0]


def test_all_forms_of_items_are_taken() -> None:
    dicts = recorded("landsat-c2-l2")
    items = [pystac.Item.from_dict(found) for found in dicts]
    collection = pystac.ItemCollection(items)
    forms: list[Any] = [
        dicts,
        items,
        iter(items),
        collection,
        collection.to_dict(),
        HERE / "landsat-c2-l2.json",
        str(HERE / "landsat-c2-l2.json"),
    ]
    for form in forms:
        found = stac.readItems(form, ["red"], mosaic=False)
        assert [item.id for item in found.items] == [item.id for item in items]
        assert found.dates == [date(2026, 6, 2)] * 2
    assert stac.readItems(dicts[0], ["red"]).dates == stac.readItems(items[0], ["red"]).dates


def test_an_item_that_is_there_twice_counts_once() -> None:
    assert len(stac.readItems([landsat(), landsat()], ["red"]).files["red"]) == 1


@pytest.mark.parametrize(
    ("items", "sentence"),
    [
        ([], "there are no items"),
        ({"type": "Collection"}, "must be of type FeatureCollection"),
        ([3], "must be pystac.Item or dicts of items, not int"),
        (3, "an iterable of items, not int"),
        ([{"type": "Feature", "id": "x"}], "'x' is not a STAC item"),
    ],
)
def test_what_is_no_item_is_refused(items: Any, sentence: str) -> None:
    with pytest.raises(ParameterError, match=sentence):
        stac.readItems(items, ["red"])


def test_a_missing_file_of_items_is_named() -> None:
    with pytest.raises(MissingFileError, match=r"items 'none\.json' does not exist"):
        stac.readItems("none.json", ["red"])


@pytest.mark.parametrize(
    ("west", "time", "day"),
    [
        (178.0, "2026-06-01T23:30:00Z", date(2026, 6, 2)),
        (-171.0, "2026-06-01T01:00:00Z", date(2026, 5, 31)),
        (14.0, "2026-06-01T10:00:00+02:00", date(2026, 6, 1)),
        (14.0, "2026-06-01T23:30:00Z", date(2026, 6, 2)),
    ],
)
def test_a_date_is_the_day_by_the_sun(west: float, time: str, day: date) -> None:
    item = sentinel(datetime=time)
    item["bbox"] = [west, 48.0, west + 1, 49.0]
    assert stac.readItems([item], ["red"]).dates == [day]


def test_an_item_across_the_antimeridian_has_its_middle_there() -> None:
    item = sentinel(datetime="2026-06-01T12:30:00Z")
    item["bbox"] = [179.0, 48.0, -178.0, 49.0]  # its middle is at 179.5 west, where it is after midnight
    assert stac.readItems([item], ["red"]).dates == [date(2026, 6, 1)]


def test_an_item_with_a_span_of_time_has_its_start() -> None:
    span = {"start_datetime": "2026-06-03T00:00:00Z", "end_datetime": "2026-06-09T00:00:00Z"}
    assert stac.readItems([sentinel(datetime=None, **span)], ["red"]).dates == [date(2026, 6, 3)]


def test_bands_are_found_by_key_common_name_and_name() -> None:
    names = {"red": "red", "infrared": "nir08", "b4": "SR_B4", "qa": "qa_pixel"}
    found = stac.readItems([landsat()], names)
    assert {name: files[0].rpartition("_L2SP_")[2][-9:] for name, files in found.files.items()} == {
        "red": "SR_B4.TIF",
        "infrared": "SR_B5.TIF",
        "b4": "SR_B4.TIF",
        "qa": "PIXEL.TIF",
    }


def test_a_cog_goes_before_the_same_band_as_jpeg_2000() -> None:
    item = sentinel()
    item["assets"]["B04"] = item["assets"].pop("red")
    assert stac.readItems([item], ["red"]).files["red"][0].endswith("B04.tif")


def test_bands_that_cannot_be_told_are_refused() -> None:
    cases: list[tuple[Any, str]] = [
        (["swir16"], "has no asset and no band 'swir16'; its assets are red, nir, visual"),
        (["green"], "only together with others, in asset visual"),
        (["red-jp2"], "cannot be a name of an input"),
        ("red", "must be a list of names"),
        ([], "at least one band"),
        (None, "must be a list of names"),
    ]
    for bands, sentence in cases:
        with pytest.raises(ParameterError, match=sentence):
            stac.readItems([sentinel()], bands)


def test_the_item_that_lacks_a_band_is_named() -> None:
    lacks = recorded("landsat-c2-l2")[1]
    del lacks["assets"]["red"]
    with pytest.raises(ParameterError, match="item 'LC09_L2SP_191027_20260602_02_T1' has no asset"):
        stac.readItems([landsat(), lacks], ["red"])


def test_an_alternate_location_is_taken_when_asked_for() -> None:
    assert (
        stac.readItems([landsat()], ["red"], alternate="s3").files["red"][0].startswith("s3://usgs-landsat/")
    )
    with pytest.raises(ParameterError, match="no alternate location 'gs'; it has s3"):
        stac.readItems([landsat()], ["red"], alternate="gs")


def test_scales_are_told_and_an_offset_that_pixels_have_already_is_0() -> None:
    landsats = stac.readItems([landsat()], ["red", "qa_pixel"]).scaling
    assert landsats["red"] == [stac.BandScale(2.75e-05, -0.2, 0.0)]
    assert landsats["qa_pixel"] == [stac.BandScale(nodata=1.0, unit="bit index")]
    has = stac.readItems([sentinel()], ["red"]).scaling["red"]
    lacks = stac.readItems([sentinel(**{"earthsearch:boa_offset_applied": False})], ["red"]).scaling["red"]
    assert [has[0].offset, lacks[0].offset] == [0.0, -0.1]


def test_items_of_a_day_with_other_scales_make_no_mosaic() -> None:
    items = recorded("sentinel-2-l2a")
    items[1]["properties"]["earthsearch:boa_offset_applied"] = False
    with pytest.raises(ParameterError, match="have other scales of 'red'.*mosaic=False"):
        stac.readItems(items, ["red"])


def test_the_grid_is_the_finest_bands_around_all_items() -> None:
    found = stac.readItems(recorded("sentinel-2-l2a"), ["scl", "red"], mosaic=False)
    grid = found.pixelGrid()
    assert (grid.xMin, grid.yMax, grid.xRes, grid.nrows, grid.ncols) == (399960, 5400320, 10, 96, 64)
    assert (found.pixelGrid(resolution=20).nrows, found.pixelGrid(resolution=30).nrows) == (48, 32)
    part = found.pixelGrid(bounds=(399965, 5400001, 399999, 5400011), boundsProjection="EPSG:32633")
    assert (part.xMin, part.xMax, part.yMin, part.yMax) == (399960, 400000, 5400000, 5400020)
    whole = found.pixelGrid(bounds=(13.6378, 48.7440, 13.6400, 48.7450))
    assert whole.alignedWith(grid)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"bounds": (0, 0, 1, 1)}, "lie beside all items"),
        ({"bounds": (1, 1, 0, 0)}, "each minimum below its maximum"),
        ({"bounds": 5}, "each minimum below its maximum, not 5"),
        ({"bounds": ("west", 0, 1, 1)}, "each minimum below its maximum"),
        ({"bounds": (0, 0, 1, 1), "boundsProjection": "EPSG:0"}, "not known to PROJ"),
        ({"resolution": 0}, "a size above 0"),
        ({"resolution": "20"}, "a size above 0, not '20'"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises((GridError, ParameterError), match=sentence):
        stac.readItems([sentinel()], ["red"]).pixelGrid(**options)


def test_landsats_grid_stands_in_its_item_and_a_bbox_will_do() -> None:
    item = landsat()
    expected = stac.readItems([item], ["red"]).pixelGrid()
    del item["properties"]["proj:transform"]
    item["properties"]["proj:bbox"] = [expected.xMin, expected.yMin, expected.xMax, expected.yMax]
    assert stac.readItems([item], ["red"]).pixelGrid() == expected
    del item["properties"]["proj:bbox"]
    with pytest.raises(GridError, match="does not say on which pixels its asset 'red' lies"):
        stac.readItems([item], ["red"]).pixelGrid()


def test_items_of_several_utm_zones_have_no_grid_and_make_no_mosaic() -> None:
    items = recorded("sentinel-2-l2a")
    items[1]["properties"]["proj:epsg"] = 32632
    with pytest.raises(GridError, match="several projections .*zone 33N.*zone 32N"):
        stac.readItems(items, ["red"], mosaic=False).pixelGrid()
    with pytest.raises(GridError, match="no mosaic can be made of the items of 2026-06-01.*mosaic=False"):
        stac.readItems(items, ["red"])


def test_a_mosaic_that_is_the_same_is_not_written_again(tmp_path: Path) -> None:
    items = recorded("sentinel-2-l2a")
    for item in items:
        asset = item["assets"]["red"]
        path = tmp_path / f"{item['id']}.tif"
        path.write_bytes(tiff(np.ones((64, 64), "u2"), asset["proj:transform"], nodata=0))
        asset["href"] = path.as_uri()
    (first,) = stac.readItems(items, ["red"], folder=tmp_path).files["red"]
    assert Path(first).name.startswith("2026-06-01-red-")
    known = Path(first).stat().st_mtime_ns
    stac.readItems(items, ["red"], folder=tmp_path)
    assert Path(first).stat().st_mtime_ns == known
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".tif", ".tif", ".vrt"]


def kept_in(folder: Path, items: list[dict[str, Any]], value: int = 1) -> list[dict[str, Any]]:
    """Give items local files of one value."""
    folder.mkdir(exist_ok=True)
    for item in items:
        asset = item["assets"]["red"]
        path = folder / f"{item['id']}.tif"
        path.write_bytes(tiff(np.full((64, 64), value, "u2"), asset["proj:transform"], nodata=0))
        asset["href"] = str(path)
    return items


def test_two_searches_can_keep_their_mosaics_in_one_folder(tmp_path: Path) -> None:
    found = [
        stac.readItems(
            kept_in(tmp_path / str(value), recorded("sentinel-2-l2a"), value),
            ["red"],
            folder=tmp_path / "kept",
        )
        for value in (1, 2)
    ]
    assert [read_raster(Path(one.files["red"][0])).max() for one in found] == [1, 2]


def test_items_without_a_grid_make_a_mosaic_all_the_same(tmp_path: Path) -> None:
    items = kept_in(tmp_path, recorded("sentinel-2-l2a"))
    for item in items:
        for fields in (item["properties"], item["assets"]["red"]):
            for name in [name for name in fields if name.startswith("proj:")]:
                del fields[name]
    (name,) = stac.readItems(items, ["red"]).files["red"]
    assert read_raster(Path(name)).shape == (1, 96, 64)


def test_items_of_a_day_whose_nodata_is_nan_make_a_mosaic(tmp_path: Path) -> None:
    items = kept_in(tmp_path, recorded("sentinel-2-l2a"))
    for item in items:
        item["assets"]["red"]["raster:bands"] = [{"nodata": "nan"}]
    assert len(stac.readItems(items, ["red"]).files["red"]) == 1


def test_files_that_cannot_be_reached_are_named(tmp_path: Path) -> None:
    items = recorded("sentinel-2-l2a")
    for item in items:
        item["assets"]["red"]["href"] = "http://127.0.0.1:9/red.tif"
    with pytest.raises(ImageOpenError, match=r"input 'http://127\.0\.0\.1:9/red\.tif' cannot be opened"):
        stac.readItems(items, ["red"], folder=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("href", "self_href", "file"),
    [
        ("./red.tif", "https://a.example/items/one.json", "https://a.example/items/red.tif"),
        ("./red.tif", None, "{folder}/red.tif"),
        ("s3://bucket/red.tif", "https://a.example/items/one.json", "s3://bucket/red.tif"),
        ("/data/red.tif", "https://a.example/items/one.json", "/data/red.tif"),
        ("/vsis3/bucket/red.tif", None, "/vsis3/bucket/red.tif"),
    ],
)
def test_an_address_counts_from_the_item_or_else_from_the_file_of_items(
    tmp_path: Path, href: str, self_href: str | None, file: str
) -> None:
    item = sentinel()
    item["assets"]["red"]["href"] = href
    item["links"] = [{"rel": "self", "href": self_href}] if self_href else []
    (tmp_path / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": [item]}))
    found = stac.readItems(tmp_path / "items.json", ["red"])
    assert found.files["red"] == [file.format(folder=tmp_path)]


def projected(item: dict[str, Any], asset: dict[str, Any], common: dict[str, Any]) -> PixelGridDefn:
    """Return the grid of an item whose asset and properties say this of the projection."""
    for fields, said in ((item["assets"]["red"], asset), (item["properties"], common)):
        for name in [name for name in fields if name.startswith("proj:")]:
            del fields[name]
        fields.update({f"proj:{name}": value for name, value in said.items()})
    return stac.readItems([item], ["red"]).pixelGrid()


PIXELS = {"shape": [64, 64], "transform": NORTH}


@pytest.mark.parametrize(
    ("asset", "common"),
    [
        (PIXELS, {"code": "EPSG:32633"}),
        (PIXELS, {"code": None, "epsg": 32633}),
        ({"epsg": 32633}, {"code": "EPSG:32632", **PIXELS}),
        (
            {"code": "EPSG:32633", **PIXELS},
            {"epsg": 32632, "shape": [1, 1], "transform": [1, 0, 0, 0, -1, 0]},
        ),
        ({"shape": [64, 64]}, {"epsg": 32633, "bbox": [399960, 5399680, 400600, 5400320]}),
        ({"shape": [64, 64]}, {"epsg": 32633, "bbox": [399960, 5399680, 0, 400600, 5400320, 9]}),
        # The item's transform is that of the asset of 20 m.
        (
            {"shape": [64, 64]},
            {
                "epsg": 32633,
                "shape": [32, 32],
                "transform": [20, 0, 399960, 0, -20, 5400320],
                "bbox": [399960, 5399680, 400600, 5400320],
            },
        ),
    ],
)
def test_what_an_asset_says_of_its_grid_goes_before_what_its_item_says(
    asset: dict[str, Any], common: dict[str, Any]
) -> None:
    grid = projected(sentinel(), asset, common)
    assert (grid.xMin, grid.yMax, grid.xRes, grid.nrows, grid.ncols) == (399960, 5400320, 10, 64, 64)
    assert "zone 33N" in grid.projection


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"transform": [10, 0, 399960]},
            "has proj:shape .* and proj:transform .*; a shape must be 2 whole numbers",
        ),
        ({"transform": ["a"] * 6}, "a transform 6 or 9 numbers"),
        ({"shape": [64]}, "a shape must be 2 whole numbers"),
        ({"shape": [64.5, 64]}, "a shape must be 2 whole numbers"),
        ({"transform": None, "bbox": [1, 2, 3]}, "proj:bbox .* a bbox 4 or 6"),
        ({"transform": [10, 0, 0, 0, 10, 0]}, "is not north-up"),
        ({"code": "EPSG:0"}, "not known to PROJ"),
    ],
)
def test_a_grid_that_an_item_says_wrongly_is_refused_by_its_name(
    changes: dict[str, Any], sentence: str
) -> None:
    said = {"code": "EPSG:32633", **PIXELS, **changes}
    with pytest.raises(GridError, match=sentence) as raised:
        projected(sentinel(), said, {})
    assert "S2B_33UVQ_20260601_0_L2A" in str(raised.value)


def test_an_item_whose_bbox_goes_around_the_globe_has_its_middle_by_its_geometry() -> None:
    item = sentinel(datetime="2026-06-01T23:30:00Z")
    item["bbox"] = [-180.0, -20.0, 180.0, -19.0]
    item["geometry"] = {
        "type": "MultiPolygon",
        "coordinates": [
            [[[179, -20], [180, -20], [180, -19], [179, -19], [179, -20]]],
            [[[-180, -20], [-179.5, -20], [-179.5, -19], [-180, -19], [-180, -20]]],
        ],
    }
    assert stac.readItems([item], ["red"]).dates == [date(2026, 6, 2)]
    item["geometry"] = {
        "type": "Polygon",
        "coordinates": [[[-180, -20], [180, -20], [180, -19], [-180, -19], [-180, -20]]],
    }
    assert stac.readItems([item], ["red"]).dates == [date(2026, 6, 1)]  # the whole globe


def test_passes_of_both_directions_on_one_day_are_one_mosaic_with_the_first_on_top(tmp_path: Path) -> None:
    descending, ascending = recorded("sentinel-2-l2a")[0], recorded("sentinel-2-l2a")[0]
    ascending["id"], ascending["properties"]["datetime"] = "ascending", "2026-06-01T17:00:00Z"
    kept_in(tmp_path / "a", [ascending], 2)
    kept_in(tmp_path / "d", [descending], 1)
    found = stac.readItems([ascending, descending], ["red"])
    assert found.dates == [date(2026, 6, 1)]
    assert np.unique(read_raster(Path(found.files["red"][0]))).tolist() == [1]
    assert len(stac.readItems([ascending, descending], ["red"], mosaic=False).dates) == 2


@pytest.mark.parametrize(
    "changes", [{"datetime": None}, {"datetime": None, "start_datetime": "2026-06-03T00:00:00Z"}]
)
def test_an_item_without_a_time_is_named(changes: dict[str, Any]) -> None:
    with pytest.raises(
        ParameterError, match="item 'S2B_33UVQ_20260601_0_L2A' has neither datetime nor start_datetime"
    ):
        stac.readItems([sentinel(**changes)], ["red"])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("{", "is not JSON"), ("5", "must be of type FeatureCollection.*it is 'int'"), ("[5]", "not int")],
)
def test_a_file_that_holds_no_items_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "items.json").write_text(text)
    with pytest.raises(ParameterError, match=sentence):
        stac.readItems(tmp_path / "items.json", ["red"])


def test_a_folder_is_no_file_of_items(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="cannot be read: Is a directory"):
        stac.readItems(tmp_path, ["red"])


def test_what_a_catalogue_says_of_bands_may_be_null_and_must_be_numbers() -> None:
    item = sentinel()
    item["assets"]["red"].update({"raster:bands": None, "eo:bands": [None]})
    assert stac.readItems([item], ["red"]).scaling["red"] == [stac.BandScale()]
    item["assets"]["red"]["raster:bands"] = [{"scale": "large"}]
    with pytest.raises(ParameterError, match="has the scale 'large', which is no number"):
        stac.readItems([item], ["red"])


# -- the item beside an output


def fields_of(prefix: str, **known: Any) -> dict[str, Any]:
    """Return a schema for fields of an extension as its page describes them; others with its prefix are refused."""
    fields = {
        "properties": {f"{prefix}:{name}": schema for name, schema in known.items()},
        "patternProperties": {f"^(?!{prefix}:)": {}},
        "additionalProperties": False,
    }
    return {"properties": {"properties": fields, "assets": {"additionalProperties": fields}}}


NUMBERS = {"type": "array", "items": {"type": "number"}}
STATISTICS = ("minimum", "maximum", "mean", "stddev", "valid_percent")
BAND = {
    "type": "object",
    "properties": {
        "data_type": {"enum": ["uint8", "uint16", "int16", "float32", "float64"]},
        "nodata": {"oneOf": [{"type": "number"}, {"enum": ["nan", "inf", "-inf"]}]},
        "statistics": {
            "properties": {name: {"type": "number"} for name in STATISTICS},
            "additionalProperties": False,
        },
    },
    "additionalProperties": False,
}
SCHEMAS = {
    "projection/v2.0.0": fields_of(
        "proj",
        code={"type": ["string", "null"], "pattern": "^[A-Z]+:[0-9]+$"},
        shape={"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2},
        transform={**NUMBERS, "minItems": 6, "maxItems": 6},
        bbox={**NUMBERS, "minItems": 4, "maxItems": 4},
        wkt2={"type": "string"},
    ),
    "raster/v1.1.0": fields_of("raster", bands={"type": "array", "items": BAND, "minItems": 1}),
    "processing/v1.1.0": fields_of(
        "processing",
        lineage={"type": "string"},
        software={"type": "object", "additionalProperties": {"type": "string"}},
        expression={"type": "object", "required": ["format", "expression"]},
    ),
}


def validated(path: Path) -> pystac.Item:
    """Read an item and validate it by pystac's schemas of STAC and those of the extensions above."""
    item = pystac.Item.from_file(str(path))
    validator = pystac.validation.JsonSchemaSTACValidator()
    for name, schema in SCHEMAS.items():
        uri = f"https://stac-extensions.github.io/{name}/schema.json"
        validator.schema_cache[uri] = {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "$id": uri,
            **schema,
        }
    assert {uri.split("github.io/")[1].removesuffix("/schema.json") for uri in item.stac_extensions} == {
        *SCHEMAS
    }
    assert len(item.validate(validator=validator)) == 1 + len(SCHEMAS)
    return item


def make(path: Path, transform: list[float], nodata: float | None, epsg: int = 32633) -> Path:
    path.write_bytes(
        tiff(np.arange(64 * 64, dtype="u2").reshape(64, 64), transform, nodata=nodata, epsg=epsg)
    )
    return path


def shrink(info: Any, inputs: Any, outputs: Any) -> None:
    del info
    outputs.out = inputs.red[0]


def test_an_item_beside_an_output_says_what_it_is_and_validates(tmp_path: Path) -> None:
    output = make(tmp_path / "median.2026.tif", NORTH, 0)
    gdal.Info(str(output), computeMinMax=False, stats=True)
    found = stac.readItems(recorded("sentinel-2-l2a"), ["red"], mosaic=False)

    stac.writeItem(output, found, shrink, image="workers@sha256:12ab", properties={"title": "a median"})

    item = validated(tmp_path / "median.2026.stac.json")
    assert item.id == "median.2026"
    assert item.bbox == pytest.approx([13.6372, 48.7430, 13.6462, 48.7489], abs=5e-3)
    assert item.datetime is None
    assert item.common_metadata.end_datetime == datetime(2026, 6, 1, 10, 8, 5, 262000, tzinfo=UTC)
    assert item.properties["proj:code"] == "EPSG:32633"
    assert item.properties["proj:transform"] == NORTH
    assert item.properties["proj:shape"] == [64, 64]
    (band,) = item.assets["data"].extra_fields["raster:bands"]
    assert (band["data_type"], band["nodata"], band["statistics"]["maximum"]) == ("uint16", 0, 4095)
    links = [link.href for link in item.links if link.rel == "derived_from"]
    assert links == [source.get_self_href() for source in found.items]
    assert item.properties["rios_batch:inputs"][0] == "sentinel-2-l2a/S2B_33UVQ_20260601_0_L2A"
    assert {"rios_batch", "GDAL", "numpy"} <= item.properties["processing:software"].keys()
    expression = item.properties["processing:expression"]["expression"]
    assert expression["name"] == "shrink"
    assert len(expression["sha256"]) == 64
    assert item.properties["rios_batch:image"] == "workers@sha256:12ab"
    assert item.assets["data"].get_absolute_href() == str(output)


@pytest.mark.parametrize(
    ("function", "properties", "sentence"),
    [
        ("median", {}, "function must be the function that apply ran, not 'median'"),
        (None, {"processed": date(2026, 6, 1)}, "properties must be what JSON holds"),
        (None, {"threshold": float("nan")}, "properties must be what JSON holds"),
    ],
)
def test_what_no_item_can_hold_is_refused_and_nothing_written(
    tmp_path: Path, function: Any, properties: dict[str, Any], sentence: str
) -> None:
    output = make(tmp_path / "one.tif", NORTH, None)
    with pytest.raises(ParameterError, match=sentence):
        stac.writeItem(output, [landsat()], function, properties=properties)
    assert [path.name for path in tmp_path.iterdir()] == ["one.tif"]


def test_an_item_of_one_moment_has_a_datetime_and_no_span(tmp_path: Path) -> None:
    stac.writeItem(make(tmp_path / "one.tif", NORTH, None), [landsat()])
    item = validated(tmp_path / "one.stac.json")
    assert item.datetime == datetime(2026, 6, 2, 9, 48, 11, 194486, tzinfo=UTC)
    assert "start_datetime" not in item.properties


def test_an_output_across_the_antimeridian_has_two_polygons(tmp_path: Path) -> None:
    stac.writeItem(make(tmp_path / "fiji.tif", [0.05, 0, 178.5, 0, -0.05, -15], None, 4326), [landsat()])
    item = validated(tmp_path / "fiji.stac.json")
    assert item.geometry is not None
    assert item.geometry["type"] == "MultiPolygon"
    assert item.bbox == pytest.approx([178.5, -18.2, -178.3, -15.0])


def test_an_output_around_a_pole_has_the_whole_cap(tmp_path: Path) -> None:
    stac.writeItem(make(tmp_path / "pole.tif", [1000, 0, -32000, 0, -1000, 32000], None, 3031), [landsat()])
    item = validated(tmp_path / "pole.stac.json")
    assert item.bbox == pytest.approx([-180, -90, 180, -89.58], abs=0.02)


def test_an_output_without_a_code_has_wkt(tmp_path: Path) -> None:
    output = make(tmp_path / "own.tif", NORTH, None)
    reference = osr.SpatialReference()
    reference.ImportFromProj4("+proj=tmerc +lon_0=14.2 +x_0=500000 +datum=WGS84")
    dataset = gdal.Open(str(output), gdal.GA_Update)
    dataset.SetProjection(reference.ExportToWkt())
    dataset = None
    stac.writeItem(output, [landsat()])
    item = validated(tmp_path / "own.stac.json")
    assert item.properties["proj:code"] is None
    assert "PROJ" in item.properties["proj:wkt2"]


def test_stac_is_loaded_by_nobody_else(tmp_path: Path) -> None:
    done = run_script(
        tmp_path,
        "import sys, rios_batch.applier, rios_batch.cli; print([m for m in sys.modules if 'stac' in m])",
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
