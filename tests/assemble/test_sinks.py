# ruff: noqa: ARG001 - user functions and merge rules have the arguments they are called with
from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from osgeo import gdal

from rios_batch import applier
from rios_batch.assemble.geotiffassembler import GeoTiffAssembler
from rios_batch.assemble.sinks import open_sink
from rios_batch.encode.blocks import tile_sink
from rios_batch.errors import OutputError, ParameterError, RiosBatchError
from rios_batch.model.blobs import Blob, StoredBlocks
from rios_batch.model.geotiff import parse_tiled_tiff
from rios_batch.model.grid import PixelGridDefn
from rios_batch.model.spec import Layout, OutputSpec
from rios_batch.model.tileresult import TileOutput
from rios_batch.model.tiles import BlockGrid, TilePlan
from tests.support import files_below, make_raster, output_spec, ramp, read_raster

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from rios_batch.model.encodedblocks import EncodedBlocks
    from tests.support import Array

    Write = Callable[..., Path]

GRID = PixelGridDefn((0.0, 10.0, 0.0, 0.0, 0.0, -10.0), nrows=64, ncols=96)
PLAN = TilePlan(BlockGrid(96, 64, 32, 32), 1, 1)  # 3 x 2 tiles of one block
TILED = ("TILED=YES", "BLOCKXSIZE=32", "BLOCKYSIZE=32", "COMPRESS=DEFLATE")


def output_to(path: Path, *, encoded_by_workers: bool, options: tuple[str, ...] = TILED) -> OutputSpec:
    return output_spec(
        *options,
        path=str(path),
        nodata=0,
        encoded_by_workers=encoded_by_workers,
        blocks_are_whole=False,
    )


def fill(sink: Any, output: OutputSpec, pixels: Array, indices: list[int]) -> None:
    """Write these tiles of the plan, as workers and main would."""
    layout = Layout(pixels.dtype.name, pixels.shape[0])
    for index in indices:
        tile = PLAN.tile(index)
        window = tile.window
        part = tile_sink(output, layout, window)
        part.write(pixels[:, window.row : window.end_row, window.col : window.end_col], 0, 0)
        sink.write(tile, part.finish())


BOTH = pytest.mark.parametrize("encoded_by_workers", [True, False], ids=["assembled", "written by GDAL"])


@BOTH
def test_all_tiles_make_the_file_at_commit_and_not_before(
    tmp_path: Path, *, encoded_by_workers: bool
) -> None:
    output, pixels = output_to(tmp_path / "out.tif", encoded_by_workers=encoded_by_workers), ramp(2, 64, 96)
    sink = open_sink(output, GRID)

    fill(sink, output, pixels, list(range(6)))
    sink.finish(())
    assert not (tmp_path / "out.tif").exists()
    sink.commit()
    sink.abort()

    assert files_below(tmp_path) == ["out.tif"]
    assert np.array_equal(read_raster(tmp_path / "out.tif"), pixels)


def test_an_assembled_file_with_a_missing_tile_is_refused(tmp_path: Path) -> None:
    output = output_to(tmp_path / "out.tif", encoded_by_workers=True)
    sink = open_sink(output, GRID)
    fill(sink, output, ramp(1, 64, 96), [0, 1, 2, 4, 5])

    with pytest.raises(RiosBatchError, match=r"'.*out\.tif' is incomplete: some of its tiles never arrived"):
        sink.finish(())
    sink.abort()

    assert files_below(tmp_path) == []


def test_a_tile_that_is_all_nodata_is_not_a_missing_tile(tmp_path: Path) -> None:
    output = output_to(tmp_path / "out.tif", encoded_by_workers=True, options=(*TILED, "SPARSE_OK=TRUE"))
    pixels = ramp(1, 64, 96)
    pixels[:, :32, 32:] = 0
    sink = open_sink(output, GRID)

    fill(sink, output, pixels, list(range(6)))
    sink.finish(())
    sink.commit()

    assert np.array_equal(read_raster(tmp_path / "out.tif"), pixels)
    dataset = gdal.Open(str(tmp_path / "out.tif"))
    band = dataset.GetRasterBand(1)
    assert band.GetMetadataItem("BLOCK_OFFSET_1_0", "TIFF") is None
    assert band.GetMetadataItem("BLOCK_OFFSET_0_0", "TIFF") is not None
    index = parse_tiled_tiff((tmp_path / "out.tif").read_bytes())
    assert [(bool(o), bool(n)) for o, n in zip(index.offsets, index.byte_counts, strict=True)] == [
        (tile not in {1, 2},) * 2 for tile in range(6)
    ]


