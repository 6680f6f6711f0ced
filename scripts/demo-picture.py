"""Make the picture of the README: the demo's index beside a map of the tiles of its run.

python scripts/demo-picture.py SCENE PICTURE

`make demo` makes the scene. Which worker computes which tile is another in each run, and so is the picture.
"""

from __future__ import annotations

import colorsys
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from osgeo import gdal

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "examples"))

from quicklook import write_quicklook  # type: ignore[import-not-found]  # noqa: E402 - a neighbour there
from vegetation_index import run  # type: ignore[import-not-found]  # noqa: E402

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rios_batch.applier import ApplierReturn

gdal.UseExceptions()

WIDTH_PX, GAP_PX, WORKERS = 520, 12, 4
COLOURS = 96  # of the PNG's palette; twice as many make a file of twice the size


def tile_map(index: NDArray[Any], result: ApplierReturn) -> NDArray[Any]:
    """Return the index in greys under the colours of the workers, with a line around each tile."""
    _, rows, cols = index.shape
    scale = cols / result.workinggrid.ncols
    workers = sorted({tile.worker for tile in result.tiles})
    grey = index.mean(axis=0) / 255
    picture = np.empty(index.shape)
    for tile in result.tiles:
        window = tile.window
        top, left = round(window.row * scale), round(window.col * scale)
        bottom = min(rows, round((window.row + window.height) * scale))
        right = min(cols, round((window.col + window.width) * scale))
        colour = colorsys.hls_to_rgb((0.58 + 0.27 * workers.index(tile.worker)) % 1, 0.62, 0.6)
        shaded = 255 * np.multiply.outer(colour, 0.45 + 0.75 * grey[top:bottom, left:right])
        shaded[:, :1] = shaded[:, :, :1] = 255
        picture[:, top:bottom, left:right] = shaded
    return np.clip(picture, 0, 255)


def write_palette_png(path: Path, pixels: NDArray[Any]) -> None:
    """Write red, green and blue, of shape (3, rows, cols), with the colours that suit them best."""
    _, rows, cols = pixels.shape
    image = gdal.GetDriverByName("MEM").Create("", cols, rows, 3)
    image.WriteArray(pixels.astype(np.uint8))
    palette = gdal.GetDriverByName("MEM").Create("", cols, rows, 1)
    table = gdal.ColorTable()
    bands = [image.GetRasterBand(number) for number in (1, 2, 3)]
    gdal.ComputeMedianCutPCT(*bands, COLOURS, table)
    gdal.DitherRGB2PCT(*bands, palette.GetRasterBand(1), table)
    palette.GetRasterBand(1).SetColorTable(table)
    gdal.GetDriverByName("PNG").CreateCopy(str(path), palette, options=["ZLEVEL=9"])


def main() -> None:
    if len(sys.argv) != 3:  # noqa: PLR2004
        sys.exit("usage: demo-picture.py SCENE PICTURE")
    scene, picture = map(Path, sys.argv[1:])
    with tempfile.TemporaryDirectory() as folder:
        out, png = Path(folder, "index.tif"), Path(folder, "index.png")
        result = run(scene, out, WORKERS, "multiprocessing")
        write_quicklook(out, png, shade=scene, width_px=WIDTH_PX)
        index = gdal.Open(str(png)).ReadAsArray()
    gap = np.full((3, index.shape[1], GAP_PX), 255)
    write_palette_png(picture, np.concatenate([index, gap, tile_map(index, result)], axis=2))
    print(f"Wrote {picture} ({picture.stat().st_size / 1e3:.0f} kB).")


if __name__ == "__main__":
    main()
