"""How green is it? The excess green index of a scene with red, green and blue bands.

ExG = (2 green - red - blue) / (red + green + blue): 0 for grey, positive where green outweighs.

python examples/vegetation_index.py --scene scene.tif --out exg.tif
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from osgeo import gdal
from quicklook import write_quicklook  # type: ignore[import-not-found]  # a script finds its neighbours

from rios_batch import applier, cuiprogress
from rios_batch.errors import RiosBatchError

NODATA = -9  # ExG itself lies between -1 and 2
WATER_BLUE_TO_RED = 1.3  # lakes here have 1.7 and more, the north sides of mountains about 1.05


def excess_green(info: Any, inputs: Any, outputs: Any) -> None:
    red, green, blue = inputs.scene.astype("f4")
    total = red + green + blue
    # Water reflects far more blue than red. No soil or plant does, lit or in shade, so the index means
    # nothing there; and where all is black there is no colour to speak of.
    valid = (total > 0) & (blue <= WATER_BLUE_TO_RED * red)
    nodata = info.getNoDataValueFor(inputs.scene)
    if nodata is not None:
        valid &= (inputs.scene != nodata).all(axis=0)
    index = np.full_like(total, NODATA)
    np.divide(2 * green - red - blue, total, out=index, where=valid)
    outputs.index = index[np.newaxis]


def run(scene: Path, out: Path, workers: int, manager: str) -> applier.ApplierReturn:
    """Write the index of a scene whose first three bands are red, green and blue."""
    infiles = applier.FilenameAssociations()
    outfiles = applier.FilenameAssociations()
    infiles.scene = scene
    outfiles.index = out
    controls = applier.ApplierControls()
    controls.selectInputImageLayers([1, 2, 3])
    controls.setStatsIgnore(NODATA)
    controls.setLayerNames(["excess green"])
    controls.setNumThreads(workers)
    controls.setJobManagerType(manager)
    controls.setProgress(cuiprogress.CUIProgressBar())
    return applier.apply(excess_green, infiles, outfiles, controls=controls)


def summary(index: Path) -> str:
    """Say in one sentence what the index looks like."""
    values = gdal.Translate("", str(index), format="MEM", width=1000, height=0).ReadAsArray()
    with_data = values[values != NODATA]
    if not with_data.size:
        return "No pixel has an index."
    low, median, high = np.percentile(with_data, (5, 50, 95))
    return (
        f"{with_data.size / values.size:.0%} of the pixels have an index (the rest is water or no "
        f"data); its median is {median:.3f}, and 90 % lie between {low:.3f} and {high:.3f}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Excess green index of a scene with red, green, blue bands.")
    parser.add_argument("--scene", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="the GeoTIFF to write; a PNG goes beside it")
    parser.add_argument(
        "--workers", type=int, default=max(2, os.cpu_count() or 2), help="default: one for each core"
    )
    parser.add_argument(
        "--manager", default="multiprocessing", help="who runs the tiles: 'AWSBatch' sends them there"
    )
    arguments = parser.parse_args()
    picture = arguments.out.with_suffix(".png")
    print(
        f"Computing the excess green index of {arguments.scene} with {arguments.workers} workers.", flush=True
    )
    try:
        result = run(arguments.scene, arguments.out, arguments.workers, arguments.manager)
        low, high = write_quicklook(arguments.out, picture, shade=arguments.scene)
    except (RiosBatchError, RuntimeError, ValueError) as error:
        sys.exit(f"vegetation_index: {error}")
    grid, tiles = result.workinggrid, result.tiles
    wall_s = result.timings.makeSummaryDict()["walltime"]["tot"]
    pixels_m = grid.ncols * grid.nrows / 1e6
    print(
        f"Done: {grid.ncols} x {grid.nrows} pixels in {len(tiles)} tiles, {pixels_m / wall_s:.0f} million "
        "pixels a second. All but walltime and writing is summed over the workers:\n"
    )
    print(result.timings.formatReport())
    print(f"\n{summary(arguments.out)}")
    print(f"The index is in {arguments.out} ({arguments.out.stat().st_size / 1e6:.1f} MB).")
    print(
        f"A picture of it is in {picture} ({picture.stat().st_size / 1e6:.1f} MB): brown is {low:.3f} "
        f"and less, green is {high:.3f} and more, blue has no index."
    )


if __name__ == "__main__":
    main()
