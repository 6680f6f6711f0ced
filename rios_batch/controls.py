# ruff: noqa: N802, N803 - RIOS's names
"""ApplierControls: everything a script can set, with RIOS's names and meaning."""

from __future__ import annotations

import functools
import numbers
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rios_batch.concurrency import ConcurrencyStyle
from rios_batch.errors import ColorTableGenerationError, ParameterError
from rios_batch.model.colourtables import KINDS
from rios_batch.model.creationoptions import defaults_from
from rios_batch.model.grid import FOOTPRINT_NAMES, INTERSECTION, PixelGridDefn
from rios_batch.model.mergerules import resolve_rule
from rios_batch.model.pyramid import METHODS
from rios_batch.model.spec import RESAMPLE_METHODS

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping
    from typing import TextIO

    from numpy.typing import DTypeLike

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
    """Settings of a run. Setters that take ``imagename`` set one symbolic name's value, or all when None.

    Environment variables ``RIOS_DFLT_DRIVER``, ``RIOS_DFLT_CREOPT_<driver>`` and its forerunner
    ``RIOS_DFLT_DRIVEROPTIONS``, ``RIOS_DFLT_FOOTPRINT``, ``RIOS_DFLT_BLOCKXSIZE``, ``RIOS_DFLT_BLOCKYSIZE``,
    ``RIOS_DFLT_OVERLAP``, ``RIOS_DFLT_OVERVIEWLEVELS``, ``RIOS_DFLT_MINOVERLEVELDIM``, ``RIOS_DFLT_OVERVIEWAGGTYPE``,
    ``RIOS_DFLT_AUTOCOLORTABLETYPE``, ``RIOS_DFLT_JOBMGRTYPE`` and ``RIOS_AWSBATCH_RESUME`` (see ``setResume``) are read
    when the object is made.
    """

    def __init__(self) -> None:
        self.windowxsize = _from_environment("RIOS_DFLT_BLOCKXSIZE", DEFAULTWINDOWXSIZE, at_least=1)
        self.windowysize = _from_environment("RIOS_DFLT_BLOCKYSIZE", DEFAULTWINDOWYSIZE, at_least=1)
        self.overlap = _from_environment("RIOS_DFLT_OVERLAP", DEFAULTOVERLAP, at_least=0)
        self.footprint = _from_environment("RIOS_DFLT_FOOTPRINT", DEFAULTFOOTPRINT, among=FOOTPRINT_NAMES)
        self.referenceImage: str | None = None
        self.referencePixgrid: PixelGridDefn | None = None
        self.referenceLimitsExtent = False
        self.filesForExtent: list[str] | None = None
        self.resampleMethod = DEFAULT_RESAMPLEMETHOD
        self.allowOverviewsGdalwarp = False
        self.inputNodata: float | list[float | None] | None = None
        self.burnvalue: float = 1
        self.burnattribute: str | None = None
        self.vectornull: float = 0
        self.filtersql: str | None = None
        self.alltouched = False
        self.vectordatatype = "uint8"
        self.vectorlayer: int | str = 0
        self.progress: Progress | None = None
        self.numThreads = 1
        self.jobManagerType: str | None = os.environ.get("RIOS_DFLT_JOBMGRTYPE") or None
        self.concurrency: ConcurrencyStyle | None = None
        self.jobName: str | None = None
        self.loggingstream: TextIO | None = None
        self.resume: bool | str = os.environ.get("RIOS_AWSBATCH_RESUME") or False
        self.coordinateOnly = False
        self.tileSize: tuple[int, int] | None = None
        self.drivername: str | None = os.environ.get("RIOS_DFLT_DRIVER") or None
        self.creationoptions: list[str] | None = None
        self.creationOptionsByDriver = defaults_from(os.environ)
        self.statsIgnore: float | None = 0
        self.thematic = False
        self.layernames: list[str] | None = None
        self.layerselection: list[int] | None = None
        self.calcStats = True
        self.omitBasicStats = False
        self.omitHistogram = False
        self.singlePassBasicStats = self.singlePassHistogram = self.singlePassPyramids = None
        self.approxStats = False
        self.autoColorTableType = _colour_table_from_environment()
        self.omitPyramids = False
        self.overviewLevels = _levels_from_environment()
        self.overviewMinDim = _from_environment(
            "RIOS_DFLT_MINOVERLEVELDIM", DEFAULT_MINOVERVIEWDIM, at_least=0
        )
        self.overviewAggType = _aggregation_from_environment()
        self.callBeforeClose: Callable[[Any], object] | None = None
        self.tempdir = "."
        self.otherArgsMergeRules: dict[str, MergeRule] = {}
        self.optionsByImage: dict[str, dict[str, Any]] = {}

    # -- blocks and tiles

    def setWindowXsize(self, windowxsize: int) -> None:
        """Set the width of blocks in pixels, without margin; default 256."""
        self.windowxsize = _at_least(1, windowxsize, "window x size")

    def setWindowYsize(self, windowysize: int) -> None:
        """Set the height of blocks in pixels, without margin; default 256."""
        self.windowysize = _at_least(1, windowysize, "window y size")

    def setWindowSize(self, windowxsize: int, windowysize: int) -> None:
        """Set width and height of blocks in pixels, without margin."""
        self.setWindowXsize(windowxsize)
        self.setWindowYsize(windowysize)

    def setOverlap(self, overlap: int) -> None:
        """Set the margin that is added on every side of each block, in pixels; default 0.

        Input and output arrays both have it; on output it is cut off. Pixels outside a file are its nodata
        value, 0 if it has none.
        """
        self.overlap = _at_least(0, overlap, "overlap")

    def setTileSize(self, xsize: int, ysize: int) -> None:
        """Set the size of tiles, the unit of work of a worker, in pixels.

        Rounded up to whole blocks (and TIFF blocks of the output). By default a size is chosen that gives
        every worker several tiles. The output does not depend on it.
        """
        self.tileSize = (_at_least(1, xsize, "tile x size"), _at_least(1, ysize, "tile y size"))

    # -- working grid

    def setFootprintType(self, footprint: int) -> None:
        """Set how the inputs' extents combine: INTERSECTION (default), UNION or BOUNDS_FROM_REFERENCE."""
        if footprint not in FOOTPRINT_NAMES:
            raise ParameterError(
                f"footprint type {footprint!r}: use applier.{', applier.'.join(FOOTPRINT_NAMES.values())}"
            )
        self.footprint = footprint

    def setReferenceImage(self, referenceImage: str | os.PathLike[str]) -> None:
        """Take the pixel grid from a file, or from the input of that symbolic name."""
        if self.referencePixgrid is not None:
            raise ParameterError("set a reference image or a reference pixel grid, not both")
        self.referenceImage = os.fspath(referenceImage)

    def setReferencePixgrid(self, referencePixgrid: PixelGridDefn) -> None:
        """Give the pixel grid."""
        if self.referenceImage is not None:
            raise ParameterError("set a reference image or a reference pixel grid, not both")
        if not isinstance(referencePixgrid, PixelGridDefn):
            raise ParameterError(
                f"a reference pixel grid is a PixelGridDefn, not a {type(referencePixgrid).__name__}"
            )
        self.referencePixgrid = referencePixgrid

    def setReferenceLimitsExtent(self, limits: bool) -> None:
        """Count the reference among the files whose extents are combined, as RIOS 1.4 did; default False."""
        self.referenceLimitsExtent = bool(limits)

    def setFilesForExtent(self, filesForExtent: Sequence[str | os.PathLike[str]] | None) -> None:
        """Combine the extents of these rasters, not of all inputs. Names of files or symbolic names.

        BOUNDS_FROM_REFERENCE ignores it. None takes all input rasters.
        """
        if isinstance(filesForExtent, str):
            raise ParameterError(f"files for the extent are a list, such as [{filesForExtent!r}], not a text")
        self.filesForExtent = None if filesForExtent is None else [os.fspath(name) for name in filesForExtent]

    # -- inputs

    def setResampleMethod(self, resampleMethod: str, imagename: str | None = None) -> None:
        """Set how inputs that are not on the working grid are resampled onto it; default 'near'.

        One of gdalwarp's methods: near, bilinear, cubic, cubicspline, lanczos, average, rms, mode, max, min, med, q1,
        q3; not its sum. Inputs are resampled only if there is a reference image or grid.
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
        self.setOptionForImagename("resampleMethod", imagename, name)

    def setAllowOverviewsGdalwarp(self, allowOverviewsGdalwarp: bool) -> None:
        """Resample from an input's overviews where the working grid is coarser than they are; default False."""
        self.allowOverviewsGdalwarp = bool(allowOverviewsGdalwarp)

    def setInputNoDataValue(
        self, nodata: float | Sequence[float | None] | None, imagename: str | None = None
    ) -> None:
        """Set the nodata value of inputs, in place of what the files say.

        It is left out when resampling, fills what is outside the file, and is what ``info.getNoDataValueFor``
        returns.

        Parameters
        ----------
        nodata : one value for all bands, or a list with one for each band of the file, None for none. None alone
            takes the file's.
        """
        what = "nodata value of an input"
        if isinstance(nodata, Sequence) and not isinstance(nodata, str):
            values = [None if value is None else _number(value, what) for value in nodata]
            self.setOptionForImagename("inputNodata", imagename, values)
        else:
            self.setOptionForImagename(
                "inputNodata", imagename, None if nodata is None else _number(nodata, what)
            )

    def selectInputImageLayers(
        self, layerselection: Sequence[int] | None, imagename: str | None = None
    ) -> None:
        """Read only these bands, counted from 1, in this order; None reads all."""
        layers = (
            None
            if layerselection is None
            else [_at_least(1, layer, "layer number") for layer in layerselection]
        )
        if layers == []:
            raise ParameterError("select at least one layer, or None for all")
        self.setOptionForImagename("layerselection", imagename, layers)

    # -- vector inputs

    def setBurnValue(self, burnvalue: float, vectorname: str | None = None) -> None:
        """Set what pixels inside features become; default 1."""
        self.setOptionForImagename("burnvalue", vectorname, _number(burnvalue, "burn value"))

    def setBurnAttribute(self, burnattribute: str | None, vectorname: str | None = None) -> None:
        """Burn the number in this attribute of each feature instead; features without one are left out."""
        self.setOptionForImagename("burnattribute", vectorname, burnattribute)

    def setVectorNull(self, vectornull: float, vectorname: str | None = None) -> None:
        """Set what pixels outside all features are, which is also the nodata value; default 0."""
        self.setOptionForImagename("vectornull", vectorname, _number(vectornull, "vector null value"))

    def setFilterSQL(self, filtersql: str | None, vectorname: str | None = None) -> None:
        """Burn only features for which this is true: a condition as in SQL's WHERE, such as ``type = 3``."""
        self.setOptionForImagename("filtersql", vectorname, filtersql)

    def setAlltouched(self, alltouched: bool, vectorname: str | None = None) -> None:
        """Burn all pixels that features touch; default False, those whose centre is inside."""
        self.setOptionForImagename("alltouched", vectorname, bool(alltouched))

    def setVectorDatatype(self, vectordatatype: DTypeLike, vectorname: str | None = None) -> None:
        """Set the numpy type that vectors are rasterised to; default uint8."""
        try:
            name = np.dtype(vectordatatype).name
        except TypeError:
            raise ParameterError(f"vector data type {vectordatatype!r} is not a numpy type") from None
        self.setOptionForImagename("vectordatatype", vectorname, name)

    def setVectorlayer(self, vectorlayer: int | str, vectorname: str | None = None) -> None:
        """Set the layer of vector files, by name or by number from 0; default 0."""
        self.setOptionForImagename("vectorlayer", vectorname, vectorlayer)

    # -- outputs

    def setOutputDriverName(self, drivername: str, imagename: str | None = None) -> None:
        """Set GDAL's driver; by default the file's extension says it, and GTiff where that says nothing."""
        self.setOptionForImagename("drivername", imagename, drivername)

    def setCreationOptions(self, creationoptions: Sequence[str] | None, imagename: str | None = None) -> None:
        """Set GDAL's creation options (``NAME=VALUE``), which replace the driver's defaults; None keeps them."""
        if isinstance(creationoptions, str):
            raise ParameterError(f"creation options are a list, such as [{creationoptions!r}], not a text")
        options = None if creationoptions is None else list(creationoptions)
        self.setOptionForImagename("creationoptions", imagename, options)

    def setStatsIgnore(self, statsIgnore: float | None, imagename: str | None = None) -> None:
        """Set the nodata value of outputs; default 0, None for none."""
        if statsIgnore is not None and not isinstance(statsIgnore, numbers.Real):
            raise ParameterError(
                f"the nodata value of an output must be a number or None, not {statsIgnore!r}"
            )
        self.setOptionForImagename("statsIgnore", imagename, statsIgnore)

    def setThematic(self, thematicFlag: bool, imagename: str | None = None) -> None:
        """Mark outputs as thematic (LAYER_TYPE=thematic)."""
        self.setOptionForImagename("thematic", imagename, bool(thematicFlag))

    def setLayerNames(self, layernames: Sequence[str] | None, imagename: str | None = None) -> None:
        """Set the bands' names (descriptions)."""
        if isinstance(layernames, str):
            raise ParameterError(f"layer names are a list, such as [{layernames!r}], not a text")
        names = None if layernames is None else list(layernames)
        self.setOptionForImagename("layernames", imagename, names)

    def setCalcStats(self, calcStats: bool, imagename: str | None = None) -> None:
        """Write statistics, histogram and pyramids (default), or with False none of them.

        It calls ``setOmitBasicStats``, ``setOmitHistogram`` and ``setOmitPyramids``.
        """
        self.setOptionForImagename("calcStats", imagename, bool(calcStats))
        self.setOmitBasicStats(not calcStats, imagename)
        self.setOmitHistogram(not calcStats, imagename)
        self.setOptionForImagename("omitPyramids", imagename, not calcStats)

    def setOmitBasicStats(self, omitBasicStats: bool, imagename: str | None = None) -> None:
        """Leave out minimum, maximum, mean and standard deviation of each band; default False.

        They are of all pixels but nodata (``setStatsIgnore``), NaN and infinite ones. Complex bands have none.
        """
        self.setOptionForImagename("omitBasicStats", imagename, bool(omitBasicStats))

    def setOmitHistogram(self, omitHistogram: bool, imagename: str | None = None) -> None:
        """Leave out the histogram of each band, and with it median and mode; default False."""
        self.setOptionForImagename("omitHistogram", imagename, bool(omitHistogram))

    def setSinglePassBasicStats(
        self, singlePassBasicStats: bool | None, imagename: str | None = None
    ) -> None:
        """Accept RIOS's setting. It is always one pass: statistics are computed of blocks before they are written."""
        self.setOptionForImagename("singlePassBasicStats", imagename, singlePassBasicStats)

    def setSinglePassHistogram(self, singlePassHistogram: bool | None, imagename: str | None = None) -> None:
        """Accept RIOS's setting. It is always one pass, for every type."""
        self.setOptionForImagename("singlePassHistogram", imagename, singlePassHistogram)

    def setSinglePassPyramids(self, singlePassPyramids: bool | None, imagename: str | None = None) -> None:
        """Accept RIOS's setting; how pyramids are made is not the script's to say."""
        self.setOptionForImagename("singlePassPyramids", imagename, singlePassPyramids)

    def setApproxStats(self, approxStats: bool, imagename: str | None = None) -> None:
        """Compute statistics and histogram of every fourth row and column only; default False.

        The file says so (STATISTICS_APPROXIMATE=YES). All of them cost a few nanoseconds for each pixel.
        """
        self.setOptionForImagename("approxStats", imagename, bool(approxStats))

    def setAutoColorTableType(self, autoColorTableType: str | None, imagename: str | None = None) -> None:
        """Give thematic outputs of type uint8 or uint16 a colour table; default None, or RIOS_DFLT_AUTOCOLORTABLETYPE.

        Parameters
        ----------
        autoColorTableType : 'rainbow', from blue for 0 to red for the largest value; 'gray', from black to white;
            'random', in which a value has the same colour in every file; None for none. nodata is transparent where the
            format allows.
        imagename : without it, outputs that are not thematic are left as they are.
        """
        if autoColorTableType is not None and autoColorTableType not in KINDS:
            raise ColorTableGenerationError(
                f"colour table type {autoColorTableType!r}: use one of {', '.join(map(repr, KINDS))}, or None"
            )
        self.setOptionForImagename("autoColorTableType", imagename, autoColorTableType)

    def setOmitPyramids(self, omitPyramids: bool, imagename: str | None = None) -> None:
        """Write no overviews; by default there are some where the raster is large enough."""
        self.setOptionForImagename("omitPyramids", imagename, bool(omitPyramids))

    def setOverviewLevels(self, overviewLevels: Sequence[int], imagename: str | None = None) -> None:
        """Set how many times smaller the overviews are; default 4, 8, 16, ... 512."""
        if isinstance(overviewLevels, int):
            raise ParameterError(f"overview levels are a list, such as [{overviewLevels}], not a number")
        levels = sorted({_at_least(2, level, "overview level") for level in overviewLevels})
        if not levels:
            raise ParameterError("give at least one overview level, or use setOmitPyramids(True)")
        self.setOptionForImagename("overviewLevels", imagename, levels)

    def setOverviewMinDim(self, overviewMinDim: int, imagename: str | None = None) -> None:
        """Leave out overviews whose shorter side has no more pixels than this; default 128."""
        self.setOptionForImagename(
            "overviewMinDim", imagename, _at_least(0, overviewMinDim, "smallest overview")
        )

    def setOverviewAggregationType(self, overviewAggType: str | None, imagename: str | None = None) -> None:
        """Set how pixels of overviews are made, by GDAL's name: NEAREST (default), AVERAGE, MODE, RMS, ...

        Each is made of the pixels it covers and no others, except with GAUSS, BILINEAR, CUBIC, CUBICSPLINE and LANCZOS,
        for which one process writes the output. Pixels that have the output's nodata value are left out of averages.
        """
        name = None if overviewAggType is None else _aggregation(overviewAggType, "overview aggregation type")
        self.setOptionForImagename("overviewAggType", imagename, name)

    def setCallBeforeClose(
        self,
        callBeforeClose: Callable[..., object] | None,
        args: Sequence[Any] = (),
        imagename: str | None = None,
    ) -> None:
        """Have ``callBeforeClose(dataset, *args)`` called in main with each finished output.

        ``dataset`` is a `gdal.Dataset`, open for changes, with all its pixels, overviews and statistics. The output is
        not in its place yet; if the function raises, it never will be.
        """
        if callBeforeClose is not None and not callable(callBeforeClose):
            raise ParameterError(f"callBeforeClose is a {type(callBeforeClose).__name__}, not a function")
        call = None if callBeforeClose is None else functools.partial(_call, callBeforeClose, tuple(args))
        self.setOptionForImagename("callBeforeClose", imagename, call)

    # -- the run

    def setProgress(self, progress: Progress | None) -> None:
        """Set a progress object, such as ``cuiprogress.CUIProgressBar()``."""
        if progress is not None and not hasattr(progress, "setTotalSteps"):
            raise ParameterError(
                f"a progress object is one such as cuiprogress.CUIProgressBar(), not {progress!r}"
            )
        self.progress = progress

    def setTempdir(self, tempdir: str | os.PathLike[str]) -> None:
        """Accept RIOS's temporary folder. Nothing is put there: unfinished files stay beside their place."""
        self.tempdir = os.fspath(tempdir)

    def setNumThreads(self, numThreads: int) -> None:
        """Set how many workers run at the same time; default 1, which runs blocks in order as RIOS does.

        More than 1 uses processes unless ``setJobManagerType`` says otherwise.

        Raises
        ------
        ParameterError : not a whole number of at least 1, or a concurrency style is set, which says it already.
        """
        self._check_no_style("setNumThreads")
        self.numThreads = _at_least(1, numThreads, "number of threads")

    def setJobManagerType(self, jobMgrType: str | None) -> None:
        """Set who runs the tiles: 'threads', 'multiprocessing', 'AWSBatch', or a manager of the script's own.

        Raises
        ------
        ParameterError : a concurrency style is set, which says it already.
        """
        self._check_no_style("setJobManagerType")
        self.jobManagerType = jobMgrType

    def setConcurrencyStyle(self, concurrencyStyle: ConcurrencyStyle) -> None:
        """Set who runs the tiles and how many workers there are, in RIOS 2's way.

        It replaces whatever ``setNumThreads`` and ``setJobManagerType`` have said; afterwards they are refused. As
        in RIOS 2, it is the script that merges the changes that workers make to otherArgs, from the result's
        ``otherArgsList``; ``setOtherArgsMerge`` works too.
        """
        if not isinstance(concurrencyStyle, ConcurrencyStyle):
            raise ParameterError(
                f"a concurrency style is an applier.ConcurrencyStyle, not a {type(concurrencyStyle).__name__}"
            )
        self.concurrency = concurrencyStyle

    def _check_no_style(self, setter: str) -> None:
        if self.concurrency is not None:
            raise ParameterError(
                f"{setter} after setConcurrencyStyle: the style says already who computes; use one or the other"
            )

    def setJobName(self, jobName: str | None) -> None:
        """Accept RIOS 2's name for the run, which is for people only; nothing shows it here."""
        self.jobName = jobName

    def setLoggingStream(self, loggingstream: TextIO | None) -> None:
        """Have messages (Python's ``logging``, name ``rios_batch``) written to a stream, too, during the run.

        The level stays as the script has set it for that name; Python's default is warnings. The user function's
        ``info.loggingstream`` remains standard output, since a stream cannot go to workers. None, the default, adds
        nothing.
        """
        if loggingstream is not None and not hasattr(loggingstream, "write"):
            raise ParameterError(
                f"a logging stream is an open text file or the like, not a {type(loggingstream).__name__}"
            )
        self.loggingstream = loggingstream

    def setResume(self, resume: bool | str) -> None:
        """Go on from the tiles that an earlier run on AWS Batch has finished, and compute only what is missing.

        Function, inputs, grid, outputs and otherArgs must be what they were; otherwise the run is refused. Managers
        other than 'AWSBatch' begin anew.

        Parameters
        ----------
        resume : True for the newest unfinished run with these outputs, or to begin one if there is none; the
            id of a run; or False.
        """
        given: Any = resume
        if not isinstance(given, bool | str) or given == "":
            raise ParameterError(f"resume is True, False or the id of a run, not {resume!r}")
        self.resume = resume

    def setCoordinateOnly(self, coordinateOnly: bool) -> None:
        """Have main compute no tile itself on AWS Batch, where it is far from the data or its machine is weak.

        The run then waits until Batch has machines for the workers.
        """
        self.coordinateOnly = bool(coordinateOnly)

    def setOtherArgsMerge(self, name: str, rule: str | MergeRule) -> None:
        """Say how an otherArgs attribute that blocks change is merged when there is more than one worker.

        Parameters
        ----------
        rule : 'sum' adds what each tile added; 'min' and 'max' compare, element by element for arrays;
            'concat' appends what each tile appended to a list, in tile order; or a function
            ``rule(initial, values)`` that gets the value before the run and the tiles' values in tile order.
        """
        self.otherArgsMergeRules[name] = resolve_rule(rule)

    # -- options by symbolic name

    def setOptionForImagename(self, option: str, imagename: str | None, value: Any) -> None:
        """Set an option for one symbolic name, or for all when ``imagename`` is None."""
        if imagename is None:
            setattr(self, option, value)
        else:
            self.optionsByImage.setdefault(imagename, {})[option] = value

    def getOptionForImagename(self, option: str, imagename: str | None) -> Any:
        """Return an option: the one set for the name if there is one, else the one for all."""
        for_image: Mapping[str, Any] = self.optionsByImage.get(imagename or "", {})
        return for_image[option] if option in for_image else getattr(self, option)

    def check_names(self, names: Iterable[str]) -> None:
        """Refuse options that were set for a name that is neither an input nor an output.

        Raises
        ------
        ParameterError : naming the option, the name, and those there are.
        """
        known = sorted(names)
        for imagename, options in self.optionsByImage.items():
            if imagename not in known:
                raise ParameterError(
                    f"{', '.join(options)} was set for {imagename!r}, "
                    f"which is none of the symbolic names {', '.join(map(repr, known))}"
                )

    def creation_options_for(self, imagename: str, driver: str) -> list[str] | None:
        """Return the creation options set by the script, or else in the environment; None if by neither."""
        options: list[str] | None = self.getOptionForImagename("creationoptions", imagename)
        by_driver = {name.upper(): given for name, given in self.creationOptionsByDriver.items()}
        return by_driver.get(driver.upper()) if options is None else options


