# ruff: noqa: N802 - named as the settings of ApplierControls are
"""An item beside an output: where the output lies, what it holds, and how it came about."""

from __future__ import annotations

import json
import math
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pystac

from rios_batch import __version__
from rios_batch.awsbatch.fingerprint import function_digest
from rios_batch.errors import OutputError, ParameterError, without_secrets
from rios_batch.gdalapi import gdal_version
from rios_batch.model.s3names import SCHEME, S3Name
from rios_batch.read.footprints import describe_for_catalogue
from rios_batch.stac.found import FoundItems
from rios_batch.stac.items import items_of, moment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from rios_batch.read.footprints import Described
    from rios_batch.stac.items import Items

_SUFFIX = ".stac.json"
_EXTENSIONS = [
    f"https://stac-extensions.github.io/{name}/schema.json"
    for name in ("projection/v2.0.0", "raster/v1.1.0", "processing/v1.1.0")
]
_DATA_TYPES = {"complex64": "cfloat32", "complex128": "cfloat64"}  # others have numpy's name


def writeItem(
    output: str | os.PathLike[str],
    inputs: FoundItems | Items,
    function: Any = None,
    *,
    image: str | None = None,
    properties: Mapping[str, Any] | None = None,
) -> pystac.Item:
    """Write a STAC item beside a finished output, and return the item.

    The item of ``median.tif`` is ``median.stac.json``. An output in S3 has its item there.

    Parameters
    ----------
    output : name of the output; local, or ``s3://``.
    inputs : what ``readItems`` returned, or the items that the output was made of. The output's time is theirs.
    function : the function that ``apply`` ran; the item has the function's name and digest, not its text.
    image : the workers' image with its digest, such as ``...@sha256:...``; default None: the item names none.
    properties : more properties of the item; they come before those that are found.

    Raises
    ------
    ParameterError : the function is none, or properties are not what JSON holds.
    FileOpenError : the output cannot be opened.
    OutputError : the item cannot be written.
    S3Error : S3 refuses the item.
    """
    if function is not None and not callable(function):
        raise ParameterError(f"function must be the function that apply ran, not {function!r}")
    name = os.fspath(output)
    sources = list(inputs.items) if isinstance(inputs, FoundItems) else items_of(inputs)
    described = describe_for_catalogue(name)
    times = [moment(item) for item in sources]
    times += [found for item in sources if (found := item.common_metadata.end_datetime) is not None]
    item = pystac.Item(
        id=name.rpartition("/")[2].rpartition(".")[0] or name.rpartition("/")[2],
        geometry=described.geometry,
        bbox=None if described.bbox is None else list(described.bbox),
        datetime=None if len(set(times)) > 1 else times[0],
        properties={
            **_time_span(times),
            **_projection(described),
            **_provenance(sources, function, image),
            **(properties or {}),
        },
        stac_extensions=list(_EXTENSIONS),
    )
    for source in sources:
        if href := source.get_self_href():
            item.add_link(
                pystac.Link("derived_from", without_secrets(href), "application/geo+json", title=source.id)
            )
    item.add_asset("data", _asset(name, described))
    _write(name, item)
    return item


def _time_span(times: Sequence[datetime]) -> dict[str, str]:
    if len(set(times)) == 1:
        return {}
    first, last = min(times), max(times)
    return {
        "start_datetime": pystac.utils.datetime_to_str(first),
        "end_datetime": pystac.utils.datetime_to_str(last),
    }


def _projection(described: Described) -> dict[str, Any]:
    facts, grid = described.facts, described.facts.grid
    x_min, x_res, _, y_max, _, y_res = grid.makeGeoTransform()
    found: dict[str, Any] = {
        "proj:code": described.code,
        "proj:shape": [facts.nrows, facts.ncols],
        "proj:transform": [x_res, 0.0, x_min, 0.0, y_res, y_max],
        "proj:bbox": [grid.xMin, grid.yMin, grid.xMax, grid.yMax],
    }
    if described.code is None and facts.projection:
        found["proj:wkt2"] = facts.projection
    return found


def _provenance(sources: Sequence[pystac.Item], function: Any, image: str | None) -> dict[str, Any]:
    names = [
        f"{source.collection_id}/{source.id}" if source.collection_id else source.id for source in sources
    ]
    found: dict[str, Any] = {
        "processing:software": {
            "rios_batch": __version__,
            "GDAL": gdal_version(),
            "numpy": np.__version__,
            "Python": platform.python_version(),
        },
        "rios_batch:inputs": names,
    }
    called = "a function"
    if function is not None:
        called = f"{getattr(function, '__name__', type(function).__name__)}()"
        digest = {"name": called.removesuffix("()"), "sha256": function_digest(function)}
        found["processing:expression"] = {"format": "rios_batch-function-digest", "expression": digest}
    if image is not None:
        found["rios_batch:image"] = image
    found["processing:lineage"] = (
        f"{called} of {len(names)} items, block by block, by rios_batch {__version__}"
    )
    return found


def _asset(name: str, described: Described) -> pystac.Asset:
    facts = described.facts
    bands = []
    for dtype, nodata, statistics in zip(facts.dtypes, facts.nodata, described.statistics, strict=True):
        band: dict[str, Any] = {"data_type": _DATA_TYPES.get(dtype, dtype)}
        if nodata is not None:
            band["nodata"] = _number(nodata, dtype)
        if finite := {field: value for field, value in statistics.items() if math.isfinite(value)}:
            band["statistics"] = finite
        bands.append(band)
    # A name without a folder, so that output and item can be moved together.
    href = f"./{name.rpartition('/')[2]}"
    is_tiff = name.lower().endswith((".tif", ".tiff"))
    return pystac.Asset(
        href,
        media_type=pystac.MediaType.GEOTIFF if is_tiff else None,
        roles=["data"],
        extra_fields={"raster:bands": bands},
    )


def _number(value: float, dtype: str) -> float | int | str:
    """Return a nodata value as JSON has it; the raster extension has words for what is no number."""
    if math.isfinite(value):
        return int(value) if np.dtype(dtype).kind in "iu" else value
    return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")


def _write(output: str, item: pystac.Item) -> None:
    name = output.removesuffix(Path(output).suffix) + _SUFFIX
    content = item.to_dict(include_self_link=False, transform_hrefs=False)
    try:
        data = json.dumps(content, indent=2, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise ParameterError(
            f"properties must be what JSON holds: str, bool, finite numbers, None, lists and dicts of these; {error}"
        ) from None
    if output.startswith(SCHEME):
        from rios_batch.aws.objects import Bucket  # noqa: PLC0415 - with it comes boto3

        place = S3Name.parse(name)
        Bucket(place.bucket).put(place.key, data)
    else:
        path = Path(name)
        new = path.with_name(f".{path.name}.new")
        try:
            new.write_bytes(data)
            new.replace(path)
        except OSError as error:
            raise OutputError(f"the item {name!r} cannot be written: {error.strerror}") from error
    item.set_self_href(name)
