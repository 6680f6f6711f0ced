"""Which driver writes an output, with which options, and whether workers can encode its tiles."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from osgeo import gdal

from rios_batch.errors import OutputError, ParameterError
from rios_batch.model.creationoptions import CreationOptions
from rios_batch.model.pyramid import METHODS_WITHIN_TILES
from rios_batch.model.s3names import SCHEME
from rios_batch.plan import cogoptions
from rios_batch.plan.tiling import blocks_per_unit, tiff_block_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rios_batch.model.pyramid import Pyramid
    from rios_batch.model.tiles import BlockGrid

DEFAULT_DRIVER = "GTiff"
# RIOS's defaults. BIGTIFF: GDAL's own default, IF_NEEDED, lets a compressed file grow past 4 GiB and fail.
DEFAULT_CREATION_OPTIONS = {
    "GTiff": ("TILED=YES", "INTERLEAVE=BAND", "BIGTIFF=IF_SAFER", "COMPRESS=DEFLATE"),
    "HFA": ("COMPRESSED=YES", "IGNOREUTM=YES"),
}
# Formats that not every GDAL has. Where it is missing, a GeoTIFF of that name would not be what was asked for.
OPTIONAL_DRIVERS = {"kea": "KEA", "nc": "netCDF", "jp2": "JP2OpenJPEG", "zarr": "Zarr"}
# Drivers that can create, but no file that is there when the script has ended.
NOT_TO_FILES = frozenset({"MEM", "VRT"})
# Codecs whose blocks are the same whether GDAL writes them into a small file or a large one. JPEG's are
# not (edge blocks are padded otherwise, and tables are shared); the lossy rest is not worth the doubt.
ASSEMBLED_CODECS = frozenset(
    {"NONE", "LZW", "DEFLATE", "ZSTD", "LZMA", "PACKBITS", "LERC", "LERC_DEFLATE", "LERC_ZSTD"}
)


@dataclass(frozen=True)
class OutputFormat:
    """How an output is written.

    ``unit_blocks`` is the smallest tile, in user-function blocks in x and y, if workers encode the tiles;
    None if they arrive as arrays and one writer encodes, and then ``reason`` says why. ``chooses_compression`` says
    that the script set no options, so that the compression is chosen by looking at the first pixels.
    """

    driver: str
    creation_options: CreationOptions
    unit_blocks: tuple[int, int] | None
    reason: str = ""
    chooses_compression: bool = False


def choose_format(
    path: str,
    driver_name: str | None,
    creation_options: Sequence[str] | None,
    blocks: BlockGrid,
    pyramid: Pyramid | None = None,
) -> OutputFormat:
    """Decide how to write an output.

    Parameters
    ----------
    driver_name : GDAL's short name; None takes it from the file's extension, GTiff if that says nothing. COG
        stands for a GTiff that is one.
    creation_options : ``NAME=VALUE`` texts that replace the driver's defaults; None keeps those.

    Raises
    ------
    OutputError : the driver is unknown or cannot write block by block.
    ParameterError : a creation option is not of the form ``NAME=VALUE``, or the driver does not have the option.
    """
    if driver_name is not None and driver_name.upper() == cogoptions.NAME:
        chosen = _cog_format(path, creation_options or (), blocks, pyramid)
        return replace(chosen, chooses_compression=creation_options is None)
    driver = checked_driver(driver_name or driver_for_extension(path), path)
    given = DEFAULT_CREATION_OPTIONS.get(driver, ()) if creation_options is None else creation_options
    options = _checked_options(given, path)
    _refuse_unknown_options(options, driver, path)
    if driver != "GTiff":
        return OutputFormat(driver, options, None, f"GDAL's {driver} driver writes whole files only")
    chosen = replace(_geotiff_format(options, blocks), chooses_compression=creation_options is None)
    if chosen.unit_blocks is None or pyramid is None:
        return chosen
    if pyramid.method not in METHODS_WITHIN_TILES:
        why = f"{pyramid.method} overviews are made of pixels of several tiles"
        return replace(chosen, unit_blocks=None, reason=why)
    if not pyramid.fits_tiles:
        levels = ", ".join(map(str, pyramid.factors))
        why = f"{pyramid.method} overviews of levels {levels} do not fit tiles or each other"
        return replace(chosen, unit_blocks=None, reason=why)
    return chosen


def _checked_options(given: Sequence[str], path: str) -> CreationOptions:
    options = CreationOptions(tuple(str(option) for option in given))
    for option in options.texts:
        if "=" not in option:
            raise ParameterError(f"creation option {option!r} of {path!r} is not of the form NAME=VALUE")
    return options


def _refuse_unknown_options(options: CreationOptions, driver: str, path: str) -> None:
    """Refuse options that GDAL would leave out with a warning for every file that it creates."""
    listed = _option_list(driver)
    names = {option.get("name", "") for option in listed}
    others = {option.get("alias", "") for option in listed}
    for text in options.texts:
        name = text.partition("=")[0]
        if listed and name.upper() not in names | others:
            raise ParameterError(
                f"creation option {text!r} of {path!r}: GDAL's {driver} driver has no option {name}; it has "
                f"{', '.join(sorted(names))}"
            )


def _cog_format(
    path: str, creation_options: Sequence[str], blocks: BlockGrid, pyramid: Pyramid | None
) -> OutputFormat:
    options = cogoptions.geotiff_options(_checked_options(creation_options, path).texts, path)
    chosen = choose_format(path, DEFAULT_DRIVER, options.texts, blocks, pyramid)
    if chosen.unit_blocks is None:
        raise OutputError(
            f"output {path!r} cannot be a COG: {chosen.reason}; change that, or write a GTiff and convert it "
            "with gdal_translate -of COG"
        )
    return chosen


def _geotiff_format(options: CreationOptions, blocks: BlockGrid) -> OutputFormat:
    if all(options.get(name) is None for name in ("TILED", "BLOCKXSIZE", "BLOCKYSIZE")):
        # Without a word on the layout GDAL writes strips, which a window of 256 x 256 would rewrite again
        # and again; RIOS does not allow them either.
        options = options.but(TILED="YES")
    if options.get("BIGTIFF") is None:
        options = options.but(BIGTIFF="IF_SAFER")
    if not options.is_on("TILED"):
        return OutputFormat("GTiff", options, None, "it is written in strips (TILED is not YES)")
    sides = []
    for axis, window_px in (("X", blocks.window_xsize), ("Y", blocks.window_ysize)):
        name = f"BLOCK{axis}SIZE"
        if options.get(name) is None:
            options = options.but(**{name: str(tiff_block_for(window_px))})
        sides.append(_block_side(name, options.get(name) or ""))
    codec = _codec((options.get("COMPRESS") or "NONE").upper())
    if codec not in ASSEMBLED_CODECS:
        return OutputFormat("GTiff", options, None, f"blocks of codec {codec} cannot be moved between files")
    unit = blocks_per_unit(blocks, *sides)
    if unit is None:
        windows = f"{blocks.window_xsize} x {blocks.window_ysize}"
        why = f"windows of {windows} px do not fit TIFF blocks of {sides[0]} x {sides[1]} px"
        return OutputFormat("GTiff", options, None, why)
    return OutputFormat("GTiff", options, unit)


def _codec(name: str) -> str:
    known = known_codecs()
    if name not in known:
        raise ParameterError(f"creation option COMPRESS={name}: this GDAL has {', '.join(sorted(known))}")
    return name


def _block_side(name: str, value: str) -> int:
    if not value.isdecimal() or int(value) == 0 or int(value) % 16:
        raise ParameterError(f"creation option {name}={value}: a TIFF block's side must be a multiple of 16")
    return int(value)


def driver_for_extension(path: str) -> str:
    """Return the driver that GDAL associates with the file's extension, GTiff if there is none."""
    extension = Path(path).suffix.lstrip(".").lower()
    if extension in ("", "tif", "tiff"):  # several drivers claim these
        return DEFAULT_DRIVER
    if extension in OPTIONAL_DRIVERS:
        return OPTIONAL_DRIVERS[extension]
    candidates = [
        driver
        for driver in map(gdal.GetDriver, range(gdal.GetDriverCount()))
        if driver.GetMetadataItem("DCAP_RASTER") == "YES"
        and extension in (driver.GetMetadataItem("DMD_EXTENSIONS") or "").lower().split()
    ]
    writers = [driver.ShortName for driver in candidates if _can_create(driver)]
    # A driver that only copies is named too, so that the error speaks of the format that was asked for.
    return str(next(iter(writers + [driver.ShortName for driver in candidates]), DEFAULT_DRIVER))