def _colour_table_from_environment() -> str | None:
    kind = os.environ.get("RIOS_DFLT_AUTOCOLORTABLETYPE") or None
    if kind is not None and kind not in KINDS:
        raise ParameterError(
            f"environment variable RIOS_DFLT_AUTOCOLORTABLETYPE must be one of {', '.join(KINDS)}, not {kind!r}"
        )
    return kind


def _at_least(minimum: int, value: int, what: str) -> int:
    try:
        whole = None if isinstance(value, bool | str) else int(value)
    except (TypeError, ValueError, OverflowError):  # None, a list, nan, inf
        whole = None
    if whole is None or whole != value or whole < minimum:
        raise ParameterError(f"the {what} must be a whole number of at least {minimum}, not {value!r}")
    return whole


def _number(value: float, what: str) -> float:
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return int(value)  # numpy's numbers are not written like Python's
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        return float(value)
    raise ParameterError(f"the {what} must be a number, not {value!r}")


def _call(function: Callable[..., object], args: tuple[Any, ...], dataset: Any) -> object:
    return function(dataset, *args)


def _aggregation(given: str, what: str) -> str:
    if (name := str(given).upper()) in METHODS:
        return name
    raise ParameterError(f"{what} {given!r}: use one of {', '.join(METHODS)}")


