"""The behaviours that RIOS documents, one by one, with every kind of job manager.

A topic is one small function and the array that it must give, worked out here without rios_batch. Topics with
the same grid, footprint and overlap share a call of ``apply``, since on AWS Batch a call takes seconds. To add one,
write a subclass of ``Topic`` and put it into ``TOPICS``; what cannot be set by name needs a ``Settings`` of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
from osgeo import gdal, ogr, osr

from rios_batch import applier, pixelgrid
from rios_batch.gdalapi import gdal_exceptions
from tests.support import ORIGIN, PIXEL_M, make_raster, ramp, read_raster, utm_wkt

if TYPE_CHECKING:
    from pathlib import Path

    from rios_batch.applier import ApplierControls, ApplierReturn
    from rios_batch.model.spec import Array

WINDOW = (32, 16)  # columns, rows
TILE = (64, 48)
MANAGERS = {"in-process": 1, "multiprocessing": 2, "AWSBatch": 2}
ROWS, COLS = 75, 110
EAST, NORTH = ORIGIN


REFERENCE = pixelgrid.PixelGridDefn((EAST, PIXEL_M, 0.0, NORTH, 0.0, -PIXEL_M), ROWS, COLS, utm_wkt())
COARSE = pixelgrid.PixelGridDefn((EAST, 5000.0, 0.0, NORTH, 0.0, -5000.0), 10, 10, utm_wkt())
POINT = (EAST + 555.0, NORTH - 333.0)
# The two rasters of the footprint topics: the right one lies 30 columns east and 20 rows south of the left one.
LEFT, RIGHT = ramp(1, 60, 80, "uint8"), ramp(1, 60, 80, "uint8")[:, ::-1, ::-1]
SHIFT_COLS, SHIFT_ROWS = 30, 20


@dataclass(frozen=True)
class Settings:
    """What is set for a whole run."""

    footprint: int
    reference: pixelgrid.PixelGridDefn | None = None
    overlap: int = 0


BOUNDS = Settings(applier.BOUNDS_FROM_REFERENCE, REFERENCE)
INTERSECTION = Settings(applier.INTERSECTION)
UNION = Settings(applier.UNION, overlap=3)
CURVED_UNION = Settings(applier.UNION, COARSE)


class Topic:
    """One behaviour. The names of inputs must differ between topics of a run."""

    settings: ClassVar[Settings] = BOUNDS

    @property
    def name(self) -> str:
        """Return the symbolic name of the output."""
        return type(self).__name__

    def inputs(self, folder: Path) -> dict[str, Any]:
        """Write the inputs; return their symbolic names and files."""
        del folder
        return {}

    def configure(self, controls: ApplierControls) -> None:
        """Set what this topic needs, for its own names only."""

    @staticmethod
    def function(info: Any, inputs: Any) -> Array:
        """Return the output's block."""
        raise NotImplementedError

    def expected(self) -> Array:
        """Return the whole output, of shape (bands, rows, cols)."""
        raise NotImplementedError

    def check(self, written: gdal.Dataset) -> None:
        """Look at what else the output has."""


def pixel_centres(grid: pixelgrid.PixelGridDefn = REFERENCE) -> tuple[Array, Array]:
    """Return the x and the y of every pixel's centre."""
    x = grid.xMin + grid.xRes * (np.arange(grid.ncols) + 0.5)
    y = grid.yMax - grid.yRes * (np.arange(grid.nrows) + 0.5)
    return np.broadcast_to(x, grid.getDimensions()), np.broadcast_to(y[:, None], grid.getDimensions())


class Average(Topic):
    """The mean of a list of rasters."""

    pixels = (
        ramp(2, ROWS, COLS, "uint8"),
        ramp(2, ROWS, COLS, "uint8")[:, ::-1],
        ramp(2, ROWS, COLS, "uint8") // 3,
    )

    def inputs(self, folder: Path) -> dict[str, Any]:
        return {"dates": [make_raster(folder / f"date{i}.tif", p) for i, p in enumerate(self.pixels)]}

    @staticmethod
    def function(_info: Any, inputs: Any) -> Array:
        mean: Array = np.mean(inputs.dates, axis=0).astype(np.float32)
        return mean

    def expected(self) -> Array:
        mean: Array = (np.add.reduce([p.astype(float) for p in self.pixels]) / 3).astype(np.float32)
        return mean


