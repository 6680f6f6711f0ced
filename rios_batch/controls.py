# ruff: noqa: N802, N803 - RIOS's names
"""ApplierControls: everything a script can set, with RIOS's names and meaning."""

from __future__ import annotations

import functools
import math
import numbers
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rios_batch.contract import ENV_NUM_THREADS
from rios_batch.errors import ColorTableGenerationError, ParameterError
from rios_batch.model.colourtables import KINDS, named_colours
from rios_batch.model.concurrency import ConcurrencyStyle
from rios_batch.model.creationoptions import defaults_from
from rios_batch.model.grid import FOOTPRINT_NAMES, INTERSECTION, PixelGridDefn
from rios_batch.model.mergerules import resolve_rule
from rios_batch.model.pyramid import METHODS
from rios_batch.model.settingnames import SETTERS_FOR_IMAGE, SETTERS_FOR_RUN, no_such_setting
from rios_batch.model.settings import (
    also_named,
    call_with_arguments,
    environment,
    items,
    levels_from,
    name_among,
    name_from,
    number,
    text_from,
    whole_number,
    whole_number_from,
    word_from,
)
from rios_batch.model.spec import INPUT_ERRORS, RESAMPLE_METHODS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import TextIO

    from numpy.typing import DTypeLike

    from rios_batch.model.colourtables import Colour
    from rios_batch.model.mergerules import MergeRule
    from rios_batch.model.protocols import Progress

DEFAULTFOOTPRINT = INTERSECTION
DEFAULTWINDOWXSIZE = 256
DEFAULTWINDOWYSIZE = 256
DEFAULTOVERLAP = 0
DEFAULT_RESAMPLEMETHOD = "near"
DEFAULT_OVERVIEWLEVELS = [4, 8, 16, 32, 64, 128, 256, 512]
DEFAULT_MINOVERVIEWDIM = 128
DEFAULT_JOB_MANAGER = "multiprocessing"


