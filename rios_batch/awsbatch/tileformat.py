"""A finished tile as one object in S3: JSON and raw arrays, never pickles.

A pickle runs code when the pickle is read. Main trusts itself, so the job goes out as a pickle; what comes back is
data.

The object begins with ``MAGIC``, the lengths of two parts and the CRC-32 of the head. The *head* is JSON, and the
arrays that main needs in any case. The *blobs* are each output's pixels, end to end; the head has a CRC-32 of each.
Writing the object is the commit: S3 keeps the first of several writers (``If-None-Match: *``), so a tile is either
there with everything or not at all.

Many may write where tiles lie, so nothing in an object is believed. What is decoded takes at most as much memory as the
window that the tile has by the plan, for the number of bands and the type that the head says, and as the object itself.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rios_batch.awsbatch.decoding import RecordError, decoding, finite, inflated, json_object, text, whole
from rios_batch.awsbatch.jsonstatistics import decode_statistics, encode_statistics
from rios_batch.awsbatch.jsonvalues import ArrayPile, decode_value, encode_value, read_arrays
from rios_batch.errors import ParameterError
from rios_batch.gdalapi import gdal_type
from rios_batch.model.encodedblocks import EncodedBlocks
from rios_batch.model.grid import PixelWindow
from rios_batch.model.spec import Layout
from rios_batch.model.tileresult import TileOutput, TileRecord

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from typing_extensions import Buffer

    from rios_batch.model.creationoptions import Compression
    from rios_batch.model.spec import Array
    from rios_batch.model.statistics import PartialStatistics
    from rios_batch.model.tiles import TilePlan

MAGIC = b"RBTILE05"
_LENGTHS = struct.Struct("<QQI")  # of the JSON text, of the whole head; the head's CRC-32
PREAMBLE_BYTES = len(MAGIC) + _LENGTHS.size
_MOST_BANDS = 65_535  # of a TIFF


@dataclass(frozen=True)
class OutputPart:
    """Where one output's pixels stand in a tile's object.

    Attributes
    ----------
    layout : type and number of bands.
    start, size : bytes from the object's beginning, and bytes of the pixels.
    crc32 : of these bytes.
    byte_counts : bytes of each encoded TIFF block. None for an array, which is stored compressed (zlib).
    coarsest, statistics, lost_px, compression : those of the ``TileOutput``.
    """

    layout: Layout
    start: int
    size: int
    crc32: int
    byte_counts: Array | None
    coarsest: Array | None
    statistics: tuple[PartialStatistics, ...]
    lost_px: int
    compression: Compression | None

    def output(self, data: bytes | memoryview, window: PixelWindow) -> TileOutput:
        """Return the part as a local worker would have handed the part over.

        Parameters
        ----------
        data : the bytes where the pixels stand.
        window : the tile's.

        Raises
        ------
        RecordError : the bytes are not those that the worker has stored.
        """
        if len(data) != self.size or zlib.crc32(data) != self.crc32:
            raise RecordError("the pixels are damaged: their checksum is wrong")
        if self.byte_counts is not None:
            blocks = EncodedBlocks(np.frombuffer(data, np.uint8), self.byte_counts)
            return TileOutput(
                self.layout, blocks, self.coarsest, self.statistics, self.lost_px, self.compression
            )
        with decoding("a tile's pixels"):
            array = _array(data, self.layout, (self.layout.nbands, window.height, window.width))
        return TileOutput(self.layout, array, statistics=self.statistics, lost_px=self.lost_px)


@dataclass(frozen=True)
class TileHead:
    """What main reads of every tile.

    ``run_id`` is the run that the tile was computed for. ``other_args`` are the values of the attributes that the tile
    changed.
    """

    run_id: str
    record: TileRecord
    parts: tuple[OutputPart, ...]
    other_args: Mapping[str, Any]


def encode_tile(
    run_id: str, record: TileRecord, outputs: Sequence[TileOutput], other_args: Mapping[str, Any]
) -> bytes:
    """Return a tile's object.

    A changed attribute of otherArgs that is not data (:mod:`rios_batch.awsbatch.jsonvalues`) becomes None, as an
    attribute that cannot be pickled does with other job managers.

    Parameters
    ----------
    record : what happened to the tile.
    outputs : the tile's part of each output, in the order of ``RunSpec.outputs``.
    other_args : values of the attributes of otherArgs that the tile changed.
    """
    arrays = ArrayPile()
    blobs: list[bytes | memoryview] = []
    parts: list[dict[str, Any]] = []
    for tile_output in outputs:
        payload = tile_output.payload
        if isinstance(payload, EncodedBlocks):
            blob: bytes | memoryview = payload.data.data
            counts = arrays.put(payload.byte_counts)
        else:
            assert isinstance(payload, np.ndarray)
            blob, counts = zlib.compress(payload.tobytes(), level=1), None
        blobs.append(blob)
        part = {
            "layout": asdict(tile_output.layout),
            "bytes": len(blob),
            "crc32": zlib.crc32(blob),
            "byte_counts": counts,
            "statistics": [encode_statistics(band, arrays) for band in tile_output.statistics],
            "lost_px": tile_output.lost_px,
            "compression": tile_output.compression,
        }
        if tile_output.coarsest is not None:
            part["coarsest"] = {
                "shape": tile_output.coarsest.shape,
                "zlib": arrays.put(_deflated(tile_output.coarsest)),
            }
        parts.append(part)
    described = json.dumps(
        {
            "run": run_id,
            "record": asdict(record),
            "outputs": parts,
            "other_args": {name: _encoded_or_none(value, arrays) for name, value in other_args.items()},
            "arrays": arrays.index,
        }
    ).encode()
    head = b"".join([described, *arrays.data])
    return b"".join([MAGIC, _LENGTHS.pack(len(described), len(head), zlib.crc32(head)), head, *blobs])


def head_size(beginning: bytes) -> int:
    """Return how many bytes from an object's beginning hold its head.

    Raises
    ------
    RecordError : the object is not a tile's.
    """
    if len(beginning) < PREAMBLE_BYTES or not beginning.startswith(MAGIC):
        raise RecordError(f"not a tile's record: it begins with {beginning[:8]!r}")
    return PREAMBLE_BYTES + int(_LENGTHS.unpack_from(beginning, len(MAGIC))[1])


def decode_head(data: bytes, plan: TilePlan) -> TileHead:
    """Read the head from an object's beginning; some or all of the rest may follow.

    Parameters
    ----------
    plan : the run's tiles.

    Raises
    ------
    RecordError : the object is not a tile's of this plan, is cut short, or is damaged.
    """
    size = head_size(data)
    if len(data) < size:
        raise RecordError(f"a tile's record is cut short: {len(data)} of {size} bytes")
    text_bytes, _, crc32 = _LENGTHS.unpack_from(data, len(MAGIC))
    head = memoryview(data)[PREAMBLE_BYTES:size]
    if zlib.crc32(head) != crc32:
        raise RecordError("a tile's record is damaged: its checksum is wrong")
    with decoding("a tile's record"):
        content = json_object(bytes(head[:text_bytes]))
        arrays = read_arrays(content["arrays"], head[text_bytes:])
        record = _record(content["record"], plan)
        parts, start = [], size
        for described in content["outputs"]:
            parts.append(_part(described, start, record.window, arrays))
            start += parts[-1].size
        other_args = {name: decode_value(value, arrays) for name, value in content["other_args"].items()}
        return TileHead(text(content["run"]), record, tuple(parts), other_args)


def _record(fields: dict[str, Any], plan: TilePlan) -> TileRecord:
    window = PixelWindow(**fields.pop("window"))
    skipped = tuple((text(name), text(why)) for name, why in fields.pop("skipped"))
    tile = plan.tile(whole(fields["tile"], 0, len(plan) - 1))
    if window != tile.window:
        raise ValueError(f"tile {tile.index} is {tile.window}, not {window}")
    text(fields["worker"])
    for name, value in fields.items():
        if name != "worker":
            finite(value)
    return TileRecord(window=window, skipped=skipped, **fields)


def _part(described: dict[str, Any], start: int, window: PixelWindow, arrays: Sequence[Array]) -> OutputPart:
    dtype, nbands = text(described["layout"]["dtype"]), whole(described["layout"]["nbands"], 1, _MOST_BANDS)
    gdal_type(dtype)  # refuses all others
    layout = Layout(dtype, nbands)
    statistics = tuple(decode_statistics(band, arrays) for band in described["statistics"])
    if len(statistics) not in (0, nbands):
        raise ValueError(f"statistics of {len(statistics)} bands, not of {nbands}")
    compression = described["compression"]
    return OutputPart(
        layout,
        start,
        whole(described["bytes"]),
        whole(described["crc32"]),
        None if described["byte_counts"] is None else _byte_counts(arrays[described["byte_counts"]]),
        _coarsest(described["coarsest"], layout, window, arrays) if "coarsest" in described else None,
        statistics,
        whole(described["lost_px"]),
        None if compression is None else tuple(map(text, compression)),
    )


def _byte_counts(counts: Array) -> Array:
    if counts.dtype != np.uint64 or counts.ndim != 1:
        raise ValueError(f"counts of bytes of type {counts.dtype}")
    return counts


def _coarsest(
    described: Mapping[str, Any], layout: Layout, window: PixelWindow, arrays: Sequence[Array]
) -> Array:
    nbands, rows, cols = map(whole, described["shape"])
    if nbands != layout.nbands or rows > window.height or cols > window.width:
        raise ValueError(f"{nbands} bands of {rows} x {cols} pixels as an overview of {window}")
    return _array(arrays[described["zlib"]], layout, (nbands, rows, cols))


def _array(data: Buffer, layout: Layout, shape: tuple[int, int, int]) -> Array:
    nbytes = math.prod(shape) * np.dtype(layout.dtype).itemsize
    return np.frombuffer(inflated(data, nbytes), layout.dtype).reshape(shape)


def _deflated(array: Array) -> Array:
    return np.frombuffer(zlib.compress(array.tobytes(), level=1), np.uint8)


def _encoded_or_none(value: Any, arrays: ArrayPile) -> Any:
    try:
        return encode_value(value, arrays, "the value")
    except ParameterError:
        return None
