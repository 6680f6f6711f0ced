"""Local inputs are copied to S3 whole and once, and found there by the names that are returned."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from osgeo import gdal

from rios_batch import applier
from rios_batch.awsbatch import stagedinputs as localinputs
from rios_batch.awsbatch.runstore import InputCopy
from rios_batch.awsbatch.stagedinputs import copy_local_inputs, paths_on_worker
from rios_batch.errors import ParameterError, S3Error
from rios_batch.plan.prepare import prepare
from tests.s3server import DENIED, ON_LOOPBACK
from tests.support import make_raster, ramp

if TYPE_CHECKING:
    from pathlib import Path

    from rios_batch.aws.objects import Bucket
    from rios_batch.model.spec import RunSpec
    from tests.s3server import S3Server

pytestmark = ON_LOOPBACK
PIXELS = ramp(1, 60, 70)


def job_for(*names: str | list[str]) -> RunSpec:
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    for number, name in enumerate(names):
        setattr(infiles, f"input{number}", name)
    return prepare(print, infiles, outfiles, applier.ApplierControls(), takes_other_args=False, num_workers=1)


def keys(bucket: Bucket) -> list[str]:
    return [entry.key for entry in bucket.list_objects()]


def pixels_of(name: str) -> Any:
    return gdal.Open(name).ReadAsArray()[None]


def make_vrt(path: Path, source: str, *, relative: bool) -> str:
    """Write a VRT of one band that names its source as given."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        '<VRTDataset rasterXSize="70" rasterYSize="60"><GeoTransform>500000, 10, 0, 4400000, 0, -10</GeoTransform>'
        '<VRTRasterBand dataType="UInt16" band="1"><SimpleSource>'
        f'<SourceFilename relativeToVRT="{int(relative)}">{source}</SourceFilename><SourceBand>1</SourceBand>'
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    )
    return str(path)


def test_a_dataset_goes_with_all_its_files_and_is_read_there(bucket: Bucket, tmp_path: Path) -> None:
    path = make_raster(tmp_path / "in.bin", PIXELS, driver="ENVI", nodata=7)

    copies = copy_local_inputs(job_for(path), bucket, "runs/1/inputs")

    assert copies == {path: InputCopy(f"/vsis3/{bucket.name}/runs/1/inputs/in.bin")}
    files = ["in.bin", "in.bin.aux.xml", "in.hdr"]
    assert keys(bucket) == [f"runs/1/inputs/{name}" for name in files]
    assert np.array_equal(pixels_of(copies[path].name), PIXELS)
    assert gdal.Open(copies[path].name).GetRasterBand(1).GetNoDataValue() == 7


def test_a_file_that_is_named_often_is_sent_once(
    bucket: Bucket, s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = (make_raster(tmp_path / name, PIXELS) for name in ("a.tif", "b.tif"))
    monkeypatch.chdir(tmp_path)

    copies = copy_local_inputs(job_for(a, [a, b], "a.tif"), bucket, "inputs")

    assert copies.keys() == {a, b}
    assert s3_server.count("PUT") == 2


def test_files_of_one_name_in_two_folders_do_not_meet(bucket: Bucket, tmp_path: Path) -> None:
    for name in "xy":
        (tmp_path / name).mkdir()
    x, y = (make_raster(tmp_path / d / "a.tif", PIXELS + i) for i, d in enumerate("xy"))

    copies = copy_local_inputs(job_for(x, y), bucket, "inputs")

    assert keys(bucket) == ["inputs/x/a.tif", "inputs/y/a.tif"]
    assert np.array_equal(pixels_of(copies[y].name), PIXELS + 1)


def test_what_is_there_with_the_same_content_is_not_sent_again(
    bucket: Bucket, s3_server: S3Server, tmp_path: Path
) -> None:
    a, b = (make_raster(tmp_path / name, PIXELS) for name in ("a.tif", "b.tif"))
    first = copy_local_inputs(job_for(a, b), bucket, "inputs")
    size = os.path.getsize(b)  # noqa: PTH202
    make_raster(tmp_path / "b.tif", PIXELS + 1)
    assert os.path.getsize(b) == size  # noqa: PTH202
    s3_server.requests.clear()

    second = copy_local_inputs(job_for(a, b), bucket, "inputs")

    assert second == first
    assert (s3_server.count("PUT", key="a.tif"), s3_server.count("PUT", key="b.tif")) == (0, 1)


def test_a_large_file_goes_in_parts_and_is_known_again(
    bucket: Bucket, s3_server: S3Server, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1, 4200, 4200), np.uint8)
    job = job_for(make_raster(tmp_path / "a.tif", noise))

    copy_local_inputs(job, bucket, "inputs")
    assert s3_server.count("PUT", key="a.tif", query="partNumber") == 2
    copy_local_inputs(job, bucket, "inputs")

    assert s3_server.count("PUT") == 2


