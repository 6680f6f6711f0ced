# ruff: noqa: ARG001 - user functions have the arguments they are called with
"""Files whose bands have different types: every value arrives as it is in the file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from osgeo import gdal

from rios_batch import applier
from rios_batch.errors import ImageOpenError
from rios_batch.pixelgrid import pixelGridFromFile
from tests.support import make_raster

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SHAPE = (20, 30)
VALUES = {
    "uint8": [0, 255, 7],
    "int16": [-32768, 32767, 1],
    "uint16": [0, 65535, 9],
    "int32": [-(2**31), 2**31 - 1, 16777217],
    "uint32": [0, 2**32 - 1, 16777217],
    "int64": [-(2**63), 2**63 - 1, 2**53 + 1],
    "uint64": [0, 2**64 - 1, 2**53 + 1],
    "float32": [300.75, -1.5, 0.1],
    "float64": [1e300, 0.1, -2.5],
}


def mixed(
    folder: Path, dtypes: Sequence[str], nodata: dict[int, float] | None = None
) -> tuple[str, list[Any]]:
    """Write a VRT with a band of each type; return its path and the bands' pixels."""
    bands, paths = [], []
    for number, dtype in enumerate(dtypes):
        pixels = np.resize(np.array(VALUES[dtype], dtype), SHAPE)
        bands.append(pixels)
        paths.append(make_raster(folder / f"band{number}.tif", pixels))
    path = str(folder / "mixed.vrt")
    dataset = gdal.BuildVRT(path, paths, separate=True)
    for number, value in (nodata or {}).items():
        dataset.GetRasterBand(number + 1).SetNoDataValue(value)
    dataset.FlushCache()
    return path, bands


def seen(path: str, *, layers: Sequence[int] | None = None, overlap: int = 0, resampled: bool = False) -> Any:
    """Return the first block's array and its bands' nodata values, as the function sees them."""
    arrays: list[Any] = []

    def function(info: Any, inputs: Any, outputs: Any) -> None:
        nbands = len(inputs.image)
        arrays.append((inputs.image, [info.getNoDataValueFor(inputs.image, i + 1) for i in range(nbands)]))

    infiles = applier.FilenameAssociations()
    infiles.image = path
    controls = applier.ApplierControls()
    controls.setOverlap(overlap)
    if layers:
        controls.selectInputImageLayers(layers)
    if resampled:
        grid = pixelGridFromFile(path)
        grid.xMin, grid.yMax = (
            grid.xMin + 2.5,
            grid.yMax - 2.5,
        )  # a quarter of a pixel: nearest is the same pixel
        controls.setReferencePixgrid(grid)
        controls.setFootprintType(applier.BOUNDS_FROM_REFERENCE)
    applier.apply(function, infiles, applier.FilenameAssociations(), controls=controls)
    return arrays[0]


@pytest.mark.parametrize(
    ("dtypes", "common"),
    [
        (["uint8", "float32"], "float32"),
        (["float32", "uint8"], "float32"),
        (["uint8", "int16"], "int16"),
        (["uint16", "int16"], "int32"),
        (["int32", "float32"], "float64"),
        (["uint32", "float32", "uint8"], "float64"),
        (["uint32", "int32"], "float64"),
        (["float64", "uint8"], "float64"),
    ],
)
@pytest.mark.parametrize("resampled", [False, True], ids=["as it is", "resampled"])
def test_every_value_of_every_band_is_the_files(
    tmp_path: Path, dtypes: list[str], common: str, *, resampled: bool
) -> None:
    path, bands = mixed(tmp_path, dtypes)

    array, _ = seen(path, resampled=resampled)

    assert array.dtype == common
    for got, band in zip(array, bands, strict=True):
        inner = np.s_[: SHAPE[0] - 1, : SHAPE[1] - 1] if resampled else np.s_[:]
        assert got[inner].tolist() == band[inner].tolist()


def test_selected_layers_of_one_type_keep_it(tmp_path: Path) -> None:
    path, bands = mixed(tmp_path, ["float64", "uint8", "int64", "uint8"])

    array, _ = seen(path, layers=[4, 2])

    assert array.dtype == np.uint8
    assert np.array_equal(array, np.stack([bands[3], bands[1]]))


@pytest.mark.parametrize(
    "dtypes", [["int64", "uint64"], ["int64", "uint8", "float32"], ["uint64", "float64"], ["uint64", "uint8"]]
)
def test_types_that_no_type_holds_are_refused_with_what_to_do(tmp_path: Path, dtypes: list[str]) -> None:
    path, _ = mixed(tmp_path, dtypes)

    with pytest.raises(
        ImageOpenError, match=r"mixed\.vrt' has layers of .* and .*; select layers of one type with"
    ):
        seen(path)
    assert seen(path, layers=[1])[0].dtype == dtypes[0]


def test_each_band_keeps_its_nodata_value(tmp_path: Path) -> None:
    path, bands = mixed(tmp_path, ["uint8", "float32", "float64"], {0: 255, 1: 0.1, 2: 0.1})

    array, nodata = seen(path, overlap=1)

    assert nodata == [255, np.float32(0.1), 0.1]
    for got, value, band, own in zip(array, nodata, bands, (255, 0.1, 0.1), strict=True):
        assert np.array_equal(got[1:-1, 1:-1] == value, band == band.dtype.type(own))
        assert (got[0] == value).all()
