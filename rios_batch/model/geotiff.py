"""Just enough of the TIFF format to read a directory, and to write it with another block index.

Sources: TIFF 6.0 (Adobe, 1992) section 2 for directories and types, section 15 for tiles; BigTIFF as in
libtiff (8-byte offsets and counts). Pixels are never decoded here: a block is a run of bytes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rios_batch.errors import RiosBatchError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_BYTE_COUNTS = 322, 323, 324, 325
_IMAGE_WIDTH, _IMAGE_LENGTH = 256, 257
_PLANAR_CONFIGURATION, _PLANAR = 284, 2
_NEW_SUBFILE_TYPE, _REDUCED_RESOLUTION = 254, 1
# Photometric interpretation, colour map and extra samples: how the pixels are to be shown.
_COLOURS = (262, 320, 338)
# Georeference (GeoTIFF 1.1, section 7) and GDAL's metadata, which GDAL writes for the full resolution only.
_OF_THE_WHOLE = (33550, 33922, 34264, 34735, 34736, 34737, 42112)
_LONG, _LONG8 = 4, 16
# Bytes per value of each TIFF field type; 13 is IFD, 16-18 are BigTIFF's.
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_TYPE_BYTES |= {_LONG8: 8, 17: 8, 18: 8}
_UNSIGNED = {1: "u1", 3: "u2", _LONG: "u4", _LONG8: "u8"}
CLASSIC_LIMIT_BYTES = 2**32


class TiffFormatError(RiosBatchError, ValueError):
    """Bytes that should be a TIFF of the project's own making are not."""


@dataclass(frozen=True)
class _Flavour:
    """Byte order, and the field widths in which classic TIFF and BigTIFF differ."""

    order: str
    big: bool

    @property
    def header_bytes(self) -> int:
        return 16 if self.big else 8

    @property
    def entry_bytes(self) -> int:
        return 20 if self.big else 12

    @property
    def inline_bytes(self) -> int:
        return 8 if self.big else 4

    def pack_offset(self, value: int) -> bytes:
        return struct.pack(self.order + ("Q" if self.big else "L"), value)

    def unpack_offset(self, data: memoryview) -> int:
        return int(struct.unpack(self.order + ("Q" if self.big else "L"), data[: self.inline_bytes])[0])

    def pack_header(self, directory_offset: int) -> bytes:
        mark = b"II" if self.order == "<" else b"MM"
        if self.big:
            return mark + struct.pack(self.order + "HHHQ", 43, 8, 0, directory_offset)
        return mark + struct.pack(self.order + "HL", 42, directory_offset)


@dataclass(frozen=True)
class Field:
    """One directory entry: TIFF type code, number of values, and the values' bytes as stored."""

    type: int
    count: int
    data: bytes | memoryview


@dataclass(frozen=True)
class TiledTiff:
    """The first directory of a tiled TIFF.

    ``offsets`` and ``byte_counts`` have one value per block, in the file's order: plane, block row, block
    column. A count of 0 is a sparse block: it reads as nodata, or 0 where there is none.
    """

    order: str
    big: bool
    fields: Mapping[int, Field]
    offsets: NDArray[np.uint64] = field(repr=False)
    byte_counts: NDArray[np.uint64] = field(repr=False)

    @property
    def block_size(self) -> tuple[int, int]:
        """Return width and height of a block in pixels."""
        width, height = (int(_unsigned(self.fields[tag], self.order)[0]) for tag in (TILE_WIDTH, TILE_LENGTH))
        return width, height

    @property
    def is_planar(self) -> bool:
        """Say whether each band has blocks of its own."""
        return int(_unsigned(self.fields[_PLANAR_CONFIGURATION], self.order)[0]) == _PLANAR


def parse_tiled_tiff(data: bytes | bytearray | memoryview) -> TiledTiff:
    """Read the first directory of a whole TIFF in memory.

    Raises
    ------
    TiffFormatError : not a TIFF, cut short, or not tiled.
    """
    view = memoryview(data)
    try:
        return _parse(view)
    except (struct.error, IndexError, KeyError, OverflowError) as error:
        raise TiffFormatError(f"{len(view)} bytes are not a complete tiled TIFF: {error!r}") from error


def _parse(view: memoryview) -> TiledTiff:
    order = {b"II": "<", b"MM": ">"}[bytes(view[:2])]
    magic = struct.unpack(order + "H", view[2:4])[0]
    if magic not in (42, 43):
        raise TiffFormatError(f"not a TIFF: version {magic}, not 42 or 43")
    flavour = _Flavour(order, magic == 43)  # noqa: PLR2004 - BigTIFF's version number
    directory = flavour.unpack_offset(view[8 if flavour.big else 4 :])
    count_code = "Q" if flavour.big else "H"
    count = struct.unpack_from(order + count_code, view, directory)[0]
    start = directory + struct.calcsize(order + count_code)
    fields = dict(_parse_entry(view, start + i * flavour.entry_bytes, flavour) for i in range(count))
    if TILE_OFFSETS not in fields:
        raise TiffFormatError("the TIFF is not tiled")
    offsets = _unsigned(fields[TILE_OFFSETS], order)
    byte_counts = _unsigned(fields[TILE_BYTE_COUNTS], order)
    if len(offsets) != len(byte_counts):
        raise TiffFormatError(f"{len(offsets)} blocks have an offset and {len(byte_counts)} a size")
    return TiledTiff(order, flavour.big, fields, offsets, byte_counts)