class Resample(Topic):
    """Coarser and finer pixels on the reference, each with a method of its own."""

    coarse, fine = ramp(1, ROWS // 3, COLS // 2 + 1, "int16"), ramp(1, 2 * ROWS, 2 * COLS, "float32")

    def inputs(self, folder: Path) -> dict[str, Any]:
        tall = (EAST, 2 * PIXEL_M, 0, NORTH, 0, -3 * PIXEL_M)
        return {
            "coarse": make_raster(folder / "coarse.tif", self.coarse, geotransform=tall),
            "fine": make_raster(folder / "fine.tif", self.fine, pixel_size=PIXEL_M / 2),
        }

    def configure(self, controls: ApplierControls) -> None:
        controls.setResampleMethod("near", imagename="coarse")
        controls.setResampleMethod("average", imagename="fine")

    @staticmethod
    def function(_info: Any, inputs: Any) -> Array:
        return np.concatenate([inputs.coarse.astype(np.float32), inputs.fine])

    def expected(self) -> Array:
        near = np.repeat(np.repeat(self.coarse, 3, axis=1), 2, axis=2)[:, :ROWS, :COLS]
        average = self.fine.reshape(1, ROWS, 2, COLS, 2).mean(axis=(2, 4))
        return np.concatenate([near.astype(np.float32), average])


class Vector(Topic):
    """A triangle: the pixels whose centre is inside get an attribute or a value, all others the null value."""

    corners = ((EAST + 53, NORTH - 47), (EAST + 1031, NORTH - 333), (EAST + 401, NORTH - 671))

    def inputs(self, folder: Path) -> dict[str, Any]:
        with gdal_exceptions():
            reference = osr.SpatialReference(REFERENCE.projection)
            driver = gdal.GetDriverByName("ESRI Shapefile")  # several files
            dataset = driver.Create(str(folder / "field.shp"), 0, 0, 0, gdal.GDT_Unknown)
            layer = dataset.CreateLayer("field", reference, ogr.wkbPolygon)
            layer.CreateField(ogr.FieldDefn("class", ogr.OFTInteger))
            feature = ogr.Feature(layer.GetLayerDefn())
            ring = ", ".join(f"{x} {y}" for x, y in [*self.corners, self.corners[0]])
            feature.SetGeometry(ogr.CreateGeometryFromWkt(f"POLYGON(({ring}))"))
            feature.SetField("class", 300)
            layer.CreateFeature(feature)
            del feature, layer, dataset
        return {"field": str(folder / "field.shp"), "classes": str(folder / "field.shp")}

    def configure(self, controls: ApplierControls) -> None:
        controls.setBurnValue(7, "field")
        controls.setVectorNull(255, "field")
        controls.setBurnAttribute("class", "classes")
        controls.setVectorDatatype(np.uint16, "classes")

    @staticmethod
    def function(_info: Any, inputs: Any) -> Array:
        return np.concatenate([inputs.field.astype(np.uint16), inputs.classes])

    def expected(self) -> Array:
        x, y = pixel_centres()
        a, b, c = self.corners
        sides = [(q[0] - p[0]) * (y - p[1]) - (q[1] - p[1]) * (x - p[0]) for p, q in ((a, b), (b, c), (c, a))]
        inside = np.logical_and.reduce([side < 0 for side in sides])
        assert 0 < np.count_nonzero(inside) < inside.size / 2
        burned: Array = np.stack([np.where(inside, 7, 255), np.where(inside, 300, 0)]).astype(np.uint16)
        return burned


class ReaderInformation(Topic):
    """What ``info`` says of a block, written into its pixels."""

    @staticmethod
    def function(info: Any, _inputs: Any) -> Array:
        assert (info.getWindowSize(), info.getOverlapSize(), info.getTotalSize()) == (WINDOW, 0, (COLS, ROWS))
        cols, rows = info.getBlockSize()
        values = (*info.getBlockCount(), *info.getTotalBlocks(), cols, rows, info.getPercent(),
                  info.isFirstBlock(), info.isLastBlock())  # fmt: skip
        return np.broadcast_to(np.array(values, np.int16)[:, None, None], (len(values), rows, cols))

    def expected(self) -> Array:
        xblocks, yblocks = -(-COLS // WINDOW[0]), -(-ROWS // WINDOW[1])
        x, y = np.meshgrid(np.arange(COLS) // WINDOW[0], np.arange(ROWS) // WINDOW[1])
        said: Array = np.stack(
            [
                x,
                y,
                np.full_like(x, xblocks),
                np.full_like(x, yblocks),
                np.minimum(WINDOW[0], COLS - x * WINDOW[0]),
                np.minimum(WINDOW[1], ROWS - y * WINDOW[1]),
                100 * (y * xblocks + x) // (xblocks * yblocks),
                (x == 0) & (y == 0),
                (x == xblocks - 1) & (y == yblocks - 1),
            ]
        ).astype(np.int16)
        return said


class Datasets(Topic):
    """The file behind an array, and its bands as they were selected, for scripts that read more of it."""

    pixels = ramp(3, ROWS, COLS, "uint8")

    def inputs(self, folder: Path) -> dict[str, Any]:
        return {"behind": make_raster(folder / "behind.tif", self.pixels, nodata=[1, 2, 3])}

    def configure(self, controls: ApplierControls) -> None:
        controls.selectInputImageLayers([3, 1], imagename="behind")

    @staticmethod
    def function(info: Any, inputs: Any) -> Array:
        dataset, band = info.getGDALDatasetFor(inputs.behind), info.getGDALBandFor(inputs.behind, 1)
        said = [
            dataset.RasterCount,
            dataset.RasterXSize,
            band.GetNoDataValue(),
            band.ReadAsArray(0, 0, 1, 1)[0, 0],
        ]
        return np.broadcast_to(np.array(said, np.int16)[:, None, None], (4, *inputs.behind.shape[1:]))

    def expected(self) -> Array:
        said = np.array([3, COLS, 3, self.pixels[2, 0, 0]], np.int16)
        return np.broadcast_to(said[:, None, None], (4, ROWS, COLS))


class Coordinates(Topic):
    """Pixel centres; pixels found by their coordinates, and their place in the whole raster."""

    @staticmethod
    def function(info: Any, _inputs: Any) -> Array:
        x, y = info.getBlockCoordArrays()
        found = np.zeros_like(x)
        row, col = info.getPixRowColBlock(*POINT)
        if row is not None:
            found[row, col] = 1
        place = info.getPixColRow(x.shape[1] - 1, x.shape[0] - 1)
        return np.stack([x, y, found, np.full_like(x, place[0] * 1000 + place[1])])

    def expected(self) -> Array:
        x, y = pixel_centres()
        found = np.zeros(x.shape)
        found[33, 55] = 1
        last_col = np.minimum((np.arange(COLS) // WINDOW[0] + 1) * WINDOW[0], COLS) - 1
        last_row = np.minimum((np.arange(ROWS) // WINDOW[1] + 1) * WINDOW[1], ROWS) - 1
        return np.stack([x, y, found, last_col * 1000 + last_row[:, None]])


class InputNull(Topic):
    """Nodata of the file, band by band, and of the script; beyond the file there is nothing else."""

    pixels = ramp(2, 40, 50, "int16")

    def inputs(self, folder: Path) -> dict[str, Any]:
        inside = (EAST + 20 * PIXEL_M, NORTH - 10 * PIXEL_M)
        return {
            "holes": make_raster(
                folder / "holes.img", self.pixels, nodata=[5, 9], origin=inside, driver="HFA"
            ),
            "told": make_raster(folder / "told.tif", self.pixels[:1], nodata=5, origin=inside),
        }

    def configure(self, controls: ApplierControls) -> None:
        controls.setInputNoDataValue(17, imagename="told")

    @staticmethod
    def function(info: Any, inputs: Any) -> Array:
        first, second = (info.getNoDataValueFor(inputs.holes, band) for band in (1, 2))
        assert first.dtype == second.dtype == inputs.holes.dtype
        masks = [
            inputs.holes[0] == first,
            inputs.holes[1] == second,
            inputs.told[0] == info.getNoDataValueFor(inputs.told),
        ]
        return np.where(masks, 0, np.concatenate([inputs.holes, inputs.told]))

    def expected(self) -> Array:
        whole = np.zeros((3, ROWS, COLS), np.int16)
        bands = np.concatenate([self.pixels, self.pixels[:1]])
        for band, nodata in zip(bands, (5, 9, 17), strict=True):
            band[band == nodata] = 0
        whole[:, 10:50, 20:70] = bands
        return whole


class LayerSelection(Topic):
    """Chosen layers, in the order asked for, with their own nodata values."""

    pixels = ramp(3, ROWS, COLS, "uint8")

    def inputs(self, folder: Path) -> dict[str, Any]:
        return {"layers": make_raster(folder / "layers.img", self.pixels, nodata=[1, 2, 3], driver="HFA")}

    def configure(self, controls: ApplierControls) -> None:
        controls.selectInputImageLayers([3, 1, 3], imagename="layers")

    @staticmethod
    def function(info: Any, inputs: Any) -> Array:
        assert [info.getNoDataValueFor(inputs.layers, band) for band in (1, 2, 3)] == [3, 1, 3]
        block: Array = inputs.layers
        return block

    def expected(self) -> Array:
        return self.pixels[[2, 0, 2]]


class Reprojection(Topic):
    """A raster in longitude and latitude: each pixel is the one that its centre falls on."""

    place = (-105.003, 39.7495, 0.00011)
    pixels = ramp(1, 130, 220, "uint16")

    def inputs(self, folder: Path) -> dict[str, Any]:
        return {"degrees": in_degrees(folder / "degrees.tif", self.pixels, self.place)}

    @staticmethod
    def function(_info: Any, inputs: Any) -> Array:
        block: Array = inputs.degrees
        return block

    def expected(self) -> Array:
        return nearest(self.pixels, self.place, REFERENCE)


def in_degrees(path: Path, pixels: Array, place: Place) -> str:
    west, north, step = place
    return make_raster(path, pixels, geotransform=(west, step, 0, north, 0, -step), epsg=4326, nodata=0)


Place = tuple[float, float, float]


def transformed(x: Array, y: Array, *, to_degrees: bool) -> tuple[Array, Array]:
    """Bring points from the reference's projection to longitude and latitude, or back."""
    utm, degrees = osr.SpatialReference(REFERENCE.projection), osr.SpatialReference()
    degrees.ImportFromEPSG(4326)
    degrees.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    there = osr.CoordinateTransformation(*((utm, degrees) if to_degrees else (degrees, utm)))
    points = np.array(there.TransformPoints(np.column_stack([x.ravel(), y.ravel()])))
    return points[:, 0].reshape(x.shape), points[:, 1].reshape(x.shape)


def nearest(pixels: Array, place: Place, grid: pixelgrid.PixelGridDefn) -> Array:
    """Return the pixel below the centre of each of the grid's pixels, 0 where there is none.

    Parameters
    ----------
    place : longitude and latitude of the top left corner, and a pixel's side, in degrees.
    """
    west, north, step = place
    longitude, latitude = transformed(*pixel_centres(grid), to_degrees=True)
    col = np.floor((longitude - west) / step).astype(int)
    row = np.floor((north - latitude) / step).astype(int)
    _, nrows, ncols = pixels.shape
    there = (col >= 0) & (col < ncols) & (row >= 0) & (row < nrows)
    assert there.size / 3 < np.count_nonzero(there) < there.size
    found: Array = np.where(there, pixels[:, row.clip(0, nrows - 1), col.clip(0, ncols - 1)], 0)
    return found


class Footprint(Topic):
    """Two rasters that lie partly on each other."""

    def inputs(self, folder: Path) -> dict[str, Any]:
        shifted = (EAST + SHIFT_COLS * PIXEL_M, NORTH - SHIFT_ROWS * PIXEL_M)
        return {
            "left": make_raster(folder / "left.tif", LEFT, nodata=255),
            "right": make_raster(folder / "right.tif", RIGHT, nodata=7, origin=shifted),
        }

    @staticmethod
    def function(_info: Any, inputs: Any) -> Array:
        return np.concatenate([inputs.left, inputs.right])


class Intersection(Footprint):
    settings = INTERSECTION

    def expected(self) -> Array:
        return np.concatenate([LEFT[:, SHIFT_ROWS:, SHIFT_COLS:], RIGHT[:, :-SHIFT_ROWS, :-SHIFT_COLS]])


class Union(Footprint):
    settings = UNION

    def expected(self) -> Array:
        whole = np.empty((2, 60 + SHIFT_ROWS, 80 + SHIFT_COLS), np.uint8)
        whole[0], whole[1] = 255, 7
        whole[0, :60, :80], whole[1, SHIFT_ROWS:, SHIFT_COLS:] = LEFT[0], RIGHT[0]
        return whole


class BoundsFromReference(Footprint):
    settings = BOUNDS

    def expected(self) -> Array:
        whole = np.empty((2, ROWS, COLS), np.uint8)
        whole[0], whole[1] = 255, 7
        whole[0, :60, :80] = LEFT[0]
        whole[1, SHIFT_ROWS:, SHIFT_COLS:] = RIGHT[0, : ROWS - SHIFT_ROWS, : COLS - SHIFT_COLS]
        return whole


class Overlap(Union):
    """A maximum of the neighbourhood, where rasters end as well."""

    def inputs(self, folder: Path) -> dict[str, Any]:
        return {f"{name}_again": path for name, path in super().inputs(folder).items()}

    @staticmethod
    def function(info: Any, inputs: Any) -> Array:
        radius = info.getOverlapSize()
        return windowed_maximum(np.concatenate([inputs.left_again, inputs.right_again]), radius)

    def expected(self) -> Array:
        radius, whole = UNION.overlap, super().expected()
        padded = np.stack(
            [
                np.pad(band, 2 * radius, constant_values=nodata)
                for band, nodata in zip(whole, (255, 7), strict=True)
            ]
        )
        return windowed_maximum(padded, radius)[:, 2 * radius : -2 * radius, 2 * radius : -2 * radius]


def windowed_maximum(image: Array, radius: int) -> Array:
    """Return the maximum over squares of side 2 x radius + 1, 0 outside the image."""
    side = 2 * radius + 1
    padded = np.pad(image, ((0, 0), (radius, radius), (radius, radius)))
    greatest: Array = np.lib.stride_tricks.sliding_window_view(padded, (1, side, side)).max(axis=(3, 4, 5))
    return greatest


class CurvedEdges(Topic):
    """Parallels are curves in UTM: seen from here, the southern edge hangs down between its corners."""

    settings = CURVED_UNION
    place = (-109.0, 42.0, 0.05)
    pixels = ramp(1, 80, 160, "uint16")

    def inputs(self, folder: Path) -> dict[str, Any]:
        return {"wide": in_degrees(folder / "wide.tif", self.pixels, self.place)}

    @staticmethod
    def function(_info: Any, inputs: Any) -> Array:
        block: Array = inputs.wide
        return block

    def expected(self) -> Array:
        return nearest(self.pixels, self.place, self.grid())

    def grid(self) -> pixelgrid.PixelGridDefn:
        """Return the pixels that the edges need, which are looked at in thousands of points."""
        west, north, step = self.place
        _, nrows, ncols = self.pixels.shape
        along = np.linspace(0, 1, 5001)
        east, south = west + ncols * step, north - nrows * step
        longitude, latitude = west + along * (east - west), south + along * (north - south)
        x, y = transformed(
            np.concatenate([longitude, longitude, np.full_like(along, west), np.full_like(along, east)]),
            np.concatenate([np.full_like(along, south), np.full_like(along, north), latitude, latitude]),
            to_degrees=False,
        )
        corners = y[[0, 5000]]
        assert y.min() < corners.min() - COARSE.yRes  # so that corners alone would not do
        bounds = [round((v - o) / COARSE.xRes) * COARSE.xRes + o for v, o in
                  ((x.min(), EAST), (x.max(), EAST), (y.min(), NORTH), (y.max(), NORTH))]  # fmt: skip
        return pixelgrid.PixelGridDefn(
            xMin=bounds[0], xMax=bounds[1], yMin=bounds[2], yMax=bounds[3], xRes=5000, yRes=5000,
            projection=COARSE.projection,
        )  # fmt: skip


class Statistics(Topic):
    """Statistics and histogram of what is not nodata."""

    pixels = np.random.default_rng(4).normal(1e6, 20, (1, ROWS, COLS)).round().astype(np.int32)
    pixels[:, 10:20] = 999_950

    def inputs(self, folder: Path) -> dict[str, Any]:
        return {"numbers": make_raster(folder / "numbers.tif", self.pixels)}

    def configure(self, controls: ApplierControls) -> None:
        controls.setStatsIgnore(999_950, imagename=self.name)

    @staticmethod
    def function(_info: Any, inputs: Any) -> Array:
        block: Array = inputs.numbers
        return block

    def expected(self) -> Array:
        return self.pixels

    def check(self, written: gdal.Dataset) -> None:
        items = written.GetRasterBand(1).GetMetadata()
        values = self.pixels[self.pixels != 999_950]
        found = {
            name: float(items[f"STATISTICS_{name}"]) for name in ("MINIMUM", "MAXIMUM", "MEAN", "STDDEV")
        }
        assert found == pytest.approx(
            {"MINIMUM": values.min(), "MAXIMUM": values.max(), "MEAN": values.mean(), "STDDEV": values.std()},
            rel=1e-9,
        )
        counts = np.bincount(values - values.min())
        assert items["STATISTICS_HISTOBINFUNCTION"] == "direct"
        assert items["STATISTICS_HISTOBINVALUES"] == "".join(f"{count}|" for count in counts)
        assert float(items["STATISTICS_MODE"]) == values.min() + counts.argmax()
        assert float(items["STATISTICS_MEDIAN"]) == np.sort(values)[(len(values) - 1) // 2]


class Pyramids(Topic):
    """Overviews of averages, also of what is left over at the edges."""

    pixels = np.random.default_rng(5).uniform(1, 9, (1, ROWS, COLS))

    def inputs(self, folder: Path) -> dict[str, Any]:
        return {"hills": make_raster(folder / "hills.tif", self.pixels)}

    def configure(self, controls: ApplierControls) -> None:
        controls.setOverviewLevels([2, 4], imagename=self.name)
        controls.setOverviewMinDim(10, imagename=self.name)
        controls.setOverviewAggregationType("AVERAGE", imagename=self.name)

    @staticmethod
    def function(_info: Any, inputs: Any) -> Array:
        block: Array = inputs.hills
        return block

    def expected(self) -> Array:
        return self.pixels

    def check(self, written: gdal.Dataset) -> None:
        band, expected = written.GetRasterBand(1), self.pixels[0]
        assert band.GetOverviewCount() == 2
        for level in range(2):
            rows, cols = (side + side % 2 for side in expected.shape)
            filled = np.full((rows, cols), np.nan)
            filled[: expected.shape[0], : expected.shape[1]] = expected
            expected = np.nanmean(filled.reshape(rows // 2, 2, cols // 2, 2), axis=(1, 3))
            # GDAL averages in float32.
            np.testing.assert_allclose(band.GetOverview(level).ReadAsArray(), expected, rtol=1e-6)


TOPICS = [
    Average(),
    Resample(),
    Vector(),
    ReaderInformation(),
    Datasets(),
    Coordinates(),
    InputNull(),
    LayerSelection(),
    Reprojection(),
    BoundsFromReference(),
    Intersection(),
    Union(),
    Overlap(),
    CurvedEdges(),
    Statistics(),
    Pyramids(),
]


# -- running them


@dataclass(frozen=True)
class Done:
    """A finished run with what it was given."""

    folder: Path
    topics: list[Topic]
    other_args: applier.OtherInputs
    result: ApplierReturn

    def output(self, topic: Topic) -> Path:
        return self.folder / f"{topic.name}.tif"


Runs = Callable[[Settings], Done]


def run_topics(settings: Settings, manager: str, folder: Path) -> Done:
    topics = [topic for topic in TOPICS if topic.settings is settings]
    controls = applier.ApplierControls()
    controls.setWindowSize(*WINDOW)
    controls.setTileSize(*TILE)
    controls.setCreationOptions(["TILED=YES", "BLOCKXSIZE=32", "BLOCKYSIZE=16", "COMPRESS=DEFLATE"])
    controls.setFootprintType(settings.footprint)
    controls.setOverlap(settings.overlap)
    if settings.reference is not None:
        controls.setReferencePixgrid(settings.reference)
    controls.setNumThreads(MANAGERS[manager])
    controls.setJobManagerType(manager)
    controls.setCoordinateOnly(
        manager == "AWSBatch"
    )  # or main's own worker might be quick enough to do it all
    controls.setOtherArgsMerge("blocks", "sum")
    infiles, outfiles = applier.FilenameAssociations(), applier.FilenameAssociations()
    for topic in topics:
        vars(infiles).update(topic.inputs(folder))
        setattr(outfiles, topic.name, folder / f"{topic.name}.tif")
        topic.configure(controls)
    functions = {topic.name: topic.function for topic in topics}

    def all_of_them(info: Any, inputs: Any, outputs: Any, other_args: Any) -> None:
        other_args.blocks += 1
        for name, function in functions.items():
            setattr(outputs, name, function(info, inputs))

    other_args = applier.OtherInputs(blocks=0)
    result = applier.apply(all_of_them, infiles, outfiles, other_args, controls=controls)
    return Done(folder, topics, other_args, result)


@pytest.fixture(scope="module")
def finished() -> dict[tuple[Settings, str], Done]:
    """Keep the runs that are done, for all their topics."""
    return {}


@pytest.fixture
def run(
    manager: str, finished: dict[tuple[Settings, str], Done], tmp_path: Path, request: pytest.FixtureRequest
) -> Runs:
    def run(settings: Settings) -> Done:
        if (settings, manager) not in finished:
            if manager == "AWSBatch":
                request.getfixturevalue("quick_cloud")
            finished[settings, manager] = run_topics(settings, manager, tmp_path)
        return finished[settings, manager]

    return run


each_manager = pytest.mark.parametrize(
    "manager",
    [
        "in-process",
        "multiprocessing",
        pytest.param("AWSBatch", marks=pytest.mark.allow_hosts(["127.0.0.1"])),
    ],
)


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
@each_manager
def test_the_output_is_what_the_topic_says(topic: Topic, run: Runs) -> None:
    path = run(topic.settings).output(topic)
    pixels, expected = read_raster(path), topic.expected()

    assert pixels.dtype == expected.dtype
    np.testing.assert_array_equal(pixels, expected)
    topic.check(gdal.Open(str(path)))


GRIDS = {
    "BOUNDS_FROM_REFERENCE": (BOUNDS, REFERENCE),
    "INTERSECTION": (
        INTERSECTION,
        REFERENCE.window(SHIFT_COLS, SHIFT_ROWS, 80 - SHIFT_COLS, 60 - SHIFT_ROWS),
    ),
    "UNION": (UNION, REFERENCE.window(0, 0, 80 + SHIFT_COLS, 60 + SHIFT_ROWS)),
    "curved edges": (CURVED_UNION, CurvedEdges().grid()),
}


@pytest.mark.parametrize("footprint", GRIDS)
@each_manager
def test_apply_returns_what_was_done(footprint: str, run: Runs, manager: str) -> None:
    settings, grid = GRIDS[footprint]
    done = run(settings)
    result = done.result

    assert result.workinggrid == pixelgrid.PixelGridDefn.of(grid)
    assert {pixelgrid.pixelGridFromFile(path) for path in result.outputs} == {result.workinggrid}
    assert result.outputs == tuple(str(done.output(topic)) for topic in done.topics)
    assert result.jobManagerType == manager
    assert result.otherArgs is done.other_args
    nblocks = -(-grid.ncols // WINDOW[0]) * -(-grid.nrows // WINDOW[1])
    assert done.other_args.blocks == sum(tile.blocks for tile in result.tiles) == nblocks
    ntiles = -(-grid.ncols // TILE[0]) * -(-grid.nrows // TILE[1])
    assert [tile.tile for tile in result.tiles] == list(range(ntiles))
    assert len(result.otherArgsList) == (1 if manager == "in-process" else ntiles)
    assert result.timings.makeSummaryDict()["userfunction"]["N"] == ntiles
