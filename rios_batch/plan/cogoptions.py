"""The names of GDAL's COG driver for outputs: it only copies files, but GeoTIFFs that workers encode are COGs too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rios_batch.errors import ParameterError
from rios_batch.model.creationoptions import CreationOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME = "COG"
_PREDICTORS = {"NO": "1", "YES": "YES", "STANDARD": "2", "FLOATING_POINT": "3"}
_LEVELS = {
    "DEFLATE": "ZLEVEL",
    "LERC_DEFLATE": "ZLEVEL",
    "LERC_ZSTD": "ZSTD_LEVEL",
    "LZMA": "LZMA_PRESET",
    "ZSTD": "ZSTD_LEVEL",
}
# What the two drivers call the same. LEVEL depends on the codec, BLOCKSIZE is one number for two.
_SAME = frozenset({"BIGTIFF", "COMPRESS", "INTERLEAVE", "MAX_Z_ERROR", "NUM_THREADS", "SPARSE_OK"})
_OWN = ("BLOCKSIZE", "LEVEL", "PREDICTOR")


def geotiff_options(options: Sequence[str], path: str) -> CreationOptions:
    """Return the GTiff driver's creation options for those of the COG driver.

    As there, bands are interleaved by pixel. Without COMPRESS it is DEFLATE.

    Raises
    ------
    ParameterError : an option that has no counterpart, or a value.
    """
    given = CreationOptions(tuple(options))
    allowed = sorted(_SAME.union(_OWN))
    for option in given.texts:
        if option.partition("=")[0].upper() not in allowed:
            raise ParameterError(
                f"creation option {option!r} of {path!r}: outputs of driver COG take {', '.join(allowed)}; overviews "
                "are set with setOverviewLevels and setOverviewAggregationType"
            )
    codec = given.get("COMPRESS") or "DEFLATE"
    changes = {"TILED": "YES", "COMPRESS": codec, "INTERLEAVE": given.get("INTERLEAVE") or "PIXEL"}
    if (side := given.get("BLOCKSIZE")) is not None:
        changes |= {"BLOCKXSIZE": side, "BLOCKYSIZE": side}
    if (level := given.get("LEVEL")) is not None:
        if codec.upper() not in _LEVELS:
            raise ParameterError(
                f"creation option LEVEL={level} of {path!r}: {codec} has no levels; {', '.join(_LEVELS)} have"
            )
        changes[_LEVELS[codec.upper()]] = level
    if (predictor := given.get("PREDICTOR")) is not None:
        if predictor.upper() not in _PREDICTORS:
            raise ParameterError(
                f"creation option PREDICTOR={predictor} of {path!r}: use one of {', '.join(_PREDICTORS)}"
            )
        changes["PREDICTOR"] = _PREDICTORS[predictor.upper()]
    return given.but(**dict.fromkeys(_OWN)).but(**changes)