@BOTH
def test_an_output_without_any_tile_is_refused(tmp_path: Path, *, encoded_by_workers: bool) -> None:
    sink = open_sink(output_to(tmp_path / "out.tif", encoded_by_workers=encoded_by_workers), GRID)

    with pytest.raises(RiosBatchError, match="is incomplete"):
        sink.finish(())
    sink.abort()

    assert files_below(tmp_path) == []


@BOTH
def test_abort_in_the_middle_leaves_what_was_there_before(
    tmp_path: Path, *, encoded_by_workers: bool
) -> None:
    (tmp_path / "out.tif").write_text("old")
    output = output_to(tmp_path / "out.tif", encoded_by_workers=encoded_by_workers)
    sink = open_sink(output, GRID)
    fill(sink, output, ramp(1, 64, 96), [0, 1])

    sink.abort()

    assert files_below(tmp_path) == ["out.tif"]
    assert (tmp_path / "out.tif").read_text() == "old"


class CountingSink:
    """Takes the bytes of a file and keeps none."""

    def __init__(self) -> None:
        self.nbytes = 0

    def append(self, blocks: EncodedBlocks | StoredBlocks) -> None:
        self.nbytes += blocks.nbytes

    def finish(self, front: bytes, side_files: Mapping[str, bytes]) -> None:  # noqa: ARG002 - ByteSink's
        raise AssertionError

    def commit(self) -> None:
        raise AssertionError

    def abort(self) -> None:
        raise AssertionError


def test_a_classic_tiff_that_grew_past_4_gib_is_refused_with_what_to_change(tmp_path: Path) -> None:
    output = output_to(tmp_path / "out.tif", encoded_by_workers=True, options=(*TILED, "BIGTIFF=NO"))
    layout, written = Layout("uint8", 1), CountingSink()
    sink = GeoTiffAssembler(output, GRID, layout, lambda _: written, None)
    blob = Blob("bucket", "key", "etag", 0, 2**30 - 1)
    for index in range(6):
        blocks = StoredBlocks(blob, np.array([blob.size], np.uint64), None)  # type: ignore[arg-type] # never read
        sink.write(PLAN.tile(index), TileOutput(layout, blocks))
    assert written.nbytes == 6 * (2**30 - 1)

    with pytest.raises(
        OutputError, match=r"'.*out\.tif' needs 6,442,4\d\d,\d{3} bytes.* more than the 4 GiB.*BIGTIFF=YES"
    ):
        sink.finish(())


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that runs an identity function over pixels and gives the output's path."""

    def write(pixels: Array, name: str, options: list[str] | None = None, **settings: Any) -> Path:
        folder = tmp_path / "outputs"
        folder.mkdir(exist_ok=True)
        infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
        infiles.image = make_raster(tmp_path / "in.tif", pixels)
        outfiles.out = folder / name
        controls = applier.ApplierControls()
        controls.setWindowSize(32, 32)
        controls.setCreationOptions(options)
        for setter, value in settings.items():
            getattr(controls, setter)(*(value if isinstance(value, tuple) else [value]))

        def identity(info: Any, inputs: Any, outputs: Any) -> None:
            outputs.out = inputs.image

        applier.apply(identity, infiles, outfiles, controls=controls)
        return folder / name

    return write


@pytest.mark.parametrize(
    "options", [["TILED=NO"], ["TILED=NO", "COMPRESS=DEFLATE"], ["BLOCKYSIZE=7", "COMPRESS=LZW"]]
)
def test_a_geotiff_in_strips_has_the_same_pixels(write: Write, options: list[str]) -> None:
    pixels = ramp(2, 75, 90, "float32")

    path = write(pixels, "out.tif", options)

    assert np.array_equal(read_raster(path), pixels)
    dataset = gdal.Open(str(path))
    assert dataset.GetRasterBand(1).GetBlockSize()[0] == 90  # strips are as wide as the raster
    assert files_below(path.parent) == ["out.tif"]


def test_a_window_that_fits_no_tiff_block_gives_the_same_pixels(write: Write) -> None:
    # 4 Mpx are what a tile may have: at 37 px windows and 1024 px blocks this raster needs more.
    pixels = np.zeros((1, 2100, 2100), np.uint8)
    pixels[0, ::7, ::11] = 200

    path = write(pixels, "out.tif", ["TILED=YES", "BLOCKXSIZE=1024", "BLOCKYSIZE=1024"], setWindowXsize=1031)

    assert np.array_equal(read_raster(path), pixels)
    dataset = gdal.Open(str(path))
    assert dataset.GetRasterBand(1).GetBlockSize() == [1024, 1024]


