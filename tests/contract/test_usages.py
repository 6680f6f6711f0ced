"""What RIOS's users do with it, one test for each usage pattern, with every kind of job manager.

A usage is a function that does what programs of that kind do, told anew, and returns each output with the whole array
that it must be. docs/porting-from-rios.md has the table of whose usage it is. On AWS Batch a call of ``apply`` takes
seconds, so a usage that has something of all others runs there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from osgeo import gdal, ogr, osr

from rios_batch import applier, cuiprogress
from rios_batch.gdalapi import gdal_exceptions
from tests.support import ORIGIN, PIXEL_M, make_raster, ramp, read_raster, utm_wkt

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rios_batch.applier import ApplierControls
    from rios_batch.model.spec import Array

    Usage = Callable[[Path, Callable[[], ApplierControls]], dict[Path, Array]]

ROWS, COLS = 70, 90
NULL = 255
SCENE = ramp(4, ROWS, COLS, "uint8")
SCENE[:, 20:30, 40:60] = NULL
VALID = SCENE[0] != NULL


def associations() -> tuple[applier.FilenameAssociations, applier.FilenameAssociations, applier.OtherInputs]:
    return applier.FilenameAssociations(), applier.FilenameAssociations(), applier.OtherInputs()


def scene_file(folder: Path, name: str = "scene.tif") -> str:
    return make_raster(folder / name, SCENE, nodata=NULL)


def write_sites(path: Path) -> Array:
    """Write two rectangles whose numbers are in the attribute ``Id``; return the numbers by pixel."""
    sites = np.zeros((ROWS, COLS), np.uint16)
    with gdal_exceptions():
        source = ogr.GetDriverByName("ESRI Shapefile").CreateDataSource(str(path))
        layer = source.CreateLayer("sites", osr.SpatialReference(utm_wkt()), ogr.wkbPolygon)
        layer.CreateField(ogr.FieldDefn("Id", ogr.OFTInteger))
        for number, (top, bottom, left, right) in ((300, (5, 25, 10, 35)), (7, (40, 66, 50, 85))):
            sites[top:bottom, left:right] = number
            west, east = ORIGIN[0] + left * PIXEL_M, ORIGIN[0] + right * PIXEL_M
            north, south = ORIGIN[1] - top * PIXEL_M, ORIGIN[1] - bottom * PIXEL_M
            feature = ogr.Feature(layer.GetLayerDefn())
            feature.SetField("Id", number)
            feature.SetGeometry(
                ogr.CreateGeometryFromWkt(
                    f"POLYGON(({west} {north},{east} {north},{east} {south},{west} {south},{west} {north}))"
                )
            )
            layer.CreateFeature(feature)
        del feature, layer, source
    return sites


# -- the usages


def closure_and_attributes(folder: Path, make_controls: Callable[[], ApplierControls]) -> dict[Path, Array]:
    """Look values up in a dict on otherArgs, in a function inside a function; settings are assigned as attributes."""
    infiles, outfiles, otherargs = associations()
    infiles.image, outfiles.outimage = scene_file(folder), str(folder / "out.tif")
    otherargs.lut = {value: {"fill": value % 3, "cloud": value % 2} for value in range(1, 240)}
    add = 10
    controls = make_controls()
    controls.progress = cuiprogress.SilentProgress()
    controls.drivername = "GTiff"
    controls.omitPyramids = True
    controls.calcStats = False

    def recode(_info: Any, inputs: Any, outputs: Any, otherargs: Any) -> None:
        shape = list(inputs.image.shape)
        shape[0] = 2
        outputs.outimage = np.zeros(shape, dtype=np.uint8)
        for value in otherargs.lut:
            outputs.outimage[0][np.squeeze(inputs.image[0]) == value] = otherargs.lut[value]["fill"] + add
            outputs.outimage[1][np.squeeze(inputs.image[0]) == value] = otherargs.lut[value]["cloud"] + add

    applier.apply(recode, infiles, outfiles, otherargs, controls=controls)
    whole = np.stack([np.where(VALID, SCENE[0] % by + add, 0) for by in (3, 2)])
    return {folder / "out.tif": whole.astype(np.uint8)}


def list_of_dates(folder: Path, make_controls: Callable[[], ApplierControls]) -> dict[Path, Array]:
    """Put a list of files together, each with the nodata value of its own; some files are optional."""
    infiles, outfiles, otherargs = associations()
    infiles.dates = [
        make_raster(folder / "a.tif", SCENE[:1], nodata=NULL),
        make_raster(folder / "b.tif", SCENE[1:2], nodata=5),
        make_raster(folder / "c.tif", SCENE[2:3]),
    ]
    infiles.saturation = None
    outfiles.total = str(folder / "total.tif")
    otherargs.names = [str(name) for name in infiles.dates]
    controls = make_controls()
    controls.setStatsIgnore(-1)

    def total(info: Any, inputs: Any, outputs: Any, otherargs: Any) -> None:
        assert [info.getFilenameFor(date) for date in inputs.dates] == otherargs.names
        stack = np.array([date[0] for date in inputs.dates]).astype(np.int32)
        nulls = [info.getNoDataValueFor(date) for date in inputs.dates]
        for i, null in enumerate(nulls):
            if null is not None:
                stack[i][stack[i] == null] = 0
        if inputs.saturation is not None:
            raise AssertionError
        outputs.total = stack.sum(axis=0)[np.newaxis].astype(np.int32)

    applier.apply(total, infiles, outfiles, otherargs, controls=controls)
    bands = SCENE[:3].astype(np.int32)
    expected = np.where(VALID, bands[0], 0) + np.where(bands[1] == 5, 0, bands[1]) + bands[2]
    return {folder / "total.tif": expected[np.newaxis].astype(np.int32)}


class Classifier:
    """Stands for one of scikit-learn's: takes samples in rows."""

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def predict(self, samples: Array) -> Array:
        return np.where(samples.mean(axis=1) > self.limit, 2, 1)


