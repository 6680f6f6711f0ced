"""A small picture of a raster, for a person to look at."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
from osgeo import gdal

from rios_batch.gdalapi import gdal_exceptions

if TYPE_CHECKING:
    from numpy.typing import NDArray

_COLOURS = 3
_CONTRAST_PERCENT = (2, 98)  # what a few very dark or bright pixels may be, without making all others grey


def quicklook_png(path: str, longest_side_px: int = 256) -> bytes:
    """Return a picture of a raster as the bytes of a PNG file.

    Three bands or more give the first three as red, green and blue, each in its own contrast. Otherwise the first band
    gives greys. Nodata and NaN are transparent.

    Raises
    ------
    RuntimeError : GDAL cannot open or read the file.
    """
    with gdal_exceptions():
        dataset = gdal.Open(path)
        scale = min(1.0, longest_side_px / max(dataset.RasterXSize, dataset.RasterYSize))
        size = {
            "buf_xsize": max(1, round(scale * dataset.RasterXSize)),
            "buf_ysize": max(1, round(scale * dataset.RasterYSize)),
        }
        numbers = (1, 2, 3) if dataset.RasterCount >= _COLOURS else (1, 1, 1)
        bands = [dataset.GetRasterBand(number) for number in numbers]
        pixels = [
            np.abs(band.ReadAsArray(**size)) if _is_complex(band) else band.ReadAsArray(**size)
            for band in bands
        ]
        masks = [band.GetMaskBand().ReadAsArray(**size) != 0 for band in bands]
    valid = [mask & np.isfinite(values) for mask, values in zip(masks, pixels, strict=True)]
    colours = [_bytes(values, shown) for values, shown in zip(pixels, valid, strict=True)]
    alpha = np.where(np.all(valid, axis=0), np.uint8(255), np.uint8(0))
    return _png(np.dstack([*colours, alpha]))


def _is_complex(band: gdal.Band) -> bool:
    return bool(gdal.DataTypeIsComplex(band.DataType))


def _bytes(values: NDArray[Any], shown: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return values as 0 to 255 in their own contrast; 0 where nothing is shown."""
    if not shown.any():
        return np.zeros(values.shape, np.uint8)
    known = np.where(shown, values, values[shown].flat[0]).astype(np.float64)
    low, high = np.percentile(known[shown], _CONTRAST_PERCENT)
    grey = (known - low) / (high - low) if high > low else np.full(values.shape, 0.5)
    scaled: NDArray[np.uint8] = np.where(shown, np.clip(255 * grey, 0, 255), 0).astype(np.uint8)
    return scaled


def _png(pixels: NDArray[np.uint8]) -> bytes:
    """Return red, green, blue and alpha, of shape (rows, cols, 4), as a PNG file."""
    rows, cols, _ = pixels.shape
    # Each row begins with 0, which says that it is stored as it is.
    stored = np.hstack([np.zeros((rows, 1), np.uint8), pixels.reshape(rows, -1)]).tobytes()
    header = struct.pack(">IIBBBBB", cols, rows, 8, 6, 0, 0, 0)  # 8 bits, colour type 6: with alpha
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in ((b"IHDR", header), (b"IDAT", zlib.compress(stored)), (b"IEND", b""))
    )
