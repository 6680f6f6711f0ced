# ruff: noqa: ARG001 - user functions and merge rules have the arguments they are called with
from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from osgeo import gdal

from rios_batch import applier
from rios_batch.errors import MissingFileError, TypeConversionError, UserFunctionError
from rios_batch.gdalapi import (
    GDAL_TYPES,
    MemoryFolder,
    dataset_stamps,
    gdal_exceptions,
    gdal_type,
    memory_file,
    nodata_or_none,
    same_projection,
)
from rios_batch.pixelgrid import pixelGridFromFile
from tests.support import make_raster, ramp, utm_wkt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(params=[False, True], ids=["caller has exceptions off", "caller has exceptions on"])
def callers_choice(request: pytest.FixtureRequest) -> Iterator[bool]:
    was_on = gdal.GetUseExceptions()
    (gdal.UseExceptions if request.param else gdal.DontUseExceptions)()
    yield bool(request.param)
    (gdal.UseExceptions if was_on else gdal.DontUseExceptions)()


def test_the_callers_choice_is_back_after_success_and_after_failure(*, callers_choice: bool) -> None:
    with gdal_exceptions():
        assert gdal.GetUseExceptions()
    assert bool(gdal.GetUseExceptions()) == callers_choice

    with pytest.raises(ZeroDivisionError), gdal_exceptions():
        _ = 1 / 0
    assert bool(gdal.GetUseExceptions()) == callers_choice


def run(path: str, function: Any) -> None:
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    infiles.image = path
    applier.apply(function, infiles, outfiles)


def test_apply_puts_the_callers_choice_back_however_it_ends(tmp_path: Path, *, callers_choice: bool) -> None:
    path = make_raster(tmp_path / "in.tif", ramp(1, 4, 4))

    def works(info: Any, inputs: Any, outputs: Any) -> None:
        assert bool(gdal.GetUseExceptions()) == callers_choice

    def fails(info: Any, inputs: Any, outputs: Any) -> None:
        raise LookupError

    run(path, works)
    assert bool(gdal.GetUseExceptions()) == callers_choice
    with pytest.raises(UserFunctionError):
        run(path, fails)
    assert bool(gdal.GetUseExceptions()) == callers_choice
    with pytest.raises(MissingFileError):
        run(str(tmp_path / "missing.tif"), works)
    assert bool(gdal.GetUseExceptions()) == callers_choice
    assert pixelGridFromFile(path).getDimensions() == (4, 4)
    assert bool(gdal.GetUseExceptions()) == callers_choice


@pytest.mark.parametrize("name", ["float16", "int8", "complex256", "str32", "datetime64[ns]", "object"])
def test_a_type_that_gdal_cannot_write_is_refused_with_those_it_can(name: str) -> None:
    if name in GDAL_TYPES:
        pytest.skip(f"GDAL {gdal.VersionInfo('RELEASE_NAME')} can write {name}")
    with pytest.raises(
        TypeConversionError, match=r"cannot write .*use \.astype\(\) with one of uint8, "
    ) as caught:
        gdal_type(name)
    assert name in str(caught.value)


def test_every_type_has_another_code() -> None:
    assert len(set(GDAL_TYPES.values())) == len(GDAL_TYPES)
    assert {"uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"} <= set(
        GDAL_TYPES
    )


def test_a_memory_folder_leaves_nothing_behind_even_after_an_error() -> None:
    paths = []
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), MemoryFolder() as folder:  # noqa: PT012 - the block is what is tested
            paths.append(folder)
            gdal.FileFromMemBuffer(f"{folder}/file", b"content")
            _ = 1 / 0
        assert gdal.VSIStatL(f"{folder}/file") is None
        assert not gdal.ReadDirRecursive(folder)
    assert paths[0] != paths[1]


def test_a_memory_files_content_is_given_back() -> None:
    with MemoryFolder() as folder:
        gdal.FileFromMemBuffer(f"{folder}/file", b"content")

        assert bytes(memory_file(f"{folder}/file")) == b"content"


def test_projections_are_the_same_by_meaning_not_by_text() -> None:
    zone_13, zone_12 = utm_wkt(32613), utm_wkt(32612)

    assert same_projection(zone_13, zone_13.replace('"WGS 84 / UTM zone 13N"', '"another name"'))
    assert not same_projection(zone_13, zone_12)
    assert not same_projection(zone_13, "")
    assert not same_projection("", zone_13)
    assert same_projection("", "")


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        (None, "uint8", None),
        (255, "uint8", 255),
        (256, "uint8", None),
        (-1, "uint8", None),
        (0.5, "uint8", None),
        (float("nan"), "int16", None),
        (float("inf"), "int16", None),
        (-32768.0, "int16", -32768),
        (-(2**63), "int64", -(2**63)),
        (2**64 - 1, "uint64", 2**64 - 1),
        (float("-inf"), "float32", float("-inf")),
        (-9999.5, "float32", -9999.5),
    ],
)
def test_a_nodata_value_that_the_type_cannot_hold_counts_as_none(
    value: float | None, dtype: str, expected: float | None
) -> None:
    assert nodata_or_none(value, dtype) == expected


def test_nan_is_a_nodata_value_of_a_float_type() -> None:
    value = nodata_or_none(float("nan"), "float32")
    assert value is not None
    assert np.isnan(value)


@pytest.mark.parametrize("form", ["{path}", 'ZARR:"{path}":/a'])
def test_a_zarrs_stamps_tell_that_a_chunk_has_changed(tmp_path: Path, form: str) -> None:
    if "Zarr" not in {gdal.GetDriver(i).ShortName for i in range(gdal.GetDriverCount())}:
        pytest.skip("this GDAL has no Zarr driver")
    gdal.Translate(str(tmp_path / "a.zarr"), make_raster(tmp_path / "a.tif", ramp(1, 9, 9)), format="Zarr")
    before = dataset_stamps(form.format(path=tmp_path / "a.zarr"))

    os.utime(tmp_path / "a.zarr" / "a" / "0.0", (1, 1))

    assert dataset_stamps(form.format(path=tmp_path / "a.zarr")) != before


def _another_time(path: Path) -> None:
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))


def _another_file(path: Path) -> None:
    shutil.copy2(path, path.with_name("copy"))
    path.with_name("copy").replace(path)


def _same_time_again(path: Path) -> None:
    stat = path.stat()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.mark.parametrize("change", [_another_time, _another_file, _same_time_again])
def test_a_stamp_tells_changes_within_a_second_and_of_the_same_size(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    path = Path(make_raster(tmp_path / "a.tif", ramp(1, 20, 20)))
    before = dataset_stamps(str(path))

    change(path)

    assert dataset_stamps(str(path)) != before
