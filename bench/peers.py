"""The field: who does which task, and how each is called."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

from tasks import WARP_CRS, WARP_RESOLUTION_M  # type: ignore[import-not-found]  # beside this script

HERE = Path(__file__).parent
DEFLATE = ["TILED=YES", "COMPRESS=DEFLATE", "INTERLEAVE=BAND", "NUM_THREADS=2"]
OVERVIEW_LEVELS = ["4", "8", "16"]


@dataclass
class Peer:
    """One way to do a task, and what was measured of it.

    Attributes
    ----------
    group : the table's part; ratios are to the baseline of the group.
    name : the row.
    commands : run one after the other.
    is_baseline : whether ratios are to this one.
    is_limit : whether only a part of the task is done, so that there is nothing to compare.
    """

    group: str
    name: str
    commands: list[list[str]]
    is_baseline: bool = False
    is_limit: bool = False
    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    pss_mb: list[float] = field(default_factory=list)
    mb: float = 0.0
    pixels: str = ""


class Field:
    """The peers of one task.

    Parameters
    ----------
    task : a name of `tasks.TASKS`.
    inputs : what the task reads.
    out : the raster that each peer writes.
    plain : a copy of the result without compression, for the limit of encoding.
    rios_batch_python : the interpreter that has rios_batch.
    rasterio_python : the one that has rasterio, rioxarray and odc-geo.
    rios : a folder with RIOS's package `rios`, if there is one.
    bounds_m : of the grid of task "warp".
    """

    def __init__(
        self,
        task: str,
        inputs: list[Path],
        out: Path,
        *,
        plain: Path,
        rios_batch_python: Path,
        rasterio_python: Path,
        rios: Path | None,
        bounds_m: tuple[float, float, float, float],
    ) -> None:
        self._task, self._inputs, self._out, self._plain = (
            task,
            [str(path) for path in inputs],
            str(out),
            plain,
        )
        self._own_python, self._python = str(rios_batch_python), str(rasterio_python)
        self._rios, self._bounds_m = rios, bounds_m

    def peers(self) -> list[Peer]:
        """Return the rows of the task's table."""
        image = f"{self._task}, image only"
        found = [
            Peer(image, "rasterio, 2 threads", [self._rasterio("blocks")], is_baseline=True),
            Peer(image, "rios_batch, 2 processes", [self._rios_batch("image", "multiprocessing")]),
            Peer(image, "rios_batch, 2 threads", [self._rios_batch("image", "threads")]),
        ]
        if self._rios is not None and self._task in ("light", "medium", "heavy", "dates"):
            found.append(Peer(image, "RIOS 2, 2 threads", [self._rios_2("image")]))
        if self._task in ("light", "medium", "heavy", "dates"):
            found.append(Peer(image, "rioxarray and dask, 2 threads", [self._xarray("raster")]))
            found.append(Peer(image, "limit: reading, 2 threads", [self._rasterio("read")], is_limit=True))
            encode = ["gdal_translate", "-q", *_options(DEFLATE), str(self._plain), self._out]
            found.append(Peer(image, "limit: encoding, 2 threads", [encode]))
        others = {"light": self._gdal_calc, "mosaic": self._gdal_mosaic, "warp": self._gdalwarp}
        if self._task in others:
            found += others[self._task](image)
        if self._task in ("light", "medium", "heavy"):
            found += self._complete(f"{self._task}, complete file")
        if self._task == "mosaic":  # a loop over all scenes for each block is nobody's way
            del found[0]
            next(peer for peer in found if peer.name.startswith("gdalbuildvrt")).is_baseline = True
        return found

    def _complete(self, group: str) -> list[Peer]:
        tools = [
            ["gdaladdo", "-q", "--config", "GDAL_NUM_THREADS", "2", self._out, *OVERVIEW_LEVELS],
            ["gdalinfo", "-stats", "-hist", self._out],
        ]
        found = [
            Peer(
                group,
                "rasterio, 2 threads, then gdaladdo and gdalinfo",
                [self._rasterio("blocks"), *tools],
                is_baseline=True,
            ),
            Peer(group, "rasterio, 2 threads, all by rasterio", [self._rasterio("inside")]),
            Peer(group, "rioxarray and dask, COG by odc-geo", [self._xarray("cog")]),
            Peer(group, "rios_batch, same options", [self._rios_batch("complete", "multiprocessing")]),
            Peer(group, "rios_batch, defaults", [self._rios_batch("defaults", "multiprocessing")]),
            Peer(group, "rios_batch, COMPRESS=ZSTD", [self._rios_batch("zstd", "multiprocessing")]),
        ]
        if self._rios is not None:
            found.insert(3, Peer(group, "RIOS 2, 2 threads", [self._rios_2("complete")]))
        return found

    def _gdal_calc(self, group: str) -> list[Peer]:
        calc = "(B.astype('f4')-A.astype('f4'))/(B.astype('f4')+A.astype('f4'))"
        bands = [
            "-A",
            self._inputs[0],
            "--A_band=3",
            "-B",
            self._inputs[0],
            "--B_band=4",
            f"--outfile={self._out}",
        ]
        options = [f"--co={option}" for option in DEFLATE]
        command = [sys.executable, "-m", "osgeo_utils.gdal_calc", *bands, f"--calc={calc}", "--type=Float32"]
        return [Peer(group, "gdal_calc", [[*command, "--quiet", "--hideNoData", *options]])]

    def _gdal_mosaic(self, group: str) -> list[Peer]:
        vrt = f"{self._out}.vrt"
        build = ["gdalbuildvrt", "-q", "-overwrite", vrt, *self._inputs]
        translate = ["gdal_translate", "-q", *_options(DEFLATE), vrt, self._out]
        return [
            Peer(group, "gdalbuildvrt and gdal_translate", [build, translate]),
            Peer(group, "rasterio.merge", [self._rasterio("merge")]),
        ]

    def _gdalwarp(self, group: str) -> list[Peer]:
        left, bottom, right, top = (str(bound) for bound in self._bounds_m)
        resolution = str(WARP_RESOLUTION_M)
        grid = ["-t_srs", WARP_CRS, "-te", left, bottom, right, top, "-tr", resolution, resolution]
        band = f"{self._out}.vrt"  # of one band, which gdalwarp of this version cannot choose
        choose = ["gdal_translate", "-q", "-of", "VRT", "-b", "4", self._inputs[0], band]
        warp = ["gdalwarp", "-q", "-overwrite", "-multi", "-wo", "NUM_THREADS=2", "-dstnodata", "0"]
        return [Peer(group, "gdalwarp -multi", [choose, [*warp, *grid, *_options(DEFLATE), band, self._out]])]

    def _rasterio(self, way: str) -> list[str]:
        return [self._python, str(HERE / "field_rasterio.py"), self._task, way, self._out, *self._inputs]

    def _xarray(self, way: str) -> list[str]:
        return [self._python, str(HERE / "field_xarray.py"), self._task, way, self._out, *self._inputs]

    def _rios_batch(self, way: str, manager: str) -> list[str]:
        script = str(HERE / "field_rios_batch.py")
        return [self._own_python, script, self._task, way, manager, self._out, *self._inputs]

    def _rios_2(self, way: str) -> list[str]:
        script = str(HERE / "field_rios.py")
        return [self._own_python, script, str(self._rios), self._task, way, self._out, *self._inputs]


def _options(options: list[str]) -> list[str]:
    return [word for option in options for word in ("-co", option)]