def classifier(folder: Path, make_controls: Callable[[], ApplierControls]) -> dict[Path, Array]:
    """Predict valid pixels with a trained object; the output is thematic, with colours by a callback."""
    infiles, outfiles, otherargs = associations()
    infiles.image, outfiles.classes = scene_file(folder), str(folder / "classes.img")
    otherargs.classifier, otherargs.bands = Classifier(120), [1, 3]
    controls = make_controls()
    controls.setOutputDriverName("HFA")
    controls.setCreationOptions(["COMPRESSED=YES"])
    controls.selectInputImageLayers([1, 2, 4], "image")
    controls.setThematic(True)
    controls.setStatsIgnore(0)
    controls.setCallBeforeClose(paint, args=(2, (0, 128, 0, 255)))

    def classify(info: Any, inputs: Any, outputs: Any, otherargs: Any) -> None:
        valid = inputs.image[0] != info.getNoDataValueFor(inputs.image)
        samples = inputs.image[:, valid].T
        classes = np.zeros(inputs.image.shape[1:], np.uint8)
        if len(samples):
            classes[valid] = otherargs.classifier.predict(samples)
        outputs.classes = np.expand_dims(classes, axis=0)

    applier.apply(classify, infiles, outfiles, otherargs, controls=controls)
    with gdal_exceptions():
        dataset = gdal.Open(str(folder / "classes.img"))
        band = dataset.GetRasterBand(1)
        assert band.GetMetadataItem("LAYER_TYPE") == "thematic"
        assert band.GetColorTable().GetColorEntry(2) == (0, 128, 0, 255)
    return {
        folder / "classes.img": np.where(VALID, np.where(SCENE[[0, 1, 3]].mean(axis=0) > 120, 2, 1), 0)[
            np.newaxis
        ].astype(np.uint8)
    }


