"""Inputs and outputs on S3: pixels go from the workers to the output without passing through main."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from osgeo import gdal
from osgeo_utils.samples.validate_cloud_optimized_geotiff import validate

from tests.support import make_raster, read_raster, run_script

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rios_batch.testing.emulation.cloud import Emulator
    from rios_batch.testing.emulation.records import Call

TILE_PX = 768
COLUMNS = 10
MIB = 2**20
DATA = "somebodys-data"

SCRIPT = """
    import json, sys
    import numpy as np
    from rios_batch import applier

    def invert(info, inputs, outputs):
        outputs.result = 255 - inputs.image

    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.image, outfiles.result = sys.argv[1:3]
    controls = applier.ApplierControls()
    controls.setWindowSize(384, 384)
    controls.setTileSize(768, 768)
    controls.setCreationOptions(["TILED=YES", "BLOCKXSIZE=384", "BLOCKYSIZE=384", "COMPRESS=DEFLATE"])
    controls.setNumThreads(5)
    controls.setJobManagerType("AWSBatch")
    controls.setOmitPyramids(True)  # tiles of 768 px are no whole blocks of them
    controls.setCoordinateOnly(True)  # so that all that main reads and sends is seen
    result = applier.apply(invert, infiles, outfiles, controls=controls)
    # What getrusage says begins with the size of the process that started this one.
    peak_kib = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
    print(json.dumps({"tiles": len(result.tiles), "peak_mib": int(peak_kib) / 1024}))
"""


@pytest.fixture
def data(quick_cloud: Emulator) -> Iterator[str]:
    """Give a bucket of the user's own."""
    s3 = quick_cloud.client("s3")
    s3.create_bucket(Bucket=DATA, CreateBucketConfiguration={"LocationConstraint": quick_cloud.region})
    yield DATA
    for item in s3.list_objects_v2(Bucket=DATA).get("Contents", []):
        s3.delete_object(Bucket=DATA, Key=item["Key"])
    s3.delete_bucket(Bucket=DATA)


def noise(rows: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return pixels that no codec makes smaller, ``rows`` tiles high."""
    return np.random.default_rng(rows).integers(1, 250, (2, rows * TILE_PX, COLUMNS * TILE_PX), np.uint8)


def test_pixels_do_not_pass_through_main(tmp_path: Path, quick_cloud: Emulator, data: str) -> None:
    s3 = quick_cloud.client("s3")
    peak_mib, read_by_main, sent_by_main, asked = {}, {}, {}, {}
    for rows in (1, 3):
        pixels = noise(rows)
        scene = make_raster(
            tmp_path / "scene.tif", pixels, options=["TILED=YES", "BLOCKXSIZE=384", "BLOCKYSIZE=384"]
        )
        s3.upload_file(scene, data, "scene.tif")
        quick_cloud.forget_calls()

        done = run_script(tmp_path, SCRIPT, f"s3://{data}/scene.tif", f"s3://{data}/out.tif")

        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        calls = quick_cloud.calls()
        by_main = [call for call in calls if call.caller == "root" and call.service == "s3"]
        ntiles = found["tiles"]
        assert ntiles == rows * COLUMNS
        peak_mib[ntiles] = found["peak_mib"]
        read_by_main[ntiles] = sum_of(by_main, "get_object", "bytes_out")
        sent_by_main[ntiles] = sum_of(by_main, "upload_part", "bytes_in")
        asked[ntiles] = sum(call.service in {"s3", "sqs"} and not _is_by_time(call, data) for call in calls)
        s3.download_file(data, "out.tif", str(tmp_path / "out.tif"))
        np.testing.assert_array_equal(read_raster(tmp_path / "out.tif"), 255 - pixels)

    few, many = sorted(peak_mib)
    # The tiles that are more weigh 24 MiB; the head of each is 8 KiB.
    assert peak_mib[many] - peak_mib[few] < 10
    assert read_by_main[many] - read_by_main[few] < (many - few) * 8 * 1024 + 8 * MIB
    assert sent_by_main[many] < 16 * MIB
    # About 4.7, and one for receiving the message. A request more for each tile is seen; one more for a worker is not.
    assert 3 < (asked[many] - asked[few]) / (many - few) < 5.6


def _is_by_time(call: Call, data: str) -> bool:
    """Say whether a request is for an input, or made again and again as time passes, however many tiles there are."""
    of_input = any(resource.endswith(f"{data}/scene.tif") for resource in call.resources)
    by_time = {
        "list_objects_v2", "change_message_visibility_batch", "get_queue_attributes", "receive_message",
    }  # fmt: skip
    return of_input or call.operation in by_time


WITH_OVERVIEWS = """
    import sys
    from rios_batch import applier

    def invert(info, inputs, outputs):
        outputs.result = 255 - inputs.image

    for manager, target in (("AWSBatch", sys.argv[2]), ("in-process", "here.tif")):
        infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
        infiles.image, outfiles.result = sys.argv[1], target
        controls = applier.ApplierControls()
        controls.setTileSize(512, 512)
        controls.setOverviewMinDim(16)
        controls.setOverviewAggregationType("AVERAGE")
        controls.setNumThreads(3)
        controls.setJobManagerType(manager)
        applier.apply(invert, infiles, outfiles, controls=controls)
"""


def test_with_overviews_and_statistics_the_object_is_the_file_of_a_local_run_byte_for_byte(
    tmp_path: Path, quick_cloud: Emulator, data: str
) -> None:
    s3 = quick_cloud.client("s3")
    pixels = np.random.default_rng(5).integers(0, 250, (2, 1024, 2100), np.uint8)
    scene = make_raster(tmp_path / "scene.tif", pixels, options=["TILED=YES"])
    s3.upload_file(scene, data, "scene.tif")

    done = run_script(tmp_path, WITH_OVERVIEWS, f"s3://{data}/scene.tif", f"s3://{data}/out.tif")

    assert done.returncode == 0, done.stderr
    s3.download_file(data, "out.tif", str(tmp_path / "out.tif"))
    assert (tmp_path / "out.tif").read_bytes() == (tmp_path / "here.tif").read_bytes()
    warnings, errors, _ = validate(str(tmp_path / "out.tif"), full_check=True)
    assert (warnings, errors) == ([], [])
    dataset = gdal.Open(str(tmp_path / "out.tif"))
    assert dataset.GetRasterBand(2).GetOverviewCount() == 4
    assert float(dataset.GetRasterBand(2).GetMetadataItem("STATISTICS_MAXIMUM")) == 255 - pixels[1].min()


def sum_of(calls: list[Call], operation: str, what: str) -> int:
    return sum(getattr(call, what) for call in calls if call.operation == operation)