class ApplierControls:
    """The settings of a run: an attribute for each setting, and a method that checks and sets it.

    A value that is assigned to an attribute goes through the attribute's method too. An attribute that is no setting is
    refused with `ParameterError`.

    A setting with an ``imagename`` (or ``vectorname``) is set for the input or output of that symbolic name. With None
    it is set for all. The setting for one name counts before the setting for all. ``apply`` raises `ParameterError`
    for a symbolic name that the run does not have.

    Environment variables change defaults. They are read when the object is made:

    - ``RIOS_DFLT_BLOCKXSIZE``, ``RIOS_DFLT_BLOCKYSIZE``, ``RIOS_DFLT_OVERLAP``, ``RIOS_DFLT_FOOTPRINT``
    - ``RIOS_DFLT_DRIVER``, ``RIOS_DFLT_CREOPT_<driver>`` and its forerunner ``RIOS_DFLT_DRIVEROPTIONS``
    - ``RIOS_DFLT_OVERVIEWLEVELS``, ``RIOS_DFLT_MINOVERLEVELDIM``, ``RIOS_DFLT_OVERVIEWAGGTYPE``
    - ``RIOS_DFLT_AUTOCOLORTABLETYPE``, ``RIOS_DFLT_JOBMGRTYPE``, ``RIOS_DFLT_NUMTHREADS``
    - ``RIOS_AWSBATCH_RESUME`` (``setResume``)

    Raises
    ------
    ParameterError : an environment variable has a value that is not allowed; the variable is named.
    """

    def __init__(self) -> None:  # noqa: PLR0915 - one line for each setting, and one that says what it is
        env = os.environ
        self.windowxsize = whole_number_from(env, "RIOS_DFLT_BLOCKXSIZE", DEFAULTWINDOWXSIZE, at_least=1)
        """Width of a block in pixels, without the margin; default 256."""
        self.windowysize = whole_number_from(env, "RIOS_DFLT_BLOCKYSIZE", DEFAULTWINDOWYSIZE, at_least=1)
        """Height of a block in pixels, without the margin; default 256."""
        self.overlap = whole_number_from(env, "RIOS_DFLT_OVERLAP", DEFAULTOVERLAP, at_least=0)
        """Margin on every side of a block in pixels; default 0."""
        self.footprint = whole_number_from(
            env, "RIOS_DFLT_FOOTPRINT", DEFAULTFOOTPRINT, among=FOOTPRINT_NAMES
        )
        """How the inputs' extents combine into the working grid; default INTERSECTION."""
        self.referenceImage: str | None = None
        """File or symbolic name that gives the pixel grid; default None, the first input."""
        self.referencePixgrid: PixelGridDefn | None = None
        """The pixel grid; default None, that of the reference image or the first input."""
        self.referenceLimitsExtent = False
        """Whether the reference's extent combines with the inputs' extents; default False."""
        self.filesForExtent: list[str] | None = None
        """Files or symbolic names whose extents combine; default None, all raster inputs."""
        self.resampleMethod = DEFAULT_RESAMPLEMETHOD
        """How an input comes onto the working grid, by gdalwarp's name; default 'near'."""
        self.allowOverviewsGdalwarp = False
        """Whether an input may be resampled from its overviews; default False."""
        self.inputNodata: float | list[float | None] | None = None
        """Nodata value of an input, or one for each band; default None, what the file says."""
        self.burnvalue: float = 1
        """Value of pixels inside the features of a vector input; default 1."""
        self.burnattribute: str | None = None
        """Attribute whose number is burned in place of ``burnvalue``; default None."""
        self.vectornull: float = 0
        """Value of pixels outside all features, which is also the nodata value; default 0."""
        self.filtersql: str | None = None
        """SQL condition that a feature must fulfil to be burned; default None, all features."""
        self.alltouched = False
        """Whether all pixels that a feature touches are burned; default False, pixels whose centre is inside."""
        self.vectordatatype = "uint8"
        """Numpy type that a vector input is rasterised to; default 'uint8'."""
        self.vectorlayer: int | str = 0
        """Layer of a vector file, by name or by number from 0; default 0."""
        self.progress: Progress | None = None
        """Progress object that is told percents of the tiles; default None, nothing is shown."""
        self.numThreads = whole_number_from(env, ENV_NUM_THREADS, 1, at_least=1)
        """Workers that run at the same time; default 1."""
        self.jobManagerType: str | None = text_from(env, "RIOS_DFLT_JOBMGRTYPE")
        """Job manager that runs the tiles; default None, one process or several as ``numThreads`` says."""
        self.concurrency: ConcurrencyStyle | None = None
        """RIOS 2's way to say job manager and number of workers; default None."""
        self.jobName: str | None = None
        """RIOS 2's name for the run; default None; no effect."""
        self.loggingstream: TextIO | None = None
        """Stream that log messages go to as well during the run; default None."""
        self.resume: bool | str = text_from(env, "RIOS_AWSBATCH_RESUME") or False
        """Earlier run on AWS Batch that is gone on with: a run's id, True for the newest; default False."""
        self.coordinateOnly = False
        """Whether main computes no tile itself on AWS Batch; default False."""
        self.waitLimit: float | None = None
        """Seconds for which main waits for workers without news before the run ends; default None, no limit."""
        self.workerEnvironment: list[str] | dict[str, str] = []
        """Environment variables that every worker has, by name, or with their values; default none."""
        self.maxCost: float | None = None
        """What a run's workers on AWS Batch may cost, in US dollars; default None, any sum."""
        self.report: str | None = None
        """Name of the HTML page that tells how the run went; default None, no page."""
        self.dryRun = False
        """Whether ``apply`` only says what the run would take; default False."""
        self.tileSize: tuple[int, int] | None = None
        """Width and height of a tile in pixels; default None, several tiles for each worker."""
        self.drivername: str | None = text_from(env, "RIOS_DFLT_DRIVER")
        """GDAL's driver of an output; default None, what the file's extension says."""
        self.creationoptions: list[str] | None = None
        """GDAL's creation options of an output, ``NAME=VALUE``; default None, those of the driver."""
        self.creationOptionsByDriver = defaults_from(env)
        """Creation options that the environment gives to a driver, by the driver's name; default none."""
        self.statsIgnore: float | None = 0
        """Nodata value of an output; default 0, as in RIOS; None for none."""
        self.nodataIsDefault = True
        """Whether the script has named no nodata value for all outputs; default True."""
        self.thematic = False
        """Whether an output is marked as thematic; default False."""
        self.layernames: list[str] | None = None
        """Descriptions of an output's bands, in order; default None, none."""
        self.layerselection: list[int] | None = None
        """Bands of an input that are read, counted from 1; default None, all."""
        self.outsideAsNone = False
        """Whether a function gets None for a file that a block is wholly outside of; default False, nodata."""
        self.inputErrors = "error"
        """What becomes of an input file that cannot be read: 'error' or 'nodata'; default 'error'."""
        self.calcStats = True
        """Whether statistics, histogram and overviews were last switched on or off together; default True."""
        self.omitBasicStats = False
        """Whether minimum, maximum, mean and standard deviation are left out; default False."""
        self.omitHistogram = False
        """Whether the histogram, median and mode are left out; default False."""
        self.singlePassBasicStats: bool | None = None
        """RIOS's setting; default None; no effect."""
        self.singlePassHistogram: bool | None = None
        """RIOS's setting; default None; no effect."""
        self.singlePassPyramids: bool | None = None
        """RIOS's setting; default None; no effect."""
        self.approxStats = False
        """Whether statistics are of every fourth row and column only; default False."""
        self.autoColorTableType = word_from(env, "RIOS_DFLT_AUTOCOLORTABLETYPE", KINDS)
        """Kind of colour table of a thematic output; default None, no colour table."""
        self.colorTable: dict[int, Colour] | None = None
        """Colours of an output's values: red, green, blue and alpha by value; default None, no colour table."""
        self.omitPyramids = False
        """Whether overviews are left out; default False."""
        self.overviewLevels = levels_from(env, "RIOS_DFLT_OVERVIEWLEVELS", DEFAULT_OVERVIEWLEVELS)
        """How many times smaller than the output each overview is; default 4, 8, 16, ... 512."""
        self.overviewMinDim = whole_number_from(
            env, "RIOS_DFLT_MINOVERLEVELDIM", DEFAULT_MINOVERVIEWDIM, at_least=0
        )
        """Shorter side in pixels that an overview must exceed; default 128."""
        self.overviewAggType = name_from(env, "RIOS_DFLT_OVERVIEWAGGTYPE", METHODS)
        """How pixels of overviews are made, by GDAL's name; default None, which is NEAREST."""
        self.callBeforeClose: Callable[[Any], object] | None = None
        """Function that is called with an output's dataset when the output is complete; default None."""
        self.tempdir = "."
        """RIOS's temporary folder; default '.'; no effect."""
        self.otherArgsMergeRules: dict[str, MergeRule] = {}
        """How changes of an otherArgs attribute are merged, by the attribute's name; default none."""
        self.optionsByImage: dict[str, dict[str, Any]] = {}
        """The settings for one symbolic name: name of the file, then name of the setting; default none."""

    # -- blocks and tiles

    def setWindowXsize(self, windowxsize: int) -> None:
        """Set the width of a block in pixels, without the margin; default 256.

        The last block of a row is narrower if the working grid is no multiple of the width.

        Raises
        ------
        ParameterError : the width is no whole number of at least 1.
        """
        self._keep("windowxsize", None, whole_number(windowxsize, "window x size", at_least=1))

    def setWindowYsize(self, windowysize: int) -> None:
        """Set the height of a block in pixels, without the margin; default 256.

        The blocks of the last row are lower if the working grid is no multiple of the height.

        Raises
        ------
        ParameterError : the height is no whole number of at least 1.
        """
        self._keep("windowysize", None, whole_number(windowysize, "window y size", at_least=1))

    def setWindowSize(self, windowxsize: int, windowysize: int) -> None:
        """Set the width and the height of a block in pixels, without the margin; default 256 and 256.

        Raises
        ------
        ParameterError : the width or the height is no whole number of at least 1.
        """
        self.setWindowXsize(windowxsize)
        self.setWindowYsize(windowysize)

    def setOverlap(self, overlap: int) -> None:
        """Set the margin that is added on every side of each block, in pixels; default 0.

        Input arrays and output arrays have the margin: shape (bands, rows + 2 * overlap, cols + 2 * overlap). The
        margin of output arrays is cut off. Pixels outside an input file have the file's nodata value. They are 0 if
        the file has no nodata value.

        Raises
        ------
        ParameterError : the margin is no whole number of at least 0.
        """
        self._keep("overlap", None, whole_number(overlap, "overlap", at_least=0))

    def setTileSize(self, xsize: int, ysize: int) -> None:
        """Set the width and the height of a tile, a worker's unit of work, in pixels; default several tiles a worker.

        A given size is rounded up to whole blocks, and to whole TIFF blocks of the output. The pixels of the output do
        not depend on the tile size.

        Raises
        ------
        ParameterError : the width or the height is no whole number of at least 1.
        """
        size = (
            whole_number(xsize, "tile x size", at_least=1),
            whole_number(ysize, "tile y size", at_least=1),
        )
        self._keep("tileSize", None, size)

    # -- working grid

    def setFootprintType(self, footprint: int | str) -> None:
        """Set how the inputs' extents combine into the working grid; default INTERSECTION.

        Allowed are ``applier.INTERSECTION``, ``applier.UNION`` and ``applier.BOUNDS_FROM_REFERENCE``, and the three
        names as text, such as ``"UNION"``.

        Raises
        ------
        ParameterError : the footprint type is none of the three.
        """
        by_name = {name: value for value, name in FOOTPRINT_NAMES.items()}
        value = by_name.get(footprint.upper()) if isinstance(footprint, str) else footprint
        if value not in FOOTPRINT_NAMES:
            raise ParameterError(
                f"footprint type {footprint!r}: use applier.{', applier.'.join(FOOTPRINT_NAMES.values())}"
            )
        self._keep("footprint", None, value)

    def setReferenceImage(self, referenceImage: str | os.PathLike[str] | None) -> None:
        """Take the pixel grid from a file, or from the input of that symbolic name; default None, no reference.

        Without a reference, inputs are not resampled: all must be on one grid.

        Raises
        ------
        ParameterError : a reference pixel grid is set.
        """
        if referenceImage is not None and self.referencePixgrid is not None:
            raise ParameterError("set a reference image or a reference pixel grid, not both")
        self._keep("referenceImage", None, None if referenceImage is None else os.fspath(referenceImage))

    def setReferencePixgrid(self, referencePixgrid: PixelGridDefn | None) -> None:
        """Give the pixel grid itself, a ``pixelgrid.PixelGridDefn``; default None, no reference.

        Without a reference, inputs are not resampled: all must be on one grid.

        Raises
        ------
        ParameterError : a reference image is set, or the value is neither a PixelGridDefn nor None.
        """
        if referencePixgrid is not None and self.referenceImage is not None:
            raise ParameterError("set a reference image or a reference pixel grid, not both")
        if referencePixgrid is not None and not isinstance(referencePixgrid, PixelGridDefn):
            raise ParameterError(
                f"a reference pixel grid is a PixelGridDefn, not a {type(referencePixgrid).__name__}"
            )
        self._keep("referencePixgrid", None, referencePixgrid)

    def setReferenceLimitsExtent(self, limits: bool) -> None:
        """Say whether the reference is among the files whose extents are combined; default False.

        True is what RIOS 1.4 did.

        Raises
        ------
        Nothing : every value counts as true or false.
        """
        self._keep("referenceLimitsExtent", None, bool(limits))

    @also_named(filesForExtent="filesforextent")
    def setFilesForExtent(self, filesforextent: Sequence[str | os.PathLike[str]] | None) -> None:
        """Combine the extents of these rasters, and not the extents of all inputs; default None, all raster inputs.

        The list has names of files or symbolic names. BOUNDS_FROM_REFERENCE ignores the list.

        Raises
        ------
        ParameterError : the value is one text, not a list.
        """
        names = items(filesforextent, "files for the extent")
        self._keep("filesForExtent", None, None if names is None else [os.fspath(name) for name in names])

    # -- inputs

    def setResampleMethod(self, resampleMethod: str, imagename: str | None = None) -> None:
        """Set how an input that is not on the working grid is resampled onto it; default 'near'.

        Allowed are gdalwarp's methods near, bilinear, cubic, cubicspline, lanczos, average, rms, mode, max, min, med,
        q1 and q3, but not sum. Inputs are resampled only if there is a reference image or a reference pixel grid.

        Raises
        ------
        ParameterError : the method is none of these.
        """
        name = str(resampleMethod).lower()
        name = "near" if name == "nearest" else name  # gdalwarp takes both
        if name == "sum":
            raise ParameterError(
                "resample method 'sum' is not available: GDAL loses much of it along the edges of the chunks that it "
                "works in; use 'average'"
            )
        if name not in RESAMPLE_METHODS:
            raise ParameterError(
                f"resample method {resampleMethod!r}: use one of {', '.join(RESAMPLE_METHODS)}"
            )
        self._keep("resampleMethod", imagename, name)

    def setAllowOverviewsGdalwarp(self, allowOverviewsGdalwarp: bool) -> None:
        """Say whether an input is resampled from its overviews if the working grid is coarser; default False.

        With True the coarsest overview is taken that is at least as fine as the working grid.

        Raises
        ------
        Nothing : every value counts as true or false.
        """
        self._keep("allowOverviewsGdalwarp", None, bool(allowOverviewsGdalwarp))

    @also_named(nodata="nodataValue")
    def setInputNoDataValue(
        self, nodataValue: float | Sequence[float | None] | None, imagename: str | None = None
    ) -> None:
        """Set the nodata value of an input, in place of what the file says; default None, what the file says.

        Resampling leaves the value out. Pixels outside the file have the value. ``info.getNoDataValueFor`` returns the
        value.

        Parameters
        ----------
        nodataValue : one value for all bands, or a list with one value for each band of the file. None in a list stands
            for a band without nodata value.

        Raises
        ------
        ParameterError : a value is no number.
        """
        what = "nodata value of an input"
        value: float | list[float | None] | None
        if isinstance(nodataValue, Sequence) and not isinstance(nodataValue, str):
            value = [None if item is None else number(item, what) for item in nodataValue]
        else:
            value = None if nodataValue is None else number(nodataValue, what)
        self._keep("inputNodata", imagename, value)

    def selectInputImageLayers(
        self, layerselection: Sequence[int] | None, imagename: str | None = None
    ) -> None:
        """Read only these bands of an input, in this order; default None, all bands.

        Bands are counted from 1. The input's array has shape (selected bands, rows, cols), and a type that holds the
        values of all selected bands. ``apply`` raises `GDALLayerNumberError` for a band that the file does not have.

        Raises
        ------
        ParameterError : the list is empty, or a band is no whole number of at least 1.
        """
        layers = (
            None
            if layerselection is None
            else [whole_number(layer, "layer number", at_least=1) for layer in layerselection]
        )
        if layers == []:
            raise ParameterError("select at least one layer, or None for all")
        self._keep("layerselection", imagename, layers)

    def setOutsideAsNone(self, outsideAsNone: bool, imagename: str | None = None) -> None:
        """Set whether a block that is wholly outside a file has None in place of the file's array; default False.

        By default such an array is full of the file's nodata value, or of 0. For a mosaic of hundreds of scenes, of
        which a block touches a few, None saves the memory and the time of all others. Vector files have no outside.

        Raises
        ------
        Nothing : every value counts as true or false.
        """
        self._keep("outsideAsNone", imagename, bool(outsideAsNone))

    def setInputErrors(self, inputErrors: str, imagename: str | None = None) -> None:
        """Set what becomes of a raster file that is missing or damaged; default 'error'.

        With 'error' the run ends. With 'nodata' the file's array is full of nodata: everywhere if the file cannot be
        opened, else in the blocks that cannot be read. A file that cannot be opened has the type, bands and nodata
        value of the first file of the same symbolic name that can be opened, of which there must be one. The result's
        ``skippedInputs`` lists what was skipped and why.

        Raises
        ------
        ParameterError : the value is neither 'error' nor 'nodata'.
        """
        if inputErrors not in INPUT_ERRORS:
            raise ParameterError(
                f"input errors {inputErrors!r}: use one of {', '.join(map(repr, INPUT_ERRORS))}"
            )
        self._keep("inputErrors", imagename, inputErrors)

    # -- vector inputs

    def setBurnValue(self, burnvalue: float, vectorname: str | None = None) -> None:
        """Set the value of pixels inside the features of a vector input; default 1.

        ``apply`` raises `ParameterError` if the data type (``setVectorDatatype``) cannot hold the value.

        Raises
        ------
        ParameterError : the value is no number.
        """
        self._keep("burnvalue", vectorname, number(burnvalue, "burn value"))

    def setBurnAttribute(self, burnattribute: str | None, vectorname: str | None = None) -> None:
        """Burn the number in this attribute of each feature, and not the burn value; default None, the burn value.

        A feature without a value in the attribute is left out. ``apply`` raises `VectorAttributeError` if the layer
        does not have the attribute.

        Raises
        ------
        Nothing : ``apply`` checks the attribute when the file is open.
        """
        self._keep("burnattribute", vectorname, burnattribute)

    def setVectorNull(self, vectornull: float, vectorname: str | None = None) -> None:
        """Set the value of pixels outside all features of a vector input; default 0.

        The value is also the nodata value of the input's array.

        Raises
        ------
        ParameterError : the value is no number.
        """
        self._keep("vectornull", vectorname, number(vectornull, "vector null value"))

    def setFilterSQL(self, filtersql: str | None, vectorname: str | None = None) -> None:
        """Burn only features for which this condition is true; default None, all features.

        The condition is what SQL has after WHERE, such as ``type = 3``. ``apply`` raises `ParameterError` if GDAL does
        not understand the condition.

        Raises
        ------
        Nothing : ``apply`` checks the condition when the file is open.
        """
        self._keep("filtersql", vectorname, filtersql)

    def setAlltouched(self, alltouched: bool, vectorname: str | None = None) -> None:
        """Say whether all pixels that a feature touches are burned; default False.

        With False pixels are burned whose centre is inside the feature.

        Raises
        ------
        Nothing : every value counts as true or false.
        """
        self._keep("alltouched", vectorname, bool(alltouched))

    def setVectorDatatype(self, vectordatatype: DTypeLike, vectorname: str | None = None) -> None:
        """Set the numpy type that a vector input is rasterised to; default uint8.

        ``apply`` raises `ParameterError` if GDAL cannot rasterise to the type.

        Raises
        ------
        ParameterError : the value is no numpy type.
        """
        try:
            name = np.dtype(vectordatatype).name
        except TypeError:
            raise ParameterError(f"vector data type {vectordatatype!r} is not a numpy type") from None
        self._keep("vectordatatype", vectorname, name)

    def setVectorlayer(self, vectorlayer: int | str, vectorname: str | None = None) -> None:
        """Set the layer of a vector file, by name or by number from 0; default 0.

        ``apply`` raises `VectorLayerError` if the file does not have the layer.

        Raises
        ------
        Nothing : ``apply`` checks the layer when the file is open.
        """
        self._keep("vectorlayer", vectorname, vectorlayer)

    # -- outputs

    def setOutputDriverName(self, drivername: str, imagename: str | None = None) -> None:
        """Set GDAL's driver of an output, such as 'GTiff', 'COG' or 'HFA'; default what the file's extension says.

        GTiff is taken where the extension says nothing. ``apply`` raises `OutputError` for a driver that GDAL does not
        have, or that cannot write block by block.

        Raises
        ------
        Nothing : ``apply`` checks the driver.
        """
        self._keep("drivername", imagename, drivername)

    def setCreationOptions(self, creationoptions: Sequence[str] | None, imagename: str | None = None) -> None:
        """Set GDAL's creation options of an output, texts such as ``COMPRESS=LZW``; default None, the driver's.

        The list replaces the defaults of the driver. For GTiff they are tiled, DEFLATE, ``BIGTIFF=IF_SAFER``, and a
        level and predictor that are chosen by looking at the first pixels (docs/compression.md).
        ``apply`` raises `ParameterError` for an option that is not of the form NAME=VALUE, or that the driver does not
        have.

        Raises
        ------
        ParameterError : the value is one text, not a list.
        """
        self._keep("creationoptions", imagename, items(creationoptions, "creation options"))

    def setStatsIgnore(self, statsIgnore: float | None, imagename: str | None = None) -> None:
        """Set the nodata value of an output; default 0, as in RIOS; None for none.

        Name a value that is no result of the function, or None. With the default every 0 counts as nodata: class 0 of a
        mask, a difference of 0. A warning says so if a script has not called this method, and the function returns 0
        where every input has data. ``setStatsIgnore(0)`` says that 0 is meant.

        Pixels of this value are left out of statistics, histogram and averages in overviews. Masked pixels are written
        as this value. A warning says so if the output's type cannot hold the value.

        Raises
        ------
        ParameterError : the value is neither a number nor None.
        """
        if statsIgnore is not None and not isinstance(statsIgnore, numbers.Real):
            raise ParameterError(
                f"the nodata value of an output must be a number or None, not {statsIgnore!r}"
            )
        self._keep("statsIgnore", imagename, statsIgnore)
        if imagename is None:
            self.nodataIsDefault = False

    def setThematic(self, thematicFlag: bool, imagename: str | None = None) -> None:
        """Say whether an output is thematic: its values are names of classes, not quantities; default False.

        A thematic output has the metadata item LAYER_TYPE=thematic, a direct histogram, and may have a colour table.

        Raises
        ------
        Nothing : every value counts as true or false.
        """
        self._keep("thematic", imagename, bool(thematicFlag))

    @also_named(layernames="layerNames")
    def setLayerNames(self, layerNames: Sequence[str] | None, imagename: str | None = None) -> None:
        """Set the names (GDAL's descriptions) of an output's bands, in order; default None, no names.

        Raises
        ------
        ParameterError : the value is one text, not a list.
        """
        self._keep("layernames", imagename, items(layerNames, "layer names"))

    def setCalcStats(self, calcStats: bool, imagename: str | None = None) -> None:
        """Say whether an output gets statistics, histogram and overviews; default True.

        The method calls ``setOmitBasicStats``, ``setOmitHistogram`` and ``setOmitPyramids``.

        Raises
        ------
        Nothing : every value counts as true or false.
        """
        self._keep("calcStats", imagename, bool(calcStats))
        self.setOmitBasicStats(not calcStats, imagename)
        self.setOmitHistogram(not calcStats, imagename)
        self.setOmitPyramids(not calcStats, imagename)

    def setOmitBasicStats(self, omitBasicStats: bool, imagename: str | None = None) -> None:
        """Say whether minimum, maximum, mean and standard deviation of each band are left out; default False.

        The statistics are of all pixels but nodata (``setStatsIgnore``), NaN and infinite ones. Complex bands have no
        statistics.

        Raises
        ------
        Nothing : every value counts as true or false.
        """
        self._keep("omitBasicStats", imagename, bool(omitBasicStats))

    def setOmitHistogram(self, omitHistogram: bool, imagename: str | None = None) -> None:
        """Say whether the histogram of each band, the median and the mode are left out; default False.

        Raises
        ------
        Nothing : every value counts as true or false.
        """
        self._keep("omitHistogram", imagename, bool(omitHistogram))

    def setSinglePassBasicStats(
        self, singlePassBasicStats: bool | None, imagename: str | None = None
    ) -> None:
        """Accept RIOS's setting, which has no effect; default None.

        It is always one pass: statistics are computed from blocks before the blocks are written.

        Raises
        ------
        Nothing : the value is not looked at.
        """
        self._keep("singlePassBasicStats", imagename, singlePassBasicStats)

    def setSinglePassHistogram(self, singlePassHistogram: bool | None, imagename: str | None = None) -> None:
        """Accept RIOS's setting, which has no effect; default None.

        It is always one pass, for every data type.

        Raises
        ------
        Nothing : the value is not looked at.
        """
        self._keep("singlePassHistogram", imagename, singlePassHistogram)

    def setSinglePassPyramids(self, singlePassPyramids: bool | None, imagename: str | None = None) -> None:
        """Accept RIOS's setting, which has no effect; default None.

        The aggregation type decides whether overviews are made with the tiles.

        Raises
        ------
        Nothing : the value is not looked at.
        """
        self._keep("singlePassPyramids", imagename, singlePassPyramids)

    def setApproxStats(self, approxStats: bool, imagename: str | None = None) -> None:
        """Say whether statistics and histogram are of every fourth row and column only; default False.

        The file then says so (STATISTICS_APPROXIMATE=YES). Statistics of all pixels cost a few nanoseconds per pixel.

        Raises
        ------
        Nothing : every value counts as true or false.
        """
        self._keep("approxStats", imagename, bool(approxStats))

    def setAutoColorTableType(self, autoColorTableType: str | None, imagename: str | None = None) -> None:
        """Give a thematic output of type uint8 or uint16 a colour table; default None, no colour table.

        The nodata value is transparent where the format allows. Without ``imagename``, outputs that are not thematic
        stay without colour table. With ``imagename``, ``apply`` raises `ThematicError` if the output is not thematic.

        Parameters
        ----------
        autoColorTableType : 'rainbow' goes from blue for 0 to red for the largest value. 'gray' goes from black to
            white. 'random' gives a value the same colour in every file. None gives no colour table.

        Raises
        ------
        ColorTableGenerationError : the kind is none of these.
        """
        if autoColorTableType is not None and autoColorTableType not in KINDS:
            raise ColorTableGenerationError(
                f"colour table type {autoColorTableType!r}: use one of {', '.join(map(repr, KINDS))}, or None"
            )
        self._keep("autoColorTableType", imagename, autoColorTableType)

    def setColorTable(self, colorTable: Any, imagename: str | None = None) -> None:
        """Give the values of an output colours; default None, no colour table.

        The output has type uint8 or uint16, and one band if it is a GeoTIFF; a warning says so if it cannot have the
        table. The table is written with the file, so that a cloud-optimised GeoTIFF remains one. The table counts
        before ``setAutoColorTableType``. The output need not be thematic.

        Parameters
        ----------
        colorTable : a dict of red, green, blue and perhaps alpha by value, such as ``{1: (0, 0, 255)}``; an array
            or list with rows of value, red, green, blue and alpha, as RIOS's ``rat.setColorTable`` takes; or a
            `gdal.ColorTable`. Colours and alpha are 0 to 255. Values without a colour are transparent, where the format
            has room for that (GeoTIFF has not: they are black).

        Raises
        ------
        ParameterError, ColorTableGenerationError : it is none of these, or a value or a colour is out of range.
        """
        self._keep("colorTable", imagename, None if colorTable is None else named_colours(colorTable))

    def setOmitPyramids(self, omitPyramids: bool, imagename: str | None = None) -> None:
        """Say whether overviews are left out; default False.

        With False there are overviews where the raster is large enough (``setOverviewMinDim``).

        Raises
        ------
        Nothing : every value counts as true or false.
        """
        self._keep("omitPyramids", imagename, bool(omitPyramids))

    def setOverviewLevels(self, overviewLevels: Sequence[int], imagename: str | None = None) -> None:
        """Set how many times smaller than the output each overview is; default 4, 8, 16, ... 512.

        Raises
        ------
        ParameterError : the list is empty, or a level is no whole number of at least 2.
        """
        if isinstance(overviewLevels, int):
            raise ParameterError(f"overview levels are a list, such as [{overviewLevels}], not a number")
        levels = sorted({whole_number(level, "overview level", at_least=2) for level in overviewLevels})
        if not levels:
            raise ParameterError("give at least one overview level, or use setOmitPyramids(True)")
        self._keep("overviewLevels", imagename, levels)

    def setOverviewMinDim(self, overviewMinDim: int, imagename: str | None = None) -> None:
        """Leave out overviews whose shorter side has no more pixels than this; default 128.

        Raises
        ------
        ParameterError : the number of pixels is no whole number of at least 0.
        """
        smallest = whole_number(overviewMinDim, "smallest overview", at_least=0)
        self._keep("overviewMinDim", imagename, smallest)

    def setOverviewAggregationType(self, overviewAggType: str | None, imagename: str | None = None) -> None:
        """Set how pixels of overviews are made; default None, which is NEAREST.

        Allowed are GDAL's names NEAREST, AVERAGE, RMS, MODE, GAUSS, BILINEAR, CUBIC, CUBICSPLINE and LANCZOS. With the
        first four each pixel of an overview is made of the pixels it covers, and the workers make the overviews. The
        other five look at neighbours as well, and one process writes the output. Pixels that have the output's nodata
        value are left out of averages.

        Raises
        ------
        ParameterError : the name is none of these.
        """
        name = (
            None
            if overviewAggType is None
            else name_among(METHODS, overviewAggType, "overview aggregation type")
        )
        self._keep("overviewAggType", imagename, name)

    @also_named(callBeforeClose="func")
    def setCallBeforeClose(
        self,
        func: Callable[..., object] | None,
        args: Sequence[Any] = (),
        imagename: str | None = None,
    ) -> None:
        """Have ``func(dataset, *args)`` called in main with each finished output; default None, no call.

        ``dataset`` is a `gdal.Dataset` that is open for changes. The dataset has all its pixels, overviews and
        statistics. The output is not in its place yet. If the function raises, the output never gets there.

        Raises
        ------
        ParameterError : the value is neither a function nor None.
        """
        if func is not None and not callable(func):
            raise ParameterError(f"callBeforeClose is a {type(func).__name__}, not a function")
        call = None if func is None else functools.partial(call_with_arguments, func, tuple(args))
        self._keep("callBeforeClose", imagename, call)

    # -- the run

    def setProgress(self, progress: Progress | None) -> None:
        """Set a progress object, such as ``cuiprogress.CUIProgressBar()``; default None, nothing is shown.

        The object is told how many percent of the tiles are done. The object has the methods ``setTotalSteps`` and
        ``setProgress``. It may have ``reset``, which is called after an error, and ``wasCancelled``, whose True stops
        the run.

        Raises
        ------
        ParameterError : the object lacks ``setTotalSteps`` or ``setProgress``.
        """
        needed = ("setTotalSteps", "setProgress")
        if progress is not None and not all(hasattr(progress, name) for name in needed):
            raise ParameterError(
                f"a progress object is one such as cuiprogress.CUIProgressBar(), not {progress!r}; it needs "
                f"{' and '.join(needed)}"
            )
        self._keep("progress", None, progress)

    def setTempdir(self, tempdir: str | os.PathLike[str]) -> None:
        """Accept RIOS's temporary folder, which has no effect; default '.'.

        Nothing is put there: an unfinished file stays beside its place.

        Raises
        ------
        TypeError : the value is no path.
        """
        self._keep("tempdir", None, os.fspath(tempdir))

    def setNumThreads(self, numThreads: int) -> None:
        """Set how many workers run at the same time; default 1.

        One worker runs the blocks in order, as RIOS does. More than one are processes unless ``setJobManagerType`` says
        otherwise. On AWS Batch main is one of them.

        Raises
        ------
        ParameterError : the number is no whole number of at least 1, or a concurrency style is set.
        """
        self._check_no_style("setNumThreads")
        self._keep("numThreads", None, whole_number(numThreads, "number of threads", at_least=1))

    def setJobManagerType(self, jobMgrType: str | None) -> None:
        """Set who runs the tiles; default None, which is 'multiprocessing' for more than one worker.

        Allowed are 'in-process', 'threads', 'multiprocessing', 'AWSBatch', and the ``jobMgrType`` of a `JobManager` of
        the script's own. ``apply`` raises `JobMgrError` for any other name.

        Raises
        ------
        ParameterError : a concurrency style is set, which says already who runs the tiles.
        """
        self._check_no_style("setJobManagerType")
        self._keep("jobManagerType", None, jobMgrType)

    def setConcurrencyStyle(self, concurrencyStyle: ConcurrencyStyle) -> None:
        """Set who runs the tiles and how many workers there are, in RIOS 2's way; default none.

        The style replaces what ``setNumThreads`` and ``setJobManagerType`` have said. These two are refused from then
        on. As in RIOS 2, the script merges the changes that workers make to otherArgs, from the result's
        ``otherArgsList``. ``setOtherArgsMerge`` works too.

        Raises
        ------
        ParameterError : the value is no ``applier.ConcurrencyStyle``.
        """
        if not isinstance(concurrencyStyle, ConcurrencyStyle):
            raise ParameterError(
                f"a concurrency style is an applier.ConcurrencyStyle, not a {type(concurrencyStyle).__name__}"
            )
        self._keep("concurrency", None, concurrencyStyle)

    def _check_no_style(self, setter: str) -> None:
        if self.concurrency is not None:
            raise ParameterError(
                f"{setter} after setConcurrencyStyle: the style says already who computes; use one or the other"
            )

    def setJobName(self, jobName: str | None) -> None:
        """Accept RIOS 2's name for the run, which has no effect; default None.

        Raises
        ------
        Nothing : the value is not looked at.
        """
        self._keep("jobName", None, jobName)

    def setLoggingStream(self, loggingstream: TextIO | None) -> None:
        """Have log messages written to a stream too, during the run; default None, no stream.

        The messages are those of Python's ``logging`` with the name ``rios_batch``. Their level stays as the script has
        set it for that name; Python's default is warnings. The user function's ``info.loggingstream`` remains standard
        output, since a stream cannot go to workers.

        Raises
        ------
        ParameterError : the value cannot be written to.
        """
        if loggingstream is not None and not hasattr(loggingstream, "write"):
            raise ParameterError(
                f"a logging stream is an open text file or the like, not a {type(loggingstream).__name__}"
            )
        self._keep("loggingstream", None, loggingstream)

    def setResume(self, resume: bool | str) -> None:
        """Go on from the tiles that an earlier run has finished; default False.

        Only the missing tiles are computed. ``apply`` raises `JobMgrError` if function, inputs, grid, outputs or
        otherArgs are not what they were. With job managers other than 'AWSBatch' the earlier run must have been set to
        resume as well: then finished tiles are kept in a hidden folder beside the first output, until the outputs are
        complete. They take as much room as the outputs.

        Parameters
        ----------
        resume : True goes on with the newest unfinished run that has these outputs, and begins one if there is none. A
            text is the id of a run on AWS Batch. False begins a new run, and removes what a killed one has kept.

        Raises
        ------
        ParameterError : the value is none of these.
        """
        given: Any = resume
        if not isinstance(given, bool | str) or given == "":
            raise ParameterError(f"resume is True, False or the id of a run, not {resume!r}")
        self._keep("resume", None, resume)

    def setCoordinateOnly(self, coordinateOnly: bool) -> None:
        """Say whether main computes no tile itself on AWS Batch; default False.

        True is for a main that is far from the data, or on a weak machine. The run then waits until Batch has machines
        for the workers.

        Raises
        ------
        Nothing : every value counts as true or false.
        """
        self._keep("coordinateOnly", None, bool(coordinateOnly))

    def setWaitLimit(self, seconds: float | None) -> None:
        """End the run when main has waited for others for so many seconds without news; default None, no limit.

        ``apply`` then raises `WaitLimitError`, which says what main waited for. News are finished tiles, so the limit
        must be longer than a tile takes. On AWS Batch with ``setCoordinateOnly`` the limit must also be longer than
        Batch takes to start the first worker. What main does itself does not count: in one process main computes and
        waits for nobody. A thread that hangs cannot be ended; the thread stays until the script ends.

        With and without a limit, warnings say what main waits for after a minute, and then more and more seldom.

        Raises
        ------
        ParameterError : the value is no number above 0, nor None.
        """
        limit = None if seconds is None else number(seconds, "wait limit")
        if limit is not None and not 0 < limit < math.inf:
            raise ParameterError(
                f"the wait limit must be more than 0 seconds, or None for no limit, not {limit}"
            )
        self._keep("waitLimit", None, limit)

    def setWorkerEnvironment(self, variables: Iterable[str] | Mapping[str, str] | None) -> None:
        """Have every worker, wherever it runs, see the same values of environment variables; default None, none.

        Workers on AWS Batch see none of main's variables otherwise, while a worker beside main sees all of them. What a
        program reads when it starts (``PYTHONHASHSEED``, ``LD_LIBRARY_PATH``) has no effect. A run that is resumed must
        have the same values.

        Parameters
        ----------
        variables : a list of names takes the values that main has when ``apply`` is called; a variable that main does
            not have no worker has. A dict has names and values, which main itself has too while ``apply`` runs.

        Raises
        ------
        ParameterError : the value is one text, a name or value is none that an environment can have, or a name begins
            with ``AWS_`` or ``RIOS_``.
        """
        self._keep("workerEnvironment", None, environment(variables))

    def setMaxCost(self, maxCost: float | None) -> None:
        """Say what a run on AWS Batch may cost, in US dollars; default None, which is any sum.

        The run is stopped before it costs more: ``apply`` raises `CostLimitError`, finished tiles are kept, and the run
        can be resumed. The cost is reckoned from the times of the workers and the project's prices, or those in the
        file that the variable RIOS_BATCH_PRICES names. Other job managers cost nothing.

        Raises
        ------
        ParameterError : it is no number above 0.
        """
        usd = None if maxCost is None else number(maxCost, "cost of a run")
        if usd is not None and not 0 < usd < float("inf"):
            raise ParameterError(
                f"a run may cost a number of US dollars above 0, or None for any sum, not {usd!r}"
            )
        self._keep("maxCost", None, usd)

    def setReport(self, report: str | os.PathLike[str] | None) -> None:
        """Have a page written that tells how the run went, for a browser; default None, no page.

        The page is one HTML file that needs nothing else: a map of the tiles by time and by worker, a timeline of the
        workers, what the time went to, tries that failed, a picture of the first output, and what the run cost. It is
        written when the run has ended, well or not, with every job manager. A page that cannot be written then is a
        warning.

        Parameters
        ----------
        report : name of a file, which is replaced, or ``s3://bucket/folder/file``.

        Raises
        ------
        ParameterError : the value is no name, nor None.
        """
        given: Any = report
        if given is not None and not (isinstance(given, str | os.PathLike) and os.fspath(given)):
            raise ParameterError(
                f"a report is the name of a file or of an object in S3, or None for no report, not {report!r}"
            )
        self._keep("report", None, None if report is None else str(os.fspath(report)))

    def setDryRun(self, dryRun: bool) -> None:
        """Have ``apply`` say what the run would take, and run nothing but one tile; default False.

        The tile is computed in a process of its own on this machine, to measure time and memory; nothing is written.
        ``apply`` returns as from a run of no tiles, with what it has said in the result's ``forecast``; otherArgs stay
        as they are. The outputs do not exist afterwards. A worker on AWS Batch that would take more memory than it may
        have is refused with `MemoryLimitError`.

        ``rios-batch plan script.py`` does the same for a script as it is.

        Raises
        ------
        Nothing : every value counts as true or false.
        """
        self._keep("dryRun", None, bool(dryRun))

    def setOtherArgsMerge(
        self, name: str, rule: str | MergeRule, key: Callable[[Any], Any] | None = None
    ) -> None:
        """Say how an otherArgs attribute that blocks change is merged if there is more than one worker; default none.

        Without a rule, a worker that changes the attribute ends the run with `ParameterError`. With a concurrency style
        the script merges the copies in the result's ``otherArgsList`` itself, as in RIOS 2.

        Parameters
        ----------
        name : the attribute's name.
        rule : 'sum' adds what each tile added. 'min' and 'max' compare, element by element for arrays. 'concat' appends
            what each tile appended to a list, in tile order. 'last' takes the value of the last tile that changed the
            attribute. 'scratch' says that nobody wants the changes: after the run the attribute is as it was, and a
            tile may find what an earlier tile of the same worker left. A function ``rule(initial, values)`` gets the
            value before the run and the tiles' values in tile order.
        key : for 'min' and 'max': a function of a value. The value whose key is the smallest or largest is taken as a
            whole, the first of several; default None.

        Raises
        ------
        ParameterError : the rule is none of these, or a key is given for another rule than 'min' and 'max'.
        """
        self.otherArgsMergeRules[name] = resolve_rule(rule, key)

    # -- options by symbolic name

    def setOptionForImagename(self, option: str, imagename: str | None, value: Any) -> None:
        """Set an option, an attribute of this object, for one symbolic name, or for all if ``imagename`` is None.

        The option's own method checks the value.

        Raises
        ------
        ParameterError : there is no such option, the option is one for the whole run but a symbolic name was given, or
            the option's own method refuses the value.
        """
        if option not in vars(self) and type(self) is ApplierControls:
            raise no_such_setting(option, vars(self))
        if imagename is not None and option in SETTERS_FOR_RUN:
            raise ParameterError(
                f"{option!r} is one setting for the whole run, not for {imagename!r}; use {SETTERS_FOR_RUN[option]}"
            )
        if option in SETTERS_FOR_RUN:
            getattr(self, SETTERS_FOR_RUN[option])(value)
        elif option in SETTERS_FOR_IMAGE:
            getattr(self, SETTERS_FOR_IMAGE[option])(value, imagename)
        else:
            self._keep(option, imagename, value)

    def _keep(self, option: str, imagename: str | None, value: Any) -> None:
        """Keep a value that a setter has checked."""
        if imagename is None:
            vars(self)[option] = value
        else:
            self.optionsByImage.setdefault(imagename, {})[option] = value

    if not TYPE_CHECKING:  # type checkers know the settings, and would take this for leave to set anything

        def __setattr__(self, option: str, value: Any) -> None:
            """Set an option for all, as scripts of RIOS 1.4 do.

            Raises
            ------
            ParameterError : as by ``setOptionForImagename``, or the name is that of a method.
            """
            if "optionsByImage" not in vars(self):  # the last one that __init__ makes
                self._keep(option, None, value)
            elif callable(getattr(type(self), option, None)):
                raise ParameterError(f"{option} is a method; write controls.{option}({value!r})")
            # In 1.4 calcStats is one word for all outputs, and does not bring back overviews that are left out.
            elif option != "calcStats" or bool(value) != self.calcStats:
                self.setOptionForImagename(option, None, value)

    def getOptionForImagename(self, option: str, imagename: str | None) -> Any:
        """Return an option: the one set for the name if there is one, else the one for all.

        Raises
        ------
        AttributeError : there is no such option.
        """
        for_image: Mapping[str, Any] = self.optionsByImage.get(imagename or "", {})
        return for_image[option] if option in for_image else getattr(self, option)

    def check_names(self, names: Iterable[str]) -> None:
        """Refuse options that were set for a name that is neither an input nor an output.

        Raises
        ------
        ParameterError : an option was set for another name; the option, the name and the known names are named.
        """
        known = sorted(names)
        for imagename, options in self.optionsByImage.items():
            if imagename not in known:
                raise ParameterError(
                    f"{', '.join(options)} was set for {imagename!r}, "
                    f"which is none of the symbolic names {', '.join(map(repr, known))}"
                )

    def creation_options_for(self, imagename: str, driver: str) -> list[str] | None:
        """Return the creation options that the script has set, or else the environment; None if neither has."""
        options: list[str] | None = self.getOptionForImagename("creationoptions", imagename)
        by_driver = {name.upper(): given for name, given in self.creationOptionsByDriver.items()}
        return by_driver.get(driver.upper()) if options is None else options
