"""What travels through S3 from a worker to main: JSON and raw arrays, never pickles.

A pickle runs code when it is read. Main trusts itself, so the job goes out as one; what comes back is data.

One object holds all of a tile: ``MAGIC``, the lengths of two parts, the *head* (JSON, and the arrays that main needs in
any case), and the *blobs* (each output's pixels, end to end). Writing it is the commit: S3 keeps the first of
several writers (``If-None-Match: *``), and a tile is either there with everything or not at all.
"""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from rios_batch.awsbatch.jsonvalues import ArrayPile, decode_value, encode_value, read_arrays
from rios_batch.errors import ParameterError, RiosBatchError
from rios_batch.model.encodedblocks import EncodedBlocks
from rios_batch.model.grid import PixelWindow
from rios_batch.model.histogram import Histogram
from rios_batch.model.spec import Layout
from rios_batch.model.statistics import PartialStatistics
from rios_batch.model.tileresult import TileOutput, TileRecord

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rios_batch.model.spec import Array

MAGIC = b"RBTILE02"
_LENGTHS = struct.Struct("<QQ")  # of the JSON text, and of the whole head
PREAMBLE_BYTES = len(MAGIC) + _LENGTHS.size


class RecordError(RiosBatchError, ValueError):
    """An object that should be a tile's record is something else, or is cut short."""


@dataclass(frozen=True)
class OutputPart:
    """Where one output's pixels stand in a tile's object, counted from the object's beginning.

    ``byte_counts`` are those of encoded TIFF blocks, or None for an array, which is stored compressed (zlib).
    """

    layout: Layout
    start: int
    size: int
    byte_counts: Array | None
    coarsest: Array | None
    statistics: tuple[PartialStatistics, ...]

    def output(self, data: bytes | memoryview, window: PixelWindow) -> TileOutput:
        """Return the part as a local worker would have handed it over."""
        if self.byte_counts is not None:
            blocks = EncodedBlocks(np.frombuffer(data, np.uint8), self.byte_counts)
            return TileOutput(self.layout, blocks, self.coarsest, self.statistics)
        pixels = np.frombuffer(zlib.decompress(data), self.layout.dtype)
        array = pixels.reshape(self.layout.nbands, window.height, window.width)
        return TileOutput(self.layout, array, statistics=self.statistics)


@dataclass(frozen=True)
class TileHead:
    """What main reads of every tile.

    ``other_args`` are the values of the attributes that the tile changed.
    """

    record: TileRecord
    parts: tuple[OutputPart, ...]
    other_args: Mapping[str, Any]