def _parse_entry(view: memoryview, position: int, flavour: _Flavour) -> tuple[int, Field]:
    tag, kind, count = struct.unpack_from(flavour.order + ("HHQ" if flavour.big else "HHL"), view, position)
    nbytes = _TYPE_BYTES[kind] * count
    at = position + flavour.entry_bytes - flavour.inline_bytes
    if nbytes > flavour.inline_bytes:
        at = flavour.unpack_offset(view[at:])
    data = bytes(view[at : at + nbytes])
    if len(data) != nbytes:
        raise TiffFormatError(f"tag {tag} ends past the end of the file")
    return tag, Field(kind, count, data)


def _unsigned(entry: Field, order: str) -> NDArray[np.uint64]:
    return np.frombuffer(entry.data, np.dtype(order + _UNSIGNED[entry.type])).astype(np.uint64)


def header(template: TiledTiff, directory_offset: int) -> bytes:
    """Return the file header that points to a directory at ``directory_offset``."""
    return _Flavour(template.order, template.big).pack_header(directory_offset)


def header_size(template: TiledTiff) -> int:
    """Return the number of bytes before the first block."""
    return _Flavour(template.order, template.big).header_bytes


def resized(template: TiledTiff, cols: int, rows: int) -> TiledTiff:
    """Return a TIFF's directory as that of a TIFF of another size, without a block index."""
    sizes = {
        tag: Field(_LONG, 1, struct.pack(template.order + "L", size))
        for tag, size in ((_IMAGE_WIDTH, cols), (_IMAGE_LENGTH, rows))
    }
    none = np.zeros(0, np.uint64)
    return replace(template, fields={**template.fields, **sizes}, offsets=none, byte_counts=none)


def reduced(template: TiledTiff, full: TiledTiff) -> TiledTiff:
    """Return a TIFF's directory as that of an overview of ``full``: marked so, shown in the same colours."""
    fields = {tag: entry for tag, entry in template.fields.items() if tag not in (*_OF_THE_WHOLE, *_COLOURS)}
    fields |= {tag: full.fields[tag] for tag in _COLOURS if tag in full.fields}
    mark = struct.pack(template.order + "L", _REDUCED_RESOLUTION)
    return replace(template, fields={**fields, _NEW_SUBFILE_TYPE: Field(_LONG, 1, mark)})


def directory(
    template: TiledTiff,
    offsets: NDArray[np.uint64],
    byte_counts: NDArray[np.unsignedinteger[Any]],
    position: int,
    *,
    another_follows: bool = False,
) -> list[bytes | memoryview]:
    """Return the template's directory with another block index, to be placed at ``position``, as pieces to be joined.

    Every other tag is copied as it is. ``offsets`` must be 0 where ``byte_counts`` is. The pieces look into both where
    the file has the values as the arrays do, since the index may have gigabytes.

    Parameters
    ----------
    another_follows : the next directory of the file stands where this one ends.
    """
    flavour = _Flavour(template.order, template.big)
    wide = _LONG8 if template.big else _LONG
    fields = dict(template.fields)
    fields[TILE_OFFSETS] = _index_field(offsets, wide, template.order)
    fields[TILE_BYTE_COUNTS] = _index_field(byte_counts, _LONG, template.order)

    count = struct.pack(flavour.order + ("Q" if flavour.big else "H"), len(fields))
    values_at = position + len(count) + len(fields) * flavour.entry_bytes + flavour.inline_bytes
    entries, values, end = bytearray(), list[bytes | memoryview](), values_at

    def append(data: bytes | memoryview) -> None:
        nonlocal end
        values.append(data)
        end += len(data)

    for tag, entry in sorted(fields.items()):  # TIFF 6.0 wants ascending tags
        entries += struct.pack(
            flavour.order + ("HHQ" if flavour.big else "HHL"), tag, entry.type, entry.count
        )
        if len(entry.data) <= flavour.inline_bytes:
            entries += bytes(entry.data).ljust(flavour.inline_bytes, b"\0")
            continue
        append(bytes(-end % 8))  # word alignment is required; 8 suits BigTIFF
        entries += flavour.pack_offset(end)
        append(entry.data)
    if another_follows:
        append(bytes(-end % 8))
    next_directory = flavour.pack_offset(end if another_follows else 0)
    return [bytes(count + entries + next_directory), *values]


def _index_field(values: NDArray[np.unsignedinteger[Any]], kind: int, order: str) -> Field:
    stored = values.astype(np.dtype(order + _UNSIGNED[kind]), copy=False)
    return Field(kind, len(values), stored.data.cast("B"))
