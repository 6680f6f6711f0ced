"""Creating an output with all that is known of it before its pixels are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from osgeo import gdal

from rios_batch.errors import TypeConversionError
from rios_batch.gdalapi import gdal_type, numpy_name, reason, set_nodata

if TYPE_CHECKING:
    from rios_batch.model.grid import PixelGridDefn
    from rios_batch.model.spec import Layout, OutputSpec


def create_dataset(path: str, output_spec: OutputSpec, grid: PixelGridDefn, layout: Layout) -> gdal.Dataset:
    """Create an output with its georeference, nodata value and layer names, and no pixels.

    Raises
    ------
    RuntimeError : GDAL refuses the size, type or options.
    TypeConversionError : the format has no such type.
    """
    dataset = _empty(path, output_spec, grid, layout)
    dataset.SetGeoTransform(grid.makeGeoTransform())
    if grid.projection:
        dataset.SetProjection(grid.projection)
    if output_spec.nodata is not None:
        set_nodata(dataset, output_spec.nodata, layout.dtype)
    for number in range(1, layout.nbands + 1):
        band = dataset.GetRasterBand(number)
        if output_spec.thematic:
            band.SetMetadataItem("LAYER_TYPE", "thematic")
        if number <= len(output_spec.layer_names):
            band.SetDescription(output_spec.layer_names[number - 1])
    return dataset


def _empty(path: str, output_spec: OutputSpec, grid: PixelGridDefn, layout: Layout) -> gdal.Dataset:
    try:
        dataset = gdal.GetDriverByName(output_spec.driver).Create(
            path,
            grid.ncols,
            grid.nrows,
            layout.nbands,
            gdal_type(layout.dtype),
            list(output_spec.creation_options.for_type(layout.dtype).texts),
        )
    except RuntimeError as error:
        if "data type" not in str(error).lower():
            raise
        raise TypeConversionError(
            f"{output_spec.label} has {layout}: {reason(error)} Use .astype() with another type, or another format"
        ) from error
    made = numpy_name(dataset.GetRasterBand(1))
    if not np.can_cast(layout.dtype, made):  # some drivers take another type without a word
        raise TypeConversionError(
            f"{output_spec.label} has {layout}, and the {output_spec.driver} format would make it {made}; use "
            ".astype() with a type that it has, or another format"
        )
    return dataset
