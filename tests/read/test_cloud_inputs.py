# ruff: noqa: ARG001 - user functions have the arguments they are called with
"""Inputs that are read over the network: names, requests, settings and errors."""

from __future__ import annotations

import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import boto3
import numpy as np
import pytest
from osgeo import gdal

from rios_batch import applier
from rios_batch.errors import ImageOpenError, MissingFileError, ParameterError
from rios_batch.plan.prepare import prepare
from rios_batch.read.facts import describe
from rios_batch.read.network import apply_cloud_options, cloud_options, gdal_name, is_remote
from tests.s3server import DENIED, ON_LOOPBACK, SLOW_DOWN, make_bucket
from tests.support import make_raster, ramp, run_script

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rios_batch.aws.objects import Bucket
    from rios_batch.model.spec import RunSpec
    from tests.s3server import S3Server

pytestmark = ON_LOOPBACK
PIXELS = ramp(2, 70, 90)

SETTINGS = (
    "CPL_VSIL_CURL_CHUNK_SIZE",
    "CPL_VSIL_CURL_CACHE_SIZE",
    "GDAL_HTTP_MAX_RETRY",
    "GDAL_HTTP_RETRY_DELAY",
    "CPL_AWS_WEB_IDENTITY_ENABLE",
)


@pytest.fixture(autouse=True)
def _gdal_without_settings() -> Iterator[None]:
    """Forget what this test sets, and what one of another module did."""
    forget_settings()
    yield
    forget_settings()


def forget_settings() -> None:
    for name in SETTINGS:
        gdal.SetConfigOption(name, None)
    gdal.ClearPathSpecificOptions()


@pytest.fixture
def image(bucket: Bucket, tmp_path: Path) -> str:
    """Put a raster that anybody may read into the bucket; return its key."""
    make_raster(tmp_path / "in.tif", PIXELS)
    bucket.upload(tmp_path / "in.tif", "folder/in.tif")
    boto3.client("s3").put_object_acl(Bucket=bucket.name, Key="folder/in.tif", ACL="public-read")
    return "folder/in.tif"


def run(image: str, out: Path, **settings: Any) -> list[str]:
    """Run an identity function; return the names of the input that the function was told."""
    names = []

    def identity(info: Any, inputs: Any, outputs: Any) -> None:
        names.append(info.getFilenameFor(inputs.image))
        outputs.out = inputs.image

    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.image, outfiles.out = image, out
    controls = applier.ApplierControls()
    for setter, value in settings.items():
        getattr(controls, setter)(value)
    applier.apply(identity, infiles, outfiles, controls=controls)
    return names


def job_for(*images: str) -> RunSpec:
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.images = list(images)
    controls = applier.ApplierControls()
    return prepare(print, infiles, outfiles, controls, takes_other_args=False, num_workers=1)


@pytest.mark.parametrize("form", ["s3://{bucket}/{key}", "/vsis3/{bucket}/{key}", "{url}/{bucket}/{key}"])
def test_every_spelling_is_read_and_told_to_the_function_as_it_was_written(
    bucket: Bucket, s3_server: S3Server, image: str, tmp_path: Path, form: str
) -> None:
    name = form.format(bucket=bucket.name, key=image, url=s3_server.url)

    names = run(name, tmp_path / "out.tif")

    assert names == [name]
    assert np.array_equal(gdal.Open(str(tmp_path / "out.tif")).ReadAsArray(), ramp(2, 70, 90))


@pytest.mark.parametrize(
    ("name", "opened"),
    [
        ("s3://bucket/a key", "/vsis3/bucket/a key"),
        ("gs://bucket/key", "/vsigs/bucket/key"),
        ("https://host/a.tif?x=y", "/vsicurl/https://host/a.tif?x=y"),
        ("a.tif", "a.tif"),
        ('NETCDF:"a.nc":b', 'NETCDF:"a.nc":b'),
    ],
)
def test_names_are_those_of_gdals_file_systems(name: str, opened: str) -> None:
    assert gdal_name(name) == opened


@pytest.mark.parametrize(
    ("path", "remote"),
    [
        ("/vsis3/b/k", True),
        ("/vsizip//vsicurl/https://host/a.zip/a.tif", True),
        ('NETCDF:"/vsis3/b/k":x', True),
        ("/data/vsis3/b/k", False),
        ("/vsizip//data/a.zip/a.tif", False),
        ("a.tif", False),
    ],
)
def test_a_folder_of_a_file_systems_name_is_not_the_network(path: str, *, remote: bool) -> None:
    assert is_remote(path) is remote


def test_the_reference_may_be_in_s3(bucket: Bucket, image: str, tmp_path: Path) -> None:
    run(
        make_raster(tmp_path / "big.tif", ramp(2, 100, 100)),
        tmp_path / "out.tif",
        setReferenceImage=f"s3://{bucket.name}/{image}",
        setFootprintType=applier.BOUNDS_FROM_REFERENCE,
    )

    assert gdal.Open(str(tmp_path / "out.tif")).RasterXSize == 90