def paint(dataset: Any, value: int, colour: tuple[int, ...]) -> None:
    table = gdal.ColorTable()
    table.SetColorEntry(value, colour)
    dataset.GetRasterBand(1).SetColorTable(table)


def samples_of_sites(folder: Path, make_controls: Callable[[], ApplierControls]) -> dict[Path, Array]:
    """Gather pixels inside polygons, in lists that grow and in rows that fill up; there is no output."""
    infiles, outfiles, otherargs = associations()
    sites = write_sites(folder / "sites.shp")
    infiles.sites, infiles.image = str(folder / "sites.shp"), scene_file(folder)
    otherargs.x, otherargs.rows, otherargs.highest = [], np.zeros((301, 4)), 0
    controls = make_controls()
    controls.setReferenceImage(infiles.image)
    controls.setFootprintType(applier.BOUNDS_FROM_REFERENCE)
    controls.setBurnAttribute("Id")
    controls.setVectorDatatype(np.uint16)
    controls.setOtherArgsMerge("x", "concat")
    controls.setOtherArgsMerge("rows", "sum")
    controls.setOtherArgsMerge("highest", "max")

    def gather(info: Any, inputs: Any, _outputs: Any, otherargs: Any) -> None:
        x, _ = info.getBlockCoordArrays()
        for number in np.unique(inputs.sites[inputs.sites > 0]):
            inside = inputs.sites[0] == number
            otherargs.rows[number] += inputs.image[:, inside].sum(axis=1, dtype=float)
            otherargs.x.extend(x[inside].tolist())
            otherargs.highest = max(otherargs.highest, int(inputs.image[0][inside].max()))

    applier.apply(gather, infiles, outfiles, otherArgs=otherargs, controls=controls)
    for number in (7, 300):
        assert otherargs.rows[number].tolist() == SCENE[:, sites == number].sum(axis=1, dtype=float).tolist()
    columns = np.nonzero(sites)[1]
    assert sorted(otherargs.x) == sorted((ORIGIN[0] + (columns + 0.5) * PIXEL_M).tolist())
    assert otherargs.highest == SCENE[0][sites > 0].max()
    return {}


def masked_copy(folder: Path, make_controls: Callable[[], ApplierControls]) -> dict[Path, Array]:
    """Set pixels under a mask of vectors to the input's nodata value, which is read before and on otherArgs."""
    infiles, outfiles, otherargs = associations()
    sites = write_sites(folder / "sites.shp")
    infiles.inimg, infiles.mask = scene_file(folder), str(folder / "sites.shp")
    outfiles.outimg = str(folder / "out.tif")
    otherargs.nullval = NULL
    controls = make_controls()
    controls.setAlltouched(False, vectorname="mask")
    controls.setBurnValue(3, vectorname="mask")
    controls.setStatsIgnore(otherargs.nullval)
    controls.setLayerNames(["blue", "green", "red", "nir"], imagename="outimg")

    def mask(_info: Any, inputs: Any, outputs: Any, otherargs: Any) -> None:
        outputs.outimg = inputs.inimg.copy()
        for band in outputs.outimg:
            band[inputs.mask[0] > 0] = otherargs.nullval

    applier.apply(mask, infiles, outfiles, otherargs, controls=controls)
    return {folder / "out.tif": np.where(sites > 0, np.uint8(NULL), SCENE)}


