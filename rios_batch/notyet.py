"""What RIOS has and this version lacks: entries go as the features come."""

from __future__ import annotations

# RIOS's setters that this version lacks, and what a script can do in the meantime. They raise rather than
# being accepted and ignored, and hasattr() is False for them.
NOT_YET = {
    **dict.fromkeys(
        (
            "setOmitBasicStats",
            "setOmitHistogram",
            "setSinglePassPyramids",
            "setSinglePassBasicStats",
            "setSinglePassHistogram",
            "setApproxStats",
            "setOverviewLevels",
            "setOverviewMinDim",
            "setOverviewAggregationType",
            "setAutoColorTableType",
            "setCallBeforeClose",
        ),
        "statistics and pyramids are not written yet; use gdalinfo -stats and gdaladdo on the output",
    ),
}