def test_side_files_are_found_and_no_folder_is_listed(
    bucket: Bucket, s3_server: S3Server, tmp_path: Path
) -> None:
    make_raster(tmp_path / "in.bin", ramp(1, 70, 90), driver="ENVI", nodata=7)
    for path in tmp_path.iterdir():
        bucket.upload(path, f"folder/{path.name}")
    s3_server.requests.clear()

    facts = describe(f"s3://{bucket.name}/folder/in.bin")

    assert (facts.grid.ncols, facts.nodata) == (90, (7,))
    assert s3_server.count("GET", query="delimiter") == 0


def test_neighbouring_blocks_come_with_one_request(
    bucket: Bucket, s3_server: S3Server, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1, 256, 1024), np.uint8)
    options = ["TILED=YES", "BLOCKXSIZE=128", "BLOCKYSIZE=128"]
    bucket.upload(tmp_path / make_raster(tmp_path / "in.tif", noise, options=options), "in.tif")
    s3_server.requests.clear()

    # GDAL heeds the size of chunks only before a process has read anything over the network.
    script = """
        import sys
        from osgeo import gdal
        from rios_batch.read.facts import open_raster

        gdal.UseExceptions()
        dataset = open_raster(sys.argv[1])
        for y in (0, 128):
            for x in range(0, 1024, 128):
                dataset.ReadAsArray(x, y, 128, 128)
        """
    done = run_script(tmp_path, script, f"s3://{bucket.name}/in.tif")

    assert done.returncode == 0, done.stderr
    assert 1 <= s3_server.count("GET", key="in.tif") <= 3  # 16 blocks


def test_settings_of_the_user_stay(bucket: Bucket, image: str) -> None:
    gdal.SetConfigOption("GDAL_HTTP_MAX_RETRY", "3")
    gdal.SetPathSpecificOption("/vsis3/", "GDAL_DISABLE_READDIR_ON_OPEN", "EMPTY_DIR")

    describe(f"s3://{bucket.name}/{image}")

    assert gdal.GetConfigOption("GDAL_HTTP_MAX_RETRY") == "3"
    assert gdal.GetPathSpecificOption("/vsis3/b", "GDAL_DISABLE_READDIR_ON_OPEN") == "EMPTY_DIR"
    assert gdal.GetConfigOption("GDAL_HTTP_RETRY_DELAY") is not None


def test_reading_local_files_changes_no_setting(tmp_path: Path) -> None:
    describe(make_raster(tmp_path / "in.tif", ramp(1, 70, 90)))

    assert [gdal.GetConfigOption(name) for name in SETTINGS] == [None] * len(SETTINGS)
    assert gdal.GetPathSpecificOption("/vsis3/", "GDAL_DISABLE_READDIR_ON_OPEN") is None


def test_local_files_are_opened_as_ever_after_remote_ones(bucket: Bucket, image: str) -> None:
    describe(f"s3://{bucket.name}/{image}")

    for name in ("GDAL_DISABLE_READDIR_ON_OPEN", "VSI_CACHE", "GDAL_INGESTED_BYTES_AT_OPEN"):
        assert gdal.GetConfigOption(name) is None
        assert gdal.GetPathSpecificOption("/data/in.tif", name) is None


def test_a_busy_s3_is_asked_again(bucket: Bucket, s3_server: S3Server, image: str) -> None:
    gdal.SetConfigOption("GDAL_HTTP_RETRY_DELAY", "0.01")
    s3_server.answers[:] = [("503 Slow Down", SLOW_DOWN)] * 3

    assert describe(f"s3://{bucket.name}/{image}").grid.ncols == 90