def loop_over_images(folder: Path, make_controls: Callable[[], ApplierControls]) -> dict[Path, Array]:
    """Do image after image with the same objects, and with numpy's errors switched in the function."""
    infiles, outfiles, otherargs = associations()
    otherargs.scale = 2.0
    controls = make_controls()
    controls.setStatsIgnore(0)
    controls.setCreationOptions(
        [
            *(controls.creationoptions or []),
            "ZLEVEL=9",
            "BIGTIFF=YES",
            "INTERLEAVE=BAND",
            "NUM_THREADS=ALL_CPUS",
        ]
    )

    def unmix(_info: Any, inputs: Any, outputs: Any, otherargs: Any) -> None:
        np.seterr(all="ignore")
        outputs.fc = (inputs.nbar[:2] / otherargs.scale).astype(np.float32)

    expected = {}
    with np.errstate():
        for number in (1, 2):
            infiles.nbar = scene_file(folder, f"scene{number}.tif")
            outfiles.fc = str(folder / f"fc{number}.tif")
            applier.apply(unmix, infiles, outfiles, otherargs, controls=controls)
            expected[folder / f"fc{number}.tif"] = (SCENE[:2] / 2.0).astype(np.float32)
    return expected


class MapReduce:
    """Keeps its functions to itself; a method is the user function."""

    def __init__(self, function: Callable[[Array], Array]) -> None:
        self.__function = function

    def user_function(self, _info: Any, inputs: Any, outputs: Any) -> None:
        outputs.output_image = self.__function(inputs.input_image)


def method_of_an_object(folder: Path, make_controls: Callable[[], ApplierControls]) -> dict[Path, Array]:
    """Apply a bound method that calls a function of the object's."""
    infiles, outfiles, _ = associations()
    infiles.input_image, outfiles.output_image = scene_file(folder), str(folder / "out.tif")
    controls = make_controls()
    controls.setStatsIgnore(None)

    applier.apply(MapReduce(lambda pixels: 255 - pixels).user_function, infiles, outfiles, controls=controls)
    return {folder / "out.tif": 255 - SCENE}


def buffered_mask(folder: Path, make_controls: Callable[[], ApplierControls]) -> dict[Path, Array]:
    """Grow a mask by a kernel, with an overlap of the kernel's radius that the function asks for."""
    infiles, outfiles, otherargs = associations()
    infiles.image, outfiles.mask = scene_file(folder), str(folder / "mask.tif")
    otherargs.radius = 3
    controls = make_controls()
    controls.setOverlap(otherargs.radius)
    controls.setStatsIgnore(0)
    controls.setResampleMethod("near")
    controls.setTempdir(str(folder))

    def grow(info: Any, inputs: Any, outputs: Any, otherargs: Any) -> None:
        assert info.getOverlapSize() == otherargs.radius
        seed = (inputs.image[0] > 200) & (inputs.image[0] != NULL)
        outputs.mask = grown(seed, otherargs.radius)[np.newaxis].astype(np.uint8)

    applier.apply(grow, infiles, outfiles, otherargs, controls=controls)
    return {folder / "mask.tif": grown((SCENE[0] > 200) & VALID, 3)[np.newaxis].astype(np.uint8)}


def grown(seed: Array, radius: int) -> Array:
    rows, cols = seed.shape
    padded = np.pad(seed, radius)
    shifts = range(2 * radius + 1)
    found: Array = np.any([padded[r : r + rows, c : c + cols] for r in shifts for c in shifts], axis=0)
    return found


class Window(cuiprogress.SilentProgress):
    """Stands for the progress window of a plug-in."""

    def __init__(self) -> None:
        self.shown: list[int] = []

    def setProgress(self, progress: int) -> None:  # noqa: N802 - RIOS's name
        self.shown.append(progress)


def plugin_with_a_window(folder: Path, make_controls: Callable[[], ApplierControls]) -> dict[Path, Array]:
    """Write what a person has recoded, polygon by polygon, with a window that shows the progress."""
    infiles, outfiles, otherargs = associations()
    infiles.image, outfiles.recoded = scene_file(folder), str(folder / "recoded.tif")
    corner = (ORIGIN[0] + 33.5 * PIXEL_M, ORIGIN[1] - 44.5 * PIXEL_M)
    otherargs.points, otherargs.table = [corner], np.arange(256, dtype=np.uint8)[::-1].copy()
    controls, window = make_controls(), Window()
    controls.setProgress(window)
    controls.setStatsIgnore(0)

    def recode(info: Any, inputs: Any, outputs: Any, otherargs: Any) -> None:
        outputs.recoded = otherargs.table[inputs.image[:1]]
        for x, y in otherargs.points:
            row, col = info.getPixRowColBlock(x, y)
            if row is not None:
                assert info.getPixColRow(col, row) == (33, 44)
                outputs.recoded[0, row, col] = 99

    applier.apply(recode, infiles, outfiles, otherargs, controls=controls)
    assert window.shown == sorted(set(window.shown))
    assert (window.shown[0], window.shown[-1]) == (0, 100)
    expected = 255 - SCENE[:1]
    expected[0, 44, 33] = 99
    return {folder / "recoded.tif": expected}