def _aggregation_from_environment() -> str | None:
    name = "RIOS_DFLT_OVERVIEWAGGTYPE"
    text = os.environ.get(name)
    return _aggregation(text, f"environment variable {name}") if text else None


def _levels_from_environment() -> list[int]:
    name = "RIOS_DFLT_OVERVIEWLEVELS"
    text = os.environ.get(name)
    if not text:
        return list(DEFAULT_OVERVIEWLEVELS)
    words = text.replace(",", " ").split()
    if not words or any(not word.isdecimal() or int(word) < 2 for word in words):  # noqa: PLR2004 - 1 is no overview
        raise ParameterError(
            f"environment variable {name} must be whole numbers of at least 2, such as '4,8,16', not {text!r}"
        )
    return sorted({int(word) for word in words})


def _from_environment(
    name: str, default: int, *, at_least: int | None = None, among: Container[int] | None = None
) -> int:
    text = os.environ.get(name)
    if not text:
        return default
    value = int(text) if text.strip().removeprefix("-").isdecimal() else None
    if value is None or (at_least is not None and value < at_least) or (among and value not in among):
        allowed = (
            f"at least {at_least}" if among is None else f"one of {', '.join(map(str, FOOTPRINT_NAMES))}"
        )
        raise ParameterError(f"environment variable {name} must be a whole number, {allowed}, not {text!r}")
    return value
