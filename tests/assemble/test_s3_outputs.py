# ruff: noqa: ARG001 - user functions have the arguments they are called with
"""Outputs in S3: the same file as on disk, without its bytes passing through main."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from osgeo import gdal
from osgeo_utils.samples.validate_cloud_optimized_geotiff import validate

from rios_batch import applier
from rios_batch.assemble.parts import PartStream
from rios_batch.assemble.sinks import open_sink
from rios_batch.aws.multipart import MIB, MOST_PARTS
from rios_batch.encode.blocks import tile_sink
from rios_batch.errors import OutputError, ParameterError, RiosBatchError, WaitLimitError
from rios_batch.jobmanagers.watchdog import Watchdog
from rios_batch.model.blobs import Blob, StoredBlocks
from rios_batch.model.encodedblocks import EncodedBlocks
from rios_batch.model.grid import PixelGridDefn
from rios_batch.model.pyramid import Pyramid
from rios_batch.model.spec import Layout, OutputSpec
from rios_batch.model.tileresult import TileOutput
from rios_batch.model.tiles import BlockGrid, TilePlan
from tests.blob_store import BucketBlobStore
from tests.s3server import DENIED, ON_LOOPBACK, unfinished_uploads
from tests.support import files_below, make_raster, output_spec, ramp, read_raster, run_script, utm_wkt

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rios_batch.aws.objects import Bucket
    from tests.s3server import S3Server
    from tests.support import Array

pytestmark = ON_LOOPBACK

SMALLEST = 5 * MIB


@dataclass(frozen=True)
class Raster:
    """Pixels that do not compress, cut into tiles of one column of TIFF blocks each."""

    side_px: int
    ntiles: int
    nbands: int = 1
    options: tuple[str, ...] = ("TILED=YES", "COMPRESS=DEFLATE", "BIGTIFF=IF_SAFER", "INTERLEAVE=BAND")
    overviews: tuple[int, ...] = ()

    @property
    def pyramid(self) -> Pyramid | None:
        return Pyramid(self.overviews, "AVERAGE") if self.overviews else None

    @property
    def pixels(self) -> Array:
        rng = np.random.default_rng(self.ntiles)
        return rng.integers(0, 2**16, (self.nbands, self.side_px, self.side_px * self.ntiles), np.uint16)

    @property
    def grid(self) -> PixelGridDefn:
        transform = (5e5, 10.0, 0.0, 4.4e6, 0.0, -10.0)
        return PixelGridDefn(transform, self.side_px, self.side_px * self.ntiles, utm_wkt())

    @property
    def plan(self) -> TilePlan:
        return TilePlan(BlockGrid(self.side_px * self.ntiles, self.side_px, self.side_px, self.side_px), 1, 1)

    def output(self, path: str) -> OutputSpec:
        sides = tuple(f"BLOCK{axis}SIZE={min(self.side_px, 256)}" for axis in "XY")
        return output_spec(
            *self.options,
            *sides,
            path=path,
            nodata=0,
            layer_names=("a name",),
            blocks_are_whole=False,
            pyramid=self.pyramid,
        ).with_plan(self.plan)

    def write(self, sink: Any, output: OutputSpec, blob_store: BucketBlobStore | None = None) -> None:
        """Write all tiles, out of memory or out of S3."""
        pixels, layout = self.pixels, Layout("uint16", self.nbands)
        for index in range(self.ntiles):
            tile = self.plan.tile(index)
            part = tile_sink(output, layout, tile.window)
            part.write(pixels[:, :, tile.window.col : tile.window.end_col], 0, 0)
            encoded = part.finish()
            assert isinstance(encoded.payload, EncodedBlocks)
            if blob_store is not None:
                encoded = replace(encoded, payload=stored(blob_store, encoded.payload))
            sink.write(tile, encoded)


def stored(blob_store: BucketBlobStore, blocks: EncodedBlocks) -> StoredBlocks:
    # Another output's blocks may stand before and after in the same object.
    blob = blob_store.put(b"before" + blocks.data.tobytes() + b"after", start=6, size=blocks.nbytes)
    return StoredBlocks(blob, blocks.byte_counts, blob_store)


def info(path: str) -> Any:
    found = gdal.Info(path, format="json")
    del found["description"], found["files"]
    return found


SMALL = Raster(256, 3)  # 0.4 MB: all of it is part 1
OF_SMALL_TILES = Raster(512, 30)  # 0.5 MB each: merged
OF_LARGE_TILES = Raster(2048, 3)  # 8 MB each: copied
OF_THREE_BANDS = Raster(768, 7, nbands=3, options=("TILED=YES", "COMPRESS=LZW", "BIGTIFF=YES"))
RASTERS = {
    "small": SMALL,
    "small tiles": OF_SMALL_TILES,
    "large tiles": OF_LARGE_TILES,
    "three bands": OF_THREE_BANDS,
    "overviews encoded with the tiles": Raster(1024, 5, overviews=(2, 4, 8, 16, 32)),
    "overviews encoded in main": Raster(256, 9, nbands=2, overviews=(4, 8)),
}


@pytest.mark.parametrize("raster", RASTERS.values(), ids=RASTERS)
@pytest.mark.parametrize("in_s3", [True, False], ids=["blobs", "bytes"])
def test_the_object_is_the_file_that_is_written_locally(
    bucket: Bucket, tmp_path: Path, raster: Raster, *, in_s3: bool
) -> None:
    local, remote = raster.output(str(tmp_path / "out.tif")), raster.output(f"s3://{bucket.name}/f/out.tif")
    for output in (local, remote):
        sink = open_sink(output, raster.grid)
        raster.write(sink, output, BucketBlobStore(bucket) if in_s3 and output is remote else None)
        sink.finish(())
        assert bucket.head("f/out.tif") is None
        sink.commit()
        sink.abort()

    path = f"/vsis3/{bucket.name}/f/out.tif"
    assert bucket.get("f/out.tif") == (tmp_path / "out.tif").read_bytes()
    assert read_raster(path).tobytes() == raster.pixels.tobytes()
    assert info(path) == info(local.path)
    warnings, errors, details = validate(path, full_check=True)
    assert errors == []
    assert warnings == [] or (raster.pyramid is None and all("overview" in text for text in warnings))
    assert details["ifd_offsets"]["main"] < 20 < details["data_offsets"]["main"]
    assert unfinished_uploads(bucket) == []


def test_small_tiles_are_merged_and_only_the_head_and_the_rest_pass_through_main(bucket: Bucket) -> None:
    blob_store, raster = BucketBlobStore(bucket), OF_SMALL_TILES
    output = raster.output(f"s3://{bucket.name}/out.tif")
    sink = open_sink(output, raster.grid)

    raster.write(sink, output, blob_store)
    assert (
        len(blob_store.merged) == 1
    )  # 15.8 MB: 5.2 MB are part 1, 8.4 MB were merged, the rest is still to come
    sink.finish(())
    sink.commit()

    assert 0 < blob_store.read_bytes < 2 * SMALLEST


def test_large_tiles_are_copied_from_s3_to_s3_as_they_come(bucket: Bucket, s3_server: S3Server) -> None:
    blob_store, raster = BucketBlobStore(bucket), OF_LARGE_TILES
    output = raster.output(f"s3://{bucket.name}/out.tif")
    sink = open_sink(output, raster.grid)

    raster.write(sink, output, blob_store)
    sink.finish(())
    sink.commit()

    assert blob_store.merged == [2]  # what the first lost to part 1 left it too small to be a part of its own
    assert sum(bool(request.copied_etag) for request in s3_server.requests) == 2
    assert 0 < blob_store.read_bytes <= SMALLEST
    sent = [r.nbytes for r in s3_server.requests if r.method == "PUT" and r.path.endswith("/out.tif")]
    assert sum(sent) < SMALLEST + MIB


def test_tiles_in_memory_are_sent_in_few_parts(bucket: Bucket, s3_server: S3Server) -> None:
    raster = OF_SMALL_TILES
    output = raster.output(f"s3://{bucket.name}/out.tif")
    sink = open_sink(output, raster.grid)

    raster.write(sink, output)
    sink.finish(())
    sink.commit()

    assert s3_server.count("PUT", key="/out.tif", query="partNumber") == 3


def test_tiles_in_memory_and_in_s3_may_be_mixed(bucket: Bucket) -> None:
    blob_store, raster = BucketBlobStore(bucket), OF_SMALL_TILES
    output = raster.output(f"s3://{bucket.name}/out.tif")
    sink = open_sink(output, raster.grid)

    class Mixer:
        def write(self, tile: Any, part: TileOutput) -> None:
            assert isinstance(part.payload, EncodedBlocks)
            if tile.index % 3 == 0:
                part = replace(part, payload=stored(blob_store, part.payload))
            sink.write(tile, part)

    raster.write(Mixer(), output)
    sink.finish(())
    sink.commit()

    assert read_raster(f"/vsis3/{bucket.name}/out.tif").tobytes() == raster.pixels.tobytes()


def test_a_small_file_is_one_put(bucket: Bucket, s3_server: S3Server) -> None:
    output = SMALL.output(f"s3://{bucket.name}/out.tif")
    sink = open_sink(output, SMALL.grid)

    SMALL.write(sink, output)
    sink.finish(())
    sink.commit()
    sink.abort()

    assert [r.query for r in s3_server.requests if r.method == "PUT"] == [""]


# A child, so that its memory is not that of the server, which keeps everything. All tiles are one and the same blob.
MANY_TILES = """
import sys, tracemalloc
import numpy as np
from osgeo import gdal
from rios_batch.aws.objects import Bucket
from rios_batch.model.spec import Layout
from rios_batch.model.blobs import StoredBlocks
from rios_batch.model.tileresult import TileOutput
from rios_batch.assemble.sinks import open_sink
from tests.assemble.test_s3_outputs import Raster
from tests.blob_store import BucketBlobStore