def encode_tile(record: TileRecord, outputs: Sequence[TileOutput], other_args: Mapping[str, Any]) -> bytes:
    """Return a tile's object.

    A changed attribute of otherArgs that is not data (see :mod:`rios_batch.awsbatch.jsonvalues`) is given as
    None, as one that cannot be pickled is elsewhere.
    """
    arrays = ArrayPile()
    blobs: list[bytes | memoryview] = []
    parts: list[dict[str, Any]] = []
    for output in outputs:
        payload = output.payload
        if isinstance(payload, EncodedBlocks):
            blob: bytes | memoryview = payload.data.data
            counts = arrays.put(payload.byte_counts)
        else:
            assert isinstance(payload, np.ndarray)
            blob, counts = zlib.compress(payload.tobytes(), level=1), None
        blobs.append(blob)
        part = {
            "layout": asdict(output.layout),
            "bytes": len(blob),
            "byte_counts": counts,
            "statistics": [_encoded_statistics(band, arrays) for band in output.statistics],
        }
        if output.coarsest is not None:
            part["coarsest"] = {
                "shape": output.coarsest.shape,
                "zlib": arrays.put(_deflated(output.coarsest)),
            }
        parts.append(part)
    text = json.dumps(
        {
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
    RecordError : it is not a tile's object.
    """
    if len(beginning) < PREAMBLE_BYTES or not beginning.startswith(MAGIC):
        raise RecordError(f"not a tile's record: it begins with {beginning[:8]!r}")
    return PREAMBLE_BYTES + int(_LENGTHS.unpack_from(beginning, len(MAGIC))[1])


def decode_head(data: bytes) -> TileHead:
    """Read the head from an object's beginning, which may be followed by some or all of the rest.

    Raises
    ------
    RecordError : it is not a tile's object, or cut short.
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
            statistics = tuple(_decoded_statistics(band, arrays) for band in part["statistics"])
            parts.append(OutputPart(layout, start, part["bytes"], counts, coarsest, statistics))
            start += part["bytes"]
        other_args = {name: decode_value(value, arrays) for name, value in content["other_args"].items()}
        return TileHead(TileRecord(window=window, **fields), tuple(parts), other_args)
    except (KeyError, TypeError, ValueError, IndexError, zlib.error) as error:
        raise RecordError(f"a tile's record cannot be read: {error!r}") from error


def _deflated(array: Array) -> Array:
    return np.frombuffer(zlib.compress(array.tobytes(), level=1), np.uint8)


def _inflated(arrays: Sequence[Array], described: Mapping[str, Any], layout: Layout) -> Array:
    pixels = np.frombuffer(zlib.decompress(arrays[described["zlib"]]), layout.dtype)
    return pixels.reshape(described["shape"])


def _encoded_statistics(band: PartialStatistics, arrays: ArrayPile) -> dict[str, Any]:
    # JSON has whole numbers of any size, and Python reads back the float64 that it wrote: none is NaN or infinite.
    return {
        "count": band.count,
        "lowest": band.lowest,
        "highest": band.highest,
        "total": band.total.as_integer_ratio(),
        "squares": band.squares.as_integer_ratio(),
        "histogram": None if band.histogram is None else _encoded_histogram(band.histogram, arrays),
    }


def _encoded_histogram(histogram: Histogram, arrays: ArrayPile) -> dict[str, Any]:
    """Store the steps from key to key: where every bin has a value these are all 1, and take no room."""
    steps = np.diff(histogram.keys.view(np.uint64))  # modulo 2**64, for steps that int64 does not hold
    return {
        "exponent": histogram.exponent,
        "keys": str(histogram.keys.dtype),
        "first": int(histogram.keys[0]),
        "steps": _compressed(steps, arrays),
        "counts": _compressed(histogram.counts, arrays),
    }


def _compressed(numbers: Array, arrays: ArrayPile) -> dict[str, Any]:
    """Store numbers of at least 0 in the smallest type that holds them, byte by byte: first all lowest bytes."""
    dtype = np.min_scalar_type(numbers.max(initial=0)).newbyteorder("<")
    planes = numbers.astype(dtype).view(np.uint8).reshape(-1, dtype.itemsize).T
    packed = np.frombuffer(zlib.compress(planes.tobytes(), level=6), np.uint8)
    return {"dtype": dtype.str, "array": arrays.put(packed)}


def _decoded_statistics(content: dict[str, Any], arrays: Sequence[Array]) -> PartialStatistics:
    histogram = content["histogram"]
    return PartialStatistics(
        content["count"],
        content["lowest"],
        content["highest"],
        Fraction(*content["total"]),
        Fraction(*content["squares"]),
        None if histogram is None else _decoded_histogram(histogram, arrays),
    )


def _decoded_histogram(content: dict[str, Any], arrays: Sequence[Array]) -> Histogram:
    steps = _decompressed(content["steps"], arrays)
    keys = np.empty(len(steps) + 1, content["keys"])
    keys[0] = content["first"]
    keys[1:] = steps.astype(keys.dtype)
    return Histogram(
        content["exponent"],
        np.cumsum(keys, dtype=keys.dtype),
        _decompressed(content["counts"], arrays).astype(np.int64),
    )


def _decompressed(content: dict[str, Any], arrays: Sequence[Array]) -> Array:
    dtype = np.dtype(content["dtype"])
    planes = np.frombuffer(zlib.decompress(arrays[content["array"]]), np.uint8)
    return planes.reshape(dtype.itemsize, -1).T.copy().view(dtype).ravel()


def _encoded_or_none(value: Any, arrays: ArrayPile) -> Any:
    try:
        return encode_value(value, arrays, "the value")
    except ParameterError:
        return None


@dataclass(frozen=True)
class Failure:
    """Something that went wrong on a worker.

    Attributes
    ----------
    tile : the tile it concerns; None when the worker could not start.
    kind : qualified name of the exception's class.
    message : what the person is told.
    worker : who says it.
    stops_run : trying again would give the same.
    exception_type, traceback_text : of the user function's own exception.
    """

    tile: int | None
    kind: str
    message: str
    worker: str
    stops_run: bool
    exception_type: str = ""
    traceback_text: str = field(default="", repr=False)

    def encode(self) -> bytes:
        """Return it as JSON."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, data: bytes) -> Failure:
        """Read it.

        Raises
        ------
        RecordError : it is something else.
        """
        try:
            return cls(**json.loads(data))
        except (TypeError, ValueError) as error:
            raise RecordError(f"a failure's record cannot be read: {error!r}") from error
