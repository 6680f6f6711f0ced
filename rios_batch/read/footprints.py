"""Where a finished raster lies on the globe, and what its bands hold, as a catalogue wants to know it."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from osgeo import osr

from rios_batch.errors import GridError
from rios_batch.gdalapi import gdal_exceptions
from rios_batch.read.extents import LONGITUDE_LATITUDE, transformation
from rios_batch.read.facts import RasterFacts, describe, open_raster

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rios_batch.model.grid import Extent

    Point = tuple[float, float]

_STEPS_PER_EDGE = 16  # edges are curves in longitude and latitude
_DIGITS = 7  # of a degree: a centimetre
_STATISTICS = {
    "minimum": "STATISTICS_MINIMUM",
    "maximum": "STATISTICS_MAXIMUM",
    "mean": "STATISTICS_MEAN",
    "stddev": "STATISTICS_STDDEV",
    "valid_percent": "STATISTICS_VALID_PERCENT",
}


@dataclass(frozen=True)
class Described:
    """What a catalogue wants to know of a raster.

    Attributes
    ----------
    code : the projection's, such as ``EPSG:32633``; None if it has none.
    geometry : a GeoJSON geometry in longitude and latitude; None without a projection.
    bbox : (west, south, east, north) in degrees; west is above east across the antimeridian.
    statistics : for each band what was computed, by STAC's names.
    """

    facts: RasterFacts
    code: str | None
    geometry: dict[str, Any] | None
    bbox: tuple[float, float, float, float] | None
    statistics: tuple[dict[str, float], ...]


def describe_for_catalogue(name: str) -> Described:
    """Open a finished raster and tell what a catalogue wants to know.

    Raises
    ------
    FileOpenError : it cannot be opened.
    GridError : it is rotated or south-up, or its extent has no image on the globe.
    """
    with gdal_exceptions():
        facts = describe(name)
        dataset = open_raster(name)
        bands = [dataset.GetRasterBand(number + 1).GetMetadata() for number in range(facts.nbands)]
        statistics = tuple(
            {field: float(band[key]) for field, key in _STATISTICS.items() if key in band} for band in bands
        )
        if not facts.projection:
            return Described(facts, None, None, None, statistics)
        geometry, bbox = _footprint(facts.grid.extent)
        return Described(facts, _code(facts.projection), geometry, bbox, statistics)


def _code(projection: str) -> str | None:
    reference = osr.SpatialReference(projection)
    authority, code = reference.GetAuthorityName(None), reference.GetAuthorityCode(None)
    return f"{authority}:{code}" if authority and code else None


def _footprint(extent: Extent) -> tuple[dict[str, Any], tuple[float, float, float, float]]:
    to_globe = transformation(extent.projection, LONGITUDE_LATITUDE)
    ring = [_on_globe(to_globe, point) for point in _edge(extent)]
    unrolled = [ring[0]]
    for lon, lat in ring[1:]:  # a step of more than half the globe is one across the antimeridian
        unrolled.append((lon + 360 * round((unrolled[-1][0] - lon) / 360), lat))
    if abs(unrolled[-1][0] - unrolled[0][0]) > 180:  # noqa: PLR2004 - degrees; the ring goes around a pole
        return _around_pole(ring)
    west, east = min(lon for lon, _ in unrolled), max(lon for lon, _ in unrolled)
    south, north = min(lat for _, lat in unrolled), max(lat for _, lat in unrolled)
    turn = 360 * math.floor((west + 180) / 360)
    points = [(lon - turn, lat) for lon, lat in unrolled]
    west, east = west - turn, east - turn
    if east <= 180:  # noqa: PLR2004 - degrees
        return _polygons([points]), _rounded(west, south, east, north)
    beyond = [(lon - 360, lat) for lon, lat in _cut(points, keeps_west=False)]
    return _polygons([_cut(points, keeps_west=True), beyond]), _rounded(west, south, east - 360, north)


def _edge(extent: Extent) -> list[Point]:
    """Return points on the edges, counterclockwise as GeoJSON wants it; the last one is the first."""
    x, y = (extent.x_min, extent.x_max), (extent.y_min, extent.y_max)
    corners = [(x[0], y[0]), (x[1], y[0]), (x[1], y[1]), (x[0], y[1]), (x[0], y[0])]
    points = [
        (x0 + (x1 - x0) * step / _STEPS_PER_EDGE, y0 + (y1 - y0) * step / _STEPS_PER_EDGE)
        for (x0, y0), (x1, y1) in itertools.pairwise(corners)
        for step in range(_STEPS_PER_EDGE)
    ]
    return [*points, corners[0]]


def _on_globe(to_globe: osr.CoordinateTransformation, point: Point) -> Point:
    try:
        lon, lat, _ = to_globe.TransformPoint(*point)
    except RuntimeError:
        lon = lat = math.inf
    if not (math.isfinite(lon) and math.isfinite(lat)):
        raise GridError(
            f"the output's edge has no longitude and latitude at x {point[0]:.10g}, y {point[1]:.10g}"
        )
    return lon, lat


def _around_pole(ring: Sequence[Point]) -> tuple[dict[str, Any], tuple[float, float, float, float]]:
    """Return the cap of the globe that a ring around a pole lies in."""
    lats = [lat for _, lat in ring]
    south, north = (min(lats), 90.0) if sum(lats) > 0 else (-90.0, max(lats))
    corners = [(-180.0, south), (180.0, south), (180.0, north), (-180.0, north), (-180.0, south)]
    return _polygons([corners]), _rounded(-180.0, south, 180.0, north)


def _cut(ring: Sequence[Point], *, keeps_west: bool) -> list[Point]:
    """Return what lies on one side of the antimeridian, whose longitude is 180 here."""

    def inside(point: Point) -> bool:
        return point[0] <= 180 if keeps_west else point[0] >= 180  # noqa: PLR2004 - degrees

    kept: list[Point] = []
    for (lon0, lat0), (lon1, lat1) in itertools.pairwise(ring):
        if inside((lon0, lat0)):
            kept.append((lon0, lat0))
        if inside((lon0, lat0)) != inside((lon1, lat1)):
            kept.append((180.0, lat0 + (lat1 - lat0) * (180 - lon0) / (lon1 - lon0)))
    return [*kept, kept[0]]


def _polygons(rings: Sequence[Sequence[Point]]) -> dict[str, Any]:
    parts = [[[[round(lon, _DIGITS), round(lat, _DIGITS)] for lon, lat in ring]] for ring in rings]
    if len(parts) == 1:
        return {"type": "Polygon", "coordinates": parts[0]}
    return {"type": "MultiPolygon", "coordinates": parts}


def _rounded(*bounds: float) -> tuple[float, float, float, float]:
    west, south, east, north = (round(bound, _DIGITS) for bound in bounds)
    return west, south, east, north