@pytest.mark.parametrize("name", ["with space.tif", "ä+b&c#1%20.tif", "sub folder/ß.tif"])
def test_any_name_is_found_again(bucket: Bucket, tmp_path: Path, name: str) -> None:
    (tmp_path / "sub folder").mkdir()
    path = make_raster(tmp_path / name, PIXELS)

    copies = copy_local_inputs(job_for(path), bucket, "inputs")

    assert np.array_equal(pixels_of(copies[path].name), PIXELS)


def test_a_vrt_finds_its_sources_and_theirs(bucket: Bucket, tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    make_raster(tmp_path / "below" / "a.tif", PIXELS)
    make_vrt(tmp_path / "below" / "inner.vrt", "a.tif", relative=True)
    path = make_vrt(tmp_path / "outer.vrt", "below/inner.vrt", relative=True)

    copies = copy_local_inputs(job_for(path), bucket, "inputs")

    assert keys(bucket) == ["inputs/below/a.tif", "inputs/below/inner.vrt", "inputs/outer.vrt"]
    assert np.array_equal(pixels_of(copies[path].name), PIXELS)


def test_a_vrt_of_objects_in_s3_goes_alone(bucket: Bucket, tmp_path: Path) -> None:
    bucket.upload(tmp_path / make_raster(tmp_path / "a.tif", PIXELS), "data/a.tif")
    path = make_vrt(tmp_path / "v.vrt", f"/vsis3/{bucket.name}/data/a.tif", relative=False)

    copies = copy_local_inputs(job_for(path), bucket, "inputs")

    assert keys(bucket) == ["data/a.tif", "inputs/v.vrt"]
    assert np.array_equal(pixels_of(copies[path].name), PIXELS)


@pytest.mark.parametrize("inner", [False, True])
@pytest.mark.parametrize(("form", "relative"), [("{folder}/a.tif", False), ("../a.tif", True)])
def test_a_vrt_whose_sources_would_not_be_found_is_refused(
    bucket: Bucket, tmp_path: Path, form: str, *, relative: bool, inner: bool
) -> None:
    make_raster(tmp_path / "a.tif", PIXELS)
    source = form.format(folder=tmp_path)
    path = make_vrt(tmp_path / "sub" / "v.vrt", source, relative=relative)
    if inner:
        path = make_vrt(tmp_path / "outer.vrt", "sub/v.vrt", relative=True)

    with pytest.raises(
        ParameterError, match=rf"input '{path}' cannot .*v\.vrt' names its source '{source}'.*gdalbuildvrt"
    ):
        copy_local_inputs(job_for(path), bucket, "inputs")
    assert keys(bucket) == []


def test_a_vrt_given_as_text_is_refused(bucket: Bucket, tmp_path: Path) -> None:
    make_raster(tmp_path / "a.tif", PIXELS)
    path = make_vrt(tmp_path / "v.vrt", str(tmp_path / "a.tif"), relative=False)

    with pytest.raises(ParameterError, match="is a VRT given as text.*write it to a .vrt file"):
        copy_local_inputs(job_for((tmp_path / "v.vrt").read_text()), bucket, path)


def test_what_is_in_memory_only_is_refused(bucket: Bucket) -> None:
    path = make_raster("/vsimem/a.tif", PIXELS)

    with pytest.raises(ParameterError, match=r"'/vsimem/a\.tif' is in a file system of GDAL's"):
        copy_local_inputs(job_for(path), bucket, "inputs")
    gdal.Unlink(path)


@pytest.mark.parametrize(
    ("driver", "form"), [("netCDF", 'NETCDF:"{path}":Band1'), ("HDF5", 'HDF5:"{path}"://Band1')]
)
@pytest.mark.parametrize("absolute", [True, False])
def test_a_subdataset_of_a_local_file_is_copied_and_its_name_rewritten(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, driver: str, form: str, *, absolute: bool
) -> None:
    drivers = {gdal.GetDriver(i).ShortName for i in range(gdal.GetDriverCount())}
    if not {driver, "netCDF"} <= drivers:
        pytest.skip(f"this GDAL has no {driver} driver")
    monkeypatch.chdir(tmp_path)
    source = make_raster(tmp_path / "a.tif", PIXELS)
    gdal.Translate("a.nc", source, format="netCDF", creationOptions=["FORMAT=NC4"])
    path = form.format(path=tmp_path / "a.nc" if absolute else "a.nc")
    wanted = gdal.Open(path).ReadAsArray()

    copies = copy_local_inputs(job_for(path), bucket, "inputs")

    assert copies[path].name == form.format(path=f"/vsis3/{bucket.name}/inputs/a.nc")
    assert np.array_equal(gdal.Open(copies[path].name).ReadAsArray(), wanted)


@pytest.mark.parametrize("form", ["{path}", 'ZARR:"{path}":/a'])
def test_a_zarr_goes_with_all_that_is_in_its_folder(bucket: Bucket, tmp_path: Path, form: str) -> None:
    if "Zarr" not in {gdal.GetDriver(i).ShortName for i in range(gdal.GetDriverCount())}:
        pytest.skip("this GDAL has no Zarr driver")
    zarr = tmp_path / "a.zarr"
    gdal.Translate(str(zarr), make_raster(tmp_path / "a.tif", PIXELS), format="Zarr")
    path = form.format(path=zarr)

    copies = copy_local_inputs(job_for(path), bucket, "inputs")

    assert copies == {path: InputCopy(form.format(path=f"/vsis3/{bucket.name}/inputs/a.zarr"))}
    assert set(keys(bucket)) == {
        f"inputs/{file.relative_to(tmp_path)}" for file in zarr.rglob("*") if file.is_file()
    }
    assert np.array_equal(pixels_of(copies[path].name), PIXELS)


@pytest.mark.parametrize("in_vrt", [False, True])
def test_what_gdal_reads_from_files_only_is_fetched_in_pieces(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, in_vrt: bool
) -> None:
    if "netCDF" not in {gdal.GetDriver(i).ShortName for i in range(gdal.GetDriverCount())}:
        pytest.skip("this GDAL has no netCDF driver")
    monkeypatch.setattr(localinputs, "_FETCH_BYTES", 1000)
    (tmp_path / "in").mkdir()
    tif = make_raster(tmp_path / "a.tif", PIXELS)
    path = str(tmp_path / "in" / "a.nc")
    gdal.Translate(path, tif, format="netCDF")
    here = {tmp_path / "in" / "a.nc"}
    if in_vrt:
        path = make_vrt(tmp_path / "v.vrt", "in/a.nc", relative=True)
        here.add(tmp_path / "v.vrt")

    copies = {name: copy_local_inputs(job_for(name), bucket, "inputs")[name] for name in (path, tif)}
    paths = paths_on_worker(copies, bucket, tmp_path / "worker")

    assert copies[tif].fetch == {}
    assert paths[tif] == copies[tif].name
    assert sorted(copies[path].fetch.values()) == sorted(file.stat().st_size for file in here)
    assert max(copies[path].fetch.values()) > 2 * 1000
    assert paths[path].startswith(f"{tmp_path}/worker/inputs/")
    assert np.array_equal(pixels_of(paths[path]), PIXELS)
    fetched = {file.name: file.read_bytes() for file in (tmp_path / "worker").rglob("*") if file.is_file()}
    assert fetched == {file.name: file.read_bytes() for file in here}


def test_inputs_in_s3_stay_where_they_are(bucket: Bucket, s3_server: S3Server, tmp_path: Path) -> None:
    bucket.upload(tmp_path / make_raster(tmp_path / "a.tif", PIXELS), "a.tif")
    job = job_for(f"s3://{bucket.name}/a.tif")
    s3_server.requests.clear()

    assert copy_local_inputs(job, bucket, "inputs") == {}
    assert s3_server.requests == []


def test_a_bucket_that_may_not_be_written_is_told(
    bucket: Bucket, s3_server: S3Server, tmp_path: Path
) -> None:
    job = job_for(make_raster(tmp_path / "a.tif", PIXELS))
    s3_server.answers[:] = [("404 Not Found", b""), ("403 Forbidden", DENIED)]

    with pytest.raises(S3Error, match=r"inputs/a\.tif may not be used .* need s3:PutObject"):
        copy_local_inputs(job, bucket, "inputs")
