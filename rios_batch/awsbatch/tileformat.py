"""A finished tile as one object in S3: JSON and raw arrays, never pickles.

A pickle runs code when the pickle is read. Main trusts itself, so the job goes out as a pickle; what comes back is
data.

The object begins with ``MAGIC`` and the lengths of two parts. The *head* is JSON, and the arrays that main needs in any
case. The *blobs* are each output's pixels, end to end. Writing the object is the commit: S3 keeps the first of several
writers (``If-None-Match: *``), so a tile is either there with everything or not at all.
"""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rios_batch.awsbatch.jsonstatistics import decode_statistics, encode_statistics
from rios_batch.awsbatch.jsonvalues import ArrayPile, decode_value, encode_value, read_arrays
from rios_batch.errors import ParameterError, RiosBatchError
from rios_batch.model.encodedblocks import EncodedBlocks
from rios_batch.model.grid import PixelWindow
from rios_batch.model.spec import Layout
from rios_batch.model.tileresult import TileOutput, TileRecord

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rios_batch.model.creationoptions import Compression
    from rios_batch.model.spec import Array
    from rios_batch.model.statistics import PartialStatistics

MAGIC = b"RBTILE04"
_LENGTHS = struct.Struct("<QQ")  # of the JSON text, and of the whole head
PREAMBLE_BYTES = len(MAGIC) + _LENGTHS.size


class RecordError(RiosBatchError, ValueError):
    """An object that should be a worker's record is something else, or is cut short."""


@dataclass(frozen=True)
class OutputPart:
    """Where one output's pixels stand in a tile's object.

    Attributes
    ----------
    layout : type and number of bands.
    start, size : bytes from the object's beginning, and bytes of the pixels.
    byte_counts : bytes of each encoded TIFF block. None for an array, which is stored compressed (zlib).
    coarsest, statistics, lost_px, compression : those of the ``TileOutput``.
    """

    layout: Layout
    start: int
    size: int
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
        """
        if self.byte_counts is not None:
            blocks = EncodedBlocks(np.frombuffer(data, np.uint8), self.byte_counts)
            return TileOutput(
                self.layout, blocks, self.coarsest, self.statistics, self.lost_px, self.compression
            )
        pixels = np.frombuffer(zlib.decompress(data), self.layout.dtype)
        array = pixels.reshape(self.layout.nbands, window.height, window.width)
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
    text = json.dumps(
        {
            "run": run_id,
            "record": asdict(record),
            "outputs": parts,
            "other_args": {name: _encoded_or_none(value, arrays) for name, value in other_args.items()},
            "arrays": arrays.index,
        }
    ).encode()
    head = b"".join([text, *arrays.data])
    return b"".join([MAGIC, _LENGTHS.pack(len(text), len(head)), head, *blobs])


def head_size(beginning: bytes) -> int:
    """Return how many bytes from an object's beginning hold its head.

    Raises
    ------
    RecordError : the object is not a tile's.
    """
    if len(beginning) < PREAMBLE_BYTES or not beginning.startswith(MAGIC):
        raise RecordError(f"not a tile's record: it begins with {beginning[:8]!r}")
    return PREAMBLE_BYTES + int(_LENGTHS.unpack_from(beginning, len(MAGIC))[1])


def decode_head(data: bytes) -> TileHead:
    """Read the head from an object's beginning; some or all of the rest may follow.

    Raises
    ------
    RecordError : the object is not a tile's, or is cut short.
    """
    size = head_size(data)
    if len(data) < size:
        raise RecordError(f"a tile's record is cut short: {len(data)} of {size} bytes")
    text_bytes = _LENGTHS.unpack_from(data, len(MAGIC))[0]
    text_end = PREAMBLE_BYTES + text_bytes
    try:
        content = json.loads(data[PREAMBLE_BYTES:text_end])
        arrays = read_arrays(content["arrays"], memoryview(data)[text_end:size])
        fields = content["record"]
        window = PixelWindow(**fields.pop("window"))
        parts, start = [], size
        for part in content["outputs"]:
            counts = None if part["byte_counts"] is None else arrays[part["byte_counts"]]
            layout = Layout(**part["layout"])
            coarsest = _inflated(arrays, part["coarsest"], layout) if "coarsest" in part else None
            statistics = tuple(decode_statistics(band, arrays) for band in part["statistics"])
            compression = None if part["compression"] is None else tuple(part["compression"])
            parts.append(
                OutputPart(
                    layout, start, part["bytes"], counts, coarsest, statistics, part["lost_px"], compression
                )
            )
            start += part["bytes"]
        other_args = {name: decode_value(value, arrays) for name, value in content["other_args"].items()}
        skipped = tuple((name, why) for name, why in fields.pop("skipped"))
        record = TileRecord(window=window, skipped=skipped, **fields)
        return TileHead(content["run"], record, tuple(parts), other_args)
    except (KeyError, TypeError, ValueError, IndexError, zlib.error) as error:
        raise RecordError(f"a tile's record cannot be read: {error!r}") from error


def _deflated(array: Array) -> Array:
    return np.frombuffer(zlib.compress(array.tobytes(), level=1), np.uint8)


def _inflated(arrays: Sequence[Array], described: Mapping[str, Any], layout: Layout) -> Array:
    pixels = np.frombuffer(zlib.decompress(arrays[described["zlib"]]), layout.dtype)
    return pixels.reshape(described["shape"])


def _encoded_or_none(value: Any, arrays: ArrayPile) -> Any:
    try:
        return encode_value(value, arrays, "the value")
    except ParameterError:
        return None