class KeepAlive(BaseHTTPRequestHandler):
    """Serves one file and keeps connections, as S3 does (and the emulator does not)."""

    protocol_version = "HTTP/1.1"
    content = b""
    kept: ClassVar[set[object]] = set()

    def setup(self) -> None:
        super().setup()
        self.kept.add(self)

    def finish(self) -> None:
        super().finish()
        self.kept.discard(self)

    def do_HEAD(self) -> None:
        self.send_response(200 if self.path == "/in.tif" else 404)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()

    def do_GET(self) -> None:
        found = re.match(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if self.path != "/in.tif" or found is None:
            self.send_error(404)
            return
        first, end = int(found[1]), min(int(found[2]) + 1, len(self.content))
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{end - 1}/{len(self.content)}")
        self.send_header("Content-Length", str(end - first))
        self.end_headers()
        self.wfile.write(self.content[first:end])

    def log_message(self, *_: object) -> None:
        pass


def test_no_connection_is_held_when_a_run_is_planned(tmp_path: Path) -> None:
    KeepAlive.content = Path(make_raster(tmp_path / "in.tif", PIXELS)).read_bytes()
    server = ThreadingHTTPServer(("127.0.0.1", 0), KeepAlive)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    name = f"http://127.0.0.1:{server.server_port}/in.tif"

    describe(name)
    assert len(KeepAlive.kept) == 1
    job_for(name)

    while KeepAlive.kept:  # the server notices in its own time; never is a failure
        time.sleep(0.01)
    server.shutdown()
    server.server_close()


def test_a_missing_object_is_a_missing_file_by_the_users_own_name(bucket: Bucket, tmp_path: Path) -> None:
    name = f"s3://{bucket.name}/none.tif"

    with pytest.raises(MissingFileError, match=f"^input '{name}' does not exist$"):
        run(name, tmp_path / "out.tif")


def test_a_missing_page_is_a_missing_file(s3_server: S3Server) -> None:
    with pytest.raises(MissingFileError, match=r"input 'http://.*/none\.tif' does not exist"):
        describe(f"{s3_server.url}/nowhere/none.tif")


def test_a_missing_bucket_is_named(s3_server: S3Server) -> None:
    with pytest.raises(
        MissingFileError, match=r"input 's3://nowhere/a\.tif' does not exist: there is no bucket 'nowhere'"
    ):
        describe("s3://nowhere/a.tif")


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ("s3://forbidden/a.tif", r"may not be read \(Access Denied\): .*s3:GetObject.*AWS_REQUEST_PAYER"),
        ("{url}/forbidden/a.tif", r"may not be read: the server forbids it"),
    ],
)
def test_a_forbidden_object_is_told_with_what_is_needed(
    s3_server: S3Server, form: str, sentence: str
) -> None:
    s3_server.answers[:] = [("403 Forbidden", DENIED)] * 4

    with pytest.raises(ImageOpenError, match=sentence):
        describe(form.format(url=s3_server.url))


def test_without_credentials_it_is_said_where_to_get_some(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))

    with pytest.raises(
        ImageOpenError,
        match=r"'s3://bucket/a\.tif' cannot be read without valid AWS cred.*AWS_NO_SIGN_REQUEST",
    ):
        describe("s3://bucket/a.tif")


def test_an_object_that_is_no_raster_is_told_as_such(bucket: Bucket) -> None:
    bucket.put("a.txt", b"a text")

    with pytest.raises(ImageOpenError, match=r"a\.txt' cannot be opened as a raster"):
        describe(f"s3://{bucket.name}/a.txt")


def test_an_s3_name_without_key_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"'s3://bucket' does not name an object"):
        describe("s3://bucket")


def test_a_damaged_object_is_told_by_the_users_own_name(bucket: Bucket, image: str, tmp_path: Path) -> None:
    bucket.put("cut.tif", bucket.get(image)[:-20_000])

    with pytest.raises(ImageOpenError, match=rf"input 's3://{bucket.name}/cut\.tif' cannot be read at"):
        run(f"s3://{bucket.name}/cut.tif", tmp_path / "out.tif")


def test_what_a_bucket_needs_is_told_to_workers_without_credentials(
    bucket: Bucket, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_for(f"s3://{bucket.name}/{image}", f"/vsis3/{bucket.name}/{image}")
    assert cloud_options(job) == {}  # the endpoint is on this machine
    monkeypatch.setenv("AWS_REQUEST_PAYER", "requester")
    monkeypatch.setenv("AWS_S3_ENDPOINT", "s3.example.org")
    gdal.SetPathSpecificOption(f"/vsis3/{bucket.name}/", "AWS_NO_SIGN_REQUEST", "YES")

    assert cloud_options(job) == {
        f"/vsis3/{bucket.name}": {
            "AWS_NO_SIGN_REQUEST": "YES",
            "AWS_REQUEST_PAYER": "requester",
            "AWS_S3_ENDPOINT": "s3.example.org",
            "AWS_HTTPS": "NO",
            "AWS_VIRTUAL_HOSTING": "FALSE",
        }
    }


def test_local_inputs_need_no_cloud_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REQUEST_PAYER", "requester")

    assert cloud_options(job_for(make_raster(tmp_path / "in.tif", ramp(1, 70, 90)))) == {}


def test_a_bucket_that_is_read_unsigned_leaves_requests_to_others_signed(
    bucket: Bucket, s3_server: S3Server, image: str
) -> None:
    other = make_bucket(s3_server)
    other.put(image, bucket.get(image))
    apply_cloud_options({f"/vsis3/{bucket.name}": {"AWS_NO_SIGN_REQUEST": "YES"}})
    s3_server.requests.clear()

    for name in (bucket.name, other.name, f"{bucket.name}2"):
        gdal.VSIStatL(f"/vsis3/{name}/{image}")

    signed = {request.path.split("/")[1]: request.signed for request in s3_server.requests}
    assert signed == {bucket.name: False, other.name: True, f"{bucket.name}2": True}