gdal.UseExceptions()
raster = Raster(384, int(sys.argv[2]), options=("TILED=YES", "BLOCKXSIZE=384", "BLOCKYSIZE=384"))
bucket = Bucket(sys.argv[1])
blob_store = BucketBlobStore(bucket)
output = raster.output(f"s3://{bucket.name}/out.tif")
tracemalloc.start()
sink = open_sink(output, raster.grid)
blob = blob_store.put(bytes(2 * 384 * 384))
blocks = StoredBlocks(blob, np.array([blob.size], np.uint64), blob_store)
for index in range(raster.ntiles):
    sink.write(raster.plan.tile(index), TileOutput(Layout("uint16", 1), blocks))
sink.finish(())
sink.commit()
print(blob_store.read_bytes, tracemalloc.get_traced_memory()[1], bucket.head("out.tif").size)
"""


def test_what_passes_through_main_and_its_memory_do_not_grow_with_the_number_of_tiles(
    bucket: Bucket, tmp_path: Path
) -> None:
    relayed, peak, size = {}, {}, {}
    # As many as fill parts, so that there is no rest.
    for ntiles in (105, 221):
        done = run_script(tmp_path, MANY_TILES, bucket.name, str(ntiles))
        assert done.returncode == 0, done.stderr
        relayed[ntiles], peak[ntiles], size[ntiles] = map(int, done.stdout.split())

    assert size[221] > 2 * 105 * 2 * 384 * 384
    # A longer directory leaves less room for blocks in part 1.
    assert relayed[221] <= relayed[105] < 16 * MIB
    assert peak[221] < 1.1 * peak[105]


def test_no_block_is_decoded_and_none_encoded_again(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    blob_store, raster = BucketBlobStore(bucket), OF_SMALL_TILES
    output = raster.output(f"s3://{bucket.name}/out.tif")
    sink = open_sink(output, raster.grid)
    tiles: list[tuple[Any, TileOutput]] = []

    class Collector:
        def write(self, tile: Any, part: TileOutput) -> None:
            tiles.append((tile, part))

    raster.write(Collector(), output, blob_store)
    for method in ("ReadAsArray", "WriteArray", "ReadRaster", "WriteRaster"):
        for kind in (gdal.Dataset, gdal.Band):
            monkeypatch.delattr(kind, method, raising=False)

    for tile, part in tiles:
        sink.write(tile, part)
    sink.finish(())
    sink.commit()


def test_sparse_blocks_are_left_out_and_a_file_of_nothing_else_is_whole(bucket: Bucket) -> None:
    raster = replace(SMALL, options=(*SMALL.options, "SPARSE_OK=TRUE"))
    output = raster.output(f"s3://{bucket.name}/out.tif")
    sink = open_sink(output, raster.grid)
    for index in range(raster.ntiles):
        part = tile_sink(output, Layout("uint16", 1), raster.plan.tile(index).window)
        part.write(np.zeros((1, 256, 256), np.uint16), 0, 0)
        sink.write(raster.plan.tile(index), part.finish())

    sink.finish(())
    sink.commit()

    assert not read_raster(f"/vsis3/{bucket.name}/out.tif").any()


BOTH = pytest.mark.parametrize("raster", [SMALL, OF_LARGE_TILES], ids=["one put", "multipart"])


@BOTH
def test_an_older_object_stays_until_commit_and_abort_leaves_nothing_else(
    bucket: Bucket, raster: Raster
) -> None:
    bucket.put("out.tif", b"old")
    output = raster.output(f"s3://{bucket.name}/out.tif")
    sink = open_sink(output, raster.grid)
    raster.write(sink, output, BucketBlobStore(bucket))
    sink.finish(())
    assert bucket.get("out.tif") == b"old"

    sink.abort()
    sink.abort()

    assert bucket.get("out.tif") == b"old"
    assert unfinished_uploads(bucket) == []


@BOTH
def test_a_missing_tile_is_refused(bucket: Bucket, raster: Raster) -> None:
    output = raster.output(f"s3://{bucket.name}/out.tif")
    sink = open_sink(output, raster.grid)

    class WithoutSecond:
        def write(self, tile: Any, part: TileOutput) -> None:
            if tile.index != 1:
                sink.write(tile, part)

    raster.write(WithoutSecond(), output)

    with pytest.raises(RiosBatchError, match=r"'s3://.*/out\.tif' is incomplete: some of its tiles"):
        sink.finish(())
    sink.abort()
    assert bucket.head("out.tif") is None
    assert unfinished_uploads(bucket) == []


def test_an_output_without_any_tile_is_refused(bucket: Bucket) -> None:
    sink = open_sink(SMALL.output(f"s3://{bucket.name}/out.tif"), SMALL.grid)

    with pytest.raises(RiosBatchError, match="is incomplete"):
        sink.finish(())
    sink.abort()

    assert unfinished_uploads(bucket) == []


def test_a_blob_that_was_replaced_meanwhile_is_an_error_and_nothing_appears(bucket: Bucket) -> None:
    raster, blob_store = OF_SMALL_TILES, BucketBlobStore(bucket)
    output = raster.output(f"s3://{bucket.name}/out.tif")
    sink = open_sink(output, raster.grid)
    raster.write(sink, output, blob_store)
    bucket.put("blobs/29", b"another")

    with pytest.raises(OutputError, match=r"out\.tif' cannot be written: .*no longer what it was"):
        sink.finish(())
    sink.abort()

    assert bucket.head("out.tif") is None
    assert unfinished_uploads(bucket) == []


def test_a_blob_is_copied_only_if_it_is_the_version_that_was_meant(
    bucket: Bucket, s3_server: S3Server
) -> None:
    # The emulator does not heed the condition, so all there is to see is that it was sent.
    raster, blob_store = OF_LARGE_TILES, BucketBlobStore(bucket)
    output = raster.output(f"s3://{bucket.name}/out.tif")
    sink = open_sink(output, raster.grid)
    raster.write(sink, output, blob_store)
    sink.finish(())
    sink.abort()

    etags = {entry.key: entry.etag for entry in bucket.list_objects("blobs/")}
    assert {r.copied_etag for r in s3_server.requests if r.copied_etag} == {
        etags["blobs/2"],
        etags["blobs/3"],  # of the first two, merged
    }


def test_a_blob_that_ends_past_its_object_is_found_before_the_file_appears(bucket: Bucket) -> None:
    # The emulator copies what there is, without a word; S3 itself refuses.
    raster, blob_store = OF_LARGE_TILES, BucketBlobStore(bucket)
    output = raster.output(f"s3://{bucket.name}/out.tif")
    sink = open_sink(output, raster.grid)
    counts = np.full(64, 2 * 256 * 256, np.uint64)
    for index in range(raster.ntiles):
        blob = blob_store.put(bytes(8 * MIB - (100 if index == 2 else 0)))
        blocks = StoredBlocks(replace(blob, size=8 * MIB), counts, blob_store)
        sink.write(raster.plan.tile(index), TileOutput(Layout("uint16", 1), blocks))
    sink.finish(())

    with pytest.raises(
        OutputError, match=r"part \d of s3://.*out\.tif has 8,388,508 bytes in S3, not 8,388,608"
    ):
        sink.commit()
    sink.abort()

    assert bucket.head("out.tif") is None
    assert unfinished_uploads(bucket) == []


def test_a_merge_that_gives_another_size_is_refused(bucket: Bucket) -> None:
    class Losing(BucketBlobStore):
        def merge(self, blobs: Any) -> Any:
            return super().merge(blobs[1:])

    raster = OF_SMALL_TILES
    output = raster.output(f"s3://{bucket.name}/out.tif")
    sink = open_sink(output, raster.grid)
    raster.write(sink, output, Losing(bucket))

    with pytest.raises(RiosBatchError, match=r"blobs of [\d,]+ bytes became one of [\d,]+ bytes"):
        sink.finish(())
    sink.abort()


@pytest.mark.parametrize("remote", [True, False])
def test_a_tile_whose_blocks_need_another_number_of_bytes_is_refused(
    bucket: Bucket, tmp_path: Path, *, remote: bool
) -> None:
    output = SMALL.output(f"s3://{bucket.name}/out.tif" if remote else str(tmp_path / "out.tif"))
    sink = open_sink(output, SMALL.grid)
    blocks = EncodedBlocks(np.zeros(10, np.uint8), np.array([11], np.uint64))

    with pytest.raises(RiosBatchError, match=r"tile 0 of output '.*' has 10 bytes, but its blocks need 11"):
        sink.write(SMALL.plan.tile(0), TileOutput(Layout("uint16", 1), blocks))
    sink.abort()


def test_blocks_in_s3_make_a_local_file_too(bucket: Bucket, tmp_path: Path) -> None:
    output = SMALL.output(str(tmp_path / "out.tif"))
    sink = open_sink(output, SMALL.grid)

    SMALL.write(sink, output, BucketBlobStore(bucket))
    sink.finish(())
    sink.commit()

    assert read_raster(output.path).tobytes() == SMALL.pixels.tobytes()


def test_a_bucket_that_does_not_exist_is_found_when_the_output_is_opened(s3_server: S3Server) -> None:
    with pytest.raises(
        OutputError, match=r"output 's3://nowhere/out\.tif' cannot be written: there is no bucket 'nowhere'"
    ):
        open_sink(SMALL.output("s3://nowhere/out.tif"), SMALL.grid)


def test_a_bucket_that_may_not_be_written_is_found_when_the_output_is_opened(
    bucket: Bucket, s3_server: S3Server
) -> None:
    s3_server.answers[:] = [("200 OK", b"<ListBucketResult/>"), ("403 Forbidden", DENIED)]

    with pytest.raises(OutputError, match=r"cannot be written: .* credentials: they need s3:PutObject"):
        open_sink(SMALL.output(f"s3://{bucket.name}/out.tif"), SMALL.grid)


def run_identity(image: str, out: str, *, threads: int = 1, **settings: Any) -> Any:
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.image, outfiles.out = image, out
    controls = applier.ApplierControls()
    controls.setNumThreads(threads)
    for setter, value in settings.items():
        getattr(controls, setter)(value)

    def identity(info: Any, inputs: Any, outputs: Any) -> None:
        outputs.out = inputs.image

    return applier.apply(identity, infiles, outfiles, controls=controls)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_run_of_local_workers_reads_from_s3_and_writes_to_s3(
    bucket: Bucket, tmp_path: Path, threads: int
) -> None:
    pixels = ramp(2, 700, 900)
    bucket.upload(tmp_path / make_raster(tmp_path / "in.tif", pixels), "in.tif")
    url = f"s3://{bucket.name}"

    result = run_identity(f"{url}/in.tif", f"{url}/folder/out.tif", threads=threads)

    assert result.outputs == (f"{url}/folder/out.tif",)
    assert np.array_equal(read_raster(f"/vsis3/{bucket.name}/folder/out.tif"), pixels)


@pytest.mark.parametrize(("name", "files"), [("out.img", 1), ("out.bil", 4), ("strips.tif", 1)])
def test_any_format_is_made_locally_and_uploaded_with_its_side_files(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, files: int
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    pixels = ramp(1, 75, 90)
    more: dict[str, Any] = {"setCalcStats": False}  # which GDAL puts beside some of them
    if name == "strips.tif":
        more["setCreationOptions"] = ["TILED=NO"]

    run_identity(make_raster(tmp_path / "in.tif", pixels), f"s3://{bucket.name}/f/{name}", **more)

    assert np.array_equal(read_raster(f"/vsis3/{bucket.name}/f/{name}"), pixels)
    assert len(list(bucket.list_objects("f/"))) == files
    assert files_below(tmp_path / "temporary") == []
    assert unfinished_uploads(bucket) == []


@pytest.mark.parametrize("driver", ["GTiff", "HFA"])
def test_old_metadata_would_describe_the_new_object_and_is_blanked(
    bucket: Bucket, tmp_path: Path, driver: str
) -> None:
    bucket.put("f/out.tif.aux.xml", b"<PAMDataset><Metadata><MDI key='old'>yes</MDI></Metadata></PAMDataset>")
    bucket.put("f/out.tif.txt", b"another's")

    run_identity(
        make_raster(tmp_path / "in.tif", ramp(1, 75, 90)),
        f"s3://{bucket.name}/f/out.tif",
        setOutputDriverName=driver,
    )

    dataset = gdal.Open(f"/vsis3/{bucket.name}/f/out.tif")
    assert "old" not in dataset.GetMetadata()
    assert np.array_equal(dataset.ReadAsArray()[None], ramp(1, 75, 90))
    assert bucket.get("f/out.tif.txt") == b"another's"


@pytest.mark.parametrize("encoded_by_workers", [True, False])
@pytest.mark.parametrize("suffix", [".ovr", ".msk", ".msk.ovr"])
def test_old_overviews_and_masks_are_refused_before_work_starts(
    bucket: Bucket, suffix: str, *, encoded_by_workers: bool
) -> None:
    bucket.put(f"out.tif{suffix}", b"old")
    output = replace(SMALL.output(f"s3://{bucket.name}/out.tif"), encoded_by_workers=encoded_by_workers)

    with pytest.raises(OutputError, match=rf"s3://{bucket.name}/out\.tif{suffix} belongs to an older output"):
        open_sink(output, SMALL.grid)
    assert unfinished_uploads(bucket) == []


def test_what_a_baseline_tiff_cannot_hold_arrives_beside_the_object(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("out.tif.aux.xml", b"old")

    run_identity(
        make_raster(tmp_path / "in.tif", ramp(1, 75, 90)),
        f"s3://{bucket.name}/out.tif",
        setCreationOptions=["TILED=YES", "PROFILE=BASELINE", "TFW=YES"],
        setLayerNames=["a name"],
    )

    assert [entry.key for entry in bucket.list_objects()] == ["out.tfw", "out.tif", "out.tif.aux.xml"]
    dataset = gdal.Open(f"/vsis3/{bucket.name}/out.tif")
    assert dataset.GetRasterBand(1).GetDescription() == "a name"


def test_a_script_that_writes_an_object_again_reads_the_new_one(bucket: Bucket, tmp_path: Path) -> None:
    path = f"s3://{bucket.name}/f/out.tif"
    for value in (1, 2):
        pixels = np.full((1, 75, 90), value, np.uint16)
        run_identity(make_raster(tmp_path / "in.tif", pixels), path)
        assert np.array_equal(read_raster(f"/vsis3/{bucket.name}/f/out.tif"), pixels)


def test_a_run_that_fails_leaves_the_older_object(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("out.tif", b"old")

    with pytest.raises(OutputError, match=r"out\.tif' cannot be written"):
        run_identity(
            make_raster(tmp_path / "in.tif", ramp(1, 75, 90)),
            f"s3://{bucket.name}/out.tif",
            setCreationOptions=["COMPRESS=DEFLATE", "PREDICTOR=3"],
        )

    assert bucket.get("out.tif") == b"old"
    assert unfinished_uploads(bucket) == []


@pytest.mark.parametrize("name", ["s3://", "s3://bucket", "s3://bucket/", "s3://bucket/folder/", "s3:///key"])
def test_a_name_without_bucket_or_key_is_refused(tmp_path: Path, name: str) -> None:
    image = make_raster(tmp_path / "in.tif", ramp(1, 75, 90))

    with pytest.raises(ParameterError, match=f"'{name}' does not name an object in S3; write s3://bucket/"):
        run_identity(image, name)


def test_a_name_in_s3_as_a_path_object_is_refused_since_it_has_lost_a_slash(tmp_path: Path) -> None:
    image = make_raster(tmp_path / "in.tif", ramp(1, 75, 90))

    with pytest.raises(ParameterError, match="pathlib drops a slash"):
        run_identity(image, tmp_path.__class__("s3://bucket/key.tif"))  # type: ignore[arg-type]


def test_two_outputs_of_one_name_in_s3_are_refused(tmp_path: Path) -> None:
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.image = make_raster(tmp_path / "in.tif", ramp(1, 75, 90))
    outfiles.a = outfiles.b = "s3://bucket/out.tif"

    with pytest.raises(ParameterError, match=r"outputs\.a and outputs\.b would both be written to 's3://"):
        applier.apply(print, infiles, outfiles)


def test_a_run_without_s3_does_not_load_boto3(tmp_path: Path) -> None:
    make_raster(tmp_path / "in.tif", ramp(1, 75, 90))
    script = """
        import sys
        from rios_batch import applier

        def identity(info, inputs, outputs):
            outputs.out = inputs.image

        infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
        infiles.image, outfiles.out = "in.tif", "out.tif"
        applier.apply(identity, infiles, outfiles)
        print("boto3" in sys.modules, "botocore" in sys.modules)
        """

    assert run_script(tmp_path, script).stdout == "False False\n"


class CountingUpload:
    """Counts parts by size; nothing is sent."""

    def __init__(self) -> None:
        self.sizes: dict[int, int] = {}

    def put_part(self, number: int, data: bytes) -> None:
        self.sizes[number] = len(data)

    def copy_part(self, number: int, blob: Blob) -> None:
        self.sizes[number] = blob.size


@dataclass(frozen=True)
class Merged:
    size: int

    def result(self) -> Blob:
        return Blob("bucket", "merged", "etag", 0, self.size)


class CountingBlobStore:
    """Merges by adding sizes, and counts what is read."""

    def __init__(self) -> None:
        self.read_bytes = 0

    def read(self, blob: Blob) -> bytes:
        self.read_bytes += blob.size
        return bytes(blob.size)

    def merge(self, blobs: Sequence[Blob]) -> Merged:
        return Merged(sum(blob.size for blob in blobs))


@settings(max_examples=30)
@given(st.integers(1, 300), st.lists(st.integers(1, 60 * MIB), min_size=1, max_size=40), st.integers(1, 400))
def test_parts_obey_s3s_rules_for_any_size(total_gib: int, sizes: list[int], times: int) -> None:
    most_bytes = max(total_gib * 2**30, sum(sizes) * times)
    upload, blob_store = CountingUpload(), CountingBlobStore()
    parts = PartStream(upload, lead_bytes=1000, most_bytes=most_bytes)  # type: ignore[arg-type]
    for size in sizes * times:
        parts.add_blob(Blob("bucket", "key", "etag", 0, size), blob_store)
    parts.finish()

    numbers = sorted(upload.sizes)
    assert numbers == list(range(2, len(numbers) + 2))
    assert len(parts.lead) + sum(upload.sizes.values()) == sum(sizes) * times
    assert all(upload.sizes[number] >= SMALLEST for number in numbers[:-1])
    # As many parts as the whole raster would need do not exceed the limit.
    if len(numbers) > 1:
        average = sum(upload.sizes[number] for number in numbers[:-1]) / (len(numbers) - 1)
        assert most_bytes / average < MOST_PARTS
    assert blob_store.read_bytes <= 1000 + SMALLEST


def test_a_part_that_s3_does_not_take_ends_the_waiting_at_the_limit() -> None:
    goes_on = threading.Event()

    class HangingUpload(CountingUpload):
        def put_part(self, number: int, data: bytes) -> None:
            goes_on.wait()
            super().put_part(number, data)

    parts = PartStream(HangingUpload(), lead_bytes=0, most_bytes=MIB, watchdog=Watchdog(limit_s=0.05))  # type: ignore[arg-type]
    parts.add(memoryview(b"pixels"))
    with pytest.raises(WaitLimitError, match="waited for S3 to take parts of an output"):
        parts.finish()
    goes_on.set()
    parts.abort()


def parts_of(tiles: Sequence[tuple[int, int]], most_bytes: int) -> tuple[dict[int, int], int]:
    """Stream tiles of some encoded and raw bytes; return the sizes of parts, and how many merges that took."""
    upload, blob_store, merges = CountingUpload(), CountingBlobStore(), []

    def merge(blobs: Sequence[Blob]) -> Merged:
        merges.append(blobs)
        return Merged(sum(blob.size for blob in blobs))

    blob_store.merge = merge  # type: ignore[method-assign]
    parts = PartStream(upload, lead_bytes=1000, most_bytes=most_bytes)  # type: ignore[arg-type]
    for size, raw_bytes in tiles:
        parts.add_blob(Blob("bucket", "key", "etag", 0, size), blob_store, raw_bytes)
    parts.finish()
    return upload.sizes, len(merges)


def test_tiles_that_compress_well_are_copied_without_merging() -> None:
    raw_bytes, ntiles = 64 * MIB, 2500  # 160 GB; without a look at the compression a part would have 32 MiB
    sizes, merges = parts_of([(7 * MIB, raw_bytes)] * ntiles, raw_bytes * ntiles)

    assert merges <= 20  # the first, before anything was known
    assert len(sizes) > 0.95 * ntiles


@pytest.mark.parametrize("first", [0.0001, 0.01, 0.3])
def test_there_are_parts_enough_when_the_rest_compresses_worse(first: float) -> None:
    raw_bytes, ntiles = 128 * MIB, 20_000  # 2.7 TB
    easy = [(max(1, int(first * raw_bytes)), raw_bytes)] * (ntiles // 2)
    hard = [(int(1.2 * raw_bytes), raw_bytes)] * (ntiles // 2)

    sizes, _ = parts_of(easy + hard, raw_bytes * ntiles)

    assert max(sizes) <= MOST_PARTS
    assert max(sizes.values()) < 5 * 2**30
