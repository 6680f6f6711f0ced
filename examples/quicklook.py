"""A picture of a one-band raster: colours for the values, light and shade from the scene it came from.

python examples/quicklook.py index.tif index.png --shade scene.tif
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from osgeo import gdal

if TYPE_CHECKING:
    from numpy.typing import NDArray

gdal.UseExceptions()

Colour = tuple[int, int, int]  # red, green, blue; 0 to 255

# From the lowest value to the highest, evenly spaced: bare rock, dry grass, meadow, forest.
BROWN_TO_GREEN: tuple[Colour, ...] = (
    (140, 98, 70),
    (181, 147, 108),
    (196, 182, 132),
    (148, 168, 96),
    (78, 138, 66),
    (26, 98, 50),
)
WATER_BLUE: Colour = (66, 118, 168)

# The darkest shade leaves this part of a colour; with less, forest (dark in every band) turns black.
DARKEST, BRIGHTEST = 0.45, 1.3


def write_quicklook(
    raster: str | os.PathLike[str],
    picture: str | os.PathLike[str],
    *,
    shade: str | os.PathLike[str] | None = None,
    width_px: int = 1600,
    colours: tuple[Colour, ...] = BROWN_TO_GREEN,
    nodata_colour: Colour = WATER_BLUE,
) -> tuple[float, float]:
    """Write a PNG of the first band of ``raster``.

    Parameters
    ----------
    shade : an image of the same extent whose brightness is laid over the colours; default none.
    width_px : width of the picture; a smaller raster is not enlarged.
    colours : for the values from the lowest to the highest, evenly spaced.
    nodata_colour : for pixels without data.

    Returns
    -------
    The values of the first and the last colour: the 2nd and 98th percentile of the picture's pixels.

    Raises
    ------
    ValueError : no pixel has data.
    RuntimeError : GDAL cannot read or write a file.
    """
    small = _downsampled(raster, width_px)
    band = small.GetRasterBand(1)
    values = band.ReadAsArray()
    with_data = values[(band.GetMaskBand().ReadAsArray() > 0) & np.isfinite(values)]
    if not with_data.size:
        raise ValueError(f"{os.fspath(raster)!r} has no pixel with data, so there is nothing to show")
    low, high = (float(value) for value in np.percentile(with_data, (2, 98)))
    pixels = _coloured(small, np.linspace(low, high, len(colours)), colours, nodata_colour)
    if shade is not None:
        pixels = pixels * _brightness(shade, small.RasterXSize, small.RasterYSize)
    image = gdal.GetDriverByName("MEM").Create("", small.RasterXSize, small.RasterYSize, 3)
    image.WriteArray(np.clip(pixels, 0, 255).astype(np.uint8))
    gdal.GetDriverByName("PNG").CreateCopy(os.fspath(picture), image)
    return low, high


def _downsampled(raster: str | os.PathLike[str], width_px: int) -> gdal.Dataset:
    source = gdal.Open(os.fspath(raster))
    width = min(width_px, source.RasterXSize)
    height = max(1, round(source.RasterYSize * width / source.RasterXSize))
    return gdal.Translate(
        "", source, format="MEM", bandList=[1], width=width, height=height, resampleAlg="average"
    )


def _coloured(
    small: gdal.Dataset, values: NDArray[Any], colours: tuple[Colour, ...], nodata_colour: Colour
) -> NDArray[Any]:
    """Return red, green and blue, interpolated between the colours, as an array of (3, rows, cols)."""
    lines = [f"{value!r} {r} {g} {b}" for value, (r, g, b) in zip(values.tolist(), colours, strict=True)]
    lines.append("nv {} {} {}".format(*nodata_colour))
    with tempfile.TemporaryDirectory() as folder:
        ramp = Path(folder, "ramp.txt")
        ramp.write_text("\n".join(lines), encoding="ascii")
        relief = gdal.DEMProcessing("", small, "color-relief", format="MEM", colorFilename=str(ramp))
    return relief.ReadAsArray()  # type: ignore[no-any-return]


def _brightness(shade: str | os.PathLike[str], width: int, height: int) -> NDArray[Any]:
    """Return a factor for every pixel, from DARKEST to BRIGHTEST."""
    small = gdal.Translate(
        "", os.fspath(shade), format="MEM", width=width, height=height, resampleAlg="average"
    )
    bands = small.ReadAsArray().astype("f4").reshape(small.RasterCount, height, width)
    grey = bands.mean(axis=0)
    low, high = np.percentile(grey, (1, 99))
    stretched = np.clip((grey - low) / max(high - low, 1e-6), 0, 1)
    return DARKEST + (BRIGHTEST - DARKEST) * np.sqrt(stretched)  # type: ignore[no-any-return]


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a PNG of the first band of a raster.")
    parser.add_argument("raster", type=Path)
    parser.add_argument("picture", type=Path, help="the PNG to write")
    parser.add_argument("--shade", type=Path, help="an image of the same extent, for light and shade")
    parser.add_argument("--width", type=int, default=1600, help="in pixels (default 1600)")
    arguments = parser.parse_args()
    try:
        low, high = write_quicklook(
            arguments.raster, arguments.picture, shade=arguments.shade, width_px=arguments.width
        )
    except (RuntimeError, ValueError) as error:
        sys.exit(f"quicklook: {error}")
    print(f"Wrote {arguments.picture}: brown is {low:.3f} and less, green is {high:.3f} and more.")


if __name__ == "__main__":
    main()