def test_jpeg_goes_through_gdal_and_is_what_gdal_writes(write: Write, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (3, 96, 128), np.uint8)
    options = [
        "TILED=YES",
        "BLOCKXSIZE=32",
        "BLOCKYSIZE=32",
        "COMPRESS=JPEG",
        "PHOTOMETRIC=YCBCR",
        "INTERLEAVE=PIXEL",
    ]

    path = write(pixels, "out.tif", options)

    own = make_raster(tmp_path / "own.tif", pixels, nodata=0, options=options)
    assert np.array_equal(read_raster(path), read_raster(own))
    assert gdal.Open(str(path)).GetMetadataItem("COMPRESSION", "IMAGE_STRUCTURE") == "YCbCr JPEG"


def test_a_world_file_arrives_next_to_the_output(write: Write) -> None:
    path = write(ramp(1, 40, 40), "out.tif", [*TILED, "TFW=YES"])

    assert files_below(path.parent) == ["out.tfw", "out.tif"]
    assert (path.parent / "out.tfw").read_text().split()[0].startswith("10.0")


def test_what_a_baseline_tiff_cannot_hold_arrives_in_a_sidecar_file(write: Write) -> None:
    path = write(
        ramp(1, 40, 40), "out.tif", [*TILED, "PROFILE=BASELINE"], setStatsIgnore=99, setLayerNames=["a name"]
    )

    assert files_below(path.parent) == ["out.tif", "out.tif.aux.xml"]
    dataset = gdal.Open(str(path))
    band = dataset.GetRasterBand(1)
    assert (band.GetNoDataValue(), band.GetDescription()) == (99, "a name")


def test_a_second_run_replaces_the_first_and_its_sidecar_files(write: Write) -> None:
    write(ramp(1, 40, 40), "out.tif", [*TILED, "PROFILE=BASELINE"], setLayerNames=["a name"])

    path = write(ramp(1, 50, 50), "out.tif", list(TILED))

    assert files_below(path.parent) == ["out.tif"]
    assert np.array_equal(read_raster(path), ramp(1, 50, 50))


@pytest.mark.parametrize("name", ["out.tif", "out.img"])
def test_names_nodata_and_kind_of_layers_are_written(write: Write, name: str) -> None:
    path = write(
        ramp(3, 40, 40), name, None, setLayerNames=["red", "green"], setStatsIgnore=77, setThematic=True
    )

    dataset = gdal.Open(str(path))
    bands = [dataset.GetRasterBand(i) for i in (1, 2, 3)]
    assert [band.GetDescription() for band in bands[:2]] == ["red", "green"]
    assert [band.GetNoDataValue() for band in bands] == [77] * 3
    assert [band.GetMetadataItem("LAYER_TYPE") for band in bands] == ["thematic"] * 3


def test_an_output_without_nodata_has_none(write: Write) -> None:
    path = write(ramp(1, 40, 40), "out.tif", None, setStatsIgnore=None)

    dataset = gdal.Open(str(path))
    assert dataset.GetRasterBand(1).GetNoDataValue() is None


@pytest.mark.parametrize("nodata", [2**53 + 1, -(2**63)])
@pytest.mark.parametrize("options", [None, ["TILED=NO"]])
def test_nodata_of_64_bit_integers_is_written_exactly(
    write: Write, nodata: int, options: list[str] | None
) -> None:
    path = write(ramp(1, 40, 40, "int64"), "out.tif", options, setStatsIgnore=nodata)

    dataset = gdal.Open(str(path))
    assert dataset.GetRasterBand(1).GetNoDataValue() == nodata


@pytest.mark.parametrize(("dtype", "nodata"), [("int64", 0.5), ("int64", float("nan")), ("uint64", -1)])
def test_nodata_that_a_64_bit_integer_cannot_hold_is_refused(write: Write, dtype: str, nodata: float) -> None:
    with pytest.raises(ParameterError, match=f"nodata value {nodata} is not one of {dtype}"):
        write(ramp(1, 40, 40, dtype), "out.tif", None, setStatsIgnore=nodata)


def test_a_run_that_fails_leaves_what_was_at_the_output_before(write: Write) -> None:
    path = write(ramp(1, 40, 40), "out.tif")
    before = path.read_bytes()

    with pytest.raises(OutputError, match=re.escape(str(path))):
        write(ramp(1, 40, 40), "out.tif", [*TILED, "PREDICTOR=3"])

    assert path.read_bytes() == before
    assert files_below(path.parent) == ["out.tif"]


def test_an_assembled_file_gives_its_spec_back_unchanged(tmp_path: Path) -> None:
    # Specs travel to workers and are shared by threads.
    output = output_to(tmp_path / "out.tif", encoded_by_workers=True)
    copy = replace(output)
    sink = open_sink(output, GRID)
    fill(sink, output, ramp(1, 64, 96), list(range(6)))
    sink.finish(())
    sink.abort()

    assert output == copy
