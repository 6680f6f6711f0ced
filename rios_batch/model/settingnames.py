"""Settings by the names of their attributes: which method sets each, and what to say of a name that is none."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from rios_batch.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Collection

# Attributes of ApplierControls that are one value for the whole run, and the methods that check and set them.
# Attributes whose method takes several values are in neither table.
SETTERS_FOR_RUN = {
    "windowxsize": "setWindowXsize",
    "windowysize": "setWindowYsize",
    "overlap": "setOverlap",
    "footprint": "setFootprintType",
    "referenceImage": "setReferenceImage",
    "referencePixgrid": "setReferencePixgrid",
    "referenceLimitsExtent": "setReferenceLimitsExtent",
    "filesForExtent": "setFilesForExtent",
    "allowOverviewsGdalwarp": "setAllowOverviewsGdalwarp",
    "progress": "setProgress",
    "tempdir": "setTempdir",
    "numThreads": "setNumThreads",
    "jobManagerType": "setJobManagerType",
    "concurrency": "setConcurrencyStyle",
    "jobName": "setJobName",
    "loggingstream": "setLoggingStream",
    "resume": "setResume",
    "coordinateOnly": "setCoordinateOnly",
    "waitLimit": "setWaitLimit",
    "workerEnvironment": "setWorkerEnvironment",
    "maxCost": "setMaxCost",
    "report": "setReport",
    "dryRun": "setDryRun",
}
# Attributes that may have a value of their own for a symbolic name.
SETTERS_FOR_IMAGE = {
    "resampleMethod": "setResampleMethod",
    "inputNodata": "setInputNoDataValue",
    "layerselection": "selectInputImageLayers",
    "outsideAsNone": "setOutsideAsNone",
    "inputErrors": "setInputErrors",
    "burnvalue": "setBurnValue",
    "burnattribute": "setBurnAttribute",
    "vectornull": "setVectorNull",
    "filtersql": "setFilterSQL",
    "alltouched": "setAlltouched",
    "vectordatatype": "setVectorDatatype",
    "vectorlayer": "setVectorlayer",
    "drivername": "setOutputDriverName",
    "creationoptions": "setCreationOptions",
    "statsIgnore": "setStatsIgnore",
    "thematic": "setThematic",
    "layernames": "setLayerNames",
    "calcStats": "setCalcStats",
    "omitBasicStats": "setOmitBasicStats",
    "omitHistogram": "setOmitHistogram",
    "singlePassBasicStats": "setSinglePassBasicStats",
    "singlePassHistogram": "setSinglePassHistogram",
    "singlePassPyramids": "setSinglePassPyramids",
    "approxStats": "setApproxStats",
    "autoColorTableType": "setAutoColorTableType",
    "colorTable": "setColorTable",
    "omitPyramids": "setOmitPyramids",
    "overviewLevels": "setOverviewLevels",
    "overviewMinDim": "setOverviewMinDim",
    "overviewAggType": "setOverviewAggregationType",
}


def no_such_setting(name: str, settings: Collection[str]) -> ParameterError:
    """Return the error for a name that is no setting. The error suggests the nearest setting, or names all."""
    by_lower = {setting.lower(): setting for setting in settings}
    nearest = difflib.get_close_matches(name.lower(), by_lower, n=1)
    if nearest:
        hint = f"did you mean {by_lower[nearest[0]]!r}?"
    else:
        hint = f"the settings are {', '.join(sorted(settings, key=str.lower))}"
    return ParameterError(f"ApplierControls has no setting {name!r}; {hint}")