def segments(folder: Path, make_controls: Callable[[], ApplierControls]) -> dict[Path, Array]:
    """Give segments of 32 bits a value each by a long table, and count their pixels for the table of attributes."""
    infiles, outfiles, otherargs = associations()
    numbers = (np.arange(ROWS * COLS).reshape(1, ROWS, COLS) // 7).astype(np.uint32)
    infiles.segments = make_raster(folder / "segments.tif", numbers)
    outfiles.means = str(folder / "means.tif")
    otherargs.means, otherargs.counts = np.linspace(0, 1, 1000), np.zeros(1000, np.int64)
    controls = make_controls()
    controls.setStatsIgnore(-1)
    controls.setOtherArgsMerge("counts", "sum")

    def fill(_info: Any, inputs: Any, outputs: Any, otherargs: Any) -> None:
        outputs.means = otherargs.means[inputs.segments]
        otherargs.counts = otherargs.counts + np.bincount(inputs.segments.ravel(), minlength=1000)

    applier.apply(fill, infiles, outfiles, otherargs, controls=controls)
    assert otherargs.counts.tolist() == [7] * 900 + [0] * 100
    return {folder / "means.tif": np.linspace(0, 1, 1000)[numbers]}


def stack_of_resolutions(folder: Path, make_controls: Callable[[], ApplierControls]) -> dict[Path, Array]:
    """Stack bands of several pixel sizes onto the grid of the finest, several outputs by setattr."""
    infiles, outfiles, _ = associations()
    coarse = SCENE[:1, ::2, ::2]
    files = {
        "fine": scene_file(folder),
        "coarse": make_raster(folder / "coarse.tif", coarse, pixel_size=20.0),
    }
    for name, file in files.items():
        setattr(infiles, name, file)
    for name in ("stack", "difference"):
        setattr(outfiles, name, str(folder / f"{name}.tif"))
    controls = make_controls()
    controls.setReferenceImage(infiles.fine)
    controls.setResampleMethod("near")
    controls.setStatsIgnore(NULL, "stack")
    controls.setStatsIgnore(-999, "difference")

    def stack(_info: Any, inputs: Any, outputs: Any) -> None:
        outputs.stack = np.vstack([inputs.fine[:2], inputs.coarse])
        outputs.difference = inputs.fine[:1].astype(np.int16) - inputs.coarse

    applier.apply(stack, infiles, outfiles, controls=controls)
    doubled = coarse.repeat(2, axis=1).repeat(2, axis=2)
    return {
        folder / "stack.tif": np.vstack([SCENE[:2], doubled]),
        folder / "difference.tif": SCENE[:1].astype(np.int16) - doubled,
    }


class Study:
    """Has a trained object, and a method as the user function."""

    def __init__(self, limit: float) -> None:
        self.__classifier = Classifier(limit)

    def run(self, info: Any, inputs: Any, outputs: Any, otherargs: Any) -> None:
        image, sites = inputs.images[0], inputs.sites[0]
        valid = image[0] != info.getNoDataValueFor(image)
        classes = self.__classifier.predict(image.reshape(len(image), -1).T).reshape(valid.shape)
        outputs.classes = [np.where(valid, classes, 0)[np.newaxis].astype(np.uint8), inputs.images[1]]
        outputs.recoded = otherargs.recode(otherargs.table[image])
        otherargs.counts = otherargs.counts + np.bincount(sites.ravel(), minlength=400)
        otherargs.blocks.append(info.getBlockCount())


def something_of_all(folder: Path, make_controls: Callable[[], ApplierControls]) -> dict[Path, Array]:
    """Have lists in and out, vectors, a method, functions and objects on otherArgs, and sums of all blocks."""
    infiles, outfiles, otherargs = associations()
    sites = write_sites(folder / "sites.shp")
    infiles.sites, infiles.images = (
        str(folder / "sites.shp"),
        [scene_file(folder), scene_file(folder, "b.tif")],
    )
    outfiles.classes = [str(folder / "classes.tif"), str(folder / "copy.tif")]
    outfiles.recoded = str(folder / "recoded.tif")
    otherargs.table, otherargs.recode = (
        np.arange(256, dtype=np.uint8)[::-1].copy(),
        lambda pixels: pixels // 2,
    )
    otherargs.counts, otherargs.blocks = np.zeros(400, np.int64), []
    controls, window = make_controls(), Window()
    controls.setProgress(window)
    controls.setReferenceImage(infiles.images[0])
    controls.setFootprintType(applier.BOUNDS_FROM_REFERENCE)
    controls.setBurnAttribute("Id", "sites")
    controls.setVectorDatatype(np.uint16, "sites")
    controls.setStatsIgnore(None)
    controls.setStatsIgnore(0, "classes")
    controls.setThematic(True, "classes")
    controls.setOtherArgsMerge("counts", "sum")
    controls.setOtherArgsMerge("blocks", "concat")

    applier.apply(Study(120).run, infiles, outfiles, otherargs, controls=controls)
    assert otherargs.counts.tolist() == np.bincount(sites.ravel(), minlength=400).tolist()
    assert sorted(otherargs.blocks) == [(x, y) for x in range(3) for y in range(3)]
    assert window.shown[-1] == 100
    classes = np.where(VALID, np.where(SCENE.mean(axis=0) > 120, 2, 1), 0)
    return {
        folder / "classes.tif": classes[np.newaxis].astype(np.uint8),
        folder / "copy.tif": SCENE,
        folder / "recoded.tif": (255 - SCENE) // 2,
    }


USAGES: list[Usage] = [
    closure_and_attributes,
    list_of_dates,
    classifier,
    samples_of_sites,
    masked_copy,
    loop_over_images,
    method_of_an_object,
    buffered_mask,
    plugin_with_a_window,
    segments,
    stack_of_resolutions,
    something_of_all,
]
MANAGERS = {"in-process": 1, "threads": 2, "multiprocessing": 2, "AWSBatch": 2}


def check(usage: Usage, manager: str, folder: Path) -> None:
    def make_controls() -> ApplierControls:
        controls = applier.ApplierControls()
        controls.setWindowSize(32, 32)
        controls.setTileSize(64, 32)
        controls.setCreationOptions(["TILED=YES", "BLOCKXSIZE=32", "BLOCKYSIZE=32", "COMPRESS=DEFLATE"])
        controls.setNumThreads(MANAGERS[manager])
        controls.setJobManagerType(manager)
        return controls

    for path, expected in usage(folder, make_controls).items():
        pixels = read_raster(path)
        assert pixels.dtype == expected.dtype
        np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize("usage", USAGES, ids=lambda usage: usage.__name__)
@pytest.mark.parametrize("manager", ["in-process", "threads", "multiprocessing"])
def test_a_usage_gives_what_numpy_gives(usage: Usage, manager: str, tmp_path: Path) -> None:
    check(usage, manager, tmp_path)


@pytest.mark.usefixtures("quick_cloud")
def test_something_of_all_usages_gives_the_same_on_aws_batch(tmp_path: Path) -> None:
    check(something_of_all, "AWSBatch", tmp_path)
