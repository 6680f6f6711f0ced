"""What a script has set in GDAL, PROJ included, so that another process can have it too."""

from __future__ import annotations

import contextlib
import ctypes
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from osgeo import _gdal, gdal, ogr, osr

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST_ERROR_HANDLERS = 32  # the stack cannot be looked at; to take one away from an empty stack does nothing


@dataclass(frozen=True)
class GdalSettings:
    """GDAL's settings that hold for a whole process.

    ``options`` are those of ``gdal.SetConfigOption``. What comes from the environment is not among them, nor are
    settings for a path, which GDAL does not list.
    """

    options: dict[str, str]
    cache_bytes: int
    ogr_exceptions: bool
    osr_exceptions: bool
    proj_folders: tuple[str, ...]
    proj_network: bool

    @classmethod
    def of_this_process(cls) -> Self:
        """Return the settings of this process."""
        return cls(
            options=dict(_options()),
            cache_bytes=gdal.GetCacheMax(),
            ogr_exceptions=bool(ogr.GetUseExceptions()),
            osr_exceptions=bool(osr.GetUseExceptions()),
            proj_folders=tuple(osr.GetPROJSearchPaths()),
            proj_network=bool(osr.GetPROJEnableNetwork()),
        )

    def take_on(self) -> None:
        """Give this process the settings."""
        for name, value in self.options.items():
            gdal.SetConfigOption(name, value)
        gdal.SetCacheMax(self.cache_bytes)
        if self.ogr_exceptions:
            ogr.UseExceptions()
        if self.osr_exceptions:
            osr.UseExceptions()
        osr.SetPROJSearchPaths(list(self.proj_folders))
        osr.SetPROJEnableNetwork(self.proj_network)


def forget_settings() -> None:
    """Take back what a script may have set in GDAL, in a copy of the script's process."""
    for module in (ogr, osr, gdal):
        with contextlib.suppress(RuntimeError):  # before GDAL 3.7 the modules' exceptions are one stack
            module.DontUseExceptions()
    for _ in range(_MOST_ERROR_HANDLERS):
        gdal.PopErrorHandler()
    gdal.SetErrorHandler("CPLDefaultErrorHandler")
    for name in dict(_options()):
        gdal.SetConfigOption(name, None)
    gdal.ClearPathSpecificOptions()


def _options() -> Iterator[tuple[str, str]]:
    """Yield the options that were set; the bindings have no function for that before GDAL 3.7."""
    library = ctypes.CDLL(_gdal.__file__)  # with GDAL's library, on which it depends
    library.CPLGetConfigOptions.restype = ctypes.POINTER(ctypes.c_char_p)
    library.CSLDestroy.argtypes = [ctypes.c_void_p]
    found = library.CPLGetConfigOptions()
    number = 0
    while found and found[number]:
        name, _, value = found[number].decode(errors="surrogateescape").partition("=")
        yield name, value
        number += 1
    library.CSLDestroy(found)