def checked_driver(name: str, path: str) -> str:
    """Return the driver's name in GDAL's own spelling.

    Raises
    ------
    OutputError : GDAL has no such driver, or it cannot write block by block.
    """
    try:
        driver = gdal.GetDriverByName(name)
    except RuntimeError:  # newer GDAL raises where older returns None
        driver = None
    if driver is None:
        raise OutputError(
            f"output {path!r}: GDAL has no driver {name!r}; 'gdalinfo --formats' lists those it has"
        )
    if driver.ShortName == "Zarr" and path.startswith(SCHEME):
        raise OutputError(
            f"output {path!r}: a Zarr is a folder, and outputs in S3 are single objects; write a .tif"
        )
    if not _can_create(driver) or driver.ShortName in NOT_TO_FILES:
        raise OutputError(
            f"output {path!r}: GDAL's {name} driver cannot write block by block; "
            "write a .tif and convert it with gdal_translate"
        )
    return str(driver.ShortName)


def known_codecs() -> set[str]:
    """Return the values of COMPRESS that this GDAL takes; with another it would write without compression."""
    return {
        str(value.text)
        for option in _option_list("GTiff")
        if option.get("name") == "COMPRESS"
        for value in option.iterfind("Value")
    }


def _option_list(driver: str) -> list[ET.Element]:
    """Return the creation options of a driver as GDAL describes them; none if GDAL says nothing of them."""
    text = gdal.GetDriverByName(driver).GetMetadataItem("DMD_CREATIONOPTIONLIST")
    return list(ET.fromstring(text).iterfind("Option")) if text else []  # noqa: S314 - GDAL's own text  # nosec B314


def _can_create(driver: gdal.Driver) -> bool:
    return bool(driver.GetMetadataItem("DCAP_CREATE") == "YES")
