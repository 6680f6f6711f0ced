"""Make the demo's scene: Landsat bands of Rocky Mountain National Park, enlarged to 8000 x 6000 pixels.

python scripts/demo-data.py FOLDER_WITH_BANDS SCENE
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from osgeo import gdal

gdal.UseExceptions()

BANDS = ("red", "green", "blue")
WIDTH_PX, HEIGHT_PX = 8000, 6000
# UTM zone 13 N, metres. The park from the Never Summer Mountains to Estes Park, with Lake Granby in the
# south-west; inside the bands' own, slightly turned, edges, so that hardly a pixel is without data.
CRS = "EPSG:32613"
PIXEL_M = 7.3
WEST, SOUTH = 411_500.0, 4_441_000.0


def make_scene(bands: Path, scene: Path) -> None:
    """Warp the three bands to one tiled GeoTIFF, which appears only when it is complete."""
    # As datasets: of names that cannot be opened, BuildVRT would only warn.
    stack = gdal.BuildVRT("", [gdal.Open(str(bands / f"{name}.tif")) for name in BANDS], separate=True)
    unfinished = scene.with_name(f"{scene.name}.{os.getpid()}.unfinished")
    try:
        warped = gdal.Warp(
            str(unfinished),
            stack,
            format="GTiff",
            dstSRS=CRS,
            outputBounds=(WEST, SOUTH, WEST + WIDTH_PX * PIXEL_M, SOUTH + HEIGHT_PX * PIXEL_M),
            width=WIDTH_PX,
            height=HEIGHT_PX,
            resampleAlg="cubic",
            multithread=True,
            warpOptions=["NUM_THREADS=ALL_CPUS"],
            creationOptions=[
                "TILED=YES",
                "COMPRESS=DEFLATE",
                "PREDICTOR=2",
                "ZLEVEL=1",
                "NUM_THREADS=ALL_CPUS",
                "PHOTOMETRIC=RGB",
            ],
        )
        for number, name in enumerate(BANDS, start=1):
            warped.GetRasterBand(number).SetDescription(name)
        warped = None  # GDAL writes the rest of the file when the dataset goes
        unfinished.rename(scene)
    finally:
        unfinished.unlink(missing_ok=True)


def main() -> None:
    if len(sys.argv) != 3:  # noqa: PLR2004
        sys.exit("usage: demo-data.py FOLDER_WITH_BANDS SCENE")
    bands, scene = map(Path, sys.argv[1:])
    if scene.exists():
        print(f"Using the scene {scene} of an earlier run.")
        return
    print(f"Enlarging three Landsat bands to a scene of {WIDTH_PX} x {HEIGHT_PX} pixels, once.", flush=True)
    try:
        make_scene(bands, scene)
    except RuntimeError as error:
        sys.exit(f"demo-data: {error}")
    print(f"The scene is in {scene} ({scene.stat().st_size / 1e6:.1f} MB).")


if __name__ == "__main__":
    main()
